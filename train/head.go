package train

import (
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// decision is a shard's images on their way from readouts to logits = head(norm(readout)), and what that costs. Most
// schemes decide once, on the mean fields; those that learn to decide after any block do it once a block.
type decision struct {
	input      []float32    // [images, Q, E] the readouts
	normed     []float32    // [images, Q, E]
	mean, rstd []float32    // [images, Q]
	heads      [2][]float32 // [Q][images, classes] logits of each head
	dheads     [2][]float32 // [Q][images, classes] the loss's gradient there
	pull       []float32    // [images, Q, E] what a teacher's tokens add to the gradient of input; nil: nothing
	logits     []float32    // [images, classes] mean over the heads; heads[0] itself where there is one

	label, teacher []float64 // [images] the losses towards the labels and towards the teacher
}

// newDecision makes the memory of a decision on input [images, Q, E].
func newDecision(c vit.Config, images int, input []float32) *decision {
	q, e := c.Readouts().Heads, c.Embed
	d := &decision{input: input, normed: make([]float32, images*q*e), mean: make([]float32, images*q),
		rstd: make([]float32, images*q), label: make([]float64, images), teacher: make([]float64, images)}
	for h := range q {
		d.heads[h], d.dheads[h] = make([]float32, images*c.Classes), make([]float32, images*c.Classes)
	}
	d.logits = d.heads[0]
	if q > 1 {
		d.logits = make([]float32, images*c.Classes)
	}
	return d
}

// headForward makes logits of d.input.
func (n *Network) headForward(d *decision, images int) {
	c, p := n.config, n.params
	q, e := n.reads.Heads, c.Embed
	kernels.LayerNormTrain(d.normed, d.mean, d.rstd, d.input, p.NormWeight, p.NormBias, images*q, e, float32(c.Eps))
	for h := range q {
		k := &n.heads[h]
		kernels.GemmPacked(d.heads[h], c.Classes, d.normed[h*e:], q*e, images, &k.forward, kernels.Epilogue{Bias: k.bias})
	}
	if q == 2 {
		logits := d.logits[:images*c.Classes]
		copy(logits, d.heads[0])
		kernels.Add(logits, d.heads[1][:len(logits)])
		kernels.Scale(logits, 0.5)
	}
}

// headBackward writes dinput [images, Q, E] from d.dheads and adds the gradients of the heads and the last norm to g.
func (n *Network) headBackward(dinput []float32, d *decision, images int, g *vit.Params, w *scratch) {
	c, p := n.config, n.params
	q, e := n.reads.Heads, c.Embed
	dw, db := [2][]float32{g.HeadWeight, g.HeadDistWeight}, [2][]float32{g.HeadBias, g.HeadDistBias}
	for h := range q {
		linearBackward(dw[h], db[h], d.dheads[h], c.Classes, d.normed[h*e:], q*e, e, images)
		kernels.GemmPacked(w.dnorm[h*e:], q*e, d.dheads[h], c.Classes, images, &n.heads[h].backward, kernels.Epilogue{})
	}
	clear(dinput)
	copy(dinput, d.pull)
	kernels.LayerNormBackward(dinput, g.NormWeight, g.NormBias, w.dnorm, d.input, p.NormWeight, d.mean, d.rstd,
		images*q, e)
}
