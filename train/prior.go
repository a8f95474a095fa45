package train

import (
	"cmp"
	"fmt"
	"math"
)

// Shapes of the prior's target.
const (
	PriorNormal    = "normal"    // a bell around the target layer: A-ViT's
	PriorLaplace   = "laplace"   // a sharper peak with longer tails
	PriorGeometric = "geometric" // falling from the first layer on, its mean at the target (but for the cut at layer L)
	PriorUniform   = "uniform"   // all layers alike, wherever the target is
)

// prior pulls the mean halting scores of the layers towards a distribution around a target layer (A-ViT's
// distributional prior): METHOD.md (25)–(27).
type prior struct {
	target  []float64 // [L] density at l = 1..L, normalised to sum 1
	log     []float64 // its logarithm, finite also where the density is too small for a number
	reverse bool
}

// newPrior makes a loss's prior for the given number of layers.
func newPrior(layers int, loss Loss) (prior, error) {
	targetLayer, deviation := loss.TargetLayer, cmp.Or(loss.PriorDeviation, 1)
	if err := loss.Validate(layers); err != nil {
		return prior{}, err
	}
	var density func(l float64) float64 // its logarithm, but for a constant
	switch loss.PriorShape {
	case PriorNormal, "":
		density = func(l float64) float64 {
			d := (l - targetLayer) / deviation
			return -d * d / 2
		}
	case PriorLaplace: // of scale b = deviation/√2
		density = func(l float64) float64 { return -math.Abs(l-targetLayer) * math.Sqrt2 / deviation }
	case PriorGeometric: // of λ = 1/target
		if targetLayer <= 1 {
			return prior{}, fmt.Errorf("train: a geometric prior's mean is layer %v, want more than 1", targetLayer)
		}
		density = func(l float64) float64 { return l * math.Log1p(-1/targetLayer) }
	case PriorUniform:
		density = func(float64) float64 { return 0 }
	default:
		return prior{}, fmt.Errorf("train: a prior's shape is %.60q, want %q, %q, %q or %q",
			loss.PriorShape, PriorNormal, PriorLaplace, PriorGeometric, PriorUniform)
	}
	p := prior{target: make([]float64, layers), log: make([]float64, layers), reverse: loss.ReversePrior}
	nearest := math.Inf(-1)
	for l := range p.log {
		p.log[l] = density(float64(l + 1))
		nearest = max(nearest, p.log[l])
	}
	sum := 0.0
	for _, v := range p.log {
		sum += math.Exp(v - nearest)
	}
	for l := range p.log {
		p.log[l] -= nearest + math.Log(sum)
		p.target[l] = math.Exp(p.log[l])
	}
	return p, nil
}

// PriorLog returns the logarithm of a loss's prior over the blocks, METHOD.md (26), [layers].
func PriorLog(layers int, loss Loss) ([]float64, error) {
	p, err := newPrior(layers, loss)
	return p.log, err
}

// loss returns the divergence for mean scores [L] (the mean over images and tokens of h[k,l], a halted token counting
// 0) and writes its gradient with respect to them. With S = Σ mean and q = mean/S, METHOD.md (34):
//
//	KL(q ‖ t) = Σ q·ln(q/t)    ∂/∂mean[l] = (ln(q[l]/t[l]) − KL)/S
//	KL(t ‖ q) = Σ t·ln(t/q)    ∂/∂mean[l] = (1 − t[l]/q[l])/S
//
// A layer where nothing ran has q = 0; it is left out of the reverse sum, where it would be infinite, and gets no
// gradient.
func (p prior) loss(mean, grad []float64) float64 {
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
		q, t := m/s, p.target[l]
		if q == 0 {
			continue
		}
		logRatio := math.Log(q) - p.log[l]
		if p.reverse {
			kl -= t * logRatio
			grad[l] = (1 - t/q) / s
		} else {
			kl += q * logRatio
			grad[l] = logRatio / s
		}
	}
	if !p.reverse {
		for l, m := range mean {
			if m != 0 {
				grad[l] -= kl / s
			}
		}
	}
	return kl
}
