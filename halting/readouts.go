package halting

import "slices"

// Readouts says what the places of an image's tokens are: special tokens first, then patches. The first Heads places
// are read: each has a head, which looks at its token's mean field o = Σ p[k,l]·t[k,l], METHOD.md (9).
type Readouts struct {
	Special int // places 0..Special−1 are no patches: the class token, and perhaps a distillation token
	Heads   int // 1 (the class token's) or 2 (and the distillation token's)
}

// Read reports whether a head looks at the token at this place.
func (r Readouts) Read(place int32) bool { return int(place) < r.Heads }

// Patch reports whether the token at this place is a patch.
func (r Readouts) Patch(place int32) bool { return int(place) >= r.Special }

// Done reports whether all tokens that are read have halted, given the depths of an image's tokens [N]: nothing can
// change its logits any more.
func (r Readouts) Done(depth []int32) bool { return !slices.Contains(depth[:r.Heads], 0) }

// Fields returns how many mean fields an image has.
func (r Readouts) Fields() int { return r.Heads }

// Field returns which of the mean fields the output of the token at this place counts in, if any.
func (r Readouts) Field(place int32) (int, bool) { return int(place), r.Read(place) }
