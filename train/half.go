package train

import (
	"fmt"

	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// The precisions of training. In BF16 what goes into the products of the blocks is rounded to bfloat16, and kept so for
// the backward pass, METHOD.md (55); all else is float32: weights, moments, gradients, the residual stream, norms,
// softmax, embedding, heads, losses and all that schemes look at. "" is F32.
const (
	F32  = "f32"
	BF16 = "bf16"
)

// Fastest is the precision that is fastest on this machine: BF16 where it has the instructions.
func Fastest() string {
	if kernels.FastBF16() {
		return BF16
	}
	return F32
}

// CheckPrecision reports a precision that there is not.
func CheckPrecision(precision string) error {
	switch precision {
	case "", F32, BF16:
		return nil
	}
	return fmt.Errorf("precision %q, want %s or %s", precision, F32, BF16)
}

// halfActivation is what a block saves in bfloat16. Rows of qkv are qkvStride(E) long, of attended rowStride(E).
type halfActivation struct {
	qkv      []uint16 // [T, 3E]
	attended []uint16 // [T', E]
	hidden   []uint16 // [T', F] before GELU, contiguous
}

// qkvStride and rowStride are from one row of bfloat16s to the next: even, for products take them by pairs.
func qkvStride(e int) int { return 3*e + e&1 }
func rowStride(e int) int { return e + e&1 }

// newHalfActivation makes room for t rows, running ones of which run.
func newHalfActivation(c vit.Config, t, running int) halfActivation {
	return halfActivation{make([]uint16, t*qkvStride(c.Embed)), make([]uint16, running*rowStride(c.Embed)),
		make([]uint16, running*c.Hidden)}
}

// halfScratch is what a thread needs besides in BF16. A matrix of gradients is wanted by rows, for a product with
// weights, and by pairs of rows, for one with the layer's inputs.
type halfScratch struct {
	chunk     int       // rows whose hidden numbers are worked on at a time, so that these stay in the cache
	wide      []float32 // [chunk, max(F, 3E)], or [N, 3E] of an image
	rows      []uint16  // [T, max(F, 3E)] gradients; forward, gelu's outputs
	norm      []uint16  // [T, E]
	dout      []uint16  // [T, E]
	attention kernels.AttentionBF16

	narrowPairs, inputPairs, widePairs, hiddenPairs kernels.PackedBF16
}

func newHalfScratch(c vit.Config, t int) halfScratch {
	e, f := c.Embed, c.Hidden
	w := max(f, 3*e)
	chunk := max(48, 75_000/f/24*24)
	return halfScratch{chunk: chunk, wide: make([]float32, max(chunk*w, 3*e*c.Tokens())),
		rows: make([]uint16, t*kernels.BF16Stride(w)), norm: make([]uint16, t*kernels.BF16Stride(e)),
		dout: make([]uint16, t*kernels.BF16Stride(e+1)+1)}
}

// chunks calls f for the rows at … at+m−1 of t, in order.
func (h *halfScratch) chunks(t int, f func(at, m int)) {
	for at := 0; at < t; at += h.chunk {
		f(at, min(h.chunk, t-at))
	}
}

// attendForwardHalf is attendForward in BF16.
func (n *Network) attendForwardHalf(s *shard, l int, w *scratch) {
	c, p, k, a, h := n.config, &n.params.Blocks[l], &n.blocks[l], &s.blocks[l], &w.half
	e, ldn, ldq, ld := c.Embed, kernels.BF16Stride(c.Embed), qkvStride(c.Embed), rowStride(c.Embed)
	h.chunks(a.inputs(s.images), func(at, m int) {
		kernels.LayerNormBF16(h.norm, ldn, s.x[l][at*e:], p.Norm1Weight, p.Norm1Bias, m, e, float32(c.Eps))
		kernels.GemmBF16(h.wide, 3*e, h.norm, ldn, m, &k.qkv.forwardHalf, kernels.Epilogue{Bias: k.qkv.bias})
		kernels.RoundBF16(a.half.qkv[at*ldq:], ldq, h.wide, 3*e, m, 3*e)
	})
	for i := range s.images {
		lo, hi, in, end := a.image(i)
		a.weigh(&s.state[i], in, end, c.HeadDim())
		h.attention.Forward(a.half.attended[lo*ld:], ld, a.half.qkv[in*ldq:], ldq, end-in, hi-lo, c.Heads, c.HeadDim(),
			a.biasFrom(in))
		copy(a.middle[lo*e:hi*e], s.x[l][in*e:])
	}
	n.residualHalf(a.middle, a.half.attended, ld, &k.proj, 0, a.rows(s.images), a, w)
	n.dropHalf(a.middle, s, a, a.drop1, w)
}

// attendBackwardHalf is attendBackward in BF16.
func (n *Network) attendBackwardHalf(s *shard, l int, g *vit.Params, w *scratch) {
	c, p, k, a, d, h := n.config, &n.params.Blocks[l], &n.blocks[l], &s.blocks[l], &g.Blocks[l], &w.half
	t, e, heads, headDim := a.rows(s.images), c.Embed, c.Heads, c.HeadDim()
	ldn, ldq, ld, ldw := kernels.BF16Stride(e), qkvStride(e), rowStride(e), kernels.BF16Stride(3*e)
	ldo := kernels.BF16Stride(e + headDim&1)
	h.narrowPairs.Reshape(t, e)
	h.inputPairs.Reshape(t, e)
	kernels.RoundPairsBF16(h.rows, ldn, &h.narrowPairs, 0, n.residualBackward(w.dx, s, a, a.drop1, w), e, t)
	kernels.InterleaveBF16(&h.inputPairs, 0, a.half.attended, ld, t)
	linearBackwardHalf(d.ProjWeight, d.ProjBias, &h.narrowPairs, &h.inputPairs, w.fresh)
	kernels.GemmBF16(w.dnorm, e, h.rows, ldn, t, &k.proj.backwardHalf, kernels.Epilogue{})
	kernels.RoundBF16(h.dout, ldo, w.dnorm, e, t, e)
	for i := range s.images {
		if lo, hi, in, end := a.image(i); end > in {
			var credit []float32
			if n.scheme.credit != 0 {
				credit = w.credit[in:end]
			}
			h.attention.Backward(w.dqkv[in*3*e:], 3*e, credit, h.dout[lo*ldo:], ldo, a.half.qkv[in*ldq:], ldq, end-in, hi-lo,
				heads, headDim, a.biasFrom(in))
		}
	}
	n.takeCredit(s, l, w)
	n.shareBackward(s, l, w)
	t = a.inputs(s.images)
	h.widePairs.Reshape(t, 3*e)
	h.inputPairs.Reshape(t, e)
	kernels.RoundPairsBF16(h.rows, ldw, &h.widePairs, 0, w.dqkv, 3*e, t)
	kernels.GemmBF16(w.dnorm, e, h.rows, ldw, t, &k.qkv.backwardHalf, kernels.Epilogue{})
	a.layBack(s.images, e, w)
	kernels.LayerNormBackwardBF16(w.dx, d.Norm1Weight, d.Norm1Bias, h.norm, ldn, w.dnorm, s.x[l], p.Norm1Weight,
		p.Norm1Bias, t, e, float32(c.Eps))
	kernels.InterleaveBF16(&h.inputPairs, 0, h.norm, ldn, t)
	linearBackwardHalf(d.QKVWeight, d.QKVBias, &h.widePairs, &h.inputPairs, w.fresh)
}

// mlpForwardHalf is mlpForward in BF16.
func (n *Network) mlpForwardHalf(s *shard, l int, out []float32, w *scratch) {
	c, p, k, a, h := n.config, &n.params.Blocks[l], &n.blocks[l], &s.blocks[l], &w.half
	e, f, ldn, ldf := c.Embed, c.Hidden, kernels.BF16Stride(c.Embed), kernels.BF16Stride(c.Hidden)
	t := a.rows(s.images)
	copy(out, a.middle[:t*e])
	h.chunks(t, func(at, m int) {
		kernels.LayerNormBF16(h.norm, ldn, a.middle[at*e:], p.Norm2Weight, p.Norm2Bias, m, e, float32(c.Eps))
		kernels.GemmBF16(h.wide, f, h.norm, ldn, m, &k.fc1.forwardHalf, kernels.Epilogue{Bias: k.fc1.bias})
		kernels.GELUBF16(a.half.hidden[at*f:], h.rows, ldf, h.wide, m, f)
		n.residualHalf(out, h.rows, ldf, &k.fc2, at, m, a, w)
	})
	n.dropHalf(out, s, a, a.drop2, w)
}

// mlpBackwardHalf is mlpBackward in BF16.
func (n *Network) mlpBackwardHalf(s *shard, l int, g *vit.Params, w *scratch) {
	c, p, k, a, d, h := n.config, &n.params.Blocks[l], &n.blocks[l], &s.blocks[l], &g.Blocks[l], &w.half
	t, e, f := a.rows(s.images), c.Embed, c.Hidden
	ldn, ldf := kernels.BF16Stride(e), kernels.BF16Stride(f)
	h.narrowPairs.Reshape(t, e)
	h.inputPairs.Reshape(t, e)
	h.widePairs.Reshape(t, f)
	h.hiddenPairs.Reshape(t, f)
	kernels.RoundPairsBF16(h.dout, ldn, &h.narrowPairs, 0, n.residualBackward(w.dx, s, a, a.drop2, w), e, t)
	h.chunks(t, func(at, m int) {
		kernels.GemmBF16(h.wide, f, h.dout[at*ldn:], ldn, m, &k.fc2.backwardHalf, kernels.Epilogue{})
		kernels.GELUBackwardBF16(h.rows, ldf, &h.widePairs, &h.hiddenPairs, at, a.half.hidden[at*f:], h.wide, m)
		kernels.GemmBF16(w.dnorm, e, h.rows, ldf, m, &k.fc1.backwardHalf, kernels.Epilogue{})
		kernels.LayerNormBackwardBF16(w.dx[at*e:], d.Norm2Weight, d.Norm2Bias, h.norm, ldn, w.dnorm, a.middle[at*e:],
			p.Norm2Weight, p.Norm2Bias, m, e, float32(c.Eps))
		kernels.InterleaveBF16(&h.inputPairs, at, h.norm, ldn, m)
	})
	linearBackwardHalf(d.FC2Weight, d.FC2Bias, &h.narrowPairs, &h.hiddenPairs, w.fresh)
	linearBackwardHalf(d.FC1Weight, d.FC1Bias, &h.widePairs, &h.inputPairs, w.fresh)
}

// residualHalf adds x·Wᵀ + b to the rows at … of dst [T', E], x [m, in] being ld apart; where paths are dropped, it
// leaves that in w.branch for dropHalf.
func (n *Network) residualHalf(dst []float32, x []uint16, ld int, k *linear, at, m int, a *activation, w *scratch) {
	e, add := n.config.Embed, !a.drops
	if a.drops {
		dst = w.branch
	}
	kernels.GemmBF16(dst[at*e:], e, x, ld, m, &k.forwardHalf, kernels.Epilogue{Bias: k.bias, Add: add})
}

// dropHalf adds w.branch to dst with one factor an image, where paths are dropped.
func (n *Network) dropHalf(dst []float32, s *shard, a *activation, factor []float32, w *scratch) {
	if a.drops {
		a.addScaled(dst, w.branch, factor[:s.images], n.config.Embed)
	}
}

// linearBackwardHalf is linearBackward of pairs dy [t, out] and x [t, in], which in a fresh lane overwrites dw.
func linearBackwardHalf(dw, db []float32, dy, x *kernels.PackedBF16, fresh bool) {
	kernels.GemmTNBF16(dw, x.N, dy, x, !fresh)
	kernels.ColumnSumsBF16(db, dy)
}

// qkvOf returns q, k and v [end−in, 3E] of the rows in … end−1 of a block's input, one image's, as float32.
func (n *Network) qkvOf(a *activation, in, end int, w *scratch) []float32 {
	e := n.config.Embed
	if n.precision != BF16 {
		return a.qkv[in*3*e:]
	}
	for i := range end - in {
		kernels.WidenBF16(w.half.wide[i*3*e:], a.half.qkv[(in+i)*qkvStride(e):][:3*e])
	}
	return w.half.wide
}
