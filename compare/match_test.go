package compare

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/adavit/adavit/halting"
)

// TestMatchDepth tunes constants of all kinds against depths that are known functions of them.
func TestMatchDepth(t *testing.T) {
	c := func(name string) halting.Config { return halting.Config{Scheme: name} }
	for _, test := range []struct {
		name    string
		c       halting.Config
		target  float64
		depth   func(halting.Config) float64
		reached bool
	}{
		{"gate", c("token"), 6, func(c halting.Config) float64 { return 12 / (1 + math.Exp(-(c.Number("gate_center")-3)/2)) },
			true},
		{"gate from above", c("act"), 2,
			func(c halting.Config) float64 { return 12 / (1 + math.Exp(-(c.Number("gate_center")-70)/2)) }, true},
		{"threshold near one", c("confidence"), 11,
			func(c halting.Config) float64 { return 12 * math.Pow(c.Number("threshold"), 1000) }, true},
		{"epsilon falls", c("ponder"), 9, func(c halting.Config) float64 { return 12 * (1 - c.Number("epsilon")) }, true},
		{"counts", c("tome"), 7, func(c halting.Config) float64 { return max(1, 12-math.Floor(c.Number("merge"))/3) }, true},
		{"coarse counts", c("topk"), 7, func(c halting.Config) float64 { return 2 + math.Floor(5*c.Number("keep"))*2 },
			false},
		{"out of reach below", c("topk"), 2, func(c halting.Config) float64 { return 4 + 8*c.Number("keep") }, false},
		{"out of reach above", c("tome"), 12, func(c halting.Config) float64 { return 11 - c.Number("merge")/300 }, false},
		{"there already", c("similarity"), 5, func(c halting.Config) float64 { return 5.01 }, true},
	} {
		tries, best := 0, math.Inf(1)
		got, d, err := matchDepth(t.Context(), test.c, test.target, func(c halting.Config) (float64, error) {
			tries++
			if err := c.Validate(); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			best = min(best, math.Abs(test.depth(c)-test.target))
			return test.depth(c), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		off := math.Abs(test.depth(got) - test.target)
		if d.Reached != test.reached || test.reached && off > depthSlack || off != best || d.Depth != test.depth(got) ||
			d.Before != test.depth(test.c) {
			t.Errorf("%s: depth %v off target %v by %v (best tried %v), %+v", test.name, test.depth(got), test.target, off, best,
				d)
		}
		if tries > 26 {
			t.Errorf("%s: %d tries", test.name, tries)
		}
	}
	broken := errors.New("broken")
	fails := func(halting.Config) (float64, error) { return 0, broken }
	if _, _, err := matchDepth(t.Context(), c("token"), 5, fails); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	nine := func(halting.Config) (float64, error) { return 9, nil }
	if _, _, err := matchDepth(ctx, c("token"), 5, nine); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if got, d, err := matchDepth(t.Context(), halting.Dense(), 5, nil); err != nil || got.Adaptive() || d != (Tuned{}) {
		t.Errorf("a dense model: %v, %+v, %v", got, d, err)
	}
}
