package train

import (
	"cmp"
	"math"

	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// update takes AdamW's step (Loshchilov and Hutter 2019; METHOD.md (40)–(42)) down grad, and down the gates' gradient
// of the last pass, and lets the average follow. It returns the gradient's norm before clipping, frozen tensors left
// out. A norm that is not finite changes nothing.
func (s *Stepper) update(grad *vit.Params, lr float64) float64 {
	r, p := s.settings, s.params
	tensors := grad.Tensors()
	sums := make([]float64, len(tensors))
	s.net.parallel(len(tensors), func(i int, _ *scratch) {
		if !s.frozen[i] {
			sums[i] = kernels.SumSquares(tensors[i].Data)
		}
	})
	total := 0.0
	for _, sum := range sums {
		total += sum
	}
	if g := s.net.gate; s.gates != nil {
		total += g.scale*g.scale + g.center*g.center
	}
	norm := math.Sqrt(total)
	if !finite(norm) {
		return norm
	}
	s.steps++
	step, follow := r.AdamW(s.steps, lr, norm)
	s.net.parallel(len(tensors), func(i int, _ *scratch) {
		if s.frozen[i] {
			return
		}
		t, a := tensors[i], step
		a.LR = float32(lr * s.pace[i])
		if t.Decay {
			a.Decay = float32(r.WeightDecay)
		}
		lo, hi := t.Offset, t.Offset+len(t.Data)
		kernels.AdamW(p.Data[lo:hi], s.m[lo:hi], s.v[lo:hi], t.Data, a)
		if r.EMA > 0 {
			kernels.Lerp(s.average.Data[lo:hi], p.Data[lo:hi], follow)
		}
	})
	if s.gates != nil {
		s.slope = [2]float32{float32(s.net.gate.scale), float32(s.net.gate.center)}
		s.gates.Step(step, follow, s.slope[:])
		s.gates.Store(s.params, s.average)
	}
	return norm
}

// Pace returns what each tensor of a model, in the order of its Tensors, learns at, as a share of the learning rate,
// METHOD.md (43): 1 for the last norm and the heads, LayerDecay times less with each block below, the embedding last.
func (s Settings) Pace(p *vit.Params) (pace []float64) {
	layers, depth := len(p.Blocks), 0
	for _, t := range p.Tensors() {
		if l, ok := blockOf(t.Name); ok {
			depth = l + 1
		} else if depth == layers { // what is not of a block comes before them all or after
			depth++
		}
		pace = append(pace, math.Pow(cmp.Or(s.LayerDecay, 1), float64(layers+1-depth)))
	}
	return pace
}

// AdamW returns the constants of step number steps (from 1) down a gradient of the given norm, whose Decay is left for
// those tensors that have it, and how far the average follows, METHOD.md (40)–(42).
func (s Settings) AdamW(steps int, lr, norm float64) (a kernels.AdamWStep, follow float32) {
	scale := 1.0
	if s.ClipNorm > 0 && norm > s.ClipNorm {
		scale = s.ClipNorm / norm
	}
	a = kernels.AdamWStep{LR: float32(lr), Beta1: float32(s.Beta1), Beta2: float32(s.Beta2), Eps: 1e-8,
		GradScale: float32(scale), Correction1: float32(1 - math.Pow(s.Beta1, float64(steps))),
		Correction2: float32(1 - math.Pow(s.Beta2, float64(steps)))}
	if s.EMA > 0 { // early averages follow closely, since the first weights are not worth remembering
		follow = float32(1 - min(s.EMA, float64(1+steps)/float64(10+steps)))
	}
	return a, follow
}
