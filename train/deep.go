package train

import (
	"cmp"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
)

// supervise weighs the decisions of a scheme that may stop after any block, each of which classify has computed: with
// PonderNet's chances to stop there, or as Loss.DeepSupervision says. It tells what the scheme would do at inference,
// too: where it stops and whether it is right there.
func (n *Network) supervise(s *shard, b Batch, loss Loss, w *scratch) {
	c := n.config
	layers, tokens := c.Layers, c.Tokens()
	p, lambda := w.series[:layers], w.series[layers:2*layers]
	cost, slope := w.series[2*layers:3*layers], w.series[3*layers:]
	for i := range s.images {
		deep := cmp.Or(loss.DeepSupervision, 1)
		for l := range p {
			p[l] = deep / float64(layers)
		}
		p[layers-1] += 1 - deep
		if n.scheme.chances {
			for l := range lambda {
				lambda[l] = float64(s.score[(i*layers+l)*tokens])
			}
			for l, d := range s.decisions {
				cost[l] = d.label[i]
				if t := loss.Distill; t != nil {
					cost[l] = (1-t.Alpha)*d.label[i] + t.Alpha*d.teacher[i]
				}
			}
			s.divergence += ponderLoss(lambda, cost, n.geometric, loss.PonderBeta, p, slope)
			for l, g := range slope {
				s.dlambda[i*layers+l] = loss.scale() * g / float64(b.Size)
			}
		}
		for l, d := range s.decisions {
			s.crossEntropy += p[l] * d.label[i]
			s.distill += p[l] * d.teacher[i]
			for h := range c.Classifiers() {
				kernels.Scale(d.dheads[h][i*c.Classes:(i+1)*c.Classes], float32(p[l]))
			}
		}
		depth := n.stopsAt(s, i)
		for _, k := range s.state[i].Depth {
			s.depth += float64(min(int(k), depth))
		}
		if largestLogit(s.decisions[depth-1].logits[i*c.Classes:(i+1)*c.Classes]) == int(b.Labels[s.first+i]) {
			s.correct++
		}
	}
}

// stopsAt returns the block, 1-based, after which image i would be finished at inference.
func (n *Network) stopsAt(s *shard, i int) int {
	c := n.config
	var state halting.State
	state.Reset(1)
	r := halting.Rows{Layers: c.Layers, Readouts: halting.Readouts{Special: 1, Alone: 1}, Stride: 1,
		X: make([]float32, 1), Token: []int32{0}, Score: make([]float32, 1), Weight: make([]float32, 1)}
	for l, d := range s.decisions {
		if r.Layer = l + 1; s.gate != nil {
			r.X[0] = n.lead(s.gate[(i*c.Layers+l)*c.Tokens():][:c.Tokens()])
		}
		r.Logits = func() []float32 { return d.logits[i*c.Classes : (i+1)*c.Classes] }
		n.scheme.stop.Step(&state, r)
		if state.Depth[0] != 0 {
			return l + 1
		}
	}
	return c.Layers
}

// lead returns the gate that decides for an image, of the gates [N] of its tokens, all of which ran: the class token's,
// or where there is none the mean of the patches'.
func (n *Network) lead(gate []float32) float32 {
	if n.reads.Class() {
		return gate[0]
	}
	sum := float32(0)
	for _, v := range gate[n.reads.Special:] {
		sum += v
	}
	return sum / float32(len(gate)-n.reads.Special)
}
