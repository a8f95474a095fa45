package train

import (
	"math"

	"github.com/adavit/adavit/halting"
)

// A budget instead of an α, METHOD.md (47): the share of the dense token-blocks that images are to cost on average. The
// ponder cost's weight is then the multiplier of that constraint, which a proportional-integral controller sets after
// every step from the running mean of the share m and the target b, which falls from 1 to the budget over the first
// third of the run:
//
//	α = P·(m − b) + I·Σ (m − b)
//
// α may be negative: tokens that cost less than they may are kept on. While it is at one of its bounds the sum does not
// grow (anti-windup).
type controller struct{ state []float32 } // m, and I·Σ (m − b)

const (
	proportional = 0.05    // P: an error of 0.02, a quarter of a block in 12, is worth an α of 0.001
	integral     = 1e-4    // I
	follow       = 1. / 32 // of the running mean towards each step's
	mostAlpha    = 0.05    // in size
)

func newController() controller { return controller{[]float32{1, 0}} }

// alpha is the multiplier after progress, from 0 to 1, of a run with this budget.
func (c controller) alpha(budget, progress float64) (alpha, target float64) {
	target = 1 - (1-budget)*min(1, 3*progress)
	alpha = proportional*(float64(c.state[0])-target) + float64(c.state[1])
	return max(-mostAlpha, min(mostAlpha, alpha)), target
}

// observe takes up what share a step's tokens cost while alpha was in force towards target.
func (c controller) observe(share, alpha, target float64) {
	m := float64(c.state[0])
	m += follow * (share - m)
	c.state[0] = float32(m)
	if e := m - target; math.Abs(alpha) < mostAlpha || e*alpha < 0 {
		c.state[1] += float32(integral * e)
	}
}

// drawCenter returns the gates' constants for a step: their center drawn up to BudgetSpread from its place, evenly over
// the steps.
func (l Loss) drawCenter(h halting.Config, step int) halting.Config {
	if l.BudgetSpread == 0 {
		return h
	}
	_, at := math.Modf(float64(step) * math.Phi) // multiples of the golden ratio fill an interval evenly
	return h.With("gate_center", h.Number("gate_center")+(2*at-1)*l.BudgetSpread)
}
