package kernels

import "math"

// AttentionReducedScratch returns the number of floats of scratch that AttentionReduced needs for up to n tokens.
func AttentionReducedScratch(n, headDim int) int {
	_, ld := scoreBlock(n)
	halves := panelsLen[uint16](headDim, n) + panelsLen[uint16](n, headDim) + n*BF16Stride(headDim)
	return max(halves/2+max(ld, scoreFloats)+n, AttentionScratch(n, headDim))
}

// AttentionReduced is Attention with q, k, v and the exponentials rounded to bfloat16 before they are
// multiplied; sums, the bias and the softmax itself are float32. Rounding q and k moves a score by at most δ =
// 2⁻⁷·Σ|q·k|/√headDim, and an element of out by at most (2⁻⁷ + 2δ)·max|v| to first order, δ and |v| being the largest
// of the head. On a path without the machine's dot product it is Attention itself, which is faster there.
func AttentionReduced(first int, bias, out []float32, ldo int, qkv []float32, ldq, n, queries, heads, headDim int,
	scratch []float32) {
	embed := heads * headDim
	if !active.bf16Dots {
		Attention(first, bias, out, ldo, qkv, ldq, n, queries, heads, headDim, scratch)
		return
	}
	queries = min(queries, n-first)
	if queries <= 0 || embed <= 0 {
		return
	}
	checkMatrix("AttentionReduced", "out", len(out), ldo, queries, embed)
	checkMatrix("AttentionReduced", "qkv", len(qkv), ldq, n, 3*embed)
	checkLen("AttentionReduced", "scratch", len(scratch), AttentionReducedScratch(n, headDim))
	rows, ld := scoreBlock(n)
	stride := BF16Stride(headDim)
	keys, values := PackedBF16{K: headDim, N: n}, PackedBF16{K: n, N: headDim}
	keys.Data, scratch = carveHalves(scratch, panelsLen[uint16](headDim, n))
	values.Data, scratch = carveHalves(scratch, panelsLen[uint16](n, headDim))
	q16, scratch := carveHalves(scratch, rows*stride)
	scores, scratch := carve(scratch, rows*ld)
	inverse, _ := carve(scratch, rows)
	probs := halves(scores)
	scale := float32(1 / math.Sqrt(float64(headDim)))
	for h := range heads {
		q, k, v := qkv[first*ldq+h*headDim:], qkv[embed+h*headDim:], qkv[2*embed+h*headDim:]
		active.packRowsBF16(keys, k, ldq)
		active.packPairsBF16(values, v, ldq)
		for i := 0; i < queries; i += rows {
			m := min(rows, queries-i)
			RoundBF16(q16, stride, q[i*ldq:], ldq, m, headDim)
			GemmBF16(scores, ld, q16, stride, m, &keys, Epilogue{Bias: bias})
			active.softmaxRowsBF16(scores, inverse, ld, m, n, scale)
			o := out[i*ldo+h*headDim:]
			GemmBF16(o, ldo, probs, 2*ld, m, &values, Epilogue{})
			active.scaleRows(o, ldo, m, headDim, inverse)
		}
	}
}

// carveHalves cuts n uint16s, an even number, off scratch.
func carveHalves(scratch []float32, n int) (part []uint16, rest []float32) {
	f, rest := carve(scratch, n/2)
	return halves(f), rest
}
