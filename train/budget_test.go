package train

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/adavit/adavit/halting"
)

// TestController steers made-up models, whose cost drifts with what α is beyond a block's worth: soon after a third of
// the run they cost what they are to, and go on to, without dips; and α is bounded. (0.004 is how far the mean of what
// is measured may be off.)
func TestController(t *testing.T) {
	for _, gain := range []float64{0.1, 0.2, 0.5} { // share a step, for each unit of α
		for _, l := range []Loss{{Budget: 0.3}, {Budget: 0.5, BudgetSpread: 0.25}, {Budget: 0.8, BudgetSpread: 0.1}} {
			const steps = 4000
			c, r := NewController(), rand.New(rand.NewPCG(1, 2))
			mean, slope := 1.0, 0.0 // of the share, and of what it owes to u
			var off [2]float64
			for step := range steps {
				d := c.Draw(l, step, float64(step)/steps)
				if math.Abs(d.Alpha) > mostAlpha {
					t.Fatalf("gain %v: α is %v", gain, d.Alpha)
				}
				share := mean + slope*d.u
				push := gain * (d.Alpha - 0.002*(1-share)) // what a block is worth grows as they grow fewer
				mean, slope = min(1, mean-push), slope-push*d.u
				c.Observe(share+0.03*r.NormFloat64(), d)
				off[0] += (mean - l.Budget - off[0]) / 100
				off[1] += (slope - l.BudgetSpread - off[1]) / 100
				slack := 0.05
				if step > steps/2 {
					slack = 0.02
				}
				if step > steps/3+200 && (math.Abs(off[0]) > slack*l.Budget+0.004 || math.Abs(off[1]) > 0.03) {
					t.Errorf("gain %v, step %d: off %+v by %.3f", gain, step, l, off)
					break
				}
			}
		}
	}
}

// TestControllerWindsDown: a budget that nothing reaches does not pile up a debt.
func TestControllerWindsDown(t *testing.T) {
	c, l := NewController(), Loss{Budget: 0.3}
	for step := range 100000 {
		c.Observe(1, c.Draw(l, step, 1))
	}
	for step := range 200 {
		c.Observe(0.1, c.Draw(l, step, 1))
	}
	if alpha := c.Draw(l, 0, 1).Alpha; alpha > mostAlpha/2 {
		t.Errorf("α is %v long after tokens have become cheap", alpha)
	}
}

// TestBudgetIsKept: the tokens of a model that learns twelve lessons by heart cost about what the budget says; the
// steps tell what they were steered to; and a run that goes on from a state takes the same steps.
func TestBudgetIsKept(t *testing.T) {
	for _, budget := range []float64{0.5, 0.8} {
		s := usual
		s.Loss = Loss{TargetLayer: 2, Budget: budget, BudgetSpread: 0.1, CenterSpread: 0.3}
		run := func(interrupt bool) (float64, *Stepper) {
			p := tiny(3)
			p.Config.Halting = p.Config.Halting.With("credit", 1)
			keep := p.Config.Halting
			o := optimize(t, p, s)
			mean := 0.0
			const steps = 1200
			for step := range steps {
				if interrupt && step == steps/2 {
					state, err := o.State()
					if err != nil {
						t.Fatal(err)
					}
					p = tiny(3)
					p.Config.Halting = keep
					o = optimize(t, p, s)
					if err := o.Restore(step, state); err != nil {
						t.Fatal(err)
					}
				}
				stats, err := o.Step(Update{LR: 2e-3, Progress: float64(step) / steps, Batch: func(int) (Batch, error) {
					return randomBatch(p.Config, 32, uint64(step%12)), nil
				}})
				if err != nil {
					t.Fatal(err)
				}
				if step >= steps*2/3 {
					mean += stats.MeanDepth / float64(p.Config.Layers) / (steps / 3)
					if math.Abs(stats.Target-budget) > 0.1 {
						t.Fatalf("step %d: the target is %v, want about %v", step, stats.Target, budget)
					}
				}
			}
			if now := p.Config.Halting.String(); now != keep.String() {
				t.Errorf("the constants were left at %s, want %s", now, keep)
			}
			return mean, o
		}
		mean, o := run(false)
		if math.Abs(mean-budget) > 0.1 {
			t.Errorf("budget %v: tokens cost %v of the dense ones", budget, mean)
		}
		if _, other := run(true); !slices.Equal(o.params.Data, other.params.Data) ||
			!slices.Equal(o.controller.State, other.controller.State) {
			t.Errorf("budget %v: a run that went on ended elsewhere", budget)
		}
	}
}

func TestBudgetRefuses(t *testing.T) {
	s := usual
	s.Loss = Loss{TargetLayer: 2, Budget: 0.5}
	for name, scheme := range schemes {
		p := tiny(3)
		p.Config.Halting = scheme
		want := slices.Contains([]string{"token", "act", "sact"}, scheme.Scheme)
		if _, err := NewStepper(p, s, 1); (err == nil) != want {
			t.Errorf("%s: error %v", name, err)
		}
	}
	p := tiny(3)
	p.Config.Halting = halting.Config{Scheme: "token"}
	o := optimize(t, p, s)
	state, err := o.State()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]float32{nil, {1}, {1, float32(math.Inf(1)), 0, 0}} {
		state[4].Data = bad
		if err := o.Restore(3, state); err == nil {
			t.Errorf("a state of %v was accepted", bad)
		}
	}
}
