package train

import (
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// blockForward runs block l over the rows of s.x[l] and leaves the result for those that run in out [T', E], not yet
// compacted.
func (n *Network) blockForward(s *shard, l int, out []float32, w *scratch, drop bool) {
	n.attendForward(s, l, w, drop)
	n.mlpForward(s, l, out, w, drop)
}

// blockBackward turns w.dx, the gradient of block l's output [T', E], into that of its input [T, E], and adds the
// parameters' gradients to g.
func (n *Network) blockBackward(s *shard, l int, g *vit.Params, w *scratch, drop bool) {
	n.mlpBackward(s, l, g, w, drop)
	n.attendBackward(s, l, g, w, drop)
}

// attendForward is middle = x + proj(attention(norm1(x))), for the rows that run; all rows that exist are keys and
// values.
func (n *Network) attendForward(s *shard, l int, w *scratch, drop bool) {
	c, p, k, a := n.config, &n.params.Blocks[l], &n.blocks[l], &s.blocks[l]
	t, e := a.inputs(s.images), c.Embed
	kernels.LayerNormTrain(a.norm1, a.mean1, a.rstd1, s.x[l], p.Norm1Weight, p.Norm1Bias, t, e, float32(c.Eps))
	kernels.GemmPacked(a.qkv, 3*e, a.norm1, e, t, &k.qkv.forward, kernels.Epilogue{Bias: p.QKVBias})
	for i := range s.images {
		r, rows := int(a.offset[i]), int(a.offset[i+1]-a.offset[i])
		at, queries := int(a.run[i]), int(a.run[i+1]-a.run[i])
		if queries > 0 {
			kernels.Attention(a.attended[at*e:], e, a.qkv[r*3*e:], 3*e, rows, c.Heads, c.HeadDim(),
				kernels.Queries{Count: queries}, w.attention)
		}
	}
	a.runners(a.middle, s.x[l], e, s.images)
	n.residual(a.middle, a.attended, e, &k.proj, p.ProjBias, s, a, a.drop1, w, drop)
}

// attendBackward turns w.dx, the gradient of middle [T', E], into that of x [T, E]. w.dinput holds what comes to the
// rows that did not run past the block.
func (n *Network) attendBackward(s *shard, l int, g *vit.Params, w *scratch, drop bool) {
	c, p, k, a, d := n.config, &n.params.Blocks[l], &n.blocks[l], &s.blocks[l], &g.Blocks[l]
	t, e := a.rows(s.images), c.Embed
	dy := n.residualBackward(w.dx, s, a, a.drop1, w, drop)
	linearBackward(d.ProjWeight, d.ProjBias, dy, e, a.attended, e, e, t)
	kernels.GemmPacked(w.dnorm, e, dy, e, t, &k.proj.backward, kernels.Epilogue{})
	for i := range s.images {
		r, rows := int(a.offset[i]), int(a.offset[i+1]-a.offset[i])
		at, queries := int(a.run[i]), int(a.run[i+1]-a.run[i])
		if rows > 0 {
			kernels.AttentionBackward(w.dqkv[r*3*e:], w.dnorm[at*e:], e, a.qkv[r*3*e:], 3*e, a.attended[at*e:],
				rows, queries, c.Heads, c.HeadDim(), w.attention)
		}
	}
	n.shareBackward(s, a, w)
	t = a.inputs(s.images)
	linearBackward(d.QKVWeight, d.QKVBias, w.dqkv, 3*e, a.norm1, e, e, t)
	kernels.GemmPacked(w.dnorm, e, w.dqkv, 3*e, t, &k.qkv.backward, kernels.Epilogue{})
	if a.partial {
		for i := range s.images {
			lo, hi := int(a.run[i])*e, int(a.run[i+1])*e
			copy(w.dinput[int(a.offset[i])*e:], w.dx[lo:hi])
		}
		w.dx, w.dinput = w.dinput, w.dx
	}
	kernels.LayerNormBackward(w.dx, d.Norm1Weight, d.Norm1Bias, w.dnorm, s.x[l], p.Norm1Weight, a.mean1, a.rstd1, t, e)
}

// mlpForward is out = middle + fc2(gelu(fc1(norm2(middle)))).
func (n *Network) mlpForward(s *shard, l int, out []float32, w *scratch, drop bool) {
	c, p, k, a := n.config, &n.params.Blocks[l], &n.blocks[l], &s.blocks[l]
	t, e, f := a.rows(s.images), c.Embed, c.Hidden
	kernels.LayerNormTrain(a.norm2, a.mean2, a.rstd2, a.middle, p.Norm2Weight, p.Norm2Bias, t, e, float32(c.Eps))
	kernels.GemmPacked(a.hidden, f, a.norm2, e, t, &k.fc1.forward, kernels.Epilogue{Bias: p.FC1Bias})
	kernels.GELU(w.gelu[:t*f], a.hidden[:t*f])
	copy(out, a.middle[:t*e])
	n.residual(out, w.gelu, f, &k.fc2, p.FC2Bias, s, a, a.drop2, w, drop)
}

// mlpBackward turns w.dx, the gradient of out [T', E], into that of middle.
func (n *Network) mlpBackward(s *shard, l int, g *vit.Params, w *scratch, drop bool) {
	c, p, k, a, d := n.config, &n.params.Blocks[l], &n.blocks[l], &s.blocks[l], &g.Blocks[l]
	t, e, f := a.rows(s.images), c.Embed, c.Hidden
	dy := n.residualBackward(w.dx, s, a, a.drop2, w, drop)
	kernels.GemmPacked(w.dhidden, f, dy, e, t, &k.fc2.backward, kernels.Epilogue{})
	kernels.GELUBackward(w.dhidden[:t*f], w.gelu[:t*f], a.hidden[:t*f], w.dhidden[:t*f])
	linearBackward(d.FC2Weight, d.FC2Bias, dy, e, w.gelu, f, f, t)
	linearBackward(d.FC1Weight, d.FC1Bias, w.dhidden, f, a.norm2, e, e, t)
	kernels.GemmPacked(w.dnorm, e, w.dhidden, f, t, &k.fc1.backward, kernels.Epilogue{})
	kernels.LayerNormBackward(w.dx, d.Norm2Weight, d.Norm2Bias, w.dnorm, a.middle, p.Norm2Weight, a.mean2, a.rstd2, t, e)
}

// residual is dst += factor·(x·Wᵀ + b), with one factor an image where paths are dropped, else 1. dst [T', E]; x [T',
// in].
func (n *Network) residual(dst, x []float32, in int, k *linear, bias []float32, s *shard, a *activation,
	factor []float32, w *scratch, drop bool) {
	e, t := n.config.Embed, a.rows(s.images)
	if !drop {
		kernels.GemmPacked(dst, e, x, in, t, &k.forward, kernels.Epilogue{Bias: bias, Add: true})
		return
	}
	kernels.GemmPacked(w.branch, e, x, in, t, &k.forward, kernels.Epilogue{Bias: bias})
	for i := range s.images {
		lo, hi := int(a.run[i])*e, int(a.run[i+1])*e
		if factor[i] != 0 {
			kernels.Axpy(dst[lo:hi], factor[i], w.branch[lo:hi])
		}
	}
}

// residualBackward returns the gradient of x·Wᵀ + b in residual: dx itself, or dx times each image's factor.
func (n *Network) residualBackward(dx []float32, s *shard, a *activation, factor []float32, w *scratch,
	drop bool) []float32 {
	if !drop {
		return dx
	}
	e := n.config.Embed
	for i := range s.images {
		lo, hi := int(a.run[i])*e, int(a.run[i+1])*e
		clear(w.branch[lo:hi])
		if factor[i] != 0 {
			kernels.Axpy(w.branch[lo:hi], factor[i], dx[lo:hi])
		}
	}
	return w.branch
}

// linearBackward adds the gradients of y = x·Wᵀ + b: dw [out,in] += dyᵀ·x and db [out] += Σ dy, over t rows, those of
// x being ldx apart.
func linearBackward(dw, db, dy []float32, out int, x []float32, ldx, in, t int) {
	kernels.GemmTN(dw, in, dy, out, x, ldx, out, in, t, true)
	kernels.ColumnSums(db, dy, out, t, out)
}
