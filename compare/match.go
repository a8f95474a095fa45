package compare

import (
	"context"
	"math"
	"reflect"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/vit"
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

// withHalting is m with other constants; the weights are shared.
func withHalting(m *vit.Model, c halting.Config) *vit.Model {
	p, q := *m.Params, *m
	p.Config.Halting = c
	q.Params = &p
	if !reflect.DeepEqual(c, m.Params.Config.Halting) { // what was measured was measured with other constants
		q.PrecisionLoss, q.Ladder = nil, nil
	}
	return &q
}

// matchDepth tunes the constant of c until depth says that tokens run in target blocks on average, or as near as the
// constant can bring it. Depth must grow, or stay, as that goes from its low to its high end; what a step of bisection
// finds against that costs accuracy of the match, no more.
func matchDepth(ctx context.Context, c halting.Config, target float64,
	depth func(halting.Config) (float64, error)) (halting.Config, Tuned, error) {
	t := c.Tuning()
	if t.Key == "" {
		return c, Tuned{}, nil
	}
	d := Tuned{Constant: t.Key, From: t.Value, To: t.Value, Target: target, Depth: math.Inf(1)}
	try := func(v float64) (above bool, err error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		got, err := depth(c.With(t.Key, v))
		if err == nil && math.Abs(got-target) < math.Abs(d.Depth-target) {
			d.To, d.Depth = v, got
		}
		return got > target, err
	}
	done := func() bool { return math.Abs(d.Depth-target) <= depthTolerance }
	above, err := try(t.Value)
	if err != nil {
		return c, d, err
	}
	d.Before = d.Depth
	// Steps that grow by four, towards the end that can help, until the target lies between two values.
	end := t.Hi
	if above {
		end = t.Lo
	}
	near, far, crossed := t.Value, t.Value, false
	for part := 1.0 / 64; !done() && !crossed && near != end; part *= 4 {
		far = t.Value + (end-t.Value)*min(part, 1)
		now, err := try(far)
		if err != nil {
			return c, d, err
		}
		if crossed = now != above; !crossed {
			near = far
		}
	}
	for step := 0; step < 20 && crossed && !done(); step++ {
		middle := near + (far-near)/2
		now, err := try(middle)
		if err != nil {
			return c, d, err
		}
		if now == above {
			near = middle
		} else {
			far = middle
		}
	}
	d.Reached = math.Abs(d.Depth-target) <= depthSlack
	return c.With(t.Key, d.To), d, nil
}
