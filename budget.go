package adavit

import (
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/usage"
)

// Budget bounds what an image may cost, as shares of the token-blocks that the dense model spends on one: Mean is aimed
// at on the average over images, by the model's ladder of measured budgets, and Max is never exceeded. The zero value
// asks for nothing.
type Budget = infer.Budget

// limits are what a Budget comes to for one model.
type limits struct {
	scheme int // index into the engine's schemes
	cap    int // most token-blocks; 0: no cap
}

// limits checks a call's budgets, of which there may be one.
func (c *Classifier) limits(budgets []Budget) (b Budget, l limits, err error) {
	if len(budgets) > 1 {
		return b, l, usage.Errorf("%d budgets for one call, want at most one", len(budgets))
	}
	if len(budgets) == 1 {
		b = budgets[0]
		l.scheme, l.cap, err = b.Limits(c.model)
	}
	return b, l, err
}
