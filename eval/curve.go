package eval

import (
	"context"
	"math"

	"github.com/adavit/adavit/halting"
)

// curve is how the cost, a share of the dense model's, follows one number that decides on the constants.
type curve struct {
	Tuner
	outcomes map[float64]*outcome
}

// newCurve begins one, on the first n images.
func (c *calibration) newCurve(lo, hi float64, constants func(value float64) halting.Config, n int) *curve {
	k := &curve{Tuner{Lo: lo, Hi: hi}, map[float64]*outcome{}}
	k.Measure = func(ctx context.Context, v float64) (float64, error) {
		o, err := c.measure(ctx, constants(v), n)
		if err != nil {
			return 0, err
		}
		k.outcomes[v] = o
		return o.mean, nil
	}
	return k
}

// curveKey is what one curve differs in from another: the key of the constant along which it goes, what the other one
// is, and the images.
type curveKey struct {
	along  string
	other  float64
	images int
}

// alongGate returns the curve along the tuned constant with an exit, on the first n images.
func (c *calibration) alongGate(exit float64, n int) *curve {
	key := curveKey{c.tune, exit, n}
	if c.curves[key] == nil {
		h := c.model.Params.Config.Halting
		if c.exit != "" {
			h = h.With(c.exit, exit)
		}
		t := h.Tuning()
		c.curves[key] = c.newCurve(t.Lo, t.Hi, func(v float64) halting.Config { return h.With(c.tune, v) }, n)
	}
	return c.curves[key]
}

// never is the exit that hardly ends an image. (0, which ends none, is something else: then the tokens that are read
// halt by their gates, too.)
const never = 1

// alongExit returns the curve along the exit at a value of the tuned constant, on the first n images. All of it takes
// one pass.
func (c *calibration) alongExit(gate float64, n int) *curve {
	key := curveKey{c.exit, gate, n}
	if c.curves[key] == nil {
		h := c.model.Params.Config.Halting.With(c.tune, gate)
		least := 1 / float64(c.model.Params.Config.Classes) // no prediction is less sure
		c.curves[key] = c.newCurve(least, never, func(v float64) halting.Config { return h.With(c.exit, v) }, n)
	}
	return c.curves[key]
}

// at returns the outcome at a value.
func (k *curve) at(ctx context.Context, value float64) (*outcome, error) {
	_, err := k.At(ctx, value)
	return k.outcomes[value], err
}

// reach returns the outcome whose mean comes nearest to the target; see Tuner.Reach.
func (k *curve) reach(ctx context.Context, target, tolerance, from, step float64) (*outcome, error) {
	v, _, err := k.Reach(ctx, target, tolerance, from, step)
	return k.outcomes[v], err
}

// stepAt returns how far one has to go, about, for the cost to change by a few hundredths of a target, if that lies
// between two trials.
func (k *curve) stepAt(target float64) (step float64, crossed bool) {
	const part = 0.03
	a, b, crossed := k.bracket(target)
	if !crossed {
		return 0, false
	}
	return math.Abs((b.value-a.value)/(b.cost-a.cost)) * part * target, true
}
