package train

import (
	"math"

	"github.com/adavit/adavit/halting"
)

// A budget instead of an α, METHOD.md (47): the share of the dense token-blocks that images are to cost on average. The
// ponder cost's weight is then the multiplier of that constraint, which a proportional-integral controller sets after
// every step from the running mean m of the share and a target b that falls from 1 to the budget over the first third
// of the run:
//
//	α = P·(m − b) + I·Σ (m − b)
//
// α may then be negative: tokens that cost less than they may are kept on. While it is at one of its bounds the sum
// does not grow (anti-windup).
//
// Where the gates' center is drawn for each step, u from −1 to 1 of BudgetSpread, m is the mean at u = 0, and what a
// step's share owes to u, about slope·u, is no error.
type controller struct{ state []float32 } // m, I·Σ (m − b), slope

const (
	proportional = 0.2     // P: an error of 0.01, an eighth of a block in 12, is worth an α of 0.002
	integral     = 1e-3    // I
	follow       = 1. / 16 // of the running mean towards each step's
	mostAlpha    = 0.2     // in size
)

func newController() controller { return controller{[]float32{1, 0, 0}} }

// alpha is the multiplier after progress, from 0 to 1, of a run with this budget.
func (c controller) alpha(budget, progress float64) (alpha, target float64) {
	target = 1 - (1-budget)*(1-math.Cos(math.Pi*min(1, 3*progress)))/2
	alpha = proportional*(float64(c.state[0])-target) + float64(c.state[1])
	return max(leastAlpha(progress), min(mostAlpha, alpha)), target
}

// leastAlpha is 0 while the target falls: tokens that leave early as it is need not first be taught to stay.
func leastAlpha(progress float64) float64 {
	if 3*progress < 1 {
		return 0
	}
	return -mostAlpha
}

// observe takes up what share the tokens of a step after progress cost, its center at u, while alpha was in force
// towards target.
func (c controller) observe(share, u, progress, alpha, target float64) {
	m, slope := float64(c.state[0]), float64(c.state[2])
	by := follow * (share - m - slope*u)
	m, slope = m+by, slope+by*u
	c.state[0], c.state[2] = float32(m), float32(slope)
	if e := m - target; !(alpha >= mostAlpha && e > 0 || alpha <= leastAlpha(progress) && e < 0) {
		c.state[1] += float32(integral * e)
	}
}

// draw returns where in −1 … 1 a step's center is drawn to. Multiples of the golden ratio fill an interval evenly.
func draw(step int) (u float64) {
	_, at := math.Modf(float64(step) * math.Phi)
	return 2*at - 1
}

// drawCenter returns the gates' constants for a step, their center drawn up to BudgetSpread from its place.
func (l Loss) drawCenter(h halting.Config, step int) halting.Config {
	if l.BudgetSpread == 0 {
		return h
	}
	return h.With("gate_center", h.Number("gate_center")+draw(step)*l.BudgetSpread)
}
