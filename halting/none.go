package halting

var _ = Register(Descriptor{
	Name: "none", Order: 1, Summary: "dense: every token runs in every block",
	Ignored: []string{"gate_scale", "gate_center", "epsilon"}, // older files give a dense model's gate
	New:     func(Config) Scheme { return None{} },
})

// None is the dense scheme: all tokens run in all blocks, and the last block's output is what counts (p[k,L] = 1).
type None struct{}

// Step lets every token go on until the last block.
func (None) Step(s *State, r Rows) {
	r.Fill(0, 0)
	if r.Layer == r.Layers {
		r.HaltAll(s)
	}
}

// Needs nothing.
func (None) Needs(layer, layers int) Needs { return Needs{} }
