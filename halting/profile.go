package halting

import (
	"fmt"
	"math"
)

// Profile is the scheme of a benchmark: it keeps a fixed share of the patch tokens alive in each block, whatever they hold, so that
// the speed of removal can be measured on random input. The class token always stays.
type Profile struct{ active []float64 }

// NewProfile checks the shares: active[l] is the share of patch tokens that run in block l+1. The first must be 1, and they must not grow.
func NewProfile(active []float64) (Profile, error) {
	for l, a := range active {
		switch {
		case math.IsNaN(a) || a < 0 || a > 1:
			return Profile{}, fmt.Errorf("halting: active share %v of block %d is not between 0 and 1", a, l+1)
		case l == 0 && a != 1:
			return Profile{}, fmt.Errorf("halting: active share of block 1 is %v, must be 1: every token runs in the first block", a)
		case l > 0 && a > active[l-1]:
			return Profile{}, fmt.Errorf("halting: active share grows from %v to %v in block %d; a token that is gone cannot come back", active[l-1], a, l+1)
		}
	}
	return Profile{active}, nil
}

// Step halts the patch tokens whose place is beyond the share of the next block.
func (p Profile) Step(s *State, r Rows) {
	patches := len(s.Depth) - 1
	keep := 0 // places 0..keep run in the next block
	if r.Layer < r.Layers {
		keep = int(math.Round(p.active[r.Layer] * float64(patches)))
	}
	for i, k := range r.Token {
		r.Score[i], r.Weight[i] = 0, 0
		if r.Layer == r.Layers || int(k) > keep {
			s.Remainder[k], s.Depth[k] = 1, int32(r.Layer)
			r.Weight[i] = 1
		}
	}
}
