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

// learnGates makes s step the gates' constants too: value, first and second moment and average of the scale, then of
// the center, are its gates [8].
func (s *Stepper) learnGates() error {
	h := s.params.Config.Halting
	if s.net.scheme.learner == nil {
		return fmt.Errorf("train: halting scheme %q has no gates to learn", h.Scheme)
	}
	if h.Number("gate_scale") == 0 {
		return errors.New("train: a gate of scale 0 cannot be learnt: it looks at nothing")
	}
	scale, center := float32(h.Number("gate_scale")), float32(h.Number("gate_center"))
	s.gates = []float32{scale, 0, 0, scale, center, 0, 0, center}
	s.storeGates()
	return nil
}

// stepGates takes AdamW's step a; the average follows by so much.
func (s *Stepper) stepGates(a kernels.AdamWStep, follow float32) {
	if s.gates == nil {
		return
	}
	a.Decay = 0
	for i, d := range []float64{s.net.gate.scale, s.net.gate.center} {
		g := s.gates[4*i : 4*i+4]
		s.gateSlope[0] = float32(d)
		kernels.AdamW(g[:1], g[1:2], g[2:3], s.gateSlope[:], a)
		g[0] = max(-halting.MaxGate, min(halting.MaxGate, g[0]))
		if s.settings.EMA > 0 {
			kernels.Lerp(g[3:], g[:1], follow)
		}
	}
	s.storeGates()
}

// storeGates writes the constants into the configurations of the weights and of their average.
func (s *Stepper) storeGates() {
	for i, p := range []*vit.Params{s.params, s.average} {
		scale, center := float64(s.gates[3*i]), float64(s.gates[4+3*i])
		p.Config.Halting = p.Config.Halting.With("gate_scale", scale).With("gate_center", center)
	}
}
