package infer

import (
	"errors"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/vit"
)

// Budget bounds what an image may cost, as shares of the N·L token-blocks that the dense model spends on one, more
// than 0 and at most 1. The zero value asks for nothing.
type Budget struct {
	// Mean is aimed at on the average over images: the model's ladder of measured budgets says by which constants. A
	// model without a ladder refuses it.
	Mean float64 `json:"mean,omitempty"`
	// Max is never exceeded, whatever the image and the weights: near it tokens are taken out, those with the largest
	// cumulative score first and the class token last (halting.State.Enforce).
	Max float64 `json:"max,omitempty"`
}

// ErrNoLadder is the error about a mean budget for a model without a ladder.
var ErrNoLadder = errors.New("this model has no ladder of measured budgets (" + vit.LadderFile +
	"), so no mean can be aimed at; a cap works with every model")

// Schemes returns the halting schemes of a model, for Options.Schemes: its own, and those of its ladder's rungs.
func Schemes(m *vit.Model) (list []halting.Scheme, err error) {
	for _, r := range append([]vit.Rung{{}}, m.Ladder...) {
		s, err := halting.New(r.Apply(m.Params.Config.Halting))
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// Limits returns what b comes to for a model: the index of a scheme of Schemes, and the most token-blocks of an image,
// 0 for any number. A share that makes no sense is an error that wraps usage.Err.
func (b Budget) Limits(m *vit.Model) (scheme, most int, err error) {
	for _, v := range []float64{b.Mean, b.Max} {
		if !(v >= 0 && v <= 1) {
			return 0, 0, usage.Errorf("a budget of %v, want a share of the dense model's work, above 0 and at most 1", v)
		}
	}
	if b.Mean > 0 {
		if scheme, err = rung(m.Ladder, b.Mean); err != nil {
			return 0, 0, err
		}
	}
	if b.Max > 0 {
		c := &m.Params.Config
		dense, least := float64(c.Tokens()*c.Layers), c.Readouts().Heads
		if most = int(b.Max * dense); most < least {
			return 0, 0, usage.Errorf("a cap of %v of the dense model's work, but a token in one block is %.2g of it",
				b.Max, float64(least)/dense)
		}
	}
	return scheme, most, nil
}

// rung returns the scheme for a mean budget: of the ladder's rungs the one that costs most within it, or else the one
// that costs least.
func rung(ladder []vit.Rung, mean float64) (scheme int, err error) {
	if len(ladder) == 0 {
		return 0, ErrNoLadder
	}
	rank := func(r vit.Rung) float64 { // the best has the least
		if r.Mean <= mean {
			return -r.Mean
		}
		return r.Mean
	}
	best := 0
	for i, r := range ladder {
		if rank(r) < rank(ladder[best]) {
			best = i
		}
	}
	return 1 + best, nil
}
