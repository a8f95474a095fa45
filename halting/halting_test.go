package halting

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// run takes one image's gates [L, N] through a scheme as an engine would and returns scores, weights and the state.
func run(s Scheme, gates []float32, layers, n int) (score, weight []float32, st State) {
	score, weight = make([]float32, layers*n), make([]float32, layers*n)
	st.Reset(n)
	for l := 1; l <= layers; l++ {
		var r Rows
		for k := range n {
			if st.Depth[k] == 0 {
				r.Token = append(r.Token, int32(k))
				r.X = append(r.X, gates[(l-1)*n+k], 99) // the second number must not matter
			}
		}
		r.Layer, r.Layers, r.Stride, r.Readouts = l, layers, 2, Readouts{1, 1}
		r.Score, r.Weight = make([]float32, len(r.Token)), make([]float32, len(r.Token))
		s.Step(&st, r)
		for i, k := range r.Token {
			score[(l-1)*n+int(k)], weight[(l-1)*n+int(k)] = r.Score[i], r.Weight[i]
		}
	}
	return score, weight, st
}

// naive follows the definitions for one token in float64: scores h[1..L] to depth, remainder and distribution.
func naive(h []float64, eps float64) (depth int, remainder float64, p []float64) {
	p = make([]float64, len(h))
	sum := 0.0
	for l := range h {
		if l == len(h)-1 || sum+h[l] >= 1-eps {
			p[l] = 1 - sum
			return l + 1, 1 - sum, p
		}
		p[l] = h[l]
		sum += h[l]
	}
	panic("unreachable")
}

func drawGates(t *rapid.T) (token Token, gates []float32, layers, n int) {
	layers, n = rapid.IntRange(1, 9).Draw(t, "layers"), rapid.IntRange(1, 6).Draw(t, "n")
	scale, center := rapid.Float64Range(0.5, 10).Draw(t, "scale"), rapid.Float64Range(-3, 5).Draw(t, "center")
	token = Token{Scale: float32(scale), Center: float32(center), Threshold: 0.99}
	gates = make([]float32, layers*n)
	for i := range gates {
		gates[i] = float32(rapid.Float64Range(-1, 1).Draw(t, "gate"))
	}
	return token, gates, layers, n
}

func TestTokenFollowsTheDefinitions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token, gates, layers, n := drawGates(t)
		score, weight, st := run(token, gates, layers, n)
		for k := range n {
			h := make([]float64, layers)
			for l := range h {
				h[l] = 1 / (1 + math.Exp(-float64(token.Scale*gates[l*n+k]-token.Center)))
			}
			depth, remainder, p := naive(h, 0.01)
			// A cumulative score within rounding of the threshold may fall on either side.
			sum := 0.0
			for _, v := range h[:depth] {
				sum += v
			}
			if int(st.Depth[k]) != depth && math.Abs(sum-0.99) > 1e-5 {
				t.Fatalf("token %d: depth %d, want %d", k, st.Depth[k], depth)
			}
			if int(st.Depth[k]) != depth {
				continue
			}
			if math.Abs(float64(st.Remainder[k])-remainder) > 1e-5 {
				t.Fatalf("token %d: remainder %v, want %v", k, st.Remainder[k], remainder)
			}
			total := 0.0
			for l := range layers {
				total += float64(weight[l*n+k])
				if math.Abs(float64(weight[l*n+k])-p[l]) > 1e-5 {
					t.Fatalf("token %d block %d: weight %v, want %v", k, l+1, weight[l*n+k], p[l])
				}
				if ran := l < depth; ran != (score[l*n+k] != 0) {
					t.Fatalf("token %d block %d: score %v, ran: %v", k, l+1, score[l*n+k], ran)
				}
			}
			if math.Abs(total-1) > 1e-5 {
				t.Fatalf("token %d: the halting distribution sums to %v", k, total)
			}
		}
	})
}

// TestTokenBackward differentiates a loss that uses everything halting contributes, by the formulas and by central
// differences in float64 with the depths held constant.
func TestTokenBackward(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token, gates, layers, n := drawGates(t)
		score, _, st := run(token, gates, layers, n)
		readouts := rapid.IntRange(1, min(n, 2)).Draw(t, "readouts")
		up := Upstream{Weight: make([]float32, readouts*layers), Score: make([]float64, layers)}
		up.Remainder = float32(rapid.Float64Range(-1, 1).Draw(t, "dr"))
		for i := range up.Weight {
			up.Weight[i] = float32(rapid.Float64Range(-1, 1).Draw(t, "dp"))
		}
		for l := range layers {
			up.Score[l] = rapid.Float64Range(-1, 1).Draw(t, "dh")
		}
		loss := func(gates []float64) float64 {
			sum := 0.0
			for k := range n {
				before, depth := 0.0, int(st.Depth[k])
				for l := range depth {
					h := 1 / (1 + math.Exp(-(float64(token.Scale)*gates[l*n+k] - float64(token.Center))))
					sum += float64(up.Score[l]) * h
					p := h
					if l == depth-1 {
						p = 1 - before
						sum += float64(up.Remainder) * p
					}
					if k < readouts {
						sum += float64(up.Weight[k*layers+l]) * p
					}
					before += h
				}
			}
			return sum
		}
		got := make([]float32, layers*n)
		token.Backward(got, score, st.Depth, up)
		at := make([]float64, len(gates))
		for i, g := range gates {
			at[i] = float64(g)
		}
		for i := range at {
			const step = 1e-5
			keep := at[i]
			at[i] = keep + step
			high := loss(at)
			at[i] = keep - step
			want := (high - loss(at)) / (2 * step)
			at[i] = keep
			if math.Abs(float64(got[i])-want) > 1e-4*(1+math.Abs(want)) {
				t.Fatalf("gate %d: gradient %v, want %v", i, got[i], want)
			}
		}
	})
}

