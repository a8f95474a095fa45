package eval

import (
	"context"
	"errors"
	"math"
	"testing"
)

// TestTuner reaches shares of costs of many shapes, and says what comes nearest where they cannot be reached.
func TestTuner(t *testing.T) {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	for _, test := range []struct {
		name         string
		lo, hi, from float64
		cost         func(v float64) float64
		missed       map[float64]float64 // targets that are out of reach, and what is nearest
		most         int                 // measurements
	}{
		{"gate", -88, 112, 12, func(v float64) float64 { return 0.2 + 0.8*sigmoid((v-14)/2) }, nil, 40},
		{"gate, far away", -88, 112, 12, func(v float64) float64 { return 0.08 + 0.92*sigmoid((v+70)/2) }, nil, 45},
		{"threshold near one", 0, 1, 0.5, func(v float64) float64 { return 0.1 + 0.9*math.Pow(v, 3000) }, nil, 75},
		{"falling", 1, 0, 0.05, func(v float64) float64 { return 1 - v*v }, nil, 30},
		{"out of reach below", -100, 100, 0, func(v float64) float64 { return 0.42 + 0.58*sigmoid(v/5) },
			map[float64]float64{0.25: 0.42, 0.3: 0.42, 0.35: 0.42, 0.4: 0.42}, 40},
		{"out of reach above", 0, 1, 0.7, func(v float64) float64 { return 0.85 * v },
			map[float64]float64{0.9: 0.85, 1: 0.85}, 30},
		{"steps", 0, 1, 0.7, func(v float64) float64 { return math.Floor(v*20) / 20 }, nil, 120},
		{"two steps", 0, 1, 0.7, func(v float64) float64 { return 0.25 + 0.75*math.Floor(2*v)/2 },
			map[float64]float64{0.3: 0.25, 0.35: 0.25, 0.4: 0.25, 0.5: 0.625, 0.6: 0.625, 0.7: 0.625, 0.8: 0.625, 0.9: 1}, 90},
		{"a wave", -100, 100, 0, func(v float64) float64 { return 0.1 + 0.9*sigmoid(v/9+0.6*math.Sin(v/2)) }, nil, 60},
		{"a dip", 0, 10, 5, func(v float64) float64 { return 0.2 + 0.8*math.Abs(v-3)/7 },
			map[float64]float64{0.25: 0.285}, 60}, // the steps outward are too wide for it,
		{"constant", -1, 1, 0, func(float64) float64 { return 0.5 },
			map[float64]float64{0.25: 0.5, 0.3: 0.5, 0.35: 0.5, 0.4: 0.5, 0.6: 0.5, 0.7: 0.5, 0.8: 0.5, 0.9: 0.5, 1: 0.5}, 10},
	} {
		seen := map[float64]bool{}
		tuner := Tuner{Lo: test.lo, Hi: test.hi, Measure: func(_ context.Context, v float64) (float64, error) {
			if seen[v] || v < min(test.lo, test.hi) || v > max(test.lo, test.hi) {
				t.Errorf("%s: %v is measured again, or out of bounds", test.name, v)
			}
			seen[v] = true
			return test.cost(v), nil
		}}
		for _, target := range DefaultBudgets() {
			value, cost, err := tuner.Reach(t.Context(), target, 0.005*target, test.from, 0)
			if err != nil {
				t.Fatal(err)
			}
			want, missed := test.missed[target]
			if !missed {
				want = target
			}
			if cost != test.cost(value) || math.Abs(cost-want) > 0.005*want {
				t.Errorf("%s: for %v a cost of %v at %v (%v there), want %v", test.name, target, cost, value, test.cost(value),
					want)
			}
		}
		if len(seen) > test.most {
			t.Errorf("%s: %d measurements", test.name, len(seen))
		}
		t.Logf("%s: %d measurements", test.name, len(seen))
	}
}

// TestTunerStep: a search that knows how far it has to go finds its place at once.
func TestTunerStep(t *testing.T) {
	n := 0
	tuner := Tuner{Lo: -1e4, Hi: 1e4, Measure: func(_ context.Context, v float64) (float64, error) {
		n++
		return 0.5 + v/100, nil
	}}
	if v, cost, err := tuner.Reach(t.Context(), 0.6, 0.001, 9, 0.5); err != nil || math.Abs(v-10) > 0.1 ||
		math.Abs(cost-0.6) > 0.001 || n > 4 {
		t.Errorf("%v, which costs %v, after %d measurements, %v", v, cost, n, err)
	}
}

func TestTunerFails(t *testing.T) {
	broken := errors.New("broken")
	for after := range 6 {
		n := 0
		tuner := Tuner{Hi: 1, Measure: func(_ context.Context, v float64) (float64, error) {
			if n++; n > after {
				return 0, broken
			}
			return v * v, nil
		}}
		if _, _, err := tuner.Reach(t.Context(), 0.123456, 1e-9, 0.9, 0); !errors.Is(err, broken) {
			t.Errorf("broken after %d measurements: %v", after, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	tuner := Tuner{Hi: 1, Measure: func(_ context.Context, v float64) (float64, error) { cancel(); return v, nil }}
	if _, _, err := tuner.Reach(ctx, 0.1, 1e-9, 0.9, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
