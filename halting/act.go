package halting

var _ = Register(Descriptor{
	Name: "act", Order: 3, Summary: "layer-wise ACT: the class token's cumulative score halts the image",
	Keys: gateKeys, Tune: "gate_center", TuneRange: aroundCenter,
	New: func(c Config) Scheme { return ACT(tokenOf(c)) },
	// The gate is the class token's alone: its first number lies elsewhere than patch tokens', so that a gate made for
	// those may be shut so firmly that hardly a gradient comes through.
	FitFirst: true,
	Gate:     cumulativeGate,
})

// ACT is layer-wise adaptive computation time (Graves 2016) on a vision transformer, METHOD.md (10): the class token's
// cumulative score decides for the whole image, all of whose tokens halt together. Scores, weights, depths and
// remainders of all tokens are the class token's; a distillation token's mean field has the same weights.
type ACT Token

// Step accumulates the class token's score.
func (a ACT) Step(s *State, r Rows) {
	if len(r.Token) == 0 {
		return
	}
	h := Sigmoid(a.Scale*r.X[0] - a.Center)
	before := s.Cumulative[0]
	s.Cumulative[0] = before + h
	if r.Layer < r.Layers && before+h < a.Threshold {
		r.Fill(h, h)
		return
	}
	r.Fill(h, 1-before)
	for _, k := range r.Token {
		s.Remainder[k], s.Depth[k] = 1-before, int32(r.Layer)
	}
}

// Needs looks at gates alone.
func (ACT) Needs(layer, layers int) Needs { return Needs{Halts: layer < layers} }

// Gate returns the constants of the score.
func (a ACT) Gate() (scale, center float32) { return a.Scale, a.Center }

// Backward implements Learner, METHOD.md (37). The one score h[l] is that of all n tokens, so what comes from above for
// each of them adds up in the class token's gate; the others' gates get nothing. N is the image's depth:
//
//	∂loss/∂h[l]      = n·prior[l] + (l < N) · (−n·∂loss/∂r + Σ_{k<Q} (∂loss/∂p[k,l] − ∂loss/∂p[k,N]))
//	∂loss/∂t[cls][0] = ∂loss/∂h · scale·h·(1−h)
func (a ACT) Backward(dGate, score []float32, depth []int32, up Upstream) {
	n, layers := len(depth), len(up.Score)
	clear(dGate)
	d := int(depth[0])
	for l := range d {
		g := float64(n) * up.Score[l]
		if l < d-1 {
			g -= float64(n) * float64(up.Remainder)
			for k := 0; k < len(up.Weight)/layers; k++ {
				g += float64(up.Weight[k*layers+l] - up.Weight[k*layers+d-1])
			}
		}
		h := float64(score[l*n])
		dGate[l*n] = float32(g * float64(a.Scale) * h * (1 - h))
	}
}
