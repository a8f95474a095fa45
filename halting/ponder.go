package halting

import "fmt"

var _ = Register(Descriptor{
	Name: "ponder", Order: 5, Summary: "PonderNet: the class token's gate is the chance to stop",
	// The gate starts at a chance of 0.12 for a gate of 0, near the priors that it is used with: from A-ViT's centre
	// its chances and their gradients would be nothing.
	Keys: []Key{
		{Name: "gate_scale", Text: "gate scale", Default: 1.0, Min: -MaxGate, Max: MaxGate},
		{Name: "gate_center", Text: "gate center", Default: 2.0, Min: -MaxGate, Max: MaxGate},
		{Name: "epsilon", Default: 0.05, Max: 0.999}, // stop once the chance to have stopped reaches 1 − ε
	},
	Tune: "epsilon", TuneRange: func(float64) (lo, hi float64) { return 0.999, 0 },
	New:         func(c Config) Scheme { return Ponder{tokenOf(c), false} },
	NewTraining: func(c Config) Scheme { return Ponder{tokenOf(c), true} },
	// With the β of 0.01 of Banino et al. a dense model that is trained on goes on deciding in its last blocks; it is
	// the prior that draws it away from there, to half of the blocks.
	Recipe: func(number func(key string) float64, layers int) (set []string) {
		if number("ponder_beta") == 0 {
			set = append(set, "ponder_beta=0.2")
		}
		if number("ponder_lambda") == 0 && number("target_layer") < 1 {
			set = append(set, fmt.Sprintf("ponder_lambda=%g", min(1, 2/float64(layers))))
		}
		return set
	},
})

// Ponder is PonderNet (Banino, Balaguer, Blundell 2021) on a vision transformer, METHOD.md (12) and (13): λ[l] =
// sigmoid(gate of the class token) is the chance to stop after block l if the image has come that far, λ[L] = 1, so
//
//	p[l] = λ[l]·Π_{j<l} (1 − λ[j])
//
// is the chance to stop there. Every block has a prediction in training. At inference the image stops at the first l
// with p[1] + … + p[l] ≥ Threshold = 1 − ε, where the original draws at random, and that block's prediction counts.
type Ponder struct {
	Token           // the gate
	EveryBlock bool // training: no image stops early, and Weight is p[l]
}

// Step accumulates the chance to have stopped. Scores of all tokens are λ[l], the last block's too.
func (p Ponder) Step(s *State, r Rows) {
	if len(r.Token) == 0 {
		return
	}
	lambda := Sigmoid(p.Scale*r.lead() - p.Center)
	last, before := r.Layer == r.Layers, s.Cumulative[0]
	chance := lambda * (1 - before)
	if last {
		chance = 1 - before
	}
	r.tell(s, before+chance)
	if p.EveryBlock {
		r.Fill(lambda, chance)
		if last {
			r.haltAll(s, chance)
		}
		return
	}
	r.Fill(lambda, 0)
	if last || before+chance >= p.Threshold {
		r.HaltAll(s)
	}
}

// Needs looks at gates alone.
func (p Ponder) Needs(layer, layers int) Needs { return Needs{Halts: layer < layers && !p.EveryBlock} }

// Deep says that every block's prediction is learnt.
func (Ponder) Deep() {}

// Chances says that each counts by the chance to stop there.
func (Ponder) Chances() {}

// Backward implements Learner, METHOD.md (36) and (38): with up.Lambda alone, ∂loss/∂t[cls][0] = ∂loss/∂λ ·
// scale·λ·(1−λ) below block L. The other tokens' gates and the last block's get nothing. (Without a class token the
// patches' gates have it alike.)
func (p Ponder) Backward(dGate, score []float32, depth []int32, up Upstream) {
	n := len(depth)
	clear(dGate)
	for l := range len(up.Lambda) - 1 {
		up.Readouts.led(dGate[l*n:(l+1)*n], p.gradient(up.Lambda[l], score[l*n]))
	}
}
