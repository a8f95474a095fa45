package eval

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
)

// How near a rung's mean has to be to its budget, as a share of it: where a search ends, on few images and on all; what
// counts as reached; and how far off it may be where nothing is, for a constant that is a count cannot give every mean.
const (
	coarseTolerance = 0.02
	fineTolerance   = 0.004
	budgetReached   = 0.01
	budgetSlack     = 0.05
)

// within reports whether a mean is off a budget by no more than a share of it.
func within(mean, share, budget float64) bool { return math.Abs(mean-budget) <= share*budget }

// coarseImages is how many images decide which exits are worth a measurement on all.
const coarseImages = 256

// finalists is how many exits are measured on all images for a budget.
const finalists = 2

// exits are the values that are tried of the constant that ends an image, besides the model's own: never, hardly ever,
// and ever sooner. Models that were trained with smoothed labels are never surer than 0.9 or so.
var exits = []float64{0, 1, 0.999, 0.99, 0.97, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5}

// plan foresees how many images have to be run, about.
func (c *calibration) plan() {
	n, budgets, perBudget := c.images.Len(), len(c.Budgets), 1
	if c.exit != "" {
		perBudget = finalists
	}
	c.planned = n + len(c.exitValues())*budgets*2*c.coarse() + (perBudget*5/2+2)*budgets*n
}

// coarse is the number of images that a search begins with: all, where there are not many more.
func (c *calibration) coarse() int {
	if n := c.images.Len(); n < 2*coarseImages {
		return n
	}
	return coarseImages
}

// exitValues are the values of the exit to try: one that is no value where the scheme has none.
func (c *calibration) exitValues() []float64 {
	if c.exit == "" {
		return []float64{0}
	}
	own := c.model.Params.Config.Halting.Number(c.exit)
	if slices.Contains(exits, own) {
		return exits
	}
	return slices.Concat(exits, []float64{own})
}

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

// curveKey is what one curve along the tuned constant differs in from another.
type curveKey struct {
	exit   float64
	images int
}

