package halting

// Planned returns a scheme for a control experiment: everything is as in s, except that patch token k of the image
// halts after block depth[k], whatever s says of it, or with the image where that is over before. depth is read at
// every step; the scheme serves one image at a time. Rows that were merged cannot go at different times, so schemes
// that merge tokens cannot be planned. Where the patches' mean is read, a patch has in each block the weight that the
// scheme gives it, as long as it has any left, and in its last block the rest.
func Planned(s Scheme, depth []int32) Scheme { return planned{s, depth} }

type planned struct {
	Scheme
	depth []int32 // [N]
}

// Step lets the scheme decide and then overrules it.
func (p planned) Step(s *State, r Rows) {
	p.Scheme.Step(s, r)
	pooled := r.Readouts.Pooled > 0
	if r.Layer == r.Layers && !pooled || s.Over {
		return
	}
	for i, k := range r.Token {
		if !r.Readouts.Patch(k) {
			continue
		}
		wanted, left := s.Depth[k] != 0, float32(1)
		if pooled {
			left = s.Left(k)
		}
		if s.Depth[k] = 0; int(p.depth[k]) == r.Layer || r.Layer == r.Layers {
			r.halt(s, i, left)
			continue
		}
		if wanted {
			r.Weight[i] = p.passing(r.Score[i])
		}
		r.Weight[i] = min(r.Weight[i], left)
	}
}

// passing is the weight in a block of a token with this score that goes on.
func (p planned) passing(score float32) float32 {
	_, learns := p.Scheme.(Learner)
	if _, chances := p.Scheme.(Chances); learns && !chances {
		return score
	}
	return 0
}

// Needs are the scheme's, but tokens may halt after any block.
func (p planned) Needs(layer, layers int) Needs {
	n := p.Scheme.Needs(layer, layers)
	n.Halts = layer < layers
	return n
}
