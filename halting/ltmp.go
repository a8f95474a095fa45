package halting

var _ = Register(Descriptor{
	Name: "ltmp", Order: 10, Summary: "LTMP: similar tokens are merged, then those that get little attention are pruned",
	Note: mergedNote + " The thresholds are constants, the same in all blocks; they are tuned for a depth, not learnt.",
	Keys: []Key{
		{Name: "similarity", Default: 0.9, Min: -1, Max: 1}, // cosine of two keys above which tokens are merged
		{Name: "importance", Default: 0.1, Max: 1 << 16},    // share of even attention below which one is pruned
	},
	Tune:     "similarity",
	New:      func(c Config) Scheme { return LTMP{float32(c.Number("similarity")), float32(c.Number("importance"))} },
	Training: Trainable,
})

// LTMP merges and prunes by thresholds (Bonnaerens and Dambre 2023; METHOD.md (50)). After every block but the last,
// tokens are matched as in ToMe, and each whose key is more similar to its match's than Similarity (cosine) is merged
// into that, weighted by the tokens that each stands for. Then patches go that get too little attention: with I the
// mean of what all rows of the image pay a row, over the heads, those with N·I < Importance, where a row that others
// were merged into has the largest I of them all. N counts the tokens before block 1, so that Importance is a share of
// what each would get there if all got the same. As tokens grow fewer the others get more, and pruning ends by itself.
//
// The original decides between attention and MLP; here it happens after the whole block. It learns its thresholds, two
// for each block, by masks that fade; here they are constants.
type LTMP struct{ Similarity, Importance float32 }

// Step merges, then prunes. Scores are N·I, of rows that others were merged into after that; 0 in block L.
func (t LTMP) Step(s *State, r Rows) {
	r.Fill(0, 0)
	if r.Layer == r.Layers {
		r.HaltAll(s)
		return
	}
	r.asTheyAre()
	for i := range r.Token {
		r.Score[i] = float32(len(s.Depth)) * r.Received[i]
	}
	m := r.match()
	merged := m.from[:0]
	for _, i := range m.from {
		if j := m.into[i]; m.similarity[i] > t.Similarity {
			merged = append(merged, i)
			r.Score[j] = max(r.Score[j], r.Score[i])
		}
	}
	m.from = merged
	r.merge(s, m)
	for i, k := range r.Token {
		s.Cumulative[k] = -r.Score[i]
		if r.Readouts.Patch(k) && r.Score[i] < t.Importance {
			r.Halt(s, i)
		}
	}
}

// Needs asks for attention and keys, and for merging.
func (LTMP) Needs(layer, layers int) Needs {
	some := layer < layers
	return Needs{Halts: some, Output: some, Received: some, Keys: some, Merges: some, Sizes: layer > 1}
}
