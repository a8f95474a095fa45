package halting

import (
	"fmt"
	"math"
)

// PonderSum returns Σ_k (N[k] + r[k]) over the tokens of one image; the ponder cost is its mean over all tokens of the batch.
// Its gradient flows through the remainder only and is 1 there (see Upstream.Remainder).
func PonderSum(depth []int32, remainder []float32) float64 {
	sum := 0.0
	for k, d := range depth {
		sum += float64(d) + float64(remainder[k])
	}
	return sum
}

// Prior pulls the mean halting scores of the layers towards a bell around a target layer (A-ViT's distributional prior).
type Prior struct {
	Target  []float64 // [L] normal density with deviation 1 at l = 1..L, normalised to sum 1
	log     []float64 // its logarithm, finite also where the density is too small for a number
	Reverse bool      // KL(target ‖ Ĥ), as the released code has it, instead of the paper's KL(Ĥ ‖ target)
}

// NewPrior makes the prior for the given number of layers around targetLayer (1-based, may be fractional).
func NewPrior(layers int, targetLayer float64, reverse bool) (Prior, error) {
	if layers < 1 || math.IsNaN(targetLayer) || targetLayer < -10 || targetLayer > float64(layers)+10 {
		return Prior{}, fmt.Errorf("halting: a prior around layer %v of %d layers makes no sense", targetLayer, layers)
	}
	p := Prior{Target: make([]float64, layers), log: make([]float64, layers), Reverse: reverse}
	nearest := math.Inf(-1)
	for l := range p.log {
		d := float64(l+1) - targetLayer
		p.log[l] = -d * d / 2
		nearest = max(nearest, p.log[l])
	}
	sum := 0.0
	for _, v := range p.log {
		sum += math.Exp(v - nearest)
	}
	for l := range p.log {
		p.log[l] -= nearest + math.Log(sum)
		p.Target[l] = math.Exp(p.log[l])
	}
	return p, nil
}

// Loss returns the divergence for mean scores [L] (the mean over images and tokens of h[k,l], a halted token counting 0) and writes its
// gradient with respect to them. With S = Σ mean and q = mean/S:
//
//	KL(q ‖ t) = Σ q·ln(q/t)    ∂/∂mean[l] = (ln(q[l]/t[l]) − KL)/S
//	KL(t ‖ q) = Σ t·ln(t/q)    ∂/∂mean[l] = (1 − t[l]/q[l])/S
//
// A layer where nothing ran has q = 0; it is left out of the reverse sum, where it would be infinite, and gets no gradient.
func (p Prior) Loss(mean, grad []float64) float64 {
	s := 0.0
	for _, m := range mean {
		s += m
	}
	clear(grad)
	if s == 0 {
		return 0
	}
	kl := 0.0
	for l, m := range mean {
		q, t := m/s, p.Target[l]
		if q == 0 {
			continue
		}
		logRatio := math.Log(q) - p.log[l]
		if p.Reverse {
			kl -= t * logRatio
			grad[l] = (1 - t/q) / s
		} else {
			kl += q * logRatio
			grad[l] = logRatio / s
		}
	}
	if !p.Reverse {
		for l, m := range mean {
			if m != 0 {
				grad[l] -= kl / s
			}
		}
	}
	return kl
}
