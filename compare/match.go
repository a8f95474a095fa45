package compare

import (
	"context"
	"math"

	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/halting"
)

// Tuned is how a trained model was brought to a mean depth: by the one constant that trades depth for accuracy.
type Tuned struct {
	Constant string  `json:"constant"`
	From     float64 `json:"from"` // as trained
	To       float64 `json:"to"`
	Before   float64 `json:"depth_before"` // mean depth on the training images that it was measured on
	Target   float64 `json:"target"`
	Depth    float64 `json:"depth"`   // what was reached on these images
	Reached  bool    `json:"reached"` // to within depthSlack
}

// depthTolerance ends the search for a depth, depthSlack is how far off it may be and still count as matched: constants
// that are counts cannot give every depth. Both are in blocks.
const depthTolerance, depthSlack = 0.02, 0.1

// calibrationImages is how many training images a depth is measured on, spread over the whole data set: never the ones
// that accuracy is measured on. Their mean lies within some hundredths of a block of that of all.
const calibrationImages = 1024

// matchDepth tunes the constant of c until depth says that tokens run in target blocks on average, or as near as the
// constant can bring it.
func matchDepth(ctx context.Context, c halting.Config, target float64,
	depth func(halting.Config) (float64, error)) (_ halting.Config, d Tuned, err error) {
	t := c.Tuning()
	if t.Key == "" {
		return c, Tuned{}, nil
	}
	tuner := eval.Tuner{Lo: t.Lo, Hi: t.Hi,
		Measure: func(_ context.Context, v float64) (float64, error) { return depth(c.With(t.Key, v)) }}
	d = Tuned{Constant: t.Key, From: t.Value, Target: target}
	if d.Before, err = tuner.At(ctx, t.Value); err == nil {
		d.To, d.Depth, err = tuner.Reach(ctx, target, depthTolerance, t.Value, 0)
	}
	if err != nil {
		return c, d, err
	}
	d.Reached = math.Abs(d.Depth-target) <= depthSlack
	return c.With(t.Key, d.To), d, nil
}
