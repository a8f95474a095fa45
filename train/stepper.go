package train

import (
	"fmt"

	"github.com/adavit/adavit/vit"
)

// Stepper takes training steps one by one, for loops other than Run's: forward and backward pass, clipping and AdamW as a run of the recipe does
// them, at the recipe's full learning rate. It is not safe for concurrent use.
type Stepper struct {
	net    *Network
	opt    *optimizer
	params *vit.Params
	grad   *vit.Params
	recipe Recipe
}

// NewStepper prepares to train params, which stay the caller's and change with every step.
func NewStepper(params *vit.Params, r Recipe, threads int) (*Stepper, error) {
	net, err := NewNetwork(params, threads)
	if err != nil {
		return nil, err
	}
	return &Stepper{net: net, opt: newOptimizer(params), params: params, grad: vit.NewParams(params.Config), recipe: r}, nil
}

// Step learns from one batch. A loss or gradient that is not finite is an error and changes nothing.
func (s *Stepper) Step(b Batch) (Stats, error) {
	stats, err := s.net.Step(b, s.recipe.loss(), s.grad)
	if err != nil {
		return stats, err
	}
	if !finite(stats.Loss) || !finite(s.opt.update(s.net, s.params, s.grad, s.recipe, s.recipe.LR)) {
		return stats, fmt.Errorf("train: the loss is %v; %s", stats.Loss, s.net.whereBad(s.grad, b.Size))
	}
	return stats, nil
}

// Gradient is that of the last step's loss; it is valid until the next.
func (s *Stepper) Gradient() *vit.Params { return s.grad }
