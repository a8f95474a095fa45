package train

import (
	"math"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
)

// observe returns what the scheme is to see of image i after block l (from 0), of whose output [T', E] out is, and
// where it is to write.
func (n *Network) observe(s *shard, l, i int, out []float32, w *scratch) halting.Rows {
	c, needs, a := n.config, n.scheme.needs[l], &s.blocks[l]
	lo, hi, in, end := a.image(i)
	e, heads, d := c.Embed, c.Heads, c.HeadDim()
	r := halting.Rows{Layer: l + 1, Layers: c.Layers, Readouts: n.reads, X: out[lo*e : hi*e], Stride: e,
		Token: a.token[in : in+hi-lo], Score: a.score[lo:hi], Weight: a.weight[lo:hi], Scratch: &w.halting}
	if needs.Previous {
		r.Previous = s.x[l][in*e:]
	}
	if needs.Attention || needs.Merges {
		a.merge = a.merge.forImage(i, len(s.state), len(a.token))
		r.Into, r.Share = a.merge.into[lo:hi], a.merge.share[lo:hi]
	}
	var qkv []float32
	if needs.Attention || needs.Received || needs.Keys {
		qkv = n.qkvOf(a, in, end, w)
	}
	if needs.Attention {
		r.Attention = a.merge.attention[lo:hi]
		kernels.AttentionRow(r.Attention, qkv, 3*e, hi-lo, 0, heads, d, w.attention)
	}
	if needs.Received {
		r.Received = w.received[:hi-lo]
		kernels.AttentionReceived(r.Received, qkv, 3*e, hi-lo, heads, d, a.biasFrom(in), w.attention)
	}
	if needs.Keys {
		r.Keys, r.KeyLen, r.Products = w.keys, d, w.multiply
		kernels.MeanKeys(r.Keys, qkv, 3*e, hi-lo, heads, d)
	}
	return r
}

// multiply is Rows.Products.
func (w *scratch) multiply(dst, a, b []float32, rows, cols, length int) {
	kernels.PackTransposed(&w.packed, b, length, length, cols)
	kernels.GemmPacked(dst, cols, a, length, rows, &w.packed, kernels.Epilogue{})
}

// weigh makes the rows in … end−1 of a block's input, those of one image, keys of their tokens' sizes.
func (a *activation) weigh(state *halting.State, in, end, headDim int) {
	if a.bias == nil {
		return
	}
	root := math.Sqrt(float64(headDim))
	for r := in; r < end; r++ {
		a.bias[r] = float32(root * math.Log(float64(state.Size[a.token[r]])))
	}
}

// biasFrom returns the bias of the keys from row in of the input on, or nil.
func (a *activation) biasFrom(in int) []float32 {
	if a.bias == nil {
		return nil
	}
	return a.bias[in:]
}
