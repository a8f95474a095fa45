package kernels

import "math"

// attentionInt8 is Attention for Queries.Int8. Both products have bytes for operands: those with the keys as a linear
// layer's have, each query and each key with its own scale, and those with the values the exponentials, which have no
// sign, and v by columns.
func attentionInt8(out []float32, ldo int, qkv []float32, ldq, n, heads, headDim int, s Queries, scratch []float32) {
	embed, queries, stride := heads*headDim, min(s.Count, n-s.First), Int8Stride(headDim)
	rows, ld := scoreBlockOf(n, int8ScoreFloats)
	scores, scratch := carve(scratch, rows*ld)
	inverse, scratch := carve(scratch, rows)
	queryScale, scratch := carve(scratch, rows)
	q8, scratch := carveAs[uint8](scratch, rows*stride)
	keys, scratch := carveInt8(scratch, headDim, n)
	values, _ := carveInt8(scratch, n, headDim)
	clear(values.Offset)
	scale := float32(1 / math.Sqrt(float64(headDim)))
	for h := range heads {
		at := h * headDim
		q, k, v := qkv[s.First*ldq+at:], qkv[embed+at:], qkv[2*embed+at:]
		active.packRowsInt8(keys, k, ldq)
		active.packValuesInt8(values, v, ldq)
		for i := 0; i < queries; i += rows {
			m := min(rows, queries-i)
			active.quantizeRows(q8, stride, queryScale, q[i*ldq:], ldq, m, headDim)
			GemmInt8(scores, ld, q8, stride, queryScale, m, &keys, Epilogue{Bias: s.Bias})
			active.softmaxRowsInt8(scores, inverse, ld, m, n, s.First+i, scale)
			gemmInt8(out[i*ldo+at:], ldo, as[uint8](scores), 4*ld, inverse, m, &values, Epilogue{}, true)
		}
	}
}

// int8ScoreFloats is scoreFloats for attentionInt8, whose products are so short that fewer, longer ones pay.
const int8ScoreFloats = 2 * scoreFloats

// attentionInt8Scratch is the part of AttentionReducedScratch that attentionInt8 needs.
func attentionInt8Scratch(n, headDim int) int {
	rows, ld := scoreBlockOf(n, int8ScoreFloats)
	bytes := panelsLen[int8](headDim, n) + panelsLen[int8](n, headDim) + rows*Int8Stride(headDim)
	return rows*(ld+2) + bytes/4 + 2*(n+headDim)
}

// carveInt8 cuts a matrix [k, n] off scratch, whatever is in it.
func carveInt8(scratch []float32, k, n int) (p PackedInt8, rest []float32) {
	p.K, p.N = k, n
	p.Data, scratch = carveAs[int8](scratch, panelsLen[int8](k, n))
	p.Scale, scratch = carve(scratch, n)
	p.Offset, rest = carveAs[int32](scratch, n)
	return p, rest
}

// softmaxTurn is by how many places each row's thresholds are turned against those of the row before.
const softmaxTurn = 37

// softmaxThreshold decides whether an exponential is rounded up. Were it always a half, the many small ones beside a
// large one would all become 0. So it runs evenly through 0 … 1 along a row's keys, and of small exponentials as many
// become 1 as their sum demands.
func softmaxThreshold(row, key int) float32 {
	k, reversed := row*softmaxTurn+key, 0
	for b := range 6 {
		reversed |= k >> b & 1 << (5 - b)
	}
	return (float32(reversed) + 0.5) / 64
}

// softmaxRowsInt8Generic replaces each row of x, whose stride ld is a multiple of 16, by bytes in its first quarter:
// ⌊255·exp(scale·(x − largest)) + softmaxThreshold⌋, the first row being that of query first, and zeros up to the next
// multiple of 64. inverse gets the reciprocal of their sum.
func softmaxRowsInt8Generic(x, inverse []float32, ld, rows, cols, first int, scale float32) {
	for i := range rows {
		row := x[i*ld : (i+1)*ld]
		out, largest, sum := as[uint8](row), float32(math.Inf(-1)), float32(0)
		for _, v := range row[:cols] {
			largest = max(largest, v)
		}
		for j, v := range row[:cols] { // byte j overwrites what has been read
			u := float32(0)
			if p := exp32(scale * (v - largest)); p == p {
				u = min(float32(int32(255*p+softmaxThreshold(first+i, j))), 255)
			}
			out[j] = uint8(u)
			sum += u
		}
		clear(out[cols:min((cols+63)&^63, len(out))])
		inverse[i] = 1 / sum
	}
}

// packValuesInt8Generic fills dst, of its K and N, with b [K, N], quantised by columns as QuantizeRows does by rows.
// The offsets stay zeros but where a path's products of unsigned bytes want something else.
func packValuesInt8Generic(dst PackedInt8, b []float32, ldb int) {
	clear(dst.Data)
	panel := 4 * panelWidth * steps[int8](dst.K)
	for j := range dst.N {
		largest := uint32(0)
		for l := range dst.K {
			largest = max(largest, math.Float32bits(b[l*ldb+j])&absBits)
		}
		var perScale float32
		dst.Scale[j], perScale = scaleOf(largest, int8Limit)
		to := dst.Data[j/panelWidth*panel+j%panelWidth*4:]
		for l := range dst.K {
			to[l/4*4*panelWidth+l%4] = int8(roundInt8(b[l*ldb+j], perScale))
		}
	}
}
