package halting

var _ = Register(Descriptor{
	Name: "act", Order: 3, Summary: "layer-wise ACT: the class token's cumulative score halts the image",
	Keys: gateKeys, Tune: "gate_center", TuneRange: aroundCenter,
	New: func(c Config) Scheme { return ACT{tokenOf(c)} },
	// The gate is the class token's alone: its first number lies elsewhere than patch tokens', so that a gate made for
	// those may be shut so firmly that hardly a gradient comes through.
	FitFirst: true,
	Gate:     cumulativeGate,
})

// ACT is layer-wise adaptive computation time (Graves 2016) on a vision transformer, METHOD.md (10): the class token's
// cumulative score decides for the whole image, all of whose tokens halt together. Scores, weights, depths and
// remainders of all tokens are the class token's; other mean fields have the same weights. In a model without a class
// token the mean of the patches' gates decides.
type ACT struct{ Token }

// Step accumulates the class token's score.
func (a ACT) Step(s *State, r Rows) {
	if len(r.Token) == 0 {
		return
	}
	h := Sigmoid(a.Scale*r.lead() - a.Center)
	before := s.Cumulative[0]
	r.tell(s, before+h)
	r.Fill(h, h)
	if r.Layer == r.Layers || !(before+h < a.Threshold) {
		r.haltAll(s, 1-before)
	}
}

// Backward implements Learner, METHOD.md (37). The one score h[l] is that of all n tokens, so what comes from above for
// each of them adds up in the class token's gate, or goes to the patches' alike; the others' get nothing. N is the
// image's depth:
//
//	∂loss/∂h[l]      = n·prior[l] + (l < N) · (−n·∂loss/∂r + Σ_{k<Q} (∂loss/∂p[k,l] − ∂loss/∂p[k,N]))
//	∂loss/∂t[cls][0] = ∂loss/∂h · scale·h·(1−h)
func (a ACT) Backward(dGate, score []float32, depth []int32, up Upstream) {
	n, d := len(depth), int(depth[0])
	clear(dGate)
	for l := range d {
		up.Readouts.led(dGate[l*n:(l+1)*n], a.gradient(up.slope(l, d, n, 0, up.Readouts.Fields()), score[l*n]))
	}
}
