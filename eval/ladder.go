package eval

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// How near a mean has to be to a budget, as a share of it: where the gates are that exits are tried with, and where a
// search ends, on few images and on all; what counts as reached; and how far off a rung may be where nothing is, for a
// constant that is a count cannot give every mean.
const (
	exploreTolerance = 0.05
	coarseTolerance  = 0.02
	fineTolerance    = 0.004
	budgetReached    = 0.01
	budgetSlack      = 0.05
)

// within reports whether a mean is off a budget by no more than a share of it.
func within(mean, share, budget float64) bool { return math.Abs(mean-budget) <= share*budget }

// coarseImages is how many images decide which ways to a budget are worth a measurement on all.
const coarseImages = 256

// finalists is how many of them are measured on all images.
const finalists = 3

// plan foresees how many images have to be run, about.
func (c *calibration) plan() {
	n, few := c.images.Len(), c.coarse()
	c.planned = n + len(c.Budgets)*(2*few+n)
	if few < n {
		c.planned += len(c.Budgets) * n
	}
	if c.exit != "" {
		c.planned += len(DefaultBudgets()) * few
	}
}

// coarse is the number of images that a search begins with: all, where there are not many more.
func (c *calibration) coarse() int {
	if n := c.images.Len(); n < 2*coarseImages {
		return n
	}
	return coarseImages
}

// candidate is one way to a budget, with what few images came to.
type candidate struct {
	coarse  *outcome
	reached bool    // the budget, or it can be
	step    float64 // along its curve that changes the cost by a few hundredths, about; 0 if that is not known
}

// ErrOutOfReach says that a model can have no rung at all.
var ErrOutOfReach = errors.New("none of the budgets can be reached")

// search finds the best constants for every budget that can be reached, in the order of their means, which rise.
func (c *calibration) search(ctx context.Context) (list []*outcome, missed []Missed, err error) {
	if c.exit != "" {
		if err := c.explore(ctx); err != nil {
			return nil, nil, err
		}
	}
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

// explore makes passes over few images with gates that cost about the budgets, or the usual ones above the least of
// them, if hardly an image ends early: with an exit each of them can cost less.
func (c *calibration) explore(ctx context.Context) error {
	k, start := c.alongGate(never, c.coarse()), c.model.Params.Config.Halting.Number(c.tune)
	for _, share := range slices.Concat(c.Budgets, DefaultBudgets()) {
		if share < c.Budgets[0] {
			continue
		}
		if _, err := k.reach(ctx, share, exploreTolerance*share, start, 0); err != nil {
			return err
		}
	}
	return nil
}

// candidates looks with few images how a budget, or else something near it, is reached: by the gate alone, and by every
// gate that explore has tried with an exit for it. nearest is how near it comes.
func (c *calibration) candidates(ctx context.Context, budget float64) (list []candidate, nearest float64, err error) {
	n, nearest := c.coarse(), math.Inf(1)
	consider := func(k *curve, tolerance, from float64) error {
		o, err := k.reach(ctx, budget, tolerance*budget, from, 0)
		if err != nil {
			return err
		}
		if math.Abs(o.mean-budget) < math.Abs(nearest-budget) {
			nearest = o.mean
		}
		if within(o.mean, budgetSlack, budget) {
			step, crossed := k.stepAt(budget)
			reached := within(o.mean, budgetReached, budget) || crossed && within(o.mean, coarseTolerance, budget)
			list = append(list, candidate{o, reached, step})
		}
		return nil
	}
	own := c.model.Params.Config.Halting.Number(c.tune)
	if err := consider(c.alongGate(0, n), coarseTolerance, own); err != nil {
		return nil, 0, err
	}
	if c.exit != "" {
		for _, gate := range c.gates[n] {
			if err := consider(c.alongExit(gate, n), fineTolerance, never); err != nil {
				return nil, 0, err
			}
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
		o, err := c.fine(ctx, budget, a)
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

// fine measures a candidate for a budget on all images. One with an exit keeps its gate if that can be.
func (c *calibration) fine(ctx context.Context, budget float64, a candidate) (*outcome, error) {
	n, gate, exit, step := c.images.Len(), a.coarse.config.Number(c.tune), a.coarse.config.Number(c.exit), a.step
	tolerance := fineTolerance * budget
	if !a.reached { // it cannot be brought nearer
		tolerance = max(tolerance, 1.01*math.Abs(a.coarse.mean-budget))
	}
	if exit > 0 {
		o, err := c.alongExit(gate, n).reach(ctx, budget, tolerance, exit, 0)
		if err != nil || within(o.mean, budgetReached, budget) {
			return o, err
		}
		exit, step = o.config.Number(c.exit), 0
	}
	return c.alongGate(exit, n).reach(ctx, budget, tolerance, gate, step)
}
