package halting

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// TestPonderStops: at inference the image stops in the first block where the chance to have stopped reaches the
// threshold, all tokens with it.
func TestPonderStops(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token, gates, layers, n := drawGates(t)
		threshold := float32(rapid.Float64Range(0.05, 0.99).Draw(t, "threshold"))
		ponder := Ponder{Token: Token{Scale: token.Scale, Center: token.Center, Threshold: threshold}}
		score, weight, st := run(ponder, gates, layers, n)
		still, want := 1.0, layers
		for l := range layers {
			h := 1 / (1 + math.Exp(-float64(token.Scale*gates[l*n]-token.Center)))
			still *= 1 - h
			if math.Abs(1-still-float64(ponder.Threshold)) < 1e-5 {
				t.Skip("within rounding of the threshold")
			}
			if math.Abs(float64(score[l*n])-h) > 1e-6 {
				t.Fatalf("block %d: λ %v, want %v", l+1, score[l*n], h)
			}
			if 1-still >= float64(ponder.Threshold) {
				want = l + 1
				break
			}
		}
		for k := range n {
			if int(st.Depth[k]) != want || weight[(want-1)*n+k] != 1 || st.Remainder[k] != 1 {
				t.Fatalf("token %d stops after block %d with weight %v, want %d and 1",
					k, st.Depth[k], weight[(want-1)*n+k], want)
			}
		}
		// In training every block runs and its weight is its chance.
		ponder.EveryBlock = true
		score, weight, st = run(ponder, gates, layers, n)
		still = 1
		for l := range layers {
			chance := still * float64(score[l*n])
			if l == layers-1 {
				chance = still
			}
			if still -= chance; math.Abs(float64(weight[l*n])-chance) > 1e-5 {
				t.Fatalf("block %d: weight %v in training, its chance is %v", l+1, weight[l*n], chance)
			}
		}
		if int(st.Depth[n-1]) != layers {
			t.Fatalf("in training the image stops after block %d of %d", st.Depth[n-1], layers)
		}
	})
}
