package halting

import "math"

var _ = Register(Descriptor{
	Name: "tome", Order: 9, Summary: "ToMe: similar tokens are merged, a fixed number after each block",
	Note: mergedNote,
	Keys: []Key{{Name: "merge", Default: 8.0, Max: 1 << 16}}, // tokens merged after a block; fractions add up
	Tune: "merge", TuneRange: func(now float64) (lo, hi float64) { return max(now, 256), 0 },
	New:      func(c Config) Scheme { return ToMe{c.Number("merge")} },
	Training: Untrained,
})

// ToMe merges tokens that are alike (Bolya et al. 2023; METHOD.md (17)), a fixed number after each block. The rows are
// dealt alternately to two sets; each row of the first looks for the row of the second with the most similar key
// (cosine, keys being the mean over the heads), and the most similar pairs are merged into their mean, weighted by how
// many tokens each already stands for. In later blocks attention counts a merged row as so many (Needs.Sizes). Special
// tokens stay themselves.
//
// The original merges between attention and MLP; here it happens after the whole block. ⌊l·Merge⌋ − ⌊(l−1)·Merge⌋
// tokens are merged after block l, but at most half of the patch tokens, and none after block L.
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
	n, specials := len(r.Token), 0 // they come first
	for specials < n && !r.Readouts.Patch(r.Token[specials]) {
		specials++
	}
	count := t.count(r.Layer, r.Layers, n, specials)
	if count == 0 {
		return
	}
	na, nb, length := (n+1)/2, n/2, r.KeyLen
	floats, ints := r.room(n*length+na*nb+n, 2*n)
	keys, floats := floats[:n*length], floats[n*length:]
	scores, best := floats[:na*nb], floats[na*nb:]
	order, mate := ints[:0:n], ints[n:]
	// Row i lies at place i/2 of its set: the even rows first, then the odd ones.
	for i := range n {
		normalise(keys[(i%2*na+i/2)*length:][:length], r.Keys[i*length:])
	}
	r.Products(scores, keys, keys[na*length:], na, nb, length)
	for i := (specials + 1) &^ 1; i < n; i += 2 {
		best[i], mate[i] = float32(math.Inf(-1)), -1
		for j := specials | 1; j < n; j += 2 {
			if v := scores[i/2*nb+j/2]; v > best[i] || mate[i] < 0 {
				best[i], mate[i] = v, int32(j)
			}
		}
		if mate[i] >= 0 {
			order = append(order, int32(i))
		}
	}
	descending(order, best)
	own := best // from here on best holds similarities at even places and sizes before merging at odd ones
	for j := 1; j < n; j += 2 {
		own[j] = s.Size[r.Token[j]]
	}
	order = order[:min(count, len(order))]
	for _, i := range order {
		r.Into[i], r.Score[i] = mate[i], best[i]
		s.Size[r.Token[mate[i]]] += s.Size[r.Token[i]]
		r.Halt(s, int(i))
	}
	for _, i := range order {
		r.Share[i] = s.Size[r.Token[i]] / s.Size[r.Token[mate[i]]]
	}
	for j := 1; j < n; j += 2 {
		r.Share[j] = own[j] / s.Size[r.Token[j]] // 1 where nothing came in
	}
}

// normalise writes key divided by its length.
func normalise(dst, key []float32) {
	sum := 0.0
	for _, v := range key[:len(dst)] {
		sum += float64(v) * float64(v)
	}
	f := float32(1 / math.Sqrt(max(sum, 1e-30)))
	for i := range dst {
		dst[i] = key[i] * f
	}
}

// Needs asks for keys where tokens are merged.
func (t ToMe) Needs(layer, layers int) Needs {
	some := t.count(layer, layers, math.MaxInt32, 0) > 0
	return Needs{Halts: some, Output: some, Keys: some, Merges: some, Sizes: layer > 1}
}
