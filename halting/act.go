package halting

// ACT is layer-wise adaptive computation time (Graves 2016) on a vision transformer: the class token's cumulative score decides for the whole
// image, all of whose tokens halt together. Scores, weights, depths and remainders of all tokens are the class token's; a distillation token's
// mean field has the same weights.
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
		r.fill(h, h)
		return
	}
	r.fill(h, 1-before)
	for _, k := range r.Token {
		s.Remainder[k], s.Depth[k] = 1-before, int32(r.Layer)
	}
}

// Gated says that Step needs gates alone.
func (ACT) Gated() bool { return true }

// Gate returns the constants of the score.
func (a ACT) Gate() (scale, center float32) { return a.Scale, a.Center }

// Backward implements Learner. The one score h[l] is that of all n tokens, so what comes from above for each of them adds up in the class token's gate;
// the others' gates get nothing. N is the image's depth:
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

// SACT is spatially adaptive computation time (Figurnov et al. 2017) on a vision transformer: tokens halt as A-ViT's do, each by its own cumulative
// score, but a halted token keeps its value, from which every later block makes a key and a value. It is computed no more itself: no query, no
// projection, no MLP. (In the original the output of every position is its mean field. Here the heads look at the readouts alone, so only theirs are made.)
//
// Its gates' gradient is Token's: what a frozen value sends back through later blocks reaches the token's row, not its score.
type SACT struct{ Token }

// Gated says no: a halted token's value is still wanted whole.
func (SACT) Gated() bool { return false }

// Freezes says that halted tokens stay keys.
func (SACT) Freezes() {}
