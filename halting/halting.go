// Package halting holds the mathematics of adaptive token depth on plain slices: the halting schemes, and the gradients
// of those that are learnt. It knows nothing of the network that makes the tokens.
//
// Let t[k,l] be token k after block l (l = 1..L); t[k,0] goes into block 1. In the schemes that learn to halt its first
// number is the gate (A-ViT, Yin et al. 2022, after ACT, Graves 2016); METHOD.md (4)–(8):
//
//	h[k,l] = sigmoid(scale·t[k,l][0] − center)     score; in block L the token halts whatever its score
//	c[k,l] = h[k,1] + … + h[k,l]                    cumulative score
//	N[k]   = first l with c[k,l] ≥ 1 − ε            depth, L at most
//	r[k]   = 1 − c[k,N[k]−1]                        remainder
//	p[k,l] = h[k,l] for l < N[k], r[k] at l = N[k]  halting distribution, sums to 1
//
// After block N[k] the token is gone. In the other schemes p[k,l] is 1 in the block where the token halts, so that its
// last value counts, and r[k] is 1. Every scheme decides after a whole block, also where its paper does so inside of
// one. Layers are counted from 1 in arguments and from 0 in slices.
//
// # To add a scheme
//
// A scheme is one file: a type with Step and Needs, and the Descriptor that the file registers; nothing else names
// schemes. Take none.go as the least of them, similarity.go for one that halts tokens by what it sees, token.go for one
// that learns when. Rows.Halt ends a token. Where State.Cumulative says how near a token is to halting, a cap ends the
// right ones first. Beside its own tests, give it lines in testdata/config.golden, and its rule, written plainly, to
// the reference that the engine is held against (infer's decide_test.go).
package halting

// Scheme decides after every block which tokens of one image go on. It remembers nothing itself: one value serves all
// images and threads at once.
type Scheme interface {
	// Step is called after block r.Layer with the tokens that ran in it: none where all have halted, and in block L
	// perhaps the readouts alone. It fills r.Score and r.Weight, updates s, and for every token that halts here, in
	// block L for all, sets s.Depth[k] = r.Layer and s.Remainder[k].
	Step(s *State, r Rows)
	// Needs returns what Step wants to see after a block (1-based), and what it may do there. Where Halts is set and
	// Output is not, an engine may take halted tokens out before their other numbers are known.
	Needs(layer, layers int) Needs
}

// Needs is what a scheme wants to see in Rows after one block, and what it may do there. Zero: nothing halts there, and
// Step looks at gates alone.
type Needs struct {
	Halts     bool // tokens may halt after this block; in block L all do, whatever it says
	Output    bool // Step needs more of a row than its gate (the first number), or what has halted is needed whole
	Previous  bool // Rows.Previous
	Cosines   bool // Step itself takes the cosine of each row with what it was: MACs counts that
	Attention bool // Rows.Attention
	Received  bool // Rows.Received
	Keys      bool // Rows.Keys
	Logits    bool // Rows.Logits; the rows that are read are whole there, whatever Output says
	Merges    bool // Step fills Rows.Into and Rows.Share, which the engine then applies
	Sizes     bool // in this block a key stands for State.Size tokens: its attention logit is log(size) larger
	Frozen    bool // halted tokens stay keys and values of all later blocks, as they were last; in every block or none
}

// MACs returns the multiply-adds that an image of the given number of rows costs beyond the block itself, where heads
// look at so many inputs. Every scalar product counts its length.
func (n Needs) MACs(rows, embed, headDim, inputs, classes int) int64 {
	var m int64
	r, e := int64(rows), int64(embed)
	if n.Cosines {
		m += 3 * r * e // a token with itself, before and after, and with the other
	}
	if n.Attention {
		m += r * e // of one query
	}
	if n.Received {
		m += r * r * e // of all queries
	}
	if n.Keys {
		m += (r + (r+1)/2*(r/2)) * int64(headDim)
	}
	if n.Logits {
		m += int64(inputs) * e * int64(classes)
	}
	return m
}

// For returns n for a model with these tokens. Without a class token, whose attention would be shown, what all rows
// pay on average stands for it.
func (n Needs) For(r Readouts) Needs {
	if n.Attention && !r.Class() {
		n.Attention, n.Received = false, true
	}
	return n
}

// Learner is implemented by schemes whose gates are learnt: they have a score in every block and a gradient for it.
type Learner interface {
	Scheme
	// Gate returns the constants of sigmoid(scale·gate − center).
	Gate() (scale, center float32)
	// Backward writes dGate[l,k] = ∂loss/∂t[k,l][0] for one image, scores and depths being what Step made. score and
	// dGate are [L, N] by layer and original token place, depth is [N]. With z = scale·gate − center, ∂loss/∂z is
	// dGate/scale.
	Backward(dGate, score []float32, depth []int32, up Upstream)
}

// Supervised is implemented by schemes that need a prediction after every block: in training each block's readouts are
// classified.
type Supervised interface {
	Scheme
	Deep()
}

// Chances is implemented by Supervised learners whose scores are the chances by which their predictions count.
type Chances interface {
	Supervised
	Chances()
}

// Upstream is the loss's gradient with respect to what halting contributes to it, for one image. Depths are constants.
type Upstream struct {
	Readouts  Readouts
	Weight    []float32 // [Readouts.Fields(), L] ∂loss/∂p[k,l] of the tokens that are read, through their mean fields
	Remainder float32   // ∂loss/∂r[k], the same for all tokens: α_ponder / (B·N)
	// [L] ∂loss/∂h[k,l] through the prior, the same for all tokens that ran in block l; 1/h in size, so beyond float32
	// for gates that are shut
	Score  []float64
	Lambda []float64 // [L] PonderNet alone, which reads nothing else: ∂loss/∂λ[l] of this image (see train's ponderLoss)
}
