//go:build !purego

package kernels

// packRowsInt8VNNI512 is packRowsInt8 that leaves the bytes as quantizeRows writes them until they are in the panel,
// where vectors take 128 off and add up what the offsets are.
func packRowsInt8VNNI512(dst PackedInt8, w []float32, ldw int) {
	if int8Padded(dst.K) > 128 {
		packLongRowsInt8VNNI512(dst, w, ldw)
		return
	}
	var room [16 * 128 / 4]float32 // little to clear: attention packs many small matrices
	packRowsThroughInt8VNNI512(dst, w, ldw, room[:])
}

//go:noinline
func packLongRowsInt8VNNI512(dst PackedInt8, w []float32, ldw int) {
	var fixed [16 * 2048 / 4]float32
	room := fixed[:]
	if n := 16 * int8Padded(dst.K) / 4; n > len(room) {
		room = make([]float32, n)
	}
	packRowsThroughInt8VNNI512(dst, w, ldw, room)
}

// packRowsThroughInt8VNNI512 quantises 16 rows at a time to room.
func packRowsThroughInt8VNNI512(dst PackedInt8, w []float32, ldw int, room []float32) {
	const rows = 16
	q, fours, ld := as[uint8](room), steps[int8](dst.K), int8Padded(dst.K)
	all := as[float32](dst.Data)
	for j := 0; j < dst.N; j += panelWidth {
		for i := j; i < j+panelWidth; i += rows {
			n := min(rows, max(dst.N-i, 0))
			if n > 0 {
				quantizeRowsAVX512(q, ld, dst.Scale[i:], w[i*ldw:], ldw, n, dst.K)
				blankRows(q, ld, dst.Scale[i:i+n])
			}
			transposeAVX512(all[j*fours+i-j:], room, ld/4, max(n, 1), fours, lowBits(n))
		}
		centrePanelAVX512(dst.Data[4*j*fours:], dst.Offset[j:], fours, lowBits(min(panelWidth, dst.N-j)))
	}
}

func packValuesInt8AVX512(dst PackedInt8, b []float32, ldb int) {
	panel := 4 * steps[int8](dst.K)
	for j := 0; j < dst.N; j += panelWidth {
		packValuesAVX512(dst.Data[j*panel:], dst.Scale[j:], b[j:], ldb, dst.K, lowBits(min(panelWidth, dst.N-j)))
	}
}

func packValuesInt8AVX2(dst PackedInt8, b []float32, ldb int) {
	const columns = 16
	panel := 4 * panelWidth * steps[int8](dst.K)
	for j := 0; j < panelsOf(dst.N)*panelWidth; j += columns {
		to, at := dst.Data[j/panelWidth*panel+j%panelWidth*4:], min(j, dst.N)
		packValuesAVX2(to, dst.Scale[at:], b[at:], ldb, dst.K, min(columns, dst.N-at))
	}
}
