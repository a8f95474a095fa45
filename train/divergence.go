package train

import (
	"fmt"
	"math"
)

// geometric returns the geometric distribution λ·(1−λ)^(l−1) at l = 1..layers, normalised to sum 1: PonderNet's prior,
// cut off at the last block. Its mean is about 1/λ blocks where that is far below the last.
func geometric(lambda float64, layers int) ([]float64, error) {
	if math.IsNaN(lambda) || lambda <= 0 || lambda > 1 || layers < 1 {
		return nil, fmt.Errorf("train: a geometric prior of λ %v over %d layers, want 0 < λ ≤ 1", lambda, layers)
	}
	p, sum := make([]float64, layers), 0.0
	for l := range p {
		p[l] = lambda * math.Pow(1-lambda, float64(l))
		sum += p[l]
	}
	for l := range p {
		p[l] /= sum
	}
	return p, nil
}

// ponderLoss differentiates PonderNet's loss of one image (Banino, Balaguer, Blundell 2021), METHOD.md (29) and (38),
//
//	Σ_l p[l]·CE[l] + β·KL(p ‖ prior),   p[l] = λ[l]·S[l],   S[l] = Π_{j<l} (1 − λ[j])
//
// given λ, the cross-entropies of the blocks' predictions and the prior (see geometric), all [L]; λ[L] counts as 1
// whatever it says. It returns the divergence KL(p ‖ prior) and writes p, which is also ∂loss/∂CE, and ∂loss/∂λ, both
// [L]. With g[l] = ∂loss/∂p[l] = CE[l] + β·(ln(p[l]/prior[l]) + 1), and R[l] what g amounts to on the average from
// block l on,
//
//	R[L] = g[L],   R[l] = λ[l]·g[l] + (1 − λ[l])·R[l+1],   ∂loss/∂λ[l] = S[l]·(g[l] − R[l+1])
//
// A chance that is 0 in float64 counts as the smallest number above it inside the logarithm: the loss stays what it
// is, the gradient finite. (Where the prior is 0 and the chance is not, the divergence is infinite; it counts as that
// smallest number too.)
func ponderLoss(lambda, ce, prior []float64, beta float64, p, dLambda []float64) (divergence float64) {
	last, reach := len(lambda)-1, 1.0
	for l, h := range lambda {
		if l == last {
			h = 1
		}
		p[l], dLambda[l] = h*reach, reach // S[l] for now
		reach *= 1 - h
		divergence += p[l] * logRatio(p[l], prior[l])
	}
	slope := func(l int) (g float64) { return ce[l] + beta*(logRatio(p[l], prior[l])+1) }
	rest := slope(last) // R[l+1]
	dLambda[last] = 0
	for l := last - 1; l >= 0; l-- {
		g := slope(l)
		dLambda[l] *= g - rest
		rest = lambda[l]*g + (1-lambda[l])*rest
	}
	return divergence
}

// logRatio is ln(p/q), finite whatever they are.
func logRatio(p, q float64) float64 {
	const least = 0x1p-1022
	return math.Log(max(p, least)) - math.Log(max(q, least))
}
