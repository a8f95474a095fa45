package halting

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// run takes one image's gates [L, N] through a scheme as an engine would and returns scores, weights and the state.
func run(s Scheme, gates []float32, layers, n int) (score, weight []float32, st State) {
	return runWith(s, gates, layers, n, Readouts{Special: 1, Alone: 1})
}

func runWith(s Scheme, gates []float32, layers, n int, readouts Readouts) (score, weight []float32, st State) {
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
		r.Layer, r.Layers, r.Stride, r.Readouts = l, layers, 2, readouts
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
		up := Upstream{Readouts: Readouts{Special: readouts, Alone: readouts},
			Weight: make([]float32, readouts*layers), Score: make([]float64, layers)}
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

func TestNone(t *testing.T) {
	gates := make([]float32, 3*4)
	score, weight, st := run(None{}, gates, 3, 4)
	for k := range 4 {
		if st.Depth[k] != 3 || weight[2*4+k] != 1 || weight[k] != 0 || score[k] != 0 {
			t.Fatalf("token %d of a dense model: depth %d, weights %v", k, st.Depth[k], weight)
		}
	}
}
