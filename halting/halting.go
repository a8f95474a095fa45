// Package halting holds the mathematics of adaptive token depth on plain slices: the halting schemes, their losses and each one's gradient. It
// knows nothing of the network that makes the tokens.
//
// Let t[k,l] be token k after block l (l = 1..L); t[k,0] goes into block 1. In the schemes that learn to halt its first number is the
// gate (A-ViT, Yin et al. 2022, after ACT, Graves 2016):
//
//	h[k,l] = sigmoid(scale·t[k,l][0] − center)     score; in block L the token halts whatever its score
//	c[k,l] = h[k,1] + … + h[k,l]                    cumulative score
//	N[k]   = first l with c[k,l] ≥ 1 − ε            depth, L at most
//	r[k]   = 1 − c[k,N[k]−1]                        remainder
//	p[k,l] = h[k,l] for l < N[k], r[k] at l = N[k]  halting distribution, sums to 1
//
// After block N[k] the token is gone. In the other schemes p[k,l] is 1 in the block where the token halts, so that its last value counts, and r[k] is 1.
// Every scheme decides after a whole block, also where its paper does so inside of one. Layers are counted from 1 in arguments and from 0 in slices.
package halting

// Scheme decides after every block which tokens of one image go on. The engines call nothing else, so a new scheme is one new type. A scheme
// remembers nothing itself: one value serves all images and threads at once.
type Scheme interface {
	// Step is called after block r.Layer with the tokens that ran in it. It fills r.Score and r.Weight, updates s, and for every token that
	// halts here sets s.Depth[k] = r.Layer and s.Remainder[k]. In block r.Layers every token halts.
	//
	// In block L an engine may pass the readouts alone, the tokens that have a head: nothing else is needed any more. An image whose tokens have all
	// halted has no rows, and Step does nothing.
	Step(s *State, r Rows)
}

// Gated is implemented by schemes whose Step may look at nothing of a token's output but its gate, its first number. Where Gated returns true an
// engine may take halted tokens out before their other numbers are known.
type Gated interface {
	Scheme
	Gated() bool
}

// Needs is what a scheme wants to see in Rows after one block, and what it may do there.
type Needs struct {
	Previous  bool // Rows.Previous
	Attention bool // Rows.Attention
	Keys      bool // Rows.Keys
	Logits    bool // Rows.Logits
	Merges    bool // Step fills Rows.Into and Rows.Share, which the engine then applies
	Sizes     bool // in this block a key stands for State.Size tokens: its attention logit is log(size) larger
}

// Needing is implemented by schemes that look at more than Rows.X.
type Needing interface {
	Scheme
	Needs(layer, layers int) Needs // of block layer, 1-based
}

// NeedsOf returns the needs of any scheme.
func NeedsOf(s Scheme, layer, layers int) Needs {
	if n, ok := s.(Needing); ok {
		return n.Needs(layer, layers)
	}
	return Needs{}
}

// MACs returns the multiply-adds that an image of the given number of rows costs beyond the block itself. Every scalar product counts its length.
func (n Needs) MACs(rows, embed, headDim, readouts, classes int) int64 {
	var m int64
	r, e := int64(rows), int64(embed)
	if n.Previous {
		m += 3 * r * e // a token with itself, before and after, and with the other
	}
	if n.Attention {
		m += r * e // of one query
	}
	if n.Keys {
		m += r*int64(headDim) + (r+1)/2*(r/2)*int64(headDim)
	}
	if n.Logits {
		m += int64(readouts) * e * int64(classes)
	}
	return m
}

// Freezing is implemented by schemes whose halted tokens stay: they are computed no more, but their last values remain keys and values of
// every later block.
type Freezing interface {
	Scheme
	Freezes()
}

// Learner is implemented by schemes whose gates are learnt: they have a score in every block and a gradient for it.
type Learner interface {
	Scheme
	// Gate returns the constants of sigmoid(scale·gate − center).
	Gate() (scale, center float32)
	// Backward writes dGate[l,k] = ∂loss/∂t[k,l][0] for one image, scores and depths being what Step made. score and dGate are [L, N] by
	// layer and original token place, depth is [N]. With z = scale·gate − center, ∂loss/∂z is dGate/scale.
	Backward(dGate, score []float32, depth []int32, up Upstream)
}

// Supervised is implemented by schemes that need a prediction after every block: in training each block's readouts are classified.
type Supervised interface {
	Scheme
	Deep()
}

