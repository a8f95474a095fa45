package halting

import "slices"

// Readouts says what the places of an image's tokens are, special tokens first, then patches, and what the heads look
// at. Each of the first Alone tokens is read by itself: o = Σ p[k,l]·t[k,l], its mean field, METHOD.md (9). Where
// Pooled is set, the mean over the patches' mean fields is read too, (52).
type Readouts struct {
	Special   int // places 0..Special−1 are no patches: the class token, perhaps a distillation token, registers
	Alone     int // tokens that are read by themselves: 0, 1 (the class token) or 2 (and the distillation token)
	Registers int // the last so many special tokens are registers: nobody reads them, others only attend to them
	Pooled    int // patches whose mean is read, all or 0
}

// Read reports whether a head looks at the token at this place by itself.
func (r Readouts) Read(place int32) bool { return int(place) < r.Alone }

// Patch reports whether the token at this place is a patch.
func (r Readouts) Patch(place int32) bool { return int(place) >= r.Special }

// Register reports whether the token at this place is a register.
func (r Readouts) Register(place int32) bool {
	return int(place) < r.Special && int(place) >= r.Special-r.Registers
}

// Class reports whether there is a class token, at place 0.
func (r Readouts) Class() bool { return r.Special > r.Registers }

// Done reports whether all tokens that are read have halted, given the depths of an image's tokens [N]: nothing can
// change its logits any more.
func (r Readouts) Done(depth []int32) bool {
	return !slices.Contains(depth[:r.Alone], 0) && (r.Pooled == 0 || !slices.Contains(depth[r.Special:], 0))
}

// End returns the largest depth of the tokens [N] that are read: the block after which the image's logits are known.
func End[T int | int32](r Readouts, depth []T) T {
	end := T(0)
	for f := range r.Fields() {
		end = max(end, depth[r.Place(f)])
	}
	return end
}

// Fields returns how many mean fields an image has: one for each token that is read, by itself or in the patches' mean.
func (r Readouts) Fields() int { return r.Alone + r.Pooled }

// Field returns which of the mean fields the output of the token at this place counts in, if any.
func (r Readouts) Field(place int32) (int, bool) {
	if r.Pooled > 0 && r.Patch(place) {
		return int(place) - r.Special + r.Alone, true
	}
	return int(place), r.Read(place)
}

// Place returns the place of the token that a mean field is of.
func (r Readouts) Place(field int) int {
	if field < r.Alone {
		return field
	}
	return field - r.Alone + r.Special
}

// Inputs returns how many vectors the heads look at.
func (r Readouts) Inputs() int { return r.Alone + min(r.Pooled, 1) }

// keeps reports whether a cap lets the token at this place run to the image's end: one that is read by itself, or the
// class token, which schemes go by.
func (r Readouts) keeps(place int32) bool { return int(place) < r.Alone || place == 0 && r.Class() }

// Least returns the fewest token-blocks that a cap can be held with: those of the tokens that it keeps, and a patch
// where the patches' mean is read, in one block.
func (r Readouts) Least() int {
	n := r.Alone + min(r.Pooled, 1)
	if r.Alone == 0 && r.Class() {
		n++
	}
	return n
}

// lead returns the gate of the token that decides for its image: the class token's, or where there is none the mean of
// the patches' that run.
func (r *Rows) lead() float32 {
	if r.Readouts.Class() {
		return r.X[0]
	}
	sum, n := float32(0), 0
	for i, k := range r.Token {
		if r.Readouts.Patch(k) {
			sum += r.X[i*r.Stride]
			n++
		}
	}
	return sum / float32(max(n, 1))
}

// tell keeps what an image's lead has come to.
func (r *Rows) tell(s *State, cumulative float32) {
	s.Cumulative[0] = cumulative
	if !r.Readouts.Class() { // then no token is the first to go
		for k := range s.Cumulative {
			s.Cumulative[k] = cumulative
		}
	}
}

// led adds to dGate [N], the gradient of one block's gates, that of the lead's.
func (r Readouts) led(dGate []float32, d float32) {
	if r.Class() {
		dGate[0] += d
		return
	}
	for k := r.Special; k < len(dGate); k++ {
		dGate[k] += d / float32(len(dGate)-r.Special)
	}
}
