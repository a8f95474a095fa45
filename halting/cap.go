package halting

import (
	"cmp"
	"slices"
)

// Enforce ends tokens so that an image never costs more than s.Cap token-blocks, whatever its scheme says: METHOD.md
// (19). An engine calls it right after Step, with the rows that Step had and how many rows ran in block r.Layer; and
// before block 1, with r.Layer 0 and all tokens, where those that get a depth do not start. Step's decisions stand.
//
// One token-block for each token that is read by itself, and for the class token, is kept back for each block to come.
// A cap below Readouts.Least counts as that. The other tokens may have the rest, in one block half of what is left of
// it, in block L all: so they grow fewer from block to block near the cap instead of ending all at once. (At 30 % of
// the dense token-blocks the bundled Fashion-MNIST models, 92.4 % top-1 dense and 92.5 adaptive, so keep 70 and 84 %;
// they keep 42 and 66 where a block may take all that is left.) Those with the largest cumulative score go first,
// equal ones spread over the image; the tokens that are read by themselves end last and together. Where the patches'
// mean is read, at least one starts.
//
// A token that is made to halt has the weight 1 − Σ p[k,j] over the blocks before, (20): a mean field stays a mean.
func (s *State) Enforce(r Rows, ran int) {
	s.spent += ran
	if s.Cap == 0 || r.Layer == r.Layers {
		return
	}
	read, others := 0, s.order[:0]
	for i, k := range r.Token {
		switch {
		case s.Depth[k] != 0:
		case r.Readouts.keeps(k):
			read++
		default:
			others = append(others, int32(i))
		}
	}
	left, blocks := max(s.Cap, r.Readouts.Least())-s.spent, r.Layers-r.Layer
	room := max(left-read*blocks, 0)
	if blocks > 1 {
		room /= 2
	}
	starts := r.Layer == 0 && r.Readouts.Pooled > 0 // a mean needs a patch at least
	if starts {
		room = max(room, 1)
	}
	if len(others) > room {
		starts = starts && room <= r.Readouts.Special
		slices.SortFunc(others, func(a, b int32) int {
			if a, b := r.Readouts.Patch(r.Token[a]), r.Readouts.Patch(r.Token[b]); starts && a != b {
				return cmp.Compare(truth(a), truth(b))
			}
			return s.before(r.Token[a], r.Token[b])
		})
		for _, i := range others[:len(others)-room] {
			s.end(r, int(i))
		}
	}
	for i, k := range r.Token {
		if s.Depth[k] == 0 && read > left { // none but those that are read are left
			s.end(r, i)
		}
	}
	if r.Layer > 0 {
		s.Give(r)
	}
}

// Give counts in, for Left, what the rows that go on gave to their mean fields in a block. Enforce calls it where there
// is a cap; where there is none an engine does if the patches' mean is read.
func (s *State) Give(r Rows) {
	for i, k := range r.Token {
		if s.Depth[k] == 0 {
			s.given[k] += r.Weight[i]
		}
	}
}

// Left returns the weight that the token at place k has left to give to its mean field.
func (s *State) Left(k int32) float32 { return 1 - s.given[k] }

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// end halts row i, which the scheme would have let go on.
func (s *State) end(r Rows, i int) {
	if k := r.Token[i]; r.Layer > 0 {
		r.halt(s, i, 1-s.given[k])
	} else {
		s.Depth[k], s.Remainder[k] = NeverRan, 1
	}
}

// before orders tokens by who has to go first: what is no number, for cmp's NaN is less than all, then the largest.
func (s *State) before(a, b int32) int {
	// Multiples of the golden ratio, modulo 1, are far apart where their numbers are near each other.
	const golden = 0x9E3779B1
	c := s.Cumulative
	return cmp.Or(cmp.Compare(-c[a], -c[b]), cmp.Compare(uint32(a)*golden, uint32(b)*golden))
}
