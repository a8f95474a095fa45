package kernels

import (
	"math"
)

// A bfloat16 is the upper half of a float32, kept in a uint16: 8 bits of exponent and 8 of precision. The product of
// two is exact in float32, so only the sums of a product round.

// PackBF16 lays out the transpose of w [n, k] (row stride ldw), a linear layer's weight [out, in], in dst as a [k, n]
// matrix rounded to the nearest bfloat16. dst's memory is used again if it is large enough.
func PackBF16(dst *PackedBF16, w []float32, ldw, k, n int) {
	checkMatrix("PackBF16", "w", len(w), ldw, n, k)
	dst.reshape(k, n)
	if len(dst.Data) > 0 {
		active.packRowsBF16(*dst, w, ldw)
	}
}

// BF16Stride returns the number of uint16s from one row of k numbers to the next: an odd number of cache lines, so
// that the rows of a tile lie in different sets of the cache and no two share a line.
func BF16Stride(k int) int {
	const line = 32
	return ((k+line-1)/line | 1) * line
}

// RoundBF16 writes x [rows, k] (row stride ldx) to y (row stride ldy ≥ k, and ≥ k+1 for an odd k), rounded to the
// nearest bfloat16, ties to even. NaN stays NaN, what is too large becomes an infinity, and subnormal numbers become
// zeros, as in the machine's own conversion. An odd row is followed by a zero, which GemmBF16 reads.
func RoundBF16(y []uint16, ldy int, x []float32, ldx, rows, k int) {
	checkMatrix("RoundBF16", "y", len(y), ldy, rows, k+k&1)
	checkMatrix("RoundBF16", "x", len(x), ldx, rows, k)
	if rows > 0 && k > 0 {
		active.roundBF16(y, ldy, x, ldx, rows, k)
	}
}

// LayerNormBF16 is LayerNorm followed by RoundBF16, to the bit: x [rows, dim] is contiguous, y has row stride ldy.
func LayerNormBF16(y []uint16, ldy int, x, gamma, beta []float32, rows, dim int, eps float32) {
	checkMatrix("LayerNormBF16", "y", len(y), ldy, rows, dim+dim&1)
	checkNorm(x, x, gamma, beta, rows, dim)
	if rows > 0 && dim > 0 {
		active.layerNormBF16(y, ldy, x, gamma, beta, rows, dim, eps)
	}
}

// GemmBF16 computes C = A·B (+ bias) (+ C) (then gelu), with c [m, b.N] of row stride ldc in float32 and a [m, b.K]
// of row stride lda as RoundBF16 writes it. Every sum is float32, over k ascending in pairs; inside a pair the
// machine's dot product decides the order and takes subnormal numbers for zeros. Gelu is geluQuick's, within 1.5e-5.
func GemmBF16(c []float32, ldc int, a []uint16, lda, m int, b *PackedBF16, e Epilogue) {
	var w productBF16
	if w.packed("GemmBF16", c, ldc, a, lda, m, b, e, active.geluQuick) {
		active.gemmBF16(w)
	}
}

// widen returns the float32 that a bfloat16 is.
func widen(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }
