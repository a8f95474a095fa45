package halting

import "slices"

// State is what a scheme remembers of one image between blocks, indexed by a token's original place 0..N−1.
type State struct {
	Cumulative []float32 // [N] c[k,l], or how near to halting a token is in the scheme's own measure
	Remainder  []float32 // [N] r[k], once halted
	Depth      []int32   // [N] N[k]; 0 while the token is active, NeverRan if it was left out before block 1
	Size       []float32 // [N] tokens that were merged into this one, itself included; 0 of one that went into another

	Over bool // the scheme has ended the image as a whole, rather than token by token

	Cap   int // most token-blocks that the image may cost, 0 for any number: see Enforce
	spent int // token-blocks so far

	given []float32 // [N] Σ p[k,j] over the blocks so far, where Give was called: see there
	order []int32   // [N] Enforce's own
}

// NeverRan is the depth of a token that a cap kept out of block 1.
const NeverRan = -1

// Reset prepares s for an image of n tokens, without a cap; it allocates only to grow.
func (s *State) Reset(n int) {
	for _, f := range []*[]float32{&s.Cumulative, &s.Remainder, &s.Size, &s.given} {
		*f = slices.Grow((*f)[:0], n)[:n]
		clear(*f)
	}
	s.Depth, s.order = slices.Grow(s.Depth[:0], n)[:n], slices.Grow(s.order[:0], n)[:n]
	clear(s.Depth)
	for i := range s.Size {
		s.Size[i] = 1
	}
	s.Over, s.Cap, s.spent = false, 0, 0
}

// Bytes returns what s holds.
func (s *State) Bytes() int64 {
	return 4 * int64(cap(s.Cumulative)+cap(s.Remainder)+cap(s.Size)+cap(s.given)+cap(s.Depth)+cap(s.order))
}

// Rows is one image right after block Layer: its n tokens that ran there, in the order of their places. What comes
// after Weight is there where the scheme's Needs ask for it.
type Rows struct {
	Layer, Layers int       // this block and the number of blocks; 1-based
	Readouts      Readouts  // what the tokens' places are
	X             []float32 // [n, Stride] token i starts at X[i·Stride]
	Stride        int
	Token         []int32   // [n] original place of each row
	Score         []float32 // [n] out: sigmoid of the gate, block L's too, or what else the scheme goes by
	Weight        []float32 // [n] out: p[k,l]

	Previous  []float32        // [n, Stride] the same tokens before the block
	Attention []float32        // [n] what the class token pays each row in this block, mean over the heads (see Needs.For)
	Received  []float32        // [n] what each row gets in this block from all that ran, mean over rows and heads
	Keys      []float32        // [n, KeyLen] the rows' keys in this block, mean over the heads
	KeyLen    int              //
	Logits    func() []float32 // what the heads make of their tokens' rows, averaged [classes]; until the next call

	// Out, of schemes that merge: row i goes into row Into[i], its own where nothing happens to it, with factor
	// Share[i]: x'[j] = Σ Share[i]·x[i] over Into[i] = j. A row that goes into another has halted, with a weight of 0.
	Into  []int32   // [n]
	Share []float32 // [n]

	Scratch *Scratch // room to work in, one for each thread; nil: Step makes its own
	// dst [rows, cols] = a·bᵀ, a [rows, length], b [cols, length]; there with Keys
	Products func(dst, a, b []float32, rows, cols, length int)
}

// Halt ends row i after this block, with its whole weight.
func (r *Rows) Halt(s *State, i int) { r.halt(s, i, 1) }

// halt ends row i after this block, with the weight that it has left.
func (r *Rows) halt(s *State, i int, left float32) {
	k := r.Token[i]
	r.Weight[i], s.Remainder[k], s.Depth[k] = left, left, int32(r.Layer)
}

// Fill gives all rows the same score and weight.
func (r *Rows) Fill(score, weight float32) {
	for i := range r.Token {
		r.Score[i], r.Weight[i] = score, weight
	}
}

// HaltAll ends the whole image after this block.
func (r *Rows) HaltAll(s *State) { r.haltAll(s, 1) }

func (r *Rows) haltAll(s *State, left float32) {
	s.Over = true
	for i := range r.Token {
		r.halt(s, i, left)
	}
}

// Scratch is working memory that Step may use for one call. It grows as it is needed.
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
	s.floats, s.ints = slices.Grow(s.floats[:0], n), slices.Grow(s.ints[:0], m)
	return s.floats[:n], s.ints[:m]
}

// Bytes returns what s holds.
func (s *Scratch) Bytes() int64 { return 4 * int64(cap(s.floats)+cap(s.ints)) }
