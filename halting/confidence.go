package halting

import (
	"math"
	"slices"
)

var _ = Register(Descriptor{
	Name: "confidence", Order: 6, Summary: "the image stops when its prediction is sure enough",
	Keys: []Key{{Name: "threshold", Default: 0.9, Max: 1}}, // τ, the largest probability from which on to stop
	Tune: "threshold",

	New:         func(c Config) Scheme { return Confidence{Threshold: float32(c.Number("threshold"))} },
	NewTraining: func(Config) Scheme { return Confidence{EveryBlock: true} },
})

// Confidence stops the whole image at the first block whose prediction, softmax(head(norm(class token))), gives a class
// a probability of Threshold or more, METHOD.md (14) (in a model with two heads, their mean logits). Every block's
// prediction is learnt; at inference that of the block where it stopped counts.
type Confidence struct {
	Threshold  float32
	EveryBlock bool // training: no image stops early
}

// Step asks for a prediction in all blocks but the last. Scores of all tokens are the largest probability.
func (c Confidence) Step(s *State, r Rows) {
	if len(r.Token) == 0 {
		return
	}
	sure, stops := float32(0), r.Layer < r.Layers && !c.EveryBlock
	if stops {
		sure = largestProbability(r.Logits())
	}
	r.Fill(sure, 0)
	if r.Layer == r.Layers || stops && sure >= c.Threshold {
		r.HaltAll(s)
	}
}

// Needs asks for logits where they can stop the image.
func (c Confidence) Needs(layer, layers int) Needs {
	stops := layer < layers && !c.EveryBlock
	return Needs{Halts: stops, Output: stops, Logits: stops}
}

// Deep says that every block's prediction is learnt.
func (Confidence) Deep() {}

// largestProbability returns the largest of softmax(z), NaN if any of z is.
func largestProbability(z []float32) float32 {
	largest, total := slices.Max(z), 0.0
	for _, v := range z {
		total += math.Exp(float64(v) - float64(largest))
	}
	return float32(1 / total)
}
