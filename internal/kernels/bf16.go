package kernels

import "math"

// A bfloat16 is the upper half of a float32, kept in a uint16: 8 bits of exponent and 8 of precision. The product of two is exact in float32,
// so only the sums of a product round.

// PackedBF16 is a matrix [K, N] in bfloat16, laid out for the right-hand side of a product: panel j holds columns 32j … 32j+31 as [K/2][32][2]
// numbers, the two being neighbours in k; one panel after the other. An odd K is filled up with a row of zeros, the last panel with columns
// of zeros.
type PackedBF16 struct {
	K, N int
	Data []uint16
}

// PackedBF16Len returns the number of uint16s that the packed form of a [k, n] matrix takes.
func PackedBF16Len(k, n int) int { return PackedLen(k+k&1, n) }

// PackBF16 lays out the transpose of w [n, k] (row stride ldw), a linear layer's weight [out, in], in dst as a [k, n] matrix rounded to the
// nearest bfloat16. dst's memory is used again if it is large enough.
func PackBF16(dst *PackedBF16, w []float32, ldw, k, n int) {
	checkMatrix("PackBF16: w", len(w), ldw, n, k)
	size := PackedBF16Len(k, n)
	if cap(dst.Data) < size {
		dst.Data = make([]uint16, size)
	}
	*dst = PackedBF16{K: k, N: n, Data: dst.Data[:size]}
	if size > 0 {
		packRowsBF16(dst, w, ldw)
	}
}

// BF16Stride returns the number of uint16s from one row of k numbers to the next: an odd number of cache lines, so that the rows of a tile lie
// in different sets of the cache and no two share a line.
func BF16Stride(k int) int {
	const line = 32
	return ((k+line-1)/line | 1) * line
}

// RoundBF16 writes x [rows, k] (row stride ldx) to y (row stride ldy ≥ k, and ≥ k+1 for an odd k), rounded to the nearest bfloat16, ties to
// even. NaN stays NaN, what is too large becomes an infinity, and subnormal numbers become zeros, as in the machine's own conversion. An odd
// row is followed by a zero, which GemmBF16 reads.
func RoundBF16(y []uint16, ldy int, x []float32, ldx, rows, k int) {
	checkMatrix("RoundBF16: y", len(y), ldy, rows, k+k&1)
	checkMatrix("RoundBF16: x", len(x), ldx, rows, k)
	if rows > 0 && k > 0 {
		roundBF16(y, ldy, x, ldx, rows, k)
	}
}

// LayerNormBF16 is LayerNorm followed by RoundBF16, to the bit: x [rows, dim] has contiguous rows, y has row stride ldy.
func LayerNormBF16(y []uint16, ldy int, x, gamma, beta []float32, rows, dim int, eps float32) {
	checkMatrix("LayerNormBF16: y", len(y), ldy, rows, dim+dim&1)
	checkNorm(x, x, gamma, beta, rows, dim)
	if rows > 0 && dim > 0 {
		layerNormBF16(y, ldy, x, gamma, beta, rows, dim, eps)
	}
}

// GemmBF16 computes C = A·B (+ bias) (+ C) (then gelu), with c [m, b.N] of row stride ldc in float32 and a [m, b.K] of row stride lda as
// RoundBF16 writes it. Every sum is float32, over k ascending in pairs; inside a pair the machine's dot product decides the order and
// takes subnormal numbers for zeros. As results are going to be rounded to bfloat16, gelu is that of geluQuick, within 1.5e-5.
func GemmBF16(c []float32, ldc int, a []uint16, lda, m int, b *PackedBF16, e Epilogue) {
	k, n := b.K, b.N
	if m <= 0 || n <= 0 {
		return
	}
	checkMatrix("GemmBF16: c", len(c), ldc, m, n)
	checkMatrix("GemmBF16: a", len(a), lda, m, k+k&1)
	checkLen("GemmBF16: packed b", len(b.Data), PackedBF16Len(k, n))
	if e.Bias != nil {
		checkLen("GemmBF16: bias", len(e.Bias), n)
	}
	pairs := (k + 1) / 2
	for i := 0; i < m; i += rowBlock {
		rows := min(rowBlock, m-i)
		p := panelBF16{ldc: ldc, a: a[i*lda:], lda: lda, m: rows, pairs: pairs, add: e.Add}
		for j := 0; j < n; j += PanelWidth {
			p.n = min(PanelWidth, n-j)
			p.c = c[i*ldc+j:]
			p.b = b.Data[j*2*pairs : (j+PanelWidth)*2*pairs]
			p.more = j+PanelWidth < n
			if e.Bias != nil {
				p.bias = e.Bias[j : j+p.n]
			}
			gemmPanelBF16(&p)
			if e.GELU {
				geluQuick(p.c, p.c, ldc, rows, p.n)
			}
		}
	}
}

// panelBF16 is a product with one panel: c [m, n] = a·b (+ bias) (+ c) with n ≤ PanelWidth.
type panelBF16 struct {
	c     []float32
	ldc   int
	a     []uint16 // [m, 2·pairs], row stride lda
	lda   int
	b     []uint16 // [pairs][32][2]
	bias  []float32
	m, n  int
	pairs int
	add   bool
	more  bool // another panel lies behind this one
}

// widen returns the float32 that a bfloat16 is.
func widen(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// nearestBF16 rounds one number as RoundBF16 does.
func nearestBF16(x float32) uint16 {
	bits := math.Float32bits(x)
	switch exponent := bits & 0x7f800000; {
	case x != x:
		return uint16(bits>>16) | 0x40 // quiet, and no infinity
	case exponent == 0:
		return uint16(bits>>16) & 0x8000
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