// curve returns that along the tuned constant with an exit, on the first n images.
func (c *calibration) curve(exit float64, n int) *curve {
	key := curveKey{exit, n}
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

// reach returns the outcome whose mean comes nearest to the target; see Tuner.Reach.
func (k *curve) reach(ctx context.Context, target, tolerance, from, step float64) (*outcome, error) {
	v, _, err := k.Reach(ctx, target, tolerance, from, step)
	return k.outcomes[v], err
}

// candidate is an exit for a budget, with what few images came to.
type candidate struct {
	exit    float64
	coarse  *outcome
	reached bool    // the budget, or it can be
	step    float64 // of the tuned constant that changes the cost by a few hundredths, about; 0 if that is not known
}

// ErrOutOfReach says that a model can have no rung at all.
var ErrOutOfReach = errors.New("none of the budgets can be reached")

// search finds the best constants for every budget that can be reached, in the order of their means, which rise.
func (c *calibration) search(ctx context.Context) (list []*outcome, missed []Missed, err error) {
	for _, budget := range c.Budgets {
		candidates, nearest, err := c.candidates(ctx, budget)
		if err != nil {
			return nil, nil, err
		}
		best, err := c.best(ctx, budget, candidates)
		if err != nil {
			return nil, nil, err
		}
		if best != nil {
			list = append(list, best)
		} else {
			missed = append(missed, Missed{budget, nearest})
		}
	}
	if len(list) == 0 {
		return nil, nil, fmt.Errorf("%w by the constant %s", ErrOutOfReach, c.tune)
	}
	slices.SortStableFunc(list, func(a, b *outcome) int { return cmp.Compare(a.mean, b.mean) })
	return slices.CompactFunc(list, func(a, b *outcome) bool { return math.Abs(a.mean-b.mean) < leastGap }), missed, nil
}

// leastGap is how much the means of two rungs differ at least.
const leastGap = 1e-5

// candidates looks with few images which exits reach a budget, or else come near it, and how near the nearest does.
func (c *calibration) candidates(ctx context.Context, budget float64) (list []candidate, nearest float64, err error) {
	start, nearest := c.model.Params.Config.Halting.Number(c.tune), math.Inf(1)
	for _, exit := range c.exitValues() {
		k := c.curve(exit, c.coarse())
		o, err := k.reach(ctx, budget, coarseTolerance*budget, start, 0)
		if err != nil {
			return nil, 0, err
		}
		if math.Abs(o.mean-budget) < math.Abs(nearest-budget) {
			nearest = o.mean
		}
		if within(o.mean, budgetSlack, budget) {
			step, crossed := k.stepAt(budget)
			reached := within(o.mean, budgetReached, budget) || crossed && within(o.mean, coarseTolerance, budget)
			list = append(list, candidate{exit, o, reached, step})
		}
	}
	if slices.ContainsFunc(list, func(a candidate) bool { return a.reached }) {
		list = slices.DeleteFunc(list, func(a candidate) bool { return !a.reached })
	}
	return list, nearest, nil
}

// best measures the most promising candidates for a budget on all images and returns the most accurate outcome of those
// that reach it, or else of the others; nil if there is none.
func (c *calibration) best(ctx context.Context, budget float64, list []candidate) (best *outcome, err error) {
	for place := 0; place < finalists && len(list) > 0; place++ {
		first := 0
		for i := range list {
			if list[i].coarse.better(list[first].coarse) {
				first = i
			}
		}
		a := list[first]
		list = slices.Delete(list, first, first+1)
		tolerance := fineTolerance * budget
		if !a.reached { // it cannot be brought nearer
			tolerance = max(tolerance, 1.01*math.Abs(a.coarse.mean-budget))
		}
		o, err := c.curve(a.exit, c.images.Len()).reach(ctx, budget, tolerance, a.coarse.config.Number(c.tune), a.step)
		if err != nil {
			return nil, err
		}
		if !within(o.mean, budgetSlack, budget) {
			continue
		}
		reached := within(o.mean, budgetReached, budget)
		if best == nil || reached && !within(best.mean, budgetReached, budget) ||
			reached == within(best.mean, budgetReached, budget) && o.better(best) {
			best = o
		}
	}
	return best, nil
}

// stepAt returns how far the tuned constant has to go, about, for the cost to change by a few hundredths of a target,
// if that lies between two trials.
func (k *curve) stepAt(target float64) (step float64, crossed bool) {
	const part = 0.03
	a, b, crossed := k.bracket(target)
	if !crossed {
		return 0, false
	}
	return math.Abs((b.value-a.value)/(b.cost-a.cost)) * part * target, true
}

// Two rungs are joined by interpolation where that is right to joinTolerance halfway between them. Those that are so
// near each other (infer.Near) that nothing is lost without are not joined.
const (
	joinTolerance = 0.02
	joinStep      = 1.01
	joinGap       = 1.005 // between two rungs at least
)

// fill puts rungs between those that interpolation does not join.
func (c *calibration) fill(ctx context.Context, list []*outcome) ([]*outcome, error) {
	for i := 0; i+1 < len(list); {
		o, err := c.between(ctx, list[i], list[i+1])
		if err != nil {
			return nil, err
		}
		if o == nil {
			i++
		} else {
			list = slices.Insert(list, i+1, o)
		}
	}
	return list, nil
}

// between returns an outcome to be put between a and b, or nil.
func (c *calibration) between(ctx context.Context, a, b *outcome) (*outcome, error) {
	if b.mean <= infer.Near*a.mean {
		return nil, nil
	}
	inside := func(o *outcome) bool { return o.mean >= joinGap*a.mean && o.mean*joinGap <= b.mean }
	if _, ok := halting.Between(a.config, b.config, 0); !ok {
		return c.extended(ctx, a, b, inside)
	}
	way := c.newCurve(0, 1, func(part float64) halting.Config {
		h, _ := halting.Between(a.config, b.config, part)
		return h
	}, c.images.Len())
	way.tried = []trial{{0, a.mean}, {1, b.mean}}
	middle := (a.mean + b.mean) / 2
	got, err := way.At(ctx, 0.5)
	if err != nil || math.Abs(got-middle) <= joinTolerance*middle {
		return nil, err
	}
	part, _, err := way.Reach(ctx, middle, joinTolerance/2*middle, 0.5, 0)
	if o := way.outcomes[part]; err == nil && o != nil && inside(o) {
		return o, nil
	}
	return nil, err
}

// extended is between for rungs of which one alone has an exit: it goes on with the one's as far as it can, and then
// begins with the other's.
func (c *calibration) extended(ctx context.Context, a, b *outcome, inside func(*outcome) bool) (*outcome, error) {
	for _, end := range []struct {
		of     *outcome
		target float64
	}{{a, b.mean / joinStep}, {b, a.mean * joinStep}} {
		k, tolerance := c.curve(end.of.config.Number(c.exit), c.images.Len()), fineTolerance/2*end.target
		o, err := k.reach(ctx, end.target, tolerance, end.of.config.Number(c.tune), 0)
		if err != nil {
			return nil, err
		}
		if inside(o) {
			return o, nil
		}
	}
	return nil, nil
}
