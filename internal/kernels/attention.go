package kernels

import (
	"math"
)

// scoreFloats bounds the block of scores that is worked on at a time: 32 KiB, so that it stays in the first cache.
const scoreFloats = 8 << 10

// scoreBlock returns the block of scores' rows for n keys, a multiple of 12 unless n is small or huge, and row stride.
func scoreBlock(n int) (rows, ld int) { return scoreBlockOf(n, scoreFloats) }

func scoreBlockOf(n, floats int) (rows, ld int) {
	ld = (n + 15) &^ 15
	rows = max(1, floats/max(ld, 1))
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

// AttentionReducedScratch is AttentionScratch for Reduced queries too.
func AttentionReducedScratch(n, headDim int) int {
	_, ld := scoreBlock(n)
	halves := panelsLen[uint16](headDim, n) + panelsLen[uint16](n, headDim) + n*BF16Stride(headDim)
	return max(halves/2+max(ld, scoreFloats)+n, AttentionScratch(n, headDim), attentionWordsScratch(n, headDim),
		attentionInt8Scratch(n, headDim))
}

// Queries says which rows of an image attend to all of them, and how.
type Queries struct {
	// Rows First … First+Count−1 attend, as far as there are. A row's output has the same bits whichever rows come with
	// it, so that several threads can share an image.
	First, Count int

	// Bias [n], or nil, is added to the products of every query with the keys: with √headDim·log(s) a key counts as if
	// it were there s times.
	Bias []float32

	// Reduced rounds q, k, v and the exponentials to bfloat16 before they are multiplied; sums, the bias and the softmax
	// itself are float32. Rounding q and k moves a score by at most δ = 2⁻⁷·Σ|q·k|/√headDim, and an element of out by at
	// most (2⁻⁷ + 2δ)·max|v| to first order, δ and |v| being the largest of the head. A path without the machine's dot
	// product of bfloat16 takes 16-bit integers of a scale for each row of q and k and each column of v, if that is
	// faster than float32: of 13 bits and a sign for a head of 32, of one bit less for each four times as many.
	Reduced bool

	// Int8 goes beyond Reduced: q and k are rounded to 8 bits as QuantizeRows does, head by head, v so by columns, and
	// the exponentials to multiples of 1/255 of the row's largest, up or down by thresholds that depend on the places
	// of query and key (softmaxThreshold), so that their sums are kept. Sums are exact, the bias and the softmax itself
	// float32. A path without fast products of bytes does as without Int8, and so does one image of huge n.
	Int8 bool
}

// Attention computes softmax((q·kᵀ + bias)/√headDim)·v of each head of one image. qkv [n, 3E], E = heads·headDim, has
// rows of stride ldq: q, k, v, the heads contiguous inside each. out [Count, E] has row stride ldo.
func Attention(out []float32, ldo int, qkv []float32, ldq, n, heads, headDim int, s Queries, scratch []float32) {
	embed, queries := heads*headDim, min(s.Count, n-s.First)
	if queries <= 0 || embed <= 0 {
		return
	}
	reduced, words, size := s.Reduced && active.bf16Dots, s.Reduced && active.wordDots, AttentionScratch(n, headDim)
	if reduced || words {
		size = AttentionReducedScratch(n, headDim)
	}
	checkMatrix("Attention", "out", len(out), ldo, queries, embed)
	checkMatrix("Attention", "qkv", len(qkv), ldq, n, 3*embed)
	checkLen("Attention", "scratch", len(scratch), size)
	if s.Int8 && active.int8Attention && n <= maxInt8K {
		checkLen("Attention", "scratch", len(scratch), attentionInt8Scratch(n, headDim))
		attentionInt8(out, ldo, qkv, ldq, n, heads, headDim, s, scratch)
		return
	}
	if words {
		attentionWords(out, ldo, qkv, ldq, n, heads, headDim, s, scratch)
		return
	}
	rows, ld := scoreBlock(n)
	scores, scratch := carve(scratch, rows*ld)
	inverse, scratch := carve(scratch, rows)
	// keys is kᵀ. In float32 v needs no packing, for its rows are read once for each tile of scores.
	var keys Packed
	keys16, values16 := PackedBF16{K: headDim, N: n}, PackedBF16{K: n, N: headDim}
	var q16 []uint16
	stride := BF16Stride(headDim)
	if reduced {
		keys16.Data, scratch = carveAs[uint16](scratch, panelsLen[uint16](headDim, n))
		values16.Data, scratch = carveAs[uint16](scratch, panelsLen[uint16](n, headDim))
		q16, _ = carveAs[uint16](scratch, rows*stride)
	} else {
		keys.Data, _ = carve(scratch, PackedLen(headDim, n))
	}
	scale := float32(1 / math.Sqrt(float64(headDim)))
	for h := range heads {
		at := h * headDim
		q, k, v := qkv[s.First*ldq+at:], qkv[embed+at:], qkv[2*embed+at:]
		if reduced {
			active.packRowsBF16(keys16, k, ldq)
			active.packPairsBF16(values16, v, ldq)
		} else {
			PackTransposed(&keys, k, ldq, headDim, n)
		}
		for i := 0; i < queries; i += rows {
			m, qi, o := min(rows, queries-i), q[i*ldq:], out[i*ldo+at:]
			if reduced {
				RoundBF16(q16, stride, qi, ldq, m, headDim)
				GemmBF16(scores, ld, q16, stride, m, &keys16, Epilogue{Bias: s.Bias})
				active.softmaxRowsBF16(scores, inverse, ld, m, n, scale)
				GemmBF16(o, ldo, as[uint16](scores), 2*ld, m, &values16, Epilogue{})
			} else {
				GemmPacked(scores, ld, qi, ldq, m, &keys, Epilogue{Bias: s.Bias})
				active.softmaxRows(scores, inverse, ld, m, n, scale)
				Gemm(o, ldo, scores, ld, v, ldq, m, headDim, n, false)
			}
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
// rows attending, given dout [queries, E] (stride ldo), that of its output out [queries, E] (stride ldo), and its bias.
// Rows that did not attend get zeros for their queries. Probabilities P are computed again. For each head, with S =
// (q·kᵀ + bias)·scale and D = rowsum(dout∘out),
//
//	dv = Pᵀ·dout,  dS = P∘(dout·vᵀ − D),  dq = dS·k·scale,  dk = dSᵀ·q·scale
//
// Unless credit is nil, credit [n] gets what each key is worth: the column sums of dS, added up over the heads.
func AttentionBackward(dqkv, credit, dout []float32, ldo int, qkv []float32, ldq int, out []float32,
	n, queries, heads, headDim int, bias, scratch []float32) {
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
	if credit != nil {
		checkLen("AttentionBackward", "credit", len(credit), n)
		credit = credit[:n]
		clear(credit)
	}
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
			GemmPacked(p, ld, qi, ldq, m, &keysT, Epilogue{Bias: bias})
			active.softmaxRows(p, nil, ld, m, n, scale)
			GemmPacked(ds, ld, di, ldo, m, &valuesT, Epilogue{})
			active.dotRows(dots, di, oi, ldo, m, headDim)
			GemmTN(dv, ldq, p, ld, di, ldo, n, headDim, m, i > 0)
			active.softmaxBackward(ds, p, dots, ld, m, n, scale) // dS·scale
			if credit != nil {
				active.columnSums(credit, ds, ld, m, n)
			}
			Gemm(dq[i*ldq:], ldq, ds, ld, k, ldq, m, headDim, n, false)
			GemmTN(dk, ldq, ds, ld, qi, ldq, n, headDim, m, i > 0)
		}
	}
	Scale(credit, 1/scale)
}