// State is what a scheme remembers of one image between blocks, indexed by a token's original place 0..N−1.
type State struct {
	Cumulative []float32 // [N] c[k,l]
	Remainder  []float32 // [N] r[k], once halted
	Depth      []int32   // [N] N[k]; 0 while the token is active
	Size       []float32 // [N] tokens that were merged into this one, itself included
}

// Reset prepares s for an image of n tokens; it allocates only to grow.
func (s *State) Reset(n int) {
	if cap(s.Depth) < n {
		s.Cumulative, s.Remainder, s.Depth, s.Size = make([]float32, n), make([]float32, n), make([]int32, n), make([]float32, n)
	}
	s.Cumulative, s.Remainder, s.Depth, s.Size = s.Cumulative[:n], s.Remainder[:n], s.Depth[:n], s.Size[:n]
	clear(s.Cumulative)
	clear(s.Remainder)
	clear(s.Depth)
	for i := range s.Size {
		s.Size[i] = 1
	}
}

// Rows is one image right after block Layer: its n tokens that ran there, in the order of their places. What comes after Weight is there where the
// scheme's Needs ask for it.
type Rows struct {
	Layer, Layers int       // this block and the number of blocks; 1-based
	Special       int       // tokens at places 0..Special−1 are no patches: the class token at 0, and perhaps a distillation token (0 counts as 1)
	X             []float32 // [n, Stride] token i starts at X[i·Stride]
	Stride        int
	Token         []int32   // [n] original place of each row
	Score         []float32 // [n] out: sigmoid of the gate, block L's too, or what else the scheme goes by
	Weight        []float32 // [n] out: p[k,l]

	Previous  []float32        // [n, Stride] the same tokens before the block
	Attention []float32        // [n] what the class token pays each row in this block, mean over the heads
	Keys      []float32        // [n, KeyLen] the rows' keys in this block, mean over the heads
	KeyLen    int              //
	Logits    func() []float32 // returns what the heads make of the readouts' rows, mean over the heads [classes]; good until the next call

	// Out, of schemes that merge: row i goes into row Into[i], its own where nothing happens to it, with factor Share[i]:
	// x'[j] = Σ Share[i]·x[i] over Into[i] = j. A row that goes into another has halted.
	Into  []int32   // [n]
	Share []float32 // [n]

	Scratch  *Scratch                                          // room to work in, one for each thread; nil: Step makes its own
	Products func(dst, a, b []float32, rows, cols, length int) // dst [rows, cols] = a·bᵀ, a [rows, length], b [cols, length]; nil: plain loops
}

// special returns the number of places that are no patches.
func (r *Rows) special() int32 { return int32(max(r.Special, 1)) }

// halt ends row i after this block, with its whole weight.
func (r *Rows) halt(s *State, i int) {
	k := r.Token[i]
	r.Weight[i], s.Remainder[k], s.Depth[k] = 1, 1, int32(r.Layer)
}

// fill gives all rows the same score and weight.
func (r *Rows) fill(score, weight float32) {
	for i := range r.Token {
		r.Score[i], r.Weight[i] = score, weight
	}
}

// haltAll ends the whole image after this block.
func (r *Rows) haltAll(s *State) {
	for i := range r.Token {
		r.halt(s, i)
	}
}

// Scratch is working memory that Step may use for one call.
type Scratch struct {
	floats []float32
	ints   []int32
}

// room returns n floats and m ints of r's scratch, holding anything.
func (r *Rows) room(n, m int) ([]float32, []int32) {
	s := r.Scratch
	if s == nil {
		s = &Scratch{}
	}
	if cap(s.floats) < n {
		s.floats = make([]float32, n)
	}
	if cap(s.ints) < m {
		s.ints = make([]int32, m)
	}
	return s.floats[:n], s.ints[:m]
}

// ScratchFor returns scratch that is large enough for images of n rows with keys of the given length.
func ScratchFor(n, keyLen int) *Scratch {
	return &Scratch{floats: make([]float32, n*keyLen+n*n+n), ints: make([]int32, 2*n)}
}

// Bytes returns what s holds.
func (s *Scratch) Bytes() int64 {
	if s == nil {
		return 0
	}
	return 4 * int64(cap(s.floats)+cap(s.ints))
}

// None is the dense scheme: all tokens run in all blocks, and the last block's output is what counts (p[k,L] = 1).
type None struct{}

// Step lets every token go on until the last block.
func (None) Step(s *State, r Rows) {
	r.fill(0, 0)
	if r.Layer == r.Layers {
		r.haltAll(s)
	}
}
