package infer

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// Prediction is one class with its probability.
type Prediction struct {
	Class       int     `json:"class"`
	Label       string  `json:"label"`
	Probability float64 `json:"probability"` // softmax of the logits, 0..1
}

// Probabilities returns the softmax of the logits [classes] of one image. Logits that are not finite are an error.
func Probabilities(logits []float32) ([]float64, error) {
	if j := kernels.FirstNotFinite(logits); j >= 0 {
		return nil, fmt.Errorf("logit %d is %v: the weights or the pixels are beyond what float32 can compute", j,
			logits[j])
	}
	best, sum := float64(slices.Max(logits)), 0.0
	p := make([]float64, len(logits))
	for j, v := range logits {
		p[j] = math.Exp(float64(v) - best)
		sum += p[j]
	}
	for j := range p {
		p[j] /= sum
	}
	return p, nil
}

// Top returns the n most probable classes for the logits [classes] of one image; equal ones in the order of their
// numbers. Logits that are not finite are an error.
func Top(c *vit.Config, logits []float32, n int) ([]Prediction, error) {
	probabilities, err := Probabilities(logits)
	if err != nil {
		return nil, err
	}
	all := make([]Prediction, len(logits))
	for j, p := range probabilities {
		all[j] = Prediction{Class: j, Probability: p}
	}
	slices.SortStableFunc(all, func(a, b Prediction) int { return cmp.Compare(b.Probability, a.Probability) })
	top := slices.Clone(all[:min(n, len(all))])
	for i := range top {
		top[i].Label = c.Label(top[i].Class)
	}
	return top, nil
}
