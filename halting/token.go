package halting

import "math"

// Token is A-ViT's scheme: every token halts by itself once its cumulative score reaches Threshold = 1 − ε.
type Token struct{ Scale, Center, Threshold float32 }

// Step accumulates scores and halts tokens, in float32 as the reference does: a depth must not depend on extra precision.
func (t Token) Step(s *State, r Rows) {
	last := r.Layer == r.Layers
	for i, k := range r.Token {
		h := Sigmoid(t.Scale*r.X[i*r.Stride] - t.Center)
		r.Score[i] = h
		before := s.Cumulative[k]
		if last || before+h >= t.Threshold {
			s.Remainder[k] = 1 - before
			s.Depth[k] = int32(r.Layer)
			r.Weight[i] = s.Remainder[k]
		} else {
			r.Weight[i] = h
		}
		s.Cumulative[k] = before + h
	}
}

// Gated says that Step needs gates alone.
func (Token) Gated() bool { return true }

// Gate returns the constants of the score.
func (t Token) Gate() (scale, center float32) { return t.Scale, t.Center }

// Sigmoid is 1/(1+e^−x), rounded once to float32.
func Sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }

// Upstream is the loss's gradient with respect to what halting contributes to it, for one image. Depths are constants.
type Upstream struct {
	Weight    []float32 // [Q, L] ∂loss/∂p[k,l] of the tokens k < Q that have a head, through their mean fields; the class token is token 0
	Remainder float32   // ∂loss/∂r[k], the same for all tokens: α_ponder / (B·N)
	Score     []float64 // [L] ∂loss/∂h[k,l] through the prior, the same for all tokens that ran in block l; 1/h in size, so beyond float32 for gates that are shut
	Lambda    []float64 // [L] PonderNet alone, which reads nothing else: ∂loss/∂λ[l] of this image (see PonderLoss)
}

// Backward implements Learner. With r = 1 − Σ_{l<N} h and p[l] = h[l] below N:
//
//	∂loss/∂h[k,l] = prior[l] + (l < N[k]) · (−∂loss/∂r  +  (k < Q)·(∂loss/∂p[k,l] − ∂loss/∂p[k,N]))
//	∂loss/∂t[0]   = ∂loss/∂h · scale·h·(1−h)
func (t Token) Backward(dGate, score []float32, depth []int32, up Upstream) {
	n, layers := len(depth), len(up.Score)
	readouts := len(up.Weight) / layers
	clear(dGate)
	for k, d := range depth {
		for l := 0; l < int(d); l++ {
			g := up.Score[l]
			if l < int(d)-1 {
				g -= float64(up.Remainder)
				if k < readouts {
					g += float64(up.Weight[k*layers+l] - up.Weight[k*layers+int(d)-1])
				}
			}
			h := float64(score[l*n+k])
			dGate[l*n+k] = float32(g * float64(t.Scale) * h * (1 - h))
		}
	}
}
