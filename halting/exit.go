package halting

// exiting adds an exit to a scheme whose patches halt by themselves, where the configuration asks for one.
func exiting(c Config, patches patchScheme, training bool) Scheme {
	if sure := c.Exit(); sure > 0 {
		return Exit{patches, float32(sure), training}
	}
	return patches
}

// patchScheme is a scheme whose patches halt by cumulative scores of their own.
type patchScheme interface {
	Learner
	step(s *State, r Rows, first int, last bool) // Step for the rows from first on; last: they all halt
}

// Exit has the patches halt as a scheme says, and the image end at the first block whose prediction, softmax(head(norm(
// class token))), gives a class a probability of Sure or more, METHOD.md (46) (in a model with two heads, their mean
// logits): what patches do not show and what blocks do not change is saved alike. The tokens that are read by
// themselves have no gates here. What counts is their value after the block where the image ends; in training every
// block's prediction is learnt. A mean of patches is that of their mean fields if they ended there, METHOD.md (53).
type Exit struct {
	patchScheme
	Sure       float32
	EveryBlock bool // training: no image ends early
}

// Step halts patches, and all that is left of an image once its prediction is sure. A readout's score is the largest
// probability; 0 in training and in block L, where nobody asks.
func (e Exit) Step(s *State, r Rows) {
	read := 0
	for read < len(r.Token) && r.Readouts.Read(r.Token[read]) {
		read++
	}
	sure, ends := float32(0), r.Layer == r.Layers
	if !ends && !e.EveryBlock && !r.Readouts.Done(s.Depth) {
		sure = largestProbability(r.Logits())
		ends = sure >= e.Sure
	}
	s.Over = ends
	e.step(s, r, read, ends)
	for i := range read {
		r.Score[i], r.Weight[i] = sure, 0
		if ends {
			r.Halt(s, i)
		}
	}
}

// Needs is the patches', with logits where they can end the image.
func (e Exit) Needs(layer, layers int) Needs {
	n := e.patchScheme.Needs(layer, layers)
	n.Logits = layer < layers && !e.EveryBlock
	return n
}

// Backward implements Learner: the tokens that are read have no gates.
func (e Exit) Backward(dGate, score []float32, depth []int32, up Upstream) {
	e.patchScheme.Backward(dGate, score, depth, up)
	n := len(depth)
	for l := range up.Score {
		clear(dGate[l*n : l*n+up.Readouts.Alone])
	}
}

// Deep says that every block's prediction is learnt.
func (Exit) Deep() {}
