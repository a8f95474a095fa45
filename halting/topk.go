package halting

import (
	"math"
	"slices"
)

var _ = Register(Descriptor{
	Name: "topk", Order: 8, Summary: "EViT: after some blocks only the patch tokens with most class attention go on",
	Note: mergedNote,
	Keys: []Key{
		{Name: "keep", Default: 0.7, Max: 1},
		{Name: "layers", Text: "after blocks", Default: []int(nil)},
		{Name: "fuse", Text: "fused", Default: false},
	},
	Tune:     "keep",
	New:      func(c Config) Scheme { return TopK{c.Number("keep"), c.Blocks("layers"), c.Switch("fuse")} },
	Training: Trainable,
})

// TopK lets a fixed share of the patch tokens go on after some blocks: those to which the class token pays most
// attention in that block, mean over the heads (EViT, Liang et al. 2022), METHOD.md (16). With Fuse the others are
// merged, weighted by that attention, into one row, which takes the place of the first of them and is a patch token
// like any other from then on. In a model without a class token it is the attention that all pay on average.
//
// The original takes tokens out between attention and MLP, and its fused row is the sum of a[k]·t[k]; here both happen
// after the whole block, and the sum is divided by Σ a[k], so that the row is of a token's size.
type TopK struct {
	Keep   float64 // share of the patch tokens that goes on, rounded up
	Layers []int   // blocks after which tokens go, 1-based; nil: ⌊L/4⌋·i + 1 for i = 1, 2, 3
	Fuse   bool
}

// at reports whether tokens go after this block.
func (t TopK) at(layer, layers int) bool {
	if layer >= layers {
		return false
	}
	if t.Layers != nil {
		return slices.Contains(t.Layers, layer)
	}
	quarter := layers / 4
	return layer == quarter+1 || layer == 2*quarter+1 || layer == 3*quarter+1
}

// Step keeps the tokens with most attention; of equals the earlier. Scores are the attention where it decides, 0
// elsewhere.
func (t TopK) Step(s *State, r Rows) {
	r.Fill(0, 0)
	if r.Layer == r.Layers {
		r.HaltAll(s)
		return
	}
	if !t.at(r.Layer, r.Layers) {
		return
	}
	if t.Fuse {
		r.asTheyAre()
	}
	attention := r.Attention
	if attention == nil { // see Needs.For
		attention = r.Received
	}
	_, order := r.room(0, len(r.Token))
	patches := order[:0]
	for i, k := range r.Token {
		r.Score[i] = attention[i]
		s.Cumulative[k] = -attention[i]
		if r.Readouts.Patch(k) {
			patches = append(patches, int32(i))
		}
	}
	keep := int(math.Ceil(t.Keep*float64(len(patches)) - 1e-9))
	if keep >= len(patches) {
		return
	}
	descending(patches, attention)
	gone := patches[keep:]
	into := gone[0]
	sum := float32(0)
	for _, i := range gone {
		if !t.Fuse || i != into {
			r.Halt(s, int(i))
		}
		sum += attention[i]
	}
	if !t.Fuse {
		return
	}
	size := float32(0)
	for _, i := range gone {
		r.Into[i], r.Share[i] = into, attention[i]/sum
		if !(sum > 0) { // so little attention that it is 0 in float32
			r.Share[i] = 1 / float32(len(gone))
		}
		size += s.Size[r.Token[i]]
		if s.Size[r.Token[i]] = 0; i != into {
			r.Weight[i] = 0
		}
	}
	s.Size[r.Token[into]] = size
}

// Needs asks for attention where tokens go, and for merging if there is any.
func (t TopK) Needs(layer, layers int) Needs {
	goes := t.at(layer, layers)
	return Needs{Halts: goes, Output: t.Fuse && goes, Attention: goes, Merges: t.Fuse && goes}
}
