package train

import (
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// decision is a shard's images on their way from readouts to logits = head(norm(readout)), and what that costs. Most
// schemes decide once, on the mean fields; those that learn to decide after any block do it once a block.
type decision struct {
	input      []float32    // [images, Q, E] the readouts
	read       []float32    // [images, I, E] what the heads look at but for a norm; input itself where nothing is pooled
	normed     []float32    // [images, I, E] and with that
	tokens     []float32    // [images, Q, E] normalised, where the mean is one of such tokens; else normed itself
	mean, rstd []float32    // [images, Q]
	heads      [2][]float32 // [classifiers][images, classes] logits of each head
	dheads     [2][]float32 // [classifiers][images, classes] the loss's gradient there
	pull       []float32    // [images, I, E] what a teacher's tokens add to the gradient of read; nil: nothing
	logits     []float32    // [images, classes] mean over the heads; heads[0] itself where there is one

	label, teacher []float64 // [images] the losses towards the labels and towards the teacher
}

// newDecision makes the memory of a decision on input [images, Q, E].
func newDecision(c vit.Config, images int, input []float32) *decision {
	r, e := c.Readouts(), c.Embed
	q := r.Fields()
	d := &decision{input: input, read: input, normed: make([]float32, images*r.Inputs()*e),
		mean: make([]float32, images*q), rstd: make([]float32, images*q), label: make([]float64, images),
		teacher: make([]float64, images)}
	d.tokens = d.normed
	if r.Pooled > 0 {
		d.read, d.tokens = make([]float32, images*r.Inputs()*e), make([]float32, images*q*e)
	}
	q = c.Classifiers()
	for h := range q {
		d.heads[h], d.dheads[h] = make([]float32, images*c.Classes), make([]float32, images*c.Classes)
	}
	d.logits = d.heads[0]
	if q > 1 {
		d.logits = make([]float32, images*c.Classes)
	}
	return d
}

// headForward makes logits of d.input, that of the images of s.
func (n *Network) headForward(d *decision, s *shard) {
	c, p, images := n.config, n.params, s.images
	q, e, inputs := c.Classifiers(), c.Embed, n.reads.Inputs()
	switch {
	case !n.scheme.pools:
		kernels.LayerNormTrain(d.normed, d.mean, d.rstd, d.input, p.NormWeight, p.NormBias, images*q, e, float32(c.Eps))
	case c.Pooling == vit.Mean:
		n.poolForward(d.read, d.input, s)
		kernels.LayerNormTrain(d.normed, d.mean, d.rstd, d.read, p.NormWeight, p.NormBias, images, e, float32(c.Eps))
	default:
		kernels.LayerNormTrain(d.tokens, d.mean, d.rstd, d.input, p.NormWeight, p.NormBias, images*n.reads.Fields(), e,
			float32(c.Eps))
		n.poolForward(d.normed, d.tokens, s)
		n.poolForward(d.read, d.tokens, s)
		for i := range images { // what is read by itself counts as it is before the norm
			copy(d.read[i*inputs*e:][:n.reads.Alone*e], d.input[i*n.reads.Fields()*e:])
		}
	}
	for h := range q {
		k := &n.heads[h]
		kernels.GemmPacked(d.heads[h], c.Classes, d.normed[h*e:], inputs*e, images, &k.forward,
			kernels.Epilogue{Bias: k.bias})
	}
	if q == 2 {
		logits := d.logits[:images*c.Classes]
		copy(logits, d.heads[0])
		kernels.Add(logits, d.heads[1][:len(logits)])
		kernels.Scale(logits, 0.5)
	}
}

// headBackward writes dinput [images, Q, E] from d.dheads and adds the gradients of the heads and the last norm to g.
func (n *Network) headBackward(dinput []float32, d *decision, s *shard, g *vit.Params, w *scratch) {
	c, p, images := n.config, n.params, s.images
	q, e, inputs := c.Classifiers(), c.Embed, n.reads.Inputs()
	dw, db := [2][]float32{g.HeadWeight, g.HeadDistWeight}, [2][]float32{g.HeadBias, g.HeadDistBias}
	for h := range q {
		linearBackward(dw[h], db[h], d.dheads[h], c.Classes, d.normed[h*e:], inputs*e, c.HeadInputs(), images)
		kernels.GemmPacked(w.dnorm[h*e:], inputs*e, d.dheads[h], c.Classes, images, &n.heads[h].backward,
			kernels.Epilogue{})
	}
	clear(dinput)
	switch {
	case !n.scheme.pools:
		copy(dinput, d.pull)
		kernels.LayerNormBackward(dinput, g.NormWeight, g.NormBias, w.dnorm, d.input, p.NormWeight, d.mean, d.rstd,
			images*q, e)
	case c.Pooling == vit.Mean:
		dmean := w.dtokens[:images*e]
		clear(dmean)
		copy(dmean, d.pull)
		kernels.LayerNormBackward(dmean, g.NormWeight, g.NormBias, w.dnorm, d.read, p.NormWeight, d.mean, d.rstd, images, e)
		n.poolBackward(dinput, dmean, s)
	default:
		if d.pull != nil {
			n.pull(dinput, w.dnorm, d, s)
		}
		clear(w.dtokens)
		n.poolBackward(w.dtokens, w.dnorm, s)
		kernels.LayerNormBackward(dinput, g.NormWeight, g.NormBias, w.dtokens, d.input, p.NormWeight, d.mean, d.rstd,
			images*n.reads.Fields(), e)
	}
}
