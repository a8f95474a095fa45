package kernels

import "math"

// scoreFloats bounds the block of scores that is worked on at a time: it stays in the first cache (32 KiB).
const scoreFloats = 8 << 10

// scoreBlock returns the block of scores' rows for n keys, a multiple of 12 unless n is small or huge, and row stride.
func scoreBlock(n int) (rows, ld int) {
	ld = (n + 15) &^ 15
	rows = max(1, scoreFloats/max(ld, 1))
	if rows >= n {
		return n, ld
	}
	if rows > 12 {
		rows -= rows % 12
	}
	return rows, ld
}

// AttentionScratch returns the number of floats of scratch that Attention needs for up to n tokens.
func AttentionScratch(n, headDim int) int {
	_, ld := scoreBlock(n)
	return PackedLen(headDim, n) + max(ld, scoreFloats) + n
}

// Attention computes softmax((q·kᵀ + bias)/√headDim)·v of each head of one image. qkv [n, 3E], E = heads·headDim, has
// rows of stride ldq: q, k, v, the heads contiguous inside each. Rows first … first+queries−1 attend to all n; out
// [queries, E] has row stride ldo. A row of it has the same bits whichever rows come with it, so that several threads
// can share an image. bias [n], or nil, goes to the keys: with √headDim·log(s) one counts as if it were there s times.
func Attention(first int, bias, out []float32, ldo int, qkv []float32, ldq, n, queries, heads, headDim int,
	scratch []float32) {
	embed := heads * headDim
	queries = min(queries, n-first)
	if queries <= 0 || embed <= 0 {
		return
	}
	checkMatrix("Attention", "out", len(out), ldo, queries, embed)
	checkMatrix("Attention", "qkv", len(qkv), ldq, n, 3*embed)
	checkLen("Attention", "scratch", len(scratch), AttentionScratch(n, headDim))
	rows, ld := scoreBlock(n)
	// keys is kᵀ; v needs no packing, for its rows are read once for each tile of scores.
	var keys Packed
	keys.Data, scratch = carve(scratch, PackedLen(headDim, n))
	scores, scratch := carve(scratch, rows*ld)
	inverse, _ := carve(scratch, rows)
	scale := float32(1 / math.Sqrt(float64(headDim)))
	for h := range heads {
		q, k, v := qkv[first*ldq+h*headDim:], qkv[embed+h*headDim:], qkv[2*embed+h*headDim:]
		PackTransposed(&keys, k, ldq, headDim, n)
		for i := 0; i < queries; i += rows {
			m := min(rows, queries-i)
			GemmPacked(scores, ld, q[i*ldq:], ldq, m, &keys, Epilogue{Bias: bias})
			active.softmaxRows(scores, inverse, ld, m, n, scale)
			o := out[i*ldo+h*headDim:]
			Gemm(o, ldo, scores, ld, v, ldq, m, headDim, n, false)
			active.scaleRows(o, ldo, m, headDim, inverse)
		}
	}
}

// AttentionBackwardScratch returns the number of floats of scratch that AttentionBackward needs for up to n tokens.
func AttentionBackwardScratch(n, headDim int) int {
	_, ld := scoreBlock(n)
	return 2*PackedLen(headDim, n) + 2*max(ld, scoreFloats) + n
}

// AttentionBackward writes dqkv [n, 3E] (stride ldq), the gradient of Attention's qkv with the first queries of n
// rows attending, given dout [queries, E] (stride ldo), that of its output out [queries, E] (stride ldo). Rows that
// did not attend get zeros for their queries. Probabilities P are computed again. For each head, with S = q·kᵀ·scale
// and D = rowsum(dout∘out),
//
//	dv = Pᵀ·dout,  dS = P∘(dout·vᵀ − D)·scale,  dq = dS·k,  dk = dSᵀ·q
func AttentionBackward(dqkv, dout []float32, ldo int, qkv []float32, ldq int, out []float32,
	n, queries, heads, headDim int, scratch []float32) {
	embed := heads * headDim
	queries = max(0, min(queries, n))
	if n <= 0 || embed <= 0 {
		return
	}
	checkMatrix("AttentionBackward", "dqkv", len(dqkv), ldq, n, 3*embed)
	checkMatrix("AttentionBackward", "qkv", len(qkv), ldq, n, 3*embed)
	checkMatrix("AttentionBackward", "dout", len(dout), ldo, queries, embed)
	checkMatrix("AttentionBackward", "out", len(out), ldo, queries, embed)
	checkLen("AttentionBackward", "scratch", len(scratch), AttentionBackwardScratch(n, headDim))
	if queries == 0 {
		for i := range n {
			clear(dqkv[i*ldq : i*ldq+3*embed])
		}
		return
	}
	for i := queries; i < n; i++ {
		clear(dqkv[i*ldq : i*ldq+embed])
	}
	rows, ld := scoreBlock(n)
	var keysT, valuesT Packed
	keysT.Data, scratch = carve(scratch, PackedLen(headDim, n))
	valuesT.Data, scratch = carve(scratch, PackedLen(headDim, n))
	p, scratch := carve(scratch, rows*ld)
	ds, scratch := carve(scratch, rows*ld)
	dots, _ := carve(scratch, rows)
	scale := float32(1 / math.Sqrt(float64(headDim)))
	for h := range heads {
		at := h * headDim
		q, k, v := qkv[at:], qkv[embed+at:], qkv[2*embed+at:]
		dq, dk, dv := dqkv[at:], dqkv[embed+at:], dqkv[2*embed+at:]
		PackTransposed(&keysT, k, ldq, headDim, n)
		PackTransposed(&valuesT, v, ldq, headDim, n)
		for i := 0; i < queries; i += rows {
			m := min(rows, queries-i)
			qi, di, oi := q[i*ldq:], dout[i*ldo+at:], out[i*ldo+at:]
			GemmPacked(p, ld, qi, ldq, m, &keysT, Epilogue{})
			active.softmaxRows(p, nil, ld, m, n, scale)
			GemmPacked(ds, ld, di, ldo, m, &valuesT, Epilogue{})
			active.dotRows(dots, di, oi, ldo, m, headDim)
			GemmTN(dv, ldq, p, ld, di, ldo, n, headDim, m, i > 0)
			active.softmaxBackward(ds, p, dots, ld, m, n, scale)
			Gemm(dq[i*ldq:], ldq, ds, ld, k, ldq, m, headDim, n, false)
			GemmTN(dk, ldq, ds, ld, qi, ldq, n, headDim, m, i > 0)
		}
	}
}

// carve cuts the first n floats off scratch. What it cuts cannot grow into the rest.
func carve(scratch []float32, n int) (part, rest []float32) {
	return scratch[:n:n], scratch[n:]
}
