package train

import (
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
	scale := 1.0
	if r.ClipNorm > 0 && norm > r.ClipNorm {
		scale = r.ClipNorm / norm
	}
	s.steps++
	step := kernels.AdamWStep{LR: float32(lr), Beta1: float32(r.Beta1), Beta2: float32(r.Beta2), Eps: 1e-8,
		GradScale: float32(scale), Correction1: float32(1 - math.Pow(r.Beta1, float64(s.steps))),
		Correction2: float32(1 - math.Pow(r.Beta2, float64(s.steps)))}
	// Early averages follow closely, since the first weights are not worth remembering.
	follow := float32(1 - min(r.EMA, float64(1+s.steps)/float64(10+s.steps)))
	s.net.parallel(len(tensors), func(i int, _ *scratch) {
		if s.frozen[i] {
			return
		}
		t, a := tensors[i], step
		if t.Decay {
			a.Decay = float32(r.WeightDecay)
		}
		lo, hi := t.Offset, t.Offset+len(t.Data)
		kernels.AdamW(p.Data[lo:hi], s.m[lo:hi], s.v[lo:hi], t.Data, a)
		if r.EMA > 0 {
			kernels.Lerp(s.average.Data[lo:hi], p.Data[lo:hi], follow)
		}
	})
	s.stepGates(step, follow)
	return norm
}
