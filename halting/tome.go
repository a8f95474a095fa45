package halting

import "math"

var _ = Register(Descriptor{
	Name: "tome", Order: 9, Summary: "ToMe: similar tokens are merged, a fixed number after each block",
	Note: mergedNote,
	Keys: []Key{{Name: "merge", Default: 8.0, Max: 1 << 16}}, // tokens merged after a block; fractions add up
	Tune: "merge", TuneRange: func(now float64) (lo, hi float64) { return max(now, 256), 0 },
	New:      func(c Config) Scheme { return ToMe{c.Number("merge")} },
	Training: Trainable,
})

// ToMe merges tokens that are alike (Bolya et al. 2023; METHOD.md (17)), a fixed number after each block. The rows are
// dealt alternately to two sets; each row of the first looks for the row of the second with the most similar key
// (cosine, keys being the mean over the heads), and the most similar pairs are merged into their mean, weighted by how
// many tokens each already stands for. In later blocks attention counts a merged row as so many (Needs.Sizes). Special
// tokens stay themselves.
//
// The original merges between attention and MLP; here it happens after the whole block. ⌊l·Merge⌋ − ⌊(l−1)·Merge⌋
// tokens are merged after block l, but at most half of the patch tokens, and none after block L. Where a model is
// trained with it, sizes and shares are constants of the loss.
type ToMe struct{ Merge float64 }

// count returns how many rows are merged after a block with n rows of which special are no patches.
func (t ToMe) count(layer, layers, n, special int) int {
	if layer >= layers {
		return 0
	}
	c := math.Floor(float64(layer)*t.Merge) - math.Floor(float64(layer-1)*t.Merge)
	return max(int(min(c, float64((n-special)/2))), 0)
}

// Step pairs and merges. Scores are the similarity of the rows that go into another, 0 elsewhere.
func (t ToMe) Step(s *State, r Rows) {
	r.Fill(0, 0)
	if r.Layer == r.Layers {
		r.HaltAll(s)
		return
	}
	if t.count(r.Layer, r.Layers, math.MaxInt32, 0) == 0 {
		return
	}
	r.asTheyAre()
	m := r.match()
	descending(m.from, m.similarity)
	m.from = m.from[:min(t.count(r.Layer, r.Layers, len(r.Token), r.specials()), len(m.from))]
	for _, i := range m.from {
		r.Score[i] = m.similarity[i]
	}
	r.merge(s, m)
}

// Needs asks for keys where tokens are merged.
func (t ToMe) Needs(layer, layers int) Needs {
	some := t.count(layer, layers, math.MaxInt32, 0) > 0
	return Needs{Halts: some, Output: some, Keys: some, Merges: some, Sizes: layer > 1}
}
