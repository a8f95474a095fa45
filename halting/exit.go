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
	step(s *State, r Rows, first int) // Step for the rows from first on
}

// Exit has the patches halt as a scheme says, and the image end at the first block whose prediction, softmax(head(norm(
// class token))), gives a class a probability of Sure or more, METHOD.md (46) (in a model with two heads, their mean
// logits): what patches do not show and what blocks do not change is saved alike. The tokens that are read have no
// gates here. What counts is their value after the block where the image ends; in training every block's prediction is
// learnt.
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
	e.step(s, r, read)
	if read == 0 {
		return
	}
	sure, ends := float32(0), r.Layer == r.Layers
	if !ends && !e.EveryBlock {
		sure = largestProbability(r.Logits())
		ends = sure >= e.Sure
	}
	for i := range read {
		r.Score[i], r.Weight[i] = sure, 0
		if ends {
			r.Halt(s, i)
		}
	}
	for i, k := range r.Token {
		if ends && s.Depth[k] == 0 {
			r.halt(s, i, 1-(s.Cumulative[k]-r.Score[i]))
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
	n, read := len(depth), len(up.Weight)/len(up.Score)
	for l := range up.Score {
		clear(dGate[l*n : l*n+read])
	}
}

// Deep says that every block's prediction is learnt.
func (Exit) Deep() {}
