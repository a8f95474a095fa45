package kernels

import "math"

// attentionWords is Attention with q, k, v and the exponentials in words.
func attentionWords(out []float32, ldo int, qkv []float32, ldq, n, heads, headDim int, s Queries, scratch []float32) {
	embed, queries := heads*headDim, min(s.Count, n-s.First)
	rows, ld := scoreBlock(n)
	scores, scratch := carve(scratch, rows*ld)
	inverse, scratch := carve(scratch, rows)
	keys := packedInt16{Panels: Panels[int16]{K: headDim, N: n}}
	values := packedInt16{Panels: Panels[int16]{K: n, N: headDim}}
	keys.scale, scratch = carve(scratch, n)
	values.scale, scratch = carve(scratch, headDim)
	keys.Data, scratch = carveAs[int16](scratch, panelsLen[int16](headDim, n))
	values.Data, scratch = carveAs[int16](scratch, panelsLen[int16](n, headDim))
	stride := wordStride(headDim)
	buffer, scratch := carveAs[int16](scratch, panelWidth*stride)
	q16, scratch := carveAs[int16](scratch, rows*stride)
	scales, _ := carve(scratch, rows)
	scale, limit := float32(1/math.Sqrt(float64(headDim))), float32(wordLimit(headDim))
	log2Limit := float32(math.Log2(float64(wordLimit(n)) - 0.5)) // room for the error of the exponential
	for h := range heads {
		at := h * headDim
		keys.packRows(qkv[embed+at:], ldq, buffer)
		values.packColumns(qkv[2*embed+at:], ldq)
		for i := 0; i < queries; i += rows {
			m, q, o := min(rows, queries-i), qkv[(s.First+i)*ldq+at:], out[i*ldo+at:]
			active.wordRows(q16, stride, scales, q, ldq, m, headDim, limit)
			gemmInt16(scores, ld, q16, stride, scales, m, &keys, s.Bias)
			active.softmaxWords(scores, inverse, ld, m, n, scale, log2Limit)
			gemmInt16(o, ldo, as[int16](scores), 2*ld, inverse, m, &values, nil)
		}
	}
}

// attentionWordsScratch is the number of floats of scratch that attentionWords needs for up to n tokens.
func attentionWordsScratch(n, headDim int) int {
	_, ld := scoreBlock(n)
	panels := panelsLen[int16](headDim, n) + panelsLen[int16](n, headDim)
	return max(ld, scoreFloats) + 3*n + headDim + (panels+(panelWidth+n)*wordStride(headDim))/2
}
