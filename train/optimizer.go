package train

import (
	"math"

	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// optimizer is AdamW (Loshchilov and Hutter 2019; METHOD.md (40)–(42)) with the moments of all parameters in one block
// each, and the moving average of the weights.
type optimizer struct {
	settings Settings
	step     int       // steps taken
	m, v     []float32 // first and second moments, laid out as vit.Params.Data
	average  *vit.Params
	frozen   []bool     // [tensors] those that keep their bits; nil: none
	gates    *gateState // of the two constants of the gates, where they are learnt
}

// newOptimizer prepares to step p: all of its tensors but the frozen ones, and the gates' constants if they are
// learnt.
func newOptimizer(p *vit.Params, s Settings) (*optimizer, error) {
	o := &optimizer{settings: s, m: make([]float32, len(p.Data)), v: make([]float32, len(p.Data)), average: p.Clone()}
	var err error
	if s.Freeze != nil {
		if o.frozen, err = freezeAll(p, s.Freeze); err != nil {
			return nil, err
		}
	}
	if s.LearnGate {
		err = o.learnGates(p)
	}
	return o, err
}

// update takes one step down grad, and down the gates' gradient in n, and returns the gradient's norm before clipping,
// frozen tensors left out. A norm that is not finite changes nothing.
func (o *optimizer) update(n *Network, p, grad *vit.Params, lr float64) float64 {
	r := o.settings
	tensors := grad.Tensors()
	frozen := func(i int) bool { return o.frozen != nil && o.frozen[i] }
	sums := make([]float64, len(tensors))
	n.parallel(len(tensors), func(i int, _ *scratch) {
		if !frozen(i) {
			sums[i] = kernels.SumSquares(tensors[i].Data)
		}
	})
	total := 0.0
	for _, s := range sums {
		total += s
	}
	if o.gates != nil {
		total += n.gate.scale*n.gate.scale + n.gate.center*n.gate.center
	}
	norm := math.Sqrt(total)
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return norm
	}
	scale := 1.0
	if r.ClipNorm > 0 && norm > r.ClipNorm {
		scale = r.ClipNorm / norm
	}
	o.step++
	s := kernels.AdamWStep{LR: float32(lr), Beta1: float32(r.Beta1), Beta2: float32(r.Beta2), Eps: 1e-8,
		GradScale: float32(scale), Correction1: float32(1 - math.Pow(r.Beta1, float64(o.step))),
		Correction2: float32(1 - math.Pow(r.Beta2, float64(o.step)))}
	// Early averages follow closely, since the first weights are not worth remembering.
	follow := float32(1 - min(r.EMA, float64(1+o.step)/float64(10+o.step)))
	n.parallel(len(tensors), func(i int, _ *scratch) {
		if frozen(i) {
			return
		}
		t, s := tensors[i], s
		if t.Decay {
			s.Decay = float32(r.WeightDecay)
		}
		lo, hi := t.Offset, t.Offset+len(t.Data)
		kernels.AdamW(p.Data[lo:hi], o.m[lo:hi], o.v[lo:hi], t.Data, s)
		if r.EMA > 0 {
			kernels.Lerp(o.average.Data[lo:hi], p.Data[lo:hi], follow)
		}
	})
	if o.gates != nil {
		o.gates.update(n.gate, s)
		if r.EMA > 0 {
			kernels.Lerp(o.gates.average[:], o.gates.value[:], follow)
		}
		o.gates.store(p, o.average)
	}
	return norm
}
