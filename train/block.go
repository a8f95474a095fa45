package train

import (
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// attendForward is middle = x + proj(attention(norm1(x))), for the rows that run; all rows that exist are keys and
// values.
func (n *Network) attendForward(s *shard, l int, w *scratch) {
	c, p, k, a := n.config, &n.params.Blocks[l], &n.blocks[l], &s.blocks[l]
	t, e := a.inputs(s.images), c.Embed
	kernels.LayerNormTrain(a.norm1, a.mean1, a.rstd1, s.x[l], p.Norm1Weight, p.Norm1Bias, t, e, float32(c.Eps))
	kernels.GemmPacked(a.qkv, 3*e, a.norm1, e, t, &k.qkv.forward, kernels.Epilogue{Bias: k.qkv.bias})
	for i := range s.images {
		lo, hi, in, end := a.image(i)
		a.weigh(&s.state[i], in, end, c.HeadDim())
		if hi > lo {
			kernels.Attention(a.attended[lo*e:], e, a.qkv[in*3*e:], 3*e, end-in, c.Heads, c.HeadDim(),
				kernels.Queries{Count: hi - lo, Bias: a.biasFrom(in)}, w.attention)
		}
		copy(a.middle[lo*e:hi*e], s.x[l][in*e:])
	}
	n.residual(a.middle, a.attended, &k.proj, s, a, a.drop1, w)
}

// attendBackward turns w.dx, the gradient of middle [T', E], into that of x [T, E]. w.dinput holds what comes to the
// rows that did not run past the block.
func (n *Network) attendBackward(s *shard, l int, g *vit.Params, w *scratch) {
	c, p, k, a, d := n.config, &n.params.Blocks[l], &n.blocks[l], &s.blocks[l], &g.Blocks[l]
	t, e := a.rows(s.images), c.Embed
	dy := n.residualBackward(w.dx, s, a, a.drop1, w)
	linearBackward(d.ProjWeight, d.ProjBias, dy, e, a.attended, e, e, t)
	kernels.GemmPacked(w.dnorm, e, dy, e, t, &k.proj.backward, kernels.Epilogue{})
	for i := range s.images {
		if lo, hi, in, end := a.image(i); end > in {
			var credit []float32
			if n.scheme.credit != 0 {
				credit = w.credit[in:end]
			}
			kernels.AttentionBackward(w.dqkv[in*3*e:], credit, w.dnorm[lo*e:], e, a.qkv[in*3*e:], 3*e, a.attended[lo*e:],
				end-in, hi-lo, c.Heads, c.HeadDim(), a.biasFrom(in), w.attention)
		}
	}
	n.takeCredit(s, l, w)
	n.shareBackward(s, l, w)
	t = a.inputs(s.images)
	linearBackward(d.QKVWeight, d.QKVBias, w.dqkv, 3*e, a.norm1, e, e, t)
	kernels.GemmPacked(w.dnorm, e, w.dqkv, 3*e, t, &k.qkv.backward, kernels.Epilogue{})
	a.layBack(s.images, e, w)
	kernels.LayerNormBackward(w.dx, d.Norm1Weight, d.Norm1Bias, w.dnorm, s.x[l], p.Norm1Weight, a.mean1, a.rstd1, t, e)
}

// layBack lays w.dx, the gradient of the rows that ran, among that of all rows, where some did not.
func (a *activation) layBack(images, e int, w *scratch) {
	if !a.partial {
		return
	}
	for i := range images {
		lo, hi, in, _ := a.image(i)
		copy(w.dinput[in*e:], w.dx[lo*e:hi*e])
	}
	w.dx, w.dinput = w.dinput, w.dx
}

// mlpForward is out = middle + fc2(gelu(fc1(norm2(middle)))).
func (n *Network) mlpForward(s *shard, l int, out []float32, w *scratch) {
	c, p, k, a := n.config, &n.params.Blocks[l], &n.blocks[l], &s.blocks[l]
	t, e, f := a.rows(s.images), c.Embed, c.Hidden
	kernels.LayerNormTrain(a.norm2, a.mean2, a.rstd2, a.middle, p.Norm2Weight, p.Norm2Bias, t, e, float32(c.Eps))
	kernels.GemmPacked(a.hidden, f, a.norm2, e, t, &k.fc1.forward, kernels.Epilogue{Bias: k.fc1.bias})
	kernels.GELU(w.gelu[:t*f], a.hidden[:t*f])
	copy(out, a.middle[:t*e])
	n.residual(out, w.gelu, &k.fc2, s, a, a.drop2, w)
}

// mlpBackward turns w.dx, the gradient of out [T', E], into that of middle.
func (n *Network) mlpBackward(s *shard, l int, g *vit.Params, w *scratch) {
	c, p, k, a, d := n.config, &n.params.Blocks[l], &n.blocks[l], &s.blocks[l], &g.Blocks[l]
	t, e, f := a.rows(s.images), c.Embed, c.Hidden
	dy := n.residualBackward(w.dx, s, a, a.drop2, w)
	kernels.GemmPacked(w.dhidden, f, dy, e, t, &k.fc2.backward, kernels.Epilogue{})
	kernels.GELUBackward(w.dhidden[:t*f], w.gelu[:t*f], a.hidden[:t*f], w.dhidden[:t*f])
	linearBackward(d.FC2Weight, d.FC2Bias, dy, e, w.gelu, f, f, t)
	linearBackward(d.FC1Weight, d.FC1Bias, w.dhidden, f, a.norm2, e, e, t)
	kernels.GemmPacked(w.dnorm, e, w.dhidden, f, t, &k.fc1.backward, kernels.Epilogue{})
	kernels.LayerNormBackward(w.dx, d.Norm2Weight, d.Norm2Bias, w.dnorm, a.middle, p.Norm2Weight, a.mean2, a.rstd2, t, e)
}

// residual is dst += factor·(x·Wᵀ + b), with one factor an image where paths are dropped, else 1. dst [T', E]; x [T',
// in].
func (n *Network) residual(dst, x []float32, k *linear, s *shard, a *activation, factor []float32, w *scratch) {
	e, t := n.config.Embed, a.rows(s.images)
	if !a.drops {
		kernels.GemmPacked(dst, e, x, k.in, t, &k.forward, kernels.Epilogue{Bias: k.bias, Add: true})
		return
	}
	kernels.GemmPacked(w.branch, e, x, k.in, t, &k.forward, kernels.Epilogue{Bias: k.bias})
	a.addScaled(dst, w.branch, factor[:s.images], e)
}

// residualBackward returns the gradient of x·Wᵀ + b in residual: dx itself, or dx times each image's factor.
func (n *Network) residualBackward(dx []float32, s *shard, a *activation, factor []float32, w *scratch) []float32 {
	if !a.drops {
		return dx
	}
	e := n.config.Embed
	clear(w.branch[:a.rows(s.images)*e])
	a.addScaled(w.branch, dx, factor[:s.images], e)
	return w.branch
}

// addScaled adds to the rows dst [T', E] of each image its factor times those of x.
func (a *activation) addScaled(dst, x, factor []float32, e int) {
	for i, f := range factor {
		if lo, hi, _, _ := a.image(i); f != 0 {
			kernels.Axpy(dst[lo*e:hi*e], f, x[lo*e:hi*e])
		}
	}
}

// linearBackward adds the gradients of y = x·Wᵀ + b: dw [out,in] += dyᵀ·x and db [out] += Σ dy, over t rows, those of
// x being ldx apart.
func linearBackward(dw, db, dy []float32, out int, x []float32, ldx, in, t int) {
	kernels.GemmTN(dw, in, dy, out, x, ldx, out, in, t, true)
	kernels.ColumnSums(db, dy, out, t, out)
}
