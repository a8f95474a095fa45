package halting

import "math"

// Sure is implemented by schemes that end an image at the first block whose prediction gives a class a probability
// that is large enough, whatever else they do.
type Sure interface {
	Scheme
	// Unsure returns that probability, and the scheme in which none is enough. It is comparable: equal for schemes that
	// differ in the probability alone.
	Unsure() (enough float32, never Scheme)
}

// beyond is a probability that no prediction has.
var beyond = float32(math.Inf(1))

// Unsure implements Sure.
func (e Exit) Unsure() (enough float32, never Scheme) {
	enough, e.Sure = e.Sure, beyond
	return enough, e
}

// Unsure implements Sure.
func (c Confidence) Unsure() (enough float32, never Scheme) {
	enough, c.Threshold = c.Threshold, beyond
	return enough, c
}

// Watched is a scheme that tells Seen after every block for which it asks for a prediction what that is: the largest
// probability and the logits [classes], which are good until Seen returns. With what Unsure returns that is all that it
// takes to know where any probability would have ended the image, and with what prediction: until then nothing differs.
type Watched struct {
	Scheme
	Seen func(largest float32, logits []float32)
}

// Step is the scheme's, which knows nothing of it.
func (w Watched) Step(s *State, r Rows) {
	w.Scheme.Step(s, r)
	if r.Logits != nil {
		z := r.Logits()
		w.Seen(largestProbability(z), z)
	}
}
