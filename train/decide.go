package train

import (
	"math"

	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// decision is a shard's images on their way from readouts to logits = head(norm(readout)), and what that costs. Most schemes decide once, on the
// mean fields; those that learn to decide after any block do it once a block.
type decision struct {
	input      []float32    // [images, Q, E] the readouts
	normed     []float32    // [images, Q, E]
	mean, rstd []float32    // [images, Q]
	heads      [2][]float32 // [Q][images, classes] logits of each head
	dheads     [2][]float32 // [Q][images, classes] the loss's gradient there
	logits     []float32    // [images, classes] mean over the heads; heads[0] itself where there is one

	label, teacher []float64 // [images] the losses towards the labels and towards the teacher
}

// newDecision makes the memory of a decision on input [images, Q, E].
func newDecision(c vit.Config, images int, input []float32) *decision {
	q, e := c.Readouts().Heads, c.Embed
	d := &decision{input: input, normed: make([]float32, images*q*e), mean: make([]float32, images*q), rstd: make([]float32, images*q),
		label: make([]float64, images), teacher: make([]float64, images)}
	for h := range q {
		d.heads[h], d.dheads[h] = make([]float32, images*c.Classes), make([]float32, images*c.Classes)
	}
	d.logits = d.heads[0]
	if q > 1 {
		d.logits = make([]float32, images*c.Classes)
	}
	return d
}

// decideForward makes logits of d.input.
func (n *Network) decideForward(d *decision, images int) {
	c, p := n.config, n.params
	q, e := c.Readouts().Heads, c.Embed
	kernels.LayerNormTrain(d.normed, d.mean, d.rstd, d.input, p.NormWeight, p.NormBias, images*q, e, float32(c.Eps))
	kernels.GemmPacked(d.heads[0], c.Classes, d.normed, q*e, images, &n.head.forward, kernels.Epilogue{Bias: p.HeadBias})
	if q == 2 {
		kernels.GemmPacked(d.heads[1], c.Classes, d.normed[e:], q*e, images, &n.headDist.forward, kernels.Epilogue{Bias: p.HeadDistBias})
		logits := d.logits[:images*c.Classes]
		copy(logits, d.heads[0])
		kernels.Add(logits, d.heads[1][:len(logits)])
		kernels.Scale(logits, 0.5)
	}
}

// decideBackward writes dinput [images, Q, E] from d.dheads and adds the gradients of the heads and the last norm to g.
func (n *Network) decideBackward(dinput []float32, d *decision, images int, g *vit.Params, w *scratch) {
	c, p := n.config, n.params
	q, e := c.Readouts().Heads, c.Embed
	if q == 2 {
		linearBackward(g.HeadDistWeight, g.HeadDistBias, d.dheads[1], c.Classes, d.normed[e:], q*e, e, images)
		kernels.GemmPacked(w.dnorm[e:], q*e, d.dheads[1], c.Classes, images, &n.headDist.backward, kernels.Epilogue{})
	}
	linearBackward(g.HeadWeight, g.HeadBias, d.dheads[0], c.Classes, d.normed, q*e, e, images)
	kernels.GemmPacked(w.dnorm, q*e, d.dheads[0], c.Classes, images, &n.head.backward, kernels.Epilogue{})
	clear(dinput)
	kernels.LayerNormBackward(dinput, g.NormWeight, g.NormBias, w.dnorm, d.input, p.NormWeight, d.mean, d.rstd, images*q, e)
}

// classify computes what a decision costs each image, and in d.dheads the gradient of the mean over the batch of
// (1−α)·label + α·teacher, α being 0 without a teacher.
func (n *Network) classify(d *decision, s *shard, b Batch, loss Loss, w *scratch) {
	classes, q := n.config.Classes, n.config.Readouts().Heads
	factor := loss.scale()
	for i := range s.images {
		lo, hi := i*classes, (i+1)*classes
		b.target(w.target, s.first+i, loss.LabelSmoothing)
		if b.Teacher == nil {
			dz := d.dheads[0][lo:hi]
			d.label[i] = crossEntropy(dz, d.logits[lo:hi], w.target, 1, factor, b.Size, false)
			if q == 2 {
				kernels.Scale(dz, 0.5)
				copy(d.dheads[1][lo:hi], dz)
			}
			continue
		}
		d.label[i] = crossEntropy(d.dheads[0][lo:hi], d.heads[0][lo:hi], w.target, 1, factor*(1-loss.DistillAlpha), b.Size, false)
		temperature, constant := b.advice(w.target, s.first+i, loss)
		d.teacher[i] = constant + crossEntropy(d.dheads[q-1][lo:hi], d.heads[q-1][lo:hi], w.target, temperature, factor*loss.DistillAlpha, b.Size, q == 1)
	}
}

// target fills t [classes] with the distribution that image i is to have: its own, or (1−s)·onehot + s/classes for its label.
func (b Batch) target(t []float64, i int, smoothing float64) {
	if b.Targets != nil {
		for j, v := range b.Targets[i*len(t) : (i+1)*len(t)] {
			t[j] = float64(v)
		}
		return
	}
	for j := range t {
		t[j] = smoothing / float64(len(t))
	}
	t[b.Labels[i]] += 1 - smoothing
}

// advice fills t [classes] with the teacher's distribution for image i: softmax(teacher/τ), or its choice. It returns the temperature and what must be
// added to τ²·cross-entropy to make it τ²·KL(teacher ‖ student).
func (b Batch) advice(t []float64, i int, loss Loss) (temperature, constant float64) {
	z := b.Teacher[i*len(t) : (i+1)*len(t)]
	best := largestLogit(z)
	if loss.Distill == DistillHard {
		clear(t)
		t[best] = 1
		return 1, 0
	}
	temperature = loss.DistillTemperature
	if temperature == 0 {
		temperature = 1
	}
	total := 0.0
	for j, v := range z {
		t[j] = math.Exp(float64(v-z[best]) / temperature)
		total += t[j]
	}
	for j, v := range z {
		logP := float64(v-z[best])/temperature - math.Log(total)
		t[j] /= total
		constant += t[j] * logP
	}
	return temperature, temperature * temperature * constant
}

// crossEntropy returns −τ²·Σ target·ln softmax(z/τ) for one image's logits z [classes] and a target that sums to 1, and writes, or adds, to grad
// factor/batch times its gradient.
func crossEntropy(grad, z []float32, target []float64, temperature, factor float64, batch int, add bool) float64 {
	best := largestLogit(z)
	total, sum := 0.0, 0.0
	for _, v := range z {
		total += math.Exp(float64(v-z[best]) / temperature)
	}
	logTotal := math.Log(total)
	for j, v := range z {
		logP := float64(v-z[best])/temperature - logTotal
		sum -= target[j] * logP
		g := float32(factor * temperature * (math.Exp(logP) - target[j]) / float64(batch))
		if add {
			g += grad[j]
		}
		grad[j] = g
	}
	return temperature * temperature * sum
}

// largestLogit returns the class of the largest logit, the first of equals.
func largestLogit(z []float32) int {
	best := 0
	for j, v := range z {
		if v > z[best] {
			best = j
		}
	}
	return best
}
