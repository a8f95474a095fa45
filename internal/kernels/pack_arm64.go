//go:build !purego

package kernels

import "encoding/binary"

// transposePanelNEON is transposePanelGeneric by squares of four rows and steps.
func transposePanelNEON(dst, b []float32, ldb, k, n int) {
	if n < panelWidth {
		clear(dst[:k*panelWidth])
	}
	transposeRows(dst, b, ldb, k, n)
}

func packRowsBF16NEON(dst PackedBF16, w []float32, ldw int) { packRowsBF16(dst, w, ldw, false) }
func packRowsBF16BF16(dst PackedBF16, w []float32, ldw int) { packRowsBF16(dst, w, ldw, true) }

// roundHalf rounds by the machine's conversion or without.
func roundHalf(y []uint16, ldy int, x []float32, ldx, rows, k int, convert bool) {
	if convert {
		roundHalfBF16(y, ldy, x, ldx, rows, k)
	} else {
		roundHalfNEON(y, ldy, x, ldx, rows, k)
	}
}

func transposeHalves(dst, b []float32, ldb, k, n int, _ bool) { transposePanelNEON(dst, b, ldb, k, n) }

// packPairsBF16BF16 leaves the last row of an odd number, and columns behind the last four, to plain Go.
func packPairsBF16BF16(dst PackedBF16, b []float32, ldb int) {
	pairs, even := dst.K/2, dst.K+dst.K&1
	for j := 0; j < dst.N; j += panelWidth {
		n, panel := min(panelWidth, dst.N-j), dst.Data[j*even:][:even*panelWidth]
		if n < panelWidth || even > dst.K {
			clear(panel)
		}
		if pairs > 0 && n >= 4 {
			packPairsBF16(panel, b[j:], ldb, pairs, n&^3)
		}
		for l := range dst.K {
			first := n &^ 3
			if l >= 2*pairs {
				first = 0
			}
			for i := first; i < n; i++ {
				panel[l/2*2*panelWidth+2*i+l%2] = nearestBF16(b[l*ldb+j+i])
			}
		}
	}
}

// packRowsInt8NEON quantises 16 rows at a time and transposes fours as if they were floats.
func packRowsInt8NEON(dst PackedInt8, w []float32, ldw int) {
	const rows, usual = 16, 2048 // bytes of a row that are on the stack
	var fixed [rows * usual / 4]float32
	floats, fours, ld := fixed[:], steps[int8](dst.K), int8Padded(dst.K)
	if rows*ld > 4*len(fixed) {
		floats = make([]float32, rows*ld/4)
	}
	q := as[uint8](floats)
	all := as[float32](dst.Data)
	for j := 0; j < panelsOf(dst.N)*panelWidth; j += panelWidth {
		panel := all[j*fours : (j+panelWidth)*fours]
		if dst.N-j < panelWidth {
			clear(panel)
		}
		for i := j; i < min(j+panelWidth, dst.N); i += rows {
			n := min(rows, dst.N-i)
			quantizeRowsNEON(q, ld, dst.Scale[i:], w[i*ldw:], ldw, n, dst.K)
			centreRows(q, ld, dst.Scale[i:i+n], dst.Offset[i:i+n])
			transposeRows(panel[i-j:], floats, ld/4, fours, n)
		}
	}
}

func packValuesInt8NEON(dst PackedInt8, b []float32, ldb int) {
	panel := 4 * panelWidth * steps[int8](dst.K)
	for j := 0; j < dst.N; j += panelWidth {
		n, to := min(panelWidth, dst.N-j), dst.Data[j/panelWidth*panel:][:panel]
		if n < panelWidth {
			clear(to)
		}
		packValuesNEON(to, dst.Scale[j:], dst.Offset[j:], b[j:], ldb, dst.K, n)
	}
}

// transposeRows writes some of a panel's columns, in squares of four; what is left goes number by number.
func transposeRows(dst, b []float32, ldb, k, n int) {
	whole, steps := n&^3, k&^3
	if steps > 0 {
		for j := 0; j < whole; j += 4 {
			transposeNEON(dst[j:], b[j*ldb:], ldb, steps)
		}
	}
	for j := range n {
		first := steps
		if j >= whole {
			first = 0
		}
		for l := first; l < k; l++ {
			dst[l*panelWidth+j] = b[j*ldb+l]
		}
	}
}

// centreRows makes signed bytes of rows of q, with the offsets that belong to them.
func centreRows(q []uint8, ld int, scale []float32, offset []int32) {
	blankRows(q, ld, scale)
	for i := range scale {
		offset[i] = 128 * sumInt8(centre(q[i*ld:(i+1)*ld]))
	}
}

// centre takes 128 off every byte of q, a multiple of 8 of them, and returns what is left in the same memory.
func centre(q []uint8) []int8 {
	for b := q; len(b) >= 8; b = b[8:] {
		binary.NativeEndian.PutUint64(b, binary.NativeEndian.Uint64(b)^0x8080808080808080)
	}
	return as[int8](q)
}
