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

// Top returns the n most probable classes for the logits [classes] of one image; equal ones in the order of their
// numbers. Logits that are not finite are an error.
func Top(c *vit.Config, logits []float32, n int) ([]Prediction, error) {
	if j := kernels.FirstNotFinite(logits); j >= 0 {
		return nil, fmt.Errorf("logit %d is %v: the weights or the pixels are beyond what float32 can compute", j,
			logits[j])
	}
	best := float64(slices.Max(logits))
	sum := 0.0
	all := make([]Prediction, len(logits))
	for j, v := range logits {
		p := math.Exp(float64(v) - best)
		sum += p
		all[j] = Prediction{Class: j, Probability: p}
	}
	slices.SortStableFunc(all, func(a, b Prediction) int { return cmp.Compare(b.Probability, a.Probability) })
	top := slices.Clone(all[:min(n, len(all))])
	for i := range top {
		top[i].Probability /= sum
		top[i].Label = c.Label(top[i].Class)
	}
	return top, nil
}
