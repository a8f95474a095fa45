package kernels

import (
	"math"
)

// AttentionBF16 is attention in training: of q, k and v in bfloat16, probabilities and what comes back to the scores
// rounded to it before they are multiplied, everything else in float32. It is the memory of one thread.
type AttentionBF16 struct {
	out            []float32 // [n, E]
	scores, dp     []float32 // a block of scores
	inverse        []float32 // of its rows
	ds             []uint16
	keysT, valuesT PackedBF16 // [d, n]
	keys, values   PackedBF16 // [n, d]
	queries, douts PackedBF16 // [rows, d]
	p, dsPairs     PackedBF16 // [rows, n]
}

// Forward computes softmax((q·kᵀ + bias)/√headDim)·v of each head of one image for its first queries rows: out
// [queries, E] of row stride ldo, rounded and an odd E followed by a zero. qkv [n, 3E] has row stride ldq; bias is [n]
// or nil. A row's result does not depend on the number of queries.
func (w *AttentionBF16) Forward(out []uint16, ldo int, qkv []uint16, ldq, n, queries, heads, headDim int,
	bias []float32) {
	embed := heads * headDim
	if queries <= 0 || embed <= 0 {
		return
	}
	checkMatrix("AttentionBF16", "out", len(out), ldo, queries, embed+embed&1)
	checkMatrix("AttentionBF16", "qkv", len(qkv), ldq, n, 3*embed)
	rows, ld := scoreBlock(n)
	w.out, w.scores, w.inverse = resize(w.out, queries*embed), resize(w.scores, rows*ld), resize(w.inverse, rows)
	w.values.reshape(n, headDim)
	scale := float32(1 / math.Sqrt(float64(headDim)))
	for h := range heads {
		at := h * headDim
		transposePairs(&w.keysT, qkv[embed+at:], ldq, headDim, n)
		active.interleaveBF16(w.values, 0, qkv[2*embed+at:], ldq, n)
		for i := 0; i < queries; i += rows {
			m, o := min(rows, queries-i), w.out[i*embed+at:]
			GemmBF16(w.scores, ld, qkv[i*ldq+at:], ldq, m, &w.keysT, Epilogue{Bias: bias})
			active.softmaxRowsBF16(w.scores, w.inverse, ld, m, n, scale)
			GemmBF16(o, embed, as[uint16](w.scores), 2*ld, m, &w.values, Epilogue{})
			active.scaleRows(o, embed, m, headDim, w.inverse)
		}
	}
	RoundBF16(out, ldo, w.out, embed, queries, embed)
}

// trainFloats bounds the block of scores that is worked on at a time on the way back: sums over its rows are added to
// what the blocks before gave, so there should be many.
const trainFloats = 48 << 10

// trainBlock is scoreBlock for the way back.
func trainBlock(n int) (rows, ld int) {
	ld = (n + 31) &^ 31
	if rows = max(trainFloats/max(ld, 1), 24) / 24 * 24; rows >= n {
		rows = n
	}
	return rows, ld
}

// Backward writes dqkv [n, 3E] of row stride lddq, the gradient of Forward's qkv, given that of its output, dout
// [queries, E] of row stride ldo, followed by a number that is finite where headDim is odd. Rows that did not attend
// get zeros for their queries. Probabilities P are computed again. For each head, with S = (q·kᵀ + bias)·scale and dP =
// dout·vᵀ,
//
//	dv = Pᵀ·dout,  dS = P∘(dP − rowsum(P∘dP)),  dq = dS·k·scale,  dk = dSᵀ·q·scale
//
// Unless credit is nil, credit [n] gets what each key is worth: the column sums of dS, added up over the heads.
func (w *AttentionBF16) Backward(dqkv []float32, lddq int, credit []float32, dout []uint16, ldo int, qkv []uint16, ldq,
	n, queries, heads, headDim int, bias []float32) {
	embed := heads * headDim
	queries = max(0, min(queries, n))
	if n <= 0 || embed <= 0 {
		return
	}
	checkMatrix("AttentionBF16", "dqkv", len(dqkv), lddq, n, 3*embed)
	checkMatrix("AttentionBF16", "qkv", len(qkv), ldq, n, 3*embed)
	checkMatrix("AttentionBF16", "dout", len(dout), ldo, queries, embed+headDim&1)
	if credit != nil {
		checkLen("AttentionBF16", "credit", len(credit), n)
		credit = credit[:n]
		clear(credit)
	}
	if queries == 0 {
		for i := range n {
			clear(dqkv[i*lddq : i*lddq+3*embed])
		}
		return
	}
	for i := queries; i < n; i++ {
		clear(dqkv[i*lddq : i*lddq+embed])
	}
	rows, ld := trainBlock(n)
	w.scores, w.dp = resize(w.scores, rows*ld), resize(w.dp, rows*ld)
	w.inverse, w.ds = resize(w.inverse, rows), resize(w.ds, rows*ld)
	w.keys.reshape(n, headDim)
	scale := float32(1 / math.Sqrt(float64(headDim)))
	for h := range heads {
		at := h * headDim
		q, k, v := qkv[at:], qkv[embed+at:], qkv[2*embed+at:]
		dq, dk, dv := dqkv[at:], dqkv[embed+at:], dqkv[2*embed+at:]
		transposePairs(&w.keysT, k, ldq, headDim, n)
		transposePairs(&w.valuesT, v, ldq, headDim, n)
		active.interleaveBF16(w.keys, 0, k, ldq, n)
		for i := 0; i < queries; i += rows {
			m := min(rows, queries-i)
			qi, di := q[i*ldq:], dout[i*ldo+at:]
			w.p.reshape(m, n)
			w.dsPairs.reshape(m, n)
			w.queries.reshape(m, headDim)
			w.douts.reshape(m, headDim)
			active.interleaveBF16(w.queries, 0, qi, ldq, m)
			active.interleaveBF16(w.douts, 0, di, ldo, m)
			GemmBF16(w.scores, ld, qi, ldq, m, &w.keysT, Epilogue{Bias: bias})
			active.softmaxRows(w.scores, w.inverse, ld, m, n, scale)
			GemmBF16(w.dp, ld, di, ldo, m, &w.valuesT, Epilogue{})
			active.softmaxBackwardBF16(w.ds, ld, w.dsPairs, w.p, w.dp, w.scores, w.inverse, ld, scale)
			if credit != nil {
				active.columnSumsBF16(credit, w.dsPairs)
			}
			GemmTNBF16(dv, lddq, &w.p, &w.douts, i > 0)
			GemmBF16(dq[i*lddq:], lddq, w.ds, ld, m, &w.keys, Epilogue{})
			GemmTNBF16(dk, lddq, &w.dsPairs, &w.queries, i > 0)
		}
	}
	Scale(credit, 1/scale)
}

// transposePairs lays out the transpose of x [n, k] (row stride ldx) in dst.
func transposePairs(dst *PackedBF16, x []uint16, ldx, k, n int) {
	dst.reshape(k, n)
	if (k|ldx)&1 != 0 {
		fill(*dst, 0, k, func(i, j int) uint16 { return x[j*ldx+i] })
		return
	}
	to, from := as[float32](dst.Data), as[float32](x)
	for j := 0; j < n; j += panelWidth {
		active.transposePanel(to[j*k/2:(j+panelWidth)*k/2], from[j*ldx/2:], ldx/2, k/2, min(panelWidth, n-j))
	}
}
