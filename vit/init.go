package vit

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"
)

// deitStd is the deviation of special tokens, the position embedding and a new head's weights, as DeiT has it.
const deitStd = 0.02

// truncatedStd is the standard deviation of a unit normal that is cut off at ±2: √(1 − 2·2·φ(2)/(2·Φ(2)−1)).
const truncatedStd = 0.8796256610342398

// Initialize makes fresh parameters: weights of linear maps from a normal distribution cut off at two deviations and
// scaled so that what remains has deviation std; std ≤ 0 means 1/√fan_in for each map (a narrow model learns faster
// from it than from DeiT's 0.02). Special tokens and positions have deviation 0.02; biases are 0, norms' weights 1.
//
// Each tensor has a generator of its own, started from seed and the tensor's name, so that it does not depend on what
// other tensors the model has. c must be valid.
func Initialize(c Config, seed uint64, std float64) *Params {
	p := NewParams(c)
	for _, t := range p.Tensors() {
		switch {
		case t.Decay:
			s := std
			if s <= 0 {
				s = 1 / math.Sqrt(float64(t.Len()/t.Shape[0])) // of fan_in
			}
			truncatedNormal(t.Data, seed, t.Name, s)
		case len(t.Shape) == 3: // special tokens and positions
			truncatedNormal(t.Data, seed, t.Name, deitStd)
		case strings.HasSuffix(t.Name, ".weight"): // a norm's, as it does not decay
			for i := range t.Data {
				t.Data[i] = 1
			}
		}
	}
	return p
}

// truncatedNormal fills x from the generator that belongs to (seed, name).
func truncatedNormal(x []float32, seed uint64, name string, std float64) {
	h := fnv.New64a()
	h.Write([]byte(name))
	rng := rand.New(rand.NewPCG(seed, h.Sum64()))
	for i := range x {
		z := rng.NormFloat64()
		for math.Abs(z) > 2 {
			z = rng.NormFloat64()
		}
		x[i] = float32(z * std / truncatedStd)
	}
}
