package train

import (
	"math"

	"github.com/adavit/adavit/halting"
)

// A budget instead of an α, METHOD.md (48) and (49): the share of the dense token-blocks that images are to cost on
// average. The ponder cost's weight is then the multiplier of that constraint, which a proportional-integral controller
// sets after every step from the running mean m of the share and a target b that falls from 1 to the budget over the
// first third of the run:
//
//	α = P·(m − b) + I·Σ (m − b)
//
// α may then be negative: tokens that cost less than they may are kept on. While it is at one of its bounds the sum
// does not grow (anti-windup).
//
// A model that is to serve every budget has one drawn for each step: b + r·u, u from −1 to 1, and with it the gates'
// center. The share is then m + n·u, n followed as m is, and α gets a second part, P·(n − r) + I·Σ (n − r), times u.
//
// A Controller is that, for any backend. State is all of it, m, n, I·Σ (m − b), I·Σ (n − r): [4], nil where there is no
// budget.
type Controller struct{ State []float32 }

const (
	proportional = 0.2     // P: an error of 0.01, an eighth of a block in 12, is worth an α of 0.002
	integral     = 1e-3    // I
	follow       = 1. / 16 // of the running means towards each step's
	mostAlpha    = 0.2     // in size
)

// NewController returns one for a run's beginning.
func NewController() Controller { return Controller{[]float32{1, 0, 0, 0}} }

// Drawn is what a step is to cost.
type Drawn struct {
	Alpha        float64 // the multiplier of the ponder cost, for Loss.Multiplier
	center       float64 // what is added to the gates' center
	u            float64 // where between −1 and 1 its budget is drawn
	mean, spread float64 // the targets of m and n
	least        float64 // bound of the multiplier
}

// Target is the share that the step is steered to.
func (d Drawn) Target() float64 { return d.mean + d.spread*d.u }

// Draw returns what step (from 0) of a run is to cost after progress, from 0 to 1.
func (c Controller) Draw(l Loss, step int, progress float64) Drawn {
	_, at := math.Modf(float64(step) * math.Phi) // multiples of the golden ratio fill an interval evenly
	come := (1 - math.Cos(math.Pi*min(1, 3*progress))) / 2
	d := Drawn{u: 2*at - 1, mean: 1 - (1-l.Budget)*come, spread: l.BudgetSpread * come}
	d.center = l.CenterSpread * come * d.u
	if come == 1 { // tokens that leave early as it is need not first be taught to stay
		d.least = -mostAlpha
	}
	m, n, sumM, sumN := float64(c.State[0]), float64(c.State[1]), float64(c.State[2]), float64(c.State[3])
	d.Alpha = proportional*(m-d.mean) + sumM + (proportional*(n-d.spread)+sumN)*d.u
	d.Alpha = max(d.least, min(mostAlpha, d.Alpha))
	return d
}

// Observe takes up what share a step's tokens cost.
func (c Controller) Observe(share float64, d Drawn) {
	m, n := float64(c.State[0]), float64(c.State[1])
	by := follow * (share - m - n*d.u)
	m, n = m+by, n+by*d.u
	c.State[0], c.State[1] = float32(m), float32(n)
	if e := m - d.mean; d.Alpha < mostAlpha && e > 0 || d.Alpha > d.least && e < 0 {
		c.State[2] += float32(integral * e)
	}
	if e := (n - d.spread) * d.u; d.Alpha < mostAlpha && e > 0 || d.Alpha > d.least && e < 0 {
		c.State[3] += float32(integral * (n - d.spread))
	}
}

// Shifted returns the gates' constants with the step's center.
func (d Drawn) Shifted(h halting.Config) halting.Config {
	if d.center == 0 {
		return h
	}
	return h.With("gate_center", h.Number("gate_center")+d.center)
}
