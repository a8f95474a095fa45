//go:build !purego

package kernels

func transposePanelAVX512(dst, b []float32, ldb, k, n int) {
	for j := 0; j < panelWidth; j += 16 {
		count := min(max(n-j, 1), 16)
		transposeAVX512(dst[j:], b[min(j, n-count)*ldb:], ldb, count, k, lowBits(n-j))
	}
}

func transposePanelAVX2(dst, b []float32, ldb, k, n int) {
	for j := 0; j < panelWidth; j += 8 {
		count := min(max(n-j, 1), 8)
		transposeAVX2(dst[j:], b[min(j, n-count)*ldb:], ldb, count, k, lowBits(n-j))
	}
}

// lowBits has the lowest n bits set.
func lowBits(n int) uint64 { return 1<<uint(max(n, 0)) - 1 }

func packRowsBF16AVX512(dst PackedBF16, w []float32, ldw int) { packRowsBF16(dst, w, ldw, true) }
func packRowsBF16AVX2(dst PackedBF16, w []float32, ldw int)   { packRowsBF16(dst, w, ldw, false) }

func roundHalf(y []uint16, ldy int, x []float32, ldx, rows, k int, avx512 bool) {
	if avx512 {
		roundHalfAVX512BF16(y, ldy, x, ldx, rows, k)
	} else {
		roundHalfAVX2(y, ldy, x, ldx, rows, k)
	}
}

func transposeHalves(dst, b []float32, ldb, k, n int, avx512 bool) {
	if avx512 {
		transposePanelAVX512(dst, b, ldb, k, n)
	} else {
		transposePanelAVX2(dst, b, ldb, k, n)
	}
}

func packPairsBF16AVX512(dst PackedBF16, b []float32, ldb int) {
	pairs, even := dst.K/2, dst.K+dst.K&1
	for j := 0; j < dst.N; j += panelWidth {
		n, panel := min(panelWidth, dst.N-j), dst.Data[j*even:][:even*panelWidth]
		if pairs > 0 {
			packPairsAVX512BF16(panel, b[j:], ldb, pairs, n)
		}
		if even > dst.K {
			last := panel[2*pairs*panelWidth:]
			clear(last)
			for i, v := range b[(dst.K-1)*ldb+j:][:n] {
				last[2*i] = nearestBF16(v)
			}
		}
	}
}

func packRowsInt8AVX512(dst PackedInt8, w []float32, ldw int) { packRowsInt8(dst, w, ldw, true) }
func packRowsInt8AVX2(dst PackedInt8, w []float32, ldw int)   { packRowsInt8(dst, w, ldw, false) }

// packRowsInt8 quantises 16 rows at a time and transposes fours as if they were floats. In the panel, vectors take 128
// off and add up what the offsets are.
func packRowsInt8(dst PackedInt8, w []float32, ldw int, avx512 bool) {
	const rows, usual = 16, 2048 // bytes of a row that are on the stack
	var fixed [rows * usual / 4]float32
	floats, fours, ld := fixed[:], steps[int8](dst.K), int8Padded(dst.K)
	if rows*ld > 4*len(fixed) {
		floats = make([]float32, rows*ld/4)
	}
	q := as[uint8](floats)
	all := as[float32](dst.Data)
	for j := 0; j < panelsOf(dst.N)*panelWidth; j += rows {
		n := min(rows, max(dst.N-j, 0))
		switch {
		case n == 0: // the panel's second half
		case avx512:
			quantizeRowsAVX512(q, ld, dst.Scale[j:], w[j*ldw:], ldw, n, dst.K)
		default:
			quantizeRowsAVX2(q, ld, dst.Scale[j:], w[j*ldw:], ldw, n, dst.K)
		}
		if n > 0 {
			blankRows(q, ld, dst.Scale[j:j+n])
		}
		start, at := j/panelWidth*panelWidth, j%panelWidth
		columns := all[start*fours+at:]
		if avx512 {
			transposeAVX512(columns, floats, ld/4, max(n, 1), fours, lowBits(n))
		} else {
			for i := 0; i < rows; i += 8 {
				count := min(max(n-i, 1), 8)
				transposeAVX2(columns[i:], floats[min(i, max(n-count, 0))*ld/4:], ld/4, count, fours, lowBits(n-i))
			}
		}
		if at+rows == panelWidth {
			centrePanelAVX2(dst.Data[4*start*fours:], dst.Offset[start:], fours, min(panelWidth, dst.N-start))
		}
	}
}
