package halting

import (
	"errors"
	"fmt"
	"math"
)

// FixedShares is a benchmark's scheme: a fixed share of the patch tokens runs in each block, whatever they hold, so
// that the speed of removal can be measured on random input.
type FixedShares struct{ active []float64 }

// NewFixedShares checks the shares: active[l] is that of block l+1, and the last one's holds for the blocks beyond the
// list. Shares must not grow. Where the first is below 1 the other tokens never start.
func NewFixedShares(active []float64) (FixedShares, error) {
	if len(active) == 0 {
		return FixedShares{}, errors.New("halting: no active shares given")
	}
	for l, a := range active {
		switch {
		case !(a >= 0 && a <= 1):
			return FixedShares{}, fmt.Errorf("halting: active share %v of block %d is not between 0 and 1", a, l+1)
		case l > 0 && a > active[l-1]:
			return FixedShares{}, fmt.Errorf("halting: active share grows from %v to %v in block %d; "+
				"a token that is gone cannot come back", active[l-1], a, l+1)
		}
	}
	return FixedShares{active}, nil
}

// Start returns how many of an image's patch tokens run in the first block: the first ones.
func (f FixedShares) Start(patches int) int { return f.keep(1, patches) }

// keep returns the number of patch tokens that run in the given block (1-based).
func (f FixedShares) keep(layer, patches int) int {
	return int(math.Round(f.active[min(layer, len(f.active))-1] * float64(patches)))
}

// Step halts the patch tokens beyond the share of the next block.
func (f FixedShares) Step(s *State, r Rows) {
	end := r.Readouts.Special // places 0..end−1 run in the next block
	if r.Layer < r.Layers {
		end += f.keep(r.Layer+1, len(s.Depth)-end)
	}
	r.Fill(0, 0)
	for i, k := range r.Token {
		if r.Layer == r.Layers || int(k) >= end {
			r.Halt(s, i)
		}
	}
}

// Needs looks at gates alone, as the schemes do that it stands for.
func (FixedShares) Needs(layer, layers int) Needs { return Needs{Halts: layer < layers} }
