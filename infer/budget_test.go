package infer

import (
	"errors"
	"math"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/vit"
)

// TestMeanBudget: a mean on a rung has the rung's constants, one between two rungs those that lie between, unless the
// two differ in more than the tuned constant or cost nearly the same; beyond the ends it is the last rung.
func TestMeanBudget(t *testing.T) {
	c := smallConfig(4)
	c.Halting = halting.Config{Scheme: "token"}.With("gate_center", 3).With("epsilon", 0.1)
	center := func(v float64) map[string]float64 { return map[string]float64{"gate_center": v} }
	m := &vit.Model{Params: &vit.Params{Config: c}, Ladder: []vit.Rung{
		{Mean: 0.3, Constants: map[string]float64{"gate_center": -10, "epsilon": 0.1}}, // as in the configuration
		{Mean: 0.5, Constants: center(10)},
		{Mean: 0.6, Constants: center(12)},
		{Mean: 0.615, Constants: center(13)},
		{Mean: 0.8, Constants: map[string]float64{"gate_center": 14, "epsilon": 0.2}},
		{Mean: 0.9, Constants: map[string]float64{"gate_center": 14, "epsilon": 0.2}},
		{Mean: 1, Constants: map[string]float64{"gate_center": 90, "epsilon": 0.2}},
	}}
	schemes, err := Schemes(m)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(schemes); n < 60 || n > 150 {
		t.Errorf("%d schemes", n)
	}
	if own := schemes[0].(halting.Token); own.Center != 3 {
		t.Errorf("the model's own scheme is %+v", own)
	}
	for mean, want := range map[float64]float64{
		0.001: -10, 0.3: -10, 0.4: 0, 0.35: -5, 0.45: 5, 0.5: 10, 0.55: 11, 0.6: 12,
		0.607: 12, 0.614: 12, 0.7: 13, 0.799: 13, 0.8: 14, 0.85: 14,
		0.9: 14, 0.95: 52, 0.99999: 90, 1: 90,
	} {
		scheme, most, err := Budget{Mean: mean}.Limits(m)
		if err != nil || most != 0 {
			t.Fatalf("mean %v: cap %d, %v", mean, most, err)
		}
		got := schemes[scheme].(halting.Token)
		slack := 0.0 // a hundredth of the mean, in the constant
		switch {
		case mean < 0.5:
			slack = 20 / 0.2 * 0.01 * mean
		case mean < 0.6:
			slack = 2 / 0.1 * 0.01 * mean
		case mean > 0.9:
			slack = 76 / 0.1 * 0.01 * mean
		}
		if off := want - float64(got.Center); off < -1e-5 || off > slack+1e-5 {
			t.Errorf("mean %v: centre %v, want %v", mean, got.Center, want)
		}
		if epsilon := 1 - float64(got.Threshold); math.Abs(epsilon-0.1) > 1e-6 && mean < 0.8 ||
			math.Abs(epsilon-0.2) > 1e-6 && mean >= 0.8 {
			t.Errorf("mean %v: epsilon %v", mean, epsilon)
		}
	}
	last := -math.MaxFloat64
	for mean := 0.2; mean <= 1; mean += 0.001 {
		scheme, _, _ := Budget{Mean: mean}.Limits(m)
		if now := float64(schemes[scheme].(halting.Token).Center); now < last {
			t.Fatalf("mean %v: the centre goes back from %v to %v", mean, last, now)
		} else {
			last = now
		}
	}
	for _, mean := range []float64{-0.1, 1.1, math.NaN()} {
		if _, _, err := (Budget{Mean: mean}).Limits(m); !errors.Is(err, usage.Err) {
			t.Errorf("mean %v: %v", mean, err)
		}
	}
	m.Ladder = nil
	if _, _, err := (Budget{Mean: 0.5}).Limits(m); !errors.Is(err, ErrNoLadder) {
		t.Errorf("no ladder: %v", err)
	}
}

// TestFarRungs: rungs that are far apart do not take more schemes than there is use for.
func TestFarRungs(t *testing.T) {
	c := smallConfig(4)
	c.Halting = halting.Config{Scheme: "token"}
	m := &vit.Model{Params: &vit.Params{Config: c}, Ladder: []vit.Rung{{Mean: 1e-300},
		{Mean: 1, Constants: map[string]float64{"gate_center": 1}}}}
	schemes, err := Schemes(m)
	if err != nil || len(schemes) != 1+mostSteps+1 {
		t.Errorf("%d schemes, %v", len(schemes), err)
	}
	if scheme, _, err := (Budget{Mean: 0.5}).Limits(m); err != nil || scheme != 1+mostSteps/2 {
		t.Errorf("scheme %d, %v", scheme, err)
	}
}
