package halting

// Planned returns a scheme for a control experiment: everything is as in s, except that patch token k of the image
// halts after block depth[k], whatever s says of it, or with the image where that is over before. depth is read at
// every step; the scheme serves one image at a time. Rows that were merged cannot go at different times, so schemes
// that merge tokens cannot be planned.
func Planned(s Scheme, depth []int32) Scheme { return planned{s, depth} }

type planned struct {
	Scheme
	depth []int32 // [N]
}

// Step lets the scheme decide and then overrules it.
func (p planned) Step(s *State, r Rows) {
	p.Scheme.Step(s, r)
	if r.Layer == r.Layers {
		return
	}
	for i, k := range r.Token {
		if !r.Readouts.Patch(k) {
			continue
		}
		s.Depth[k] = 0
		if int(p.depth[k]) == r.Layer {
			r.Halt(s, i)
		}
	}
}

// Needs are the scheme's, but tokens may halt after any block.
func (p planned) Needs(layer, layers int) Needs {
	n := p.Scheme.Needs(layer, layers)
	n.Halts = layer < layers
	return n
}
