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

// gateState is what an optimizer knows of the gates' constants, scale first, center second.
type gateState struct{ value, gradient, m, v, average [2]float32 }

// learnGates makes o step the gates' constants of p too.
func (o *optimizer) learnGates(p *vit.Params) error {
	h := p.Config.Halting
	if s, err := newScheme(p.Config); err != nil {
		return err
	} else if s.learner == nil {
		return fmt.Errorf("train: halting scheme %q has no gates to learn", h.Policy)
	}
	if h.Number("gate_scale") == 0 {
		return errors.New("train: a gate of scale 0 cannot be learnt: it looks at nothing")
	}
	at := [2]float32{float32(h.Number("gate_scale")), float32(h.Number("gate_center"))}
	o.gates = &gateState{value: at, average: at}
	o.gates.store(p, o.average)
	return nil
}

// update takes AdamW's step s.
func (g *gateState) update(d gateGradient, s kernels.AdamWStep) {
	s.Decay = 0
	g.gradient = [2]float32{float32(d.scale), float32(d.center)} // a local one would escape
	kernels.AdamW(g.value[:], g.m[:], g.v[:], g.gradient[:], s)
	for i, v := range g.value {
		g.value[i] = max(-halting.MaxGate, min(halting.MaxGate, v))
	}
}

// store writes the constants into the configurations of the weights and of their average.
func (g *gateState) store(p, average *vit.Params) {
	with := func(c halting.Config, v [2]float32) halting.Config {
		return c.With("gate_scale", float64(v[0])).With("gate_center", float64(v[1]))
	}
	p.Config.Halting, average.Config.Halting = with(p.Config.Halting, g.value), with(average.Config.Halting, g.average)
}

// snapshot returns all that a checkpoint has to keep of the gates: value, first and second moment and average of scale
// and center in turn, 8 numbers.
func (g *gateState) snapshot() []float32 {
	return []float32{g.value[0], g.m[0], g.v[0], g.average[0], g.value[1], g.m[1], g.v[1], g.average[1]}
}

// restoreGates brings a snapshot back, into the configurations of p and of the average too. Call learnGates first.
func (o *optimizer) restoreGates(p *vit.Params, s []float32) error {
	if o.gates == nil {
		return errors.New("train: there are no learnt gates to restore")
	}
	if len(s) != 8 {
		return fmt.Errorf("train: %d numbers of learnt gates, want 8", len(s))
	}
	if at := kernels.FirstNotFinite(s); at >= 0 {
		return fmt.Errorf("train: learnt gates hold %v", s[at])
	}
	for i := range o.gates.value {
		o.gates.value[i], o.gates.m[i], o.gates.v[i], o.gates.average[i] = s[4*i], s[4*i+1], s[4*i+2], s[4*i+3]
	}
	o.gates.store(p, o.average)
	return nil
}
