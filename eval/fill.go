package eval

import (
	"context"
	"slices"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
)

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
	h, ok := halting.Between(a.config, b.config, 0.5)
	if !ok {
		return c.extended(ctx, a, b, inside)
	}
	k, along := c.through(a, b)
	var half *outcome
	var err error
	if k != nil {
		half, err = k.at(ctx, h.Number(along))
	} else {
		half, err = c.measure(ctx, h, c.images.Len())
	}
	middle := (a.mean + b.mean) / 2
	if err != nil || within(half.mean, joinTolerance, middle) {
		return nil, err
	}
	if k == nil {
		return c.extended(ctx, a, b, inside)
	}
	o, err := k.reach(ctx, middle, joinTolerance/2*middle, h.Number(along), 0)
	if err == nil && inside(o) {
		return o, nil
	}
	return nil, err
}

// through returns the curve on which two outcomes lie, and the constant along which it goes; nil if there is none.
func (c *calibration) through(a, b *outcome) (k *curve, along string) {
	n, gate, exit := c.images.Len(), a.config.Number(c.tune), a.config.Number(c.exit)
	switch {
	case exit == 0:
		return c.alongGate(exit, n), c.tune
	case gate == b.config.Number(c.tune):
		return c.alongExit(gate, n), c.exit
	}
	return nil, ""
}

// extended is between for rungs that nothing joins: it goes on with the one as far as it can, or comes down with the
// other; by the exit, which costs no pass, where there is one.
func (c *calibration) extended(ctx context.Context, a, b *outcome, inside func(*outcome) bool) (*outcome, error) {
	type way struct {
		from   *outcome
		target float64
	}
	ways := []way{{a, b.mean / joinStep}, {b, a.mean * joinStep}}
	if a.config.Number(c.exit) == 0 {
		slices.Reverse(ways)
	}
	for _, w := range ways {
		gate, exit, n := w.from.config.Number(c.tune), w.from.config.Number(c.exit), c.images.Len()
		k, from := c.alongExit(gate, n), exit
		if exit == 0 {
			k, from = c.alongGate(0, n), gate
		}
		o, err := k.reach(ctx, w.target, fineTolerance/2*w.target, from, 0)
		if err != nil {
			return nil, err
		}
		if inside(o) {
			return o, nil
		}
	}
	return nil, nil
}
