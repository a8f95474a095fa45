package kernels

// What training in bfloat16 needs besides products with weights. A linear layer's weight gradient dyᵀ·x sums over rows,
// so both of its factors are wanted with pairs of rows side by side: as Panels of K rows. Several routines write such
// panels beside, or instead of, rows, for the rows at … at+rows−1 of K: at is even, and so is rows unless the last one
// is among them.

// FastBF16 reports whether training in bfloat16 is faster than in float32 on the path in use.
func FastBF16() bool { return active.bf16Dots }

// PackRowsBF16 lays out b [k, n] (row stride ldb), rounded, in dst, whose memory is used again if it is large enough.
func PackRowsBF16(dst *PackedBF16, b []float32, ldb, k, n int) {
	checkMatrix("PackRowsBF16", "b", len(b), ldb, k, n)
	dst.reshape(k, n)
	if len(dst.Data) > 0 {
		active.packPairsBF16(*dst, b, ldb)
	}
}

// Reshape prepares p for K rows of n numbers, which several calls fill. Its memory is used again if it is large enough.
func (p *Panels[T]) Reshape(k, n int) { p.reshape(k, n) }

// InterleaveBF16 writes bfloat16s x [rows, dst.N] (row stride ldx) to rows at … of dst.
func InterleaveBF16(dst *PackedBF16, at int, x []uint16, ldx, rows int) {
	checkMatrix("InterleaveBF16", "x", len(x), ldx, rows, dst.N)
	if checkPairs("InterleaveBF16", dst, at, rows) {
		active.interleaveBF16(*dst, at, x, ldx, rows)
	}
}

// RoundPairsBF16 rounds x [rows, dst.N] (row stride ldx) to rows of y (row stride ldy ≥ BF16Stride(dst.N)) and to rows
// at … of dst.
func RoundPairsBF16(y []uint16, ldy int, dst *PackedBF16, at int, x []float32, ldx, rows int) {
	checkMatrix("RoundPairsBF16", "y", len(y), ldy, rows, BF16Stride(dst.N))
	checkMatrix("RoundPairsBF16", "x", len(x), ldx, rows, dst.N)
	if checkPairs("RoundPairsBF16", dst, at, rows) {
		active.roundPairsBF16(y, ldy, *dst, at, x, ldx, rows)
	}
}

// GemmTNBF16 computes C = Aᵀ·B, or C += Aᵀ·B: c [a.N, b.N] of row stride ldc, a and b of the same K rows. Sums are
// float32, over rows ascending in pairs.
func GemmTNBF16(c []float32, ldc int, a, b *PackedBF16, add bool) {
	checkLen("GemmTNBF16", "a", len(a.Data), panelsLen[uint16](a.K, a.N))
	checkLen("GemmTNBF16", "b", len(b.Data), panelsLen[uint16](b.K, b.N))
	if a.K != b.K {
		panic("kernels: GemmTNBF16: a and b have different rows")
	}
	if b.N == 0 {
		return
	}
	k, rows := steps[uint16](a.K), panelWidth
	if active.bf16Panels {
		rows = max(a.N, 1)
	}
	for i := 0; i < a.N; i += rows {
		w := productBF16{a: a.Data[panelsLen[uint16](a.K, i):], rowA: 2, colA: 2 * panelWidth, panelA: panelBF16(*a),
			b: b.Data, ldb: 2 * panelWidth, panelB: 2 * panelWidth * k, k: k}
		w.fill("GemmTNBF16", c[i*ldc:], ldc, min(rows, a.N-i), b.N, Epilogue{Add: add})
		active.gemmBF16(w)
	}
}

// ColumnSumsBF16 adds the sums of p's columns to dst [p.N]: a bias's gradient.
func ColumnSumsBF16(dst []float32, p *PackedBF16) {
	checkLen("ColumnSumsBF16", "dst", len(dst), p.N)
	checkLen("ColumnSumsBF16", "p", len(p.Data), panelsLen[uint16](p.K, p.N))
	if p.K > 0 {
		active.columnSumsBF16(dst[:p.N], *p)
	}
}

// GELUBF16 rounds x [rows, cols] to h [rows, cols], and the gelu of that, geluQuick's, to rows of y (row stride ldy ≥
// cols, and ≥ cols+1 for an odd number of them). x and h are contiguous.
func GELUBF16(h, y []uint16, ldy int, x []float32, rows, cols int) {
	checkLen("GELUBF16", "h", len(h), rows*cols)
	checkLen("GELUBF16", "x", len(x), rows*cols)
	checkMatrix("GELUBF16", "y", len(y), ldy, rows, cols+cols&1)
	if rows > 0 && cols > 0 {
		active.geluBF16(h, y, ldy, x, rows, cols)
	}
}

// GELUBackwardBF16 is GELUBF16 backwards, h [rows, F] and dy [rows, F] being contiguous: it writes y = gelu(h) to rows
// at … of yPairs, and dx = dy·gelu'(h) to rows of dx (row stride ldx ≥ BF16Stride(F)) and to rows at … of dxPairs.
func GELUBackwardBF16(dx []uint16, ldx int, dxPairs, yPairs *PackedBF16, at int, h []uint16, dy []float32, rows int) {
	f := dxPairs.N
	checkMatrix("GELUBackwardBF16", "dx", len(dx), ldx, rows, BF16Stride(f))
	checkLen("GELUBackwardBF16", "h", len(h), rows*f)
	checkLen("GELUBackwardBF16", "dy", len(dy), rows*f)
	if yPairs.N != f || yPairs.K != dxPairs.K {
		panic("kernels: GELUBackwardBF16: panels of different shapes")
	}
	if checkPairs("GELUBackwardBF16", dxPairs, at, rows) && checkPairs("GELUBackwardBF16", yPairs, at, rows) {
		active.geluBackwardBF16(dx, ldx, *dxPairs, *yPairs, at, h, dy, rows)
	}
}

// LayerNormBackwardBF16 is LayerNormBackward that finds mean and deviation again, and writes what LayerNormBF16 did to
// y (row stride ldy).
func LayerNormBackwardBF16(dx, dgamma, dbeta []float32, y []uint16, ldy int, dy, x, gamma, beta []float32, rows,
	dim int, eps float32) {
	checkMatrix("LayerNormBackwardBF16", "y", len(y), ldy, rows, dim+dim&1)
	checkNorm(dx, x, gamma, beta, rows, dim)
	checkNorm(dy, x, dgamma, dbeta, rows, dim)
	if rows > 0 && dim > 0 {
		active.layerNormBackwardBF16(dx, dgamma, dbeta, y, ldy, dy, x, gamma, beta, rows, dim, eps)
	}
}

// WidenBF16 writes the float32s that bfloat16s are.
func WidenBF16(y []float32, x []uint16) {
	for i, v := range x {
		y[i] = widen(v)
	}
}

// checkPairs panics unless rows at … at+rows−1 of p can be written. It reports whether there is anything to write.
func checkPairs(routine string, p *PackedBF16, at, rows int) bool {
	checkLen(routine, "pairs", len(p.Data), panelsLen[uint16](p.K, p.N))
	if at < 0 || rows < 0 || at+rows > p.K || at&1 != 0 || rows&1 != 0 && at+rows < p.K {
		panic("kernels: " + routine + ": these rows are no pairs")
	}
	return rows > 0 && p.N > 0
}

// panelBF16 is the number of bfloat16s from one panel of p to the next.
func panelBF16(p PackedBF16) int { return panelWidth * (p.K + p.K&1) }
