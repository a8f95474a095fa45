package train

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// ponderPlain is PonderNet's loss as its paper writes it, nothing shared or saved.
func ponderPlain(lambda, ce, prior []float64, beta float64) (loss float64, p []float64) {
	p = make([]float64, len(lambda))
	for n := range p {
		p[n] = lambda[n]
		if n == len(p)-1 {
			p[n] = 1
		}
		for j := range n {
			p[n] *= 1 - lambda[j]
		}
		loss += p[n] * ce[n]
		if p[n] > 0 {
			loss += beta * p[n] * math.Log(p[n]/prior[n])
		}
	}
	return loss, p
}

// TestPonderLoss compares loss, chances and gradients with the plain transcription and its central differences.
func TestPonderLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		layers := rapid.IntRange(1, 9).Draw(t, "layers")
		lambda, ce := make([]float64, layers), make([]float64, layers)
		for l := range layers {
			lambda[l] = rapid.Float64Range(0.01, 0.99).Draw(t, "lambda")
			ce[l] = rapid.Float64Range(0, 5).Draw(t, "ce")
		}
		beta := rapid.Float64Range(0, 2).Draw(t, "beta")
		prior, err := geometric(rapid.Float64Range(0.05, 0.9).Draw(t, "prior"), layers)
		if err != nil {
			t.Fatal(err)
		}
		p, d := make([]float64, layers), make([]float64, layers)
		loss := beta * ponderLoss(lambda, ce, prior, beta, p, d)
		for l := range p {
			loss += p[l] * ce[l]
		}
		want, chances := ponderPlain(lambda, ce, prior, beta)
		if math.Abs(loss-want) > 1e-9*(1+math.Abs(want)) {
			t.Fatalf("loss %v, want %v", loss, want)
		}
		total := 0.0
		for l := range p {
			total += p[l]
			if math.Abs(p[l]-chances[l]) > 1e-12 {
				t.Fatalf("block %d: chance %v, want %v", l+1, p[l], chances[l])
			}
		}
		if math.Abs(total-1) > 1e-12 {
			t.Fatalf("chances sum to %v", total)
		}
		slope := func(x []float64, l int) float64 {
			const step = 1e-6
			keep := x[l]
			x[l] = keep + step
			high, _ := ponderPlain(lambda, ce, prior, beta)
			x[l] = keep - step
			low, _ := ponderPlain(lambda, ce, prior, beta)
			x[l] = keep
			return (high - low) / (2 * step)
		}
		for l := range layers {
			if want := slope(ce, l); math.Abs(p[l]-want) > 1e-6 {
				t.Fatalf("block %d: ∂loss/∂CE is %v, want %v", l+1, p[l], want)
			}
			if want := slope(lambda, l); math.Abs(d[l]-want) > 1e-5*(1+math.Abs(want)) {
				t.Fatalf("block %d: ∂loss/∂λ is %v, want %v", l+1, d[l], want)
			}
		}
	})
}

// TestPonderLossAtTheEnds: gates that are wide open or shut, to the last bit, give numbers, and a gate's gradient of
// nothing where it is one.
func TestPonderLossAtTheEnds(t *testing.T) {
	prior, err := geometric(0.2, 4)
	if err != nil {
		t.Fatal(err)
	}
	p, d := make([]float64, 4), make([]float64, 4)
	for _, lambda := range [][]float64{{0, 0, 0, 0}, {1, 1, 1, 1}, {0, 1, 0, 1}, {1e-300, 0.5, 1 - 1e-16, 0},
		{1e-45, 1e-45, 1e-45, 0.3}} {
		ce := []float64{1, 2, 3, 4}
		loss := 0.5 * ponderLoss(lambda, ce, prior, 0.5, p, d)
		for l := range p {
			loss += p[l] * ce[l]
		}
		want, _ := ponderPlain(lambda, ce, prior, 0.5)
		if math.Abs(loss-want) > 1e-9 {
			t.Errorf("λ %v: loss %v, want %v", lambda, loss, want)
		}
		for l := range d {
			g := d[l] * lambda[l] * (1 - lambda[l])
			if math.IsNaN(g) || math.IsInf(d[l], 0) || (lambda[l] == 0 || lambda[l] == 1) && g != 0 {
				t.Errorf("λ %v: ∂loss/∂λ[%d] is %v, of its gate %v", lambda, l+1, d[l], g)
			}
		}
	}
}

func TestGeometric(t *testing.T) {
	got, err := geometric(0.5, 3)
	if err != nil {
		t.Fatal(err)
	}
	for l, want := range []float64{4. / 7, 2. / 7, 1. / 7} {
		if math.Abs(got[l]-want) > 1e-15 {
			t.Errorf("block %d: %v, want %v", l+1, got[l], want)
		}
	}
	if got, err := geometric(1, 3); err != nil || got[0] != 1 || got[1] != 0 {
		t.Errorf("λ 1: %v, %v", got, err)
	}
	for _, bad := range []float64{0, -1, 1.1, math.NaN()} {
		if _, err := geometric(bad, 3); err == nil {
			t.Errorf("λ %v was accepted", bad)
		}
	}
	if _, err := geometric(0.5, 0); err == nil {
		t.Error("no layers were accepted")
	}
}
