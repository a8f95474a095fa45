package eval

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// Tuner looks for values of a constant at which a model costs what is wanted, in whatever unit Measure has. The cost
// grows, or stays, as the constant goes from Lo to Hi, Lo being the larger one in some schemes. Where it does not, a
// search may end at one of several values, or miss some. Nothing is measured twice.
type Tuner struct {
	Lo, Hi  float64
	Measure func(ctx context.Context, value float64) (cost float64, err error)

	tried []trial // in order from Lo to Hi
}

// trial is what was measured at a value.
type trial struct{ value, cost float64 }

// A search ends after so many measurements. So many in a row that find a cost which is known already say that it grows
// in steps, and that none is near.
const (
	mostTrials = 24
	plateau    = 10
)

// At returns the cost at a value.
func (t *Tuner) At(ctx context.Context, value float64) (float64, error) {
	compare := func(a trial, value float64) int {
		if t.Lo > t.Hi {
			return cmp.Compare(value, a.value)
		}
		return cmp.Compare(a.value, value)
	}
	i, known := slices.BinarySearchFunc(t.tried, value, compare)
	if known {
		return t.tried[i].cost, nil
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	cost, err := t.Measure(ctx, value)
	if err == nil {
		t.tried = slices.Insert(t.tried, i, trial{value, cost})
	}
	return cost, err
}

// Reach returns the value whose cost is nearest to target of all that were tried, those of earlier searches counted. It
// begins at from and tries on until the cost is within tolerance of the target, or cannot be brought nearer: in steps
// that grow by four until the target lies between two values, the first being step, or 1/64 of the way to the end if
// that is 0; then by interpolation and bisection.
func (t *Tuner) Reach(ctx context.Context, target, tolerance, from, step float64) (value, cost float64, err error) {
	if _, err := t.At(ctx, from); err != nil {
		return 0, 0, err
	}
	bisect := false
	for trials, same := 0, 0; trials < mostTrials && same < plateau; trials++ {
		if off := t.nearest(target); math.Abs(off.cost-target) <= tolerance {
			break
		}
		a, b, crossed := t.bracket(target)
		next := a.value + (b.value-a.value)/2
		if !crossed {
			next = t.outward(a, from, step, a.cost > target)
		} else if v := a.value + (b.value-a.value)*(target-a.cost)/(b.cost-a.cost); !bisect && v != a.value && v != b.value {
			next = v
		}
		if next == a.value || next == b.value { // at the end, or nothing is left between the two
			break
		}
		now, err := t.At(ctx, next)
		if err != nil {
			return 0, 0, err
		}
		c, d, _ := t.bracket(target)
		if now == a.cost || now == b.cost {
			same, bisect = same+1, true
		} else { // an interpolation that hardly helped is followed by a bisection
			same, bisect = 0, crossed && !bisect && math.Abs(d.value-c.value) > math.Abs(b.value-a.value)/2
		}
	}
	best := t.nearest(target)
	return best.value, best.cost, nil
}

// nearest returns the trial whose cost is nearest to the target.
func (t *Tuner) nearest(target float64) trial {
	return slices.MinFunc(t.tried, func(a, b trial) int {
		return cmp.Compare(math.Abs(a.cost-target), math.Abs(b.cost-target))
	})
}

// bracket returns the two neighbours, nearest to each other, between whose costs the target lies. If there are none,
// both are the outermost trial on the side where it may lie.
func (t *Tuner) bracket(target float64) (a, b trial, crossed bool) {
	width := math.Inf(1)
	for i := 1; i < len(t.tried); i++ {
		x, y := t.tried[i-1], t.tried[i]
		if (x.cost > target) != (y.cost > target) && math.Abs(x.value-y.value) < width {
			a, b, crossed, width = x, y, true, math.Abs(x.value-y.value)
		}
	}
	if !crossed {
		if a = t.tried[len(t.tried)-1]; a.cost > target {
			a = t.tried[0]
		}
		b = a
	}
	return a, b, crossed
}

// outward returns the value to try beyond the outermost trial: towards Lo if it costs too much.
func (t *Tuner) outward(outermost trial, from, step float64, much bool) float64 {
	end := t.Hi
	if much {
		end = t.Lo
	}
	way := 4 * math.Abs(outermost.value-from)
	if way == 0 {
		if way = math.Abs(step); way == 0 {
			way = math.Abs(end-from) / 64
		}
	}
	return from + math.Copysign(min(way, math.Abs(end-from)), end-from)
}
