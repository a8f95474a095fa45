package halting

import (
	"math"
	"math/rand/v2"
)

var _ = Register(Descriptor{
	Name: "random", Order: 11, Summary: "patch tokens halt by lot, whatever they show: what others have to beat",
	Note: "Patch tokens halt by lot. A picture's lots follow from what it shows as a whole, so it has the same ones " +
		"whenever it is run, in every precision; on other machines very few pictures may have others.",
	Keys: []Key{{Name: "rate", Default: 0.1, Max: 1}}, // ρ, the chance to halt after a block
	Tune: "rate", TuneRange: func(float64) (lo, hi float64) { return 1, 0 },
	New:      func(c Config) Scheme { return Random{c.Number("rate")} },
	Training: Trainable,
})

// Random is the scheme that every other has to beat: after each block a patch token halts with the chance Rate,
// whatever it shows. Special tokens run to the end. METHOD.md (51).
//
// One lot v in [0, 1) for each patch of an image is enough: the patch halts after the first block l with v ≥
// (1 − Rate)^l. A scheme has no random numbers, and an image should have one result, so the lot is drawn with the
// patch's place and a fingerprint of the image for a seed. That is made of the tokens' first numbers as they go into
// block 1, which every precision computes in float32, and it is coarse: which of two tokens has the larger one. So the
// last bits, in which machines and precisions differ, hardly ever count. It is the whole image's, for background looks
// the same in all images, and would have the same lots in all. (All of Fashion-MNIST's 10 000 test images differ.)
type Random struct{ Rate float64 }

// Step draws lots in block 1. Scores are the lots, 0 of special tokens and in block L.
func (t Random) Step(s *State, r Rows) {
	r.Fill(0, 0)
	if r.Layer == 1 {
		seed := r.fingerprint()
		for _, k := range r.Token {
			if r.Readouts.Patch(k) {
				s.Cumulative[k] = lot(seed, k)
			}
		}
	}
	if r.Layer == r.Layers {
		r.HaltAll(s)
		return
	}
	stays := math.Pow(1-t.Rate, float64(r.Layer))
	for i, k := range r.Token {
		r.Score[i] = s.Cumulative[k]
		if r.Readouts.Patch(k) && float64(s.Cumulative[k]) >= stays {
			r.Halt(s, i)
		}
	}
}

// Needs asks for the tokens before block 1.
func (Random) Needs(layer, layers int) Needs {
	return Needs{Halts: layer < layers, Previous: layer == 1 && layers > 1}
}

// fingerprint is a hash (FNV-1a) of which of two tokens has the larger first number before the block, for those that
// are up to eight places apart.
func (r *Rows) fingerprint() uint64 {
	hash := uint64(14695981039346656037)
	if r.Previous == nil {
		return hash
	}
	for i := range r.Token {
		for j := max(i-8, 0); j < i; j++ {
			if r.Previous[i*r.Stride] > r.Previous[j*r.Stride] {
				hash ^= 1
			}
			hash *= 1099511628211
		}
	}
	return hash
}

// lot returns a number from 0 up to 1, a multiple of 2⁻²⁴ so that float32 holds it.
func lot(seed uint64, place int32) float32 {
	return float32(rand.NewPCG(seed, uint64(place)).Uint64()>>40) / (1 << 24)
}