func TestPrior(t *testing.T) {
	for _, reverse := range []bool{false, true} {
		p, err := NewPrior(5, 2.5, PriorOptions{Reverse: reverse})
		if err != nil {
			t.Fatal(err)
		}
		mean := []float64{0.3, 0.01, 0.2, 0.5, 0.07}
		grad := make([]float64, 5)
		p.Loss(mean, grad)
		for l := range mean {
			const step = 1e-6
			keep, scrap := mean[l], make([]float64, 5)
			mean[l] = keep + step
			high := p.Loss(mean, scrap)
			mean[l] = keep - step
			want := (high - p.Loss(mean, scrap)) / (2 * step)
			mean[l] = keep
			if math.Abs(grad[l]-want) > 1e-5 {
				t.Errorf("reverse %v, layer %d: gradient %v, want %v", reverse, l+1, grad[l], want)
			}
		}
		scaled := make([]float64, 5)
		for l := range scaled {
			scaled[l] = 7 * p.Target[l]
		}
		if kl := p.Loss(scaled, grad); math.Abs(kl) > 1e-12 {
			t.Errorf("reverse %v: the target's own divergence is %v", reverse, kl)
		}
		if kl := p.Loss([]float64{0.4, 0.6, 0, 0, 0}, grad); math.IsInf(kl, 0) || math.IsNaN(kl) || grad[4] != 0 {
			t.Errorf("reverse %v: layers that never ran give %v and gradient %v", reverse, kl, grad)
		}
		if kl := p.Loss(make([]float64, 5), grad); kl != 0 || grad[0] != 0 {
			t.Errorf("reverse %v: no scores at all give %v and gradient %v", reverse, kl, grad)
		}
	}
	// Layers so far from the target that its density there is no number any more still pull with a finite force.
	for _, reverse := range []bool{false, true} {
		p, err := NewPrior(100, 100, PriorOptions{Reverse: reverse})
		if err != nil {
			t.Fatal(err)
		}
		mean, grad := make([]float64, 100), make([]float64, 100)
		mean[0], mean[1] = 0.5, 0.25
		if kl := p.Loss(mean, grad); math.IsInf(kl, 0) || math.IsNaN(kl) || math.IsInf(grad[0], 0) || !(grad[0] >= 0) {
			t.Errorf("reverse %v: far from the target the loss is %v and its gradient %v", reverse, kl, grad[0])
		}
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), -11, 100} {
		if _, err := NewPrior(5, bad, PriorOptions{}); err == nil {
			t.Errorf("a prior around layer %v was accepted", bad)
		}
	}
}

// TestPriorOfShutGates: where no gate opens, mean scores are so small that their gradient is beyond float32; times the
// sigmoid's slope it is not.
func TestPriorOfShutGates(t *testing.T) {
	const layers = 4
	prior, err := NewPrior(layers, 2, PriorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	gates := []float32{0, 2, 1, 3} // of one token
	var want []float32
	for _, center := range []float32{20, 40, 80, 100} { // a score of e^−100 is a subnormal float32 of few bits
		token := Token{Scale: 1, Center: center, Threshold: 0.99}
		score, _, st := run(token, gates, layers, 1)
		mean, got := make([]float64, layers), make([]float32, layers)
		for l := range mean {
			mean[l] = float64(score[l])
		}
		up := Upstream{Weight: make([]float32, layers), Score: make([]float64, layers)}
		prior.Loss(mean, up.Score)
		token.Backward(got, score, st.Depth, up)
		if want == nil {
			want = got // only the shares of the layers matter to the prior, and they are the same for every centre
		}
		for l := range got {
			if math.Abs(float64(got[l]-want[l])) > 0.01 || got[l] == 0 {
				t.Errorf("center %v, layer %d: gradient %v of the gate, want %v", center, l+1, got[l], want[l])
			}
		}
	}
}

func TestPriorTargetIsABell(t *testing.T) {
	p, err := NewPrior(12, 7, PriorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// Neighbours of the peak are e^−½ of it, and so on.
	for d, want := range map[int]float64{1: math.Exp(-0.5), 2: math.Exp(-2), 3: math.Exp(-4.5)} {
		if got := p.Target[6+d] / p.Target[6]; math.Abs(got-want) > 1e-12 {
			t.Errorf("%d layers above the peak: %v of it, want %v", d, got, want)
		}
	}
}

func TestNone(t *testing.T) {
	gates := make([]float32, 3*4)
	score, weight, st := run(None{}, gates, 3, 4)
	for k := range 4 {
		if st.Depth[k] != 3 || weight[2*4+k] != 1 || weight[k] != 0 || score[k] != 0 {
			t.Fatalf("token %d of a dense model: depth %d, weights %v", k, st.Depth[k], weight)
		}
	}
}
