package halting

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// TestLearnersBackward differentiates, for each scheme with a gate, a loss that uses everything it contributes, by the
// formulas and by central differences in float64 with the depths held constant.
func TestLearnersBackward(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token, gates, layers, n := drawGates(t)
		token.Registers = rapid.Bool().Draw(t, "registers halt")
		readouts := drawReadouts(t, n)
		ponder := Ponder{Token: token, EveryBlock: true}
		for _, s := range []Learner{token, ACT{token}, SACT{token}, ponder} {
			checkBackward(t, s, token, gates, layers, n, readouts)
		}
	})
}

func checkBackward(t *rapid.T, s Learner, token Token, gates []float32, layers, n int, readouts Readouts) {
	scale, center := s.Gate()
	score, _, st := runWith(s, gates, layers, n, readouts)
	fields := readouts.Fields()
	draw := func(what string) float64 { return rapid.Float64Range(-1, 1).Draw(t, what) }
	up := Upstream{Readouts: readouts, Weight: make([]float32, fields*layers), Remainder: float32(draw("dr"))}
	up.Score, up.Lambda = make([]float64, layers), make([]float64, layers)
	for i := range up.Weight {
		up.Weight[i] = float32(draw("dp"))
	}
	for l := range layers {
		up.Score[l], up.Lambda[l] = draw("dh"), draw("dλ")
	}
	_, isACT := s.(ACT)
	// loss is Σ up·quantity, the quantities being made of gates as each scheme's definition says.
	loss := func(gates []float64) float64 {
		h := func(l, k int) float64 {
			gate := gates[l*n+max(k, 0)]
			if k < 0 { // of what decides for the image
				if !readouts.Class() {
					gate = 0
					for k := readouts.Special; k < n; k++ {
						gate += gates[l*n+k] / float64(n-readouts.Special)
					}
				}
			}
			return 1 / (1 + math.Exp(-(float64(scale)*gate - float64(center))))
		}
		sum := 0.0
		if _, ok := s.(Ponder); ok {
			for l := range layers - 1 {
				sum += up.Lambda[l] * h(l, -1)
			}
			return sum
		}
		for k := range n {
			before, depth, from := 0.0, int(st.Depth[k]), k
			if isACT {
				from = -1
			} else if readouts.Register(int32(k)) && !token.Registers {
				continue
			}
			for l := range depth {
				h := h(l, from)
				sum += up.Score[l] * h
				p := h
				if l == depth-1 {
					p = 1 - before
					sum += float64(up.Remainder) * p
				}
				if f, ok := readouts.Field(int32(k)); ok {
					sum += float64(up.Weight[f*layers+l]) * p
				}
				before += h
			}
		}
		return sum
	}
	got, at := make([]float32, layers*n), make([]float64, len(gates))
	for i := range got {
		got[i] = float32(math.NaN()) // Backward writes all of it
	}
	s.Backward(got, score, st.Depth, up)
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
		if !(math.Abs(float64(got[i])-want) <= 1e-4*(1+math.Abs(want))) {
			t.Fatalf("%T: gate %d: gradient %v, want %v", s, i, got[i], want)
		}
	}
}

// drawReadouts draws what n tokens can be.
func drawReadouts(t *rapid.T, n int) Readouts {
	r := Readouts{Registers: rapid.IntRange(0, 3).Draw(t, "registers")}
	class := rapid.IntRange(0, 2).Draw(t, "special tokens but registers")
	r.Special = min(class+r.Registers, n-1)
	r.Registers = min(r.Registers, r.Special)
	class = r.Special - r.Registers
	if class == 0 || rapid.Bool().Draw(t, "pooled") {
		r.Pooled, r.Alone = n-r.Special, rapid.IntRange(0, min(class, 1)).Draw(t, "alone")
	} else {
		r.Alone = rapid.IntRange(1, class).Draw(t, "alone")
	}
	return r
}

// TestACTFollowsTheDefinitions: all tokens have the class token's depth, remainder and distribution, which Token gives
// it too.
func TestACTFollowsTheDefinitions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token, gates, layers, n := drawGates(t)
		score, weight, st := run(ACT{token}, gates, layers, n)
		tokenScore, tokenWeight, tokenState := run(token, gates, layers, n)
		for k := range n {
			if st.Depth[k] != tokenState.Depth[0] || st.Remainder[k] != tokenState.Remainder[0] {
				t.Fatalf("token %d: depth %d and remainder %v, the class token's are %d and %v",
					k, st.Depth[k], st.Remainder[k], tokenState.Depth[0], tokenState.Remainder[0])
			}
			for l := range layers {
				if score[l*n+k] != tokenScore[l*n] || weight[l*n+k] != tokenWeight[l*n] {
					t.Fatalf("token %d, block %d: score %v and weight %v, the class token's are %v and %v",
						k, l+1, score[l*n+k], weight[l*n+k], tokenScore[l*n], tokenWeight[l*n])
				}
			}
		}
	})
}
