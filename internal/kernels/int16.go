package kernels

import (
	"math"
)

// Words are 16-bit numbers that attention makes of q, k, v and its exponentials where the machine multiplies pairs of
// them faster than float32. Each row, or column, has a scale of its own and goes up to wordLimit, so that sums of
// products are exact.

// packedInt16 is a matrix [K, N] in words with the scale of each column, [N].
type packedInt16 struct {
	Panels[int16]
	scale []float32
}

// wordLimit returns the largest size of words of which k products add up to no more than an int32 holds.
func wordLimit(k int) int {
	return min(math.MaxInt16, int(math.Sqrt(math.MaxInt32/float64(max(k, 1)))))
}

// wordStride is the number of words from one row of k words to the next: those that wordRows writes.
func wordStride(k int) int { return (k + 63) &^ 63 }

// productInt16 is a product of words, whole or of one panel: its elements are float32(sum)·scale[j]·rowScale[i] + bias.
type productInt16 struct {
	product[int16, int16]
	rowScale []float32 // [m]
	scale    []float32 // [n]
}

// gemmInt16 computes c [m, b.N] of row stride ldc of rows a [m, b.K] of stride lda with scales rowScale [m]. Where K is
// odd the word behind a row is 0.
func gemmInt16(c []float32, ldc int, a []int16, lda int, rowScale []float32, m int, b *packedInt16, bias []float32) {
	w := productInt16{rowScale: rowScale, scale: b.scale}
	if w.packed("gemmInt16", c, ldc, a, lda, m, &b.Panels, Epilogue{Bias: bias}, nil) {
		active.gemmInt16(w)
	}
}

// packRows fills b with the transpose of w [N, K] (row stride ldw), by the rows' scales. buffer holds 32 rows.
func (b *packedInt16) packRows(w []float32, ldw int, buffer []int16) {
	ld, pairs, limit := wordStride(b.K), steps[int16](b.K), wordLimit(b.K)
	for j := 0; j < b.N; j += panelWidth {
		n := min(panelWidth, b.N-j)
		active.wordRows(buffer, ld, b.scale[j:], w[j*ldw:], ldw, n, b.K, float32(limit))
		active.transposePanel(as[float32](b.Data)[j*pairs:(j+panelWidth)*pairs], as[float32](buffer), ld/2, pairs, n)
	}
}

// packColumns fills b with w [K, N] (row stride ldw), by the columns' scales.
func (b *packedInt16) packColumns(w []float32, ldw int) {
	const columns = 16
	panel, limit := 2*panelWidth*steps[int16](b.K), float32(wordLimit(b.K))
	for j := 0; j < b.N; j += columns {
		to := b.Data[j/panelWidth*panel+j%panelWidth*2:]
		active.wordColumns(to, b.scale[j:], w[j:], ldw, b.K, min(columns, b.N-j), limit)
	}
}
