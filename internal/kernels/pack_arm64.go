//go:build !purego

package kernels

import (
	"encoding/binary"
	"unsafe"
)

// transposePanelNEON is transposePanelGeneric by squares of four rows and steps.
func transposePanelNEON(dst, b []float32, ldb, k, n int) {
	if n < panelWidth {
		clear(dst[:k*panelWidth])
	}
	transposeRows(dst, b, ldb, k, n)
}

func packRowsBF16NEON(dst PackedBF16, w []float32, ldw int) { packRowsBF16(dst, w, ldw, false) }
func packRowsBF16BF16(dst PackedBF16, w []float32, ldw int) { packRowsBF16(dst, w, ldw, true) }

// packRowsBF16 rounds 32 rows at a time, by the machine's conversion or without, and transposes pairs as if they were
// floats.
func packRowsBF16(dst PackedBF16, w []float32, ldw int, convert bool) {
	const depth = 64 // k's at a time
	var buffer [panelWidth * depth / 2]float32
	for j := 0; j < dst.N; j += panelWidth {
		n := min(panelWidth, dst.N-j)
		for l := 0; l < dst.K; l += depth {
			k, x, to := min(depth, dst.K-l), w[j*ldw+l:], dst.Data[j*(dst.K+dst.K&1)+l*panelWidth:]
			pairs := unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(to))), len(to)/2)
			if convert {
				roundHalfBF16(halves(buffer[:]), depth, x, ldw, n, k)
			} else {
				roundHalfNEON(halves(buffer[:]), depth, x, ldw, n, k)
			}
			transposePanelNEON(pairs, buffer[:], depth/2, (k+1)/2, n)
		}
	}
}

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
	q := unsafe.Slice((*uint8)(unsafe.Pointer(unsafe.SliceData(floats))), 4*len(floats))
	all := unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(dst.Data))), len(dst.Data)/4)
	for j := 0; j < panelsOf(dst.N)*panelWidth; j += panelWidth {
		panel := all[j*fours : (j+panelWidth)*fours]
		if dst.N-j < panelWidth {
			clear(panel)
		}
		for i := j; i < min(j+panelWidth, dst.N); i += rows {
			n := min(rows, dst.N-i)
			quantizeRowsNEON(q, ld, dst.Scale[i:], w[i*ldw:], ldw, n, dst.K)
			for r := range n {
				row := q[r*ld : (r+1)*ld]
				if scale := dst.Scale[i+r]; scale != scale { // its bytes are anything
					for l := range row {
						row[l] = 128
					}
				}
				dst.Offset[i+r] = 128 * sumInt8(centre(row))
			}
			transposeRows(panel[i-j:], floats, ld/4, fours, n)
		}
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

// centre takes 128 off every byte of q, a multiple of 8 of them, and returns what is left in the same memory.
func centre(q []uint8) []int8 {
	for b := q; len(b) >= 8; b = b[8:] {
		binary.NativeEndian.PutUint64(b, binary.NativeEndian.Uint64(b)^0x8080808080808080)
	}
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(q))), len(q))
}
