package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// check is how near one side's logits are to the reference's, over all images.
type check struct {
	key, reference string
	relative       float64 // largest difference, in units of the reference's largest logit
	cosine         float64 // the smallest one of an image
	top1           int     // images that get the same class
	images         int
	fault          string // "" if it is near enough
}

// Limits. Below those of bf16 and int8 a side computes another model; above them, rounding is what they are for.
const (
	f32Relative = 1e-4
	bf16Cosine  = 0.999
	int8Cosine  = 0.98
	peersCosine = 0.9 // of a peer in int8, which without dot products of bytes lets sums overflow
)

// compareLogits holds logits [n, classes] against a reference. least is the smallest cosine allowed in int8.
func compareLogits(key, reference, precision string, least float64, logits, want []float32, classes int) check {
	c := check{key: key, reference: reference, cosine: math.Inf(1), images: len(want) / classes}
	if len(logits) != len(want) {
		c.fault = fmt.Sprintf("%d logits instead of %d", len(logits), len(want))
		return c
	}
	largest := 0.0
	for i := range want {
		if v := float64(logits[i]); v-v != 0 {
			c.fault = fmt.Sprintf("logit %d is %v", i, v)
			return c
		}
		largest = max(largest, math.Abs(float64(want[i])))
		c.relative = max(c.relative, math.Abs(float64(logits[i])-float64(want[i])))
	}
	c.relative /= largest
	for i := 0; i < len(want); i += classes {
		a, b := logits[i:i+classes], want[i:i+classes]
		c.cosine = min(c.cosine, cosine(a, b))
		if argmax(a) == argmax(b) {
			c.top1++
		}
	}
	switch {
	case precision == f32 && !(c.relative <= f32Relative):
		c.fault = fmt.Sprintf("differs by %.2g of the largest logit, allowed %g", c.relative, f32Relative)
	case precision == bf16 && !(c.cosine >= bf16Cosine):
		c.fault = fmt.Sprintf("cosine %.5f, want %g", c.cosine, bf16Cosine)
	case precision == int8Name && !(c.cosine >= least):
		c.fault = fmt.Sprintf("cosine %.5f, want %g", c.cosine, least)
	}
	return c
}

func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	return ab / math.Sqrt(aa*bb)
}

func argmax(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// check compares every side's logits with those of our float32 engine on the same tokens: all, or each block's share.
// Ours have to agree; a peer that computes something else leaves the contest, and told says so.
func (c *contest) check(ctx context.Context, pruned []float64, told func(error)) error {
	references := map[bool][]float32{}
	for _, halting := range []bool{false, true} {
		var shares []float64
		if halting {
			shares = pruned
		}
		s, err := newEngineSide(c.job, f32, "", shares)
		if err != nil {
			return err
		}
		references[halting], err = s.logits(ctx)
		s.close()
		if err != nil {
			return err
		}
	}
	var faults []error
	for _, e := range slices.Clone(c.entries) {
		logits, err := e.side.logits(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", e.key(), err)
		}
		halting, reference, least := e.pruned, oursName+" "+f32, int8Cosine
		if e.who != oursName {
			least = peersCosine
		}
		if halting {
			reference += prunedTag
		}
		found := compareLogits(e.key(), reference, e.precision, least, logits, references[halting],
			c.model.params.Config.Classes)
		c.checks = append(c.checks, found)
		if found.fault != "" {
			err := fmt.Errorf("%s, %s computes something else than %s: %s", c.title, found.key, reference, found.fault)
			if e.who == oursName {
				faults = append(faults, err)
				continue
			}
			told(err)
			c.drop(e, err)
		}
	}
	return errors.Join(faults...)
}
