package train

import (
	"errors"
	"fmt"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// Learnt gates: the two constants of a score, h = sigmoid(scale·t[0] − center), as two more parameters, without weight
// decay: METHOD.md section 6. They live in the model's halting configuration and take the values of float32.

// gateGradient is the loss's gradient with respect to the gates' constants.
type gateGradient struct{ scale, center float64 }

// add counts in d = ∂loss/∂t[0] of one gate, z = scale·gate − center.
func (g *gateGradient) add(d, scale, gate float32) {
	if d != 0 {
		g.scale += float64(d) / float64(scale) * float64(gate)
		g.center -= float64(d) / float64(scale)
	}
}

// Gates are learnt gates of a run, [8]: value, first and second moment and average of the scale, then of the center.
// nil are gates that are not learnt.
type Gates []float32

// NewGates begins to learn the gates of a configuration, and refuses one that has none.
func NewGates(h halting.Config) (Gates, error) {
	scheme, err := halting.NewTraining(h)
	if err != nil {
		return nil, err
	}
	if _, ok := scheme.(halting.Learner); !ok {
		return nil, fmt.Errorf("train: halting scheme %q has no gates to learn", h.Scheme)
	}
	if h.Number("gate_scale") == 0 {
		return nil, errors.New("train: a gate of scale 0 cannot be learnt: it looks at nothing")
	}
	scale, center := float32(h.Number("gate_scale")), float32(h.Number("gate_center"))
	return Gates{scale, 0, 0, scale, center, 0, 0, center}, nil
}

// Step takes AdamW's step a, without weight decay, down slope [2], the loss's gradient with respect to scale and
// center. The average follows by so much.
func (g Gates) Step(a kernels.AdamWStep, follow float32, slope []float32) {
	a.Decay = 0
	for i := range len(g) / 4 {
		v := g[4*i : 4*i+4]
		kernels.AdamW(v[:1], v[1:2], v[2:3], slope[i:i+1], a)
		v[0] = max(-halting.MaxGate, min(halting.MaxGate, v[0]))
		kernels.Lerp(v[3:], v[:1], follow)
	}
}

// Store writes the constants into the configurations of the weights and of their average.
func (g Gates) Store(weights, average *vit.Params) {
	if g == nil {
		return
	}
	for i, p := range []*vit.Params{weights, average} {
		scale, center := float64(g[3*i]), float64(g[4+3*i])
		p.Config.Halting = p.Config.Halting.With("gate_scale", scale).With("gate_center", center)
	}
}
