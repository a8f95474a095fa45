package train

import (
	"fmt"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/vit"
)

// policy is a model's halting scheme as training sees it.
type policy struct {
	halting.Scheme
	learner halting.Learner // the scheme, where its gates are learnt; else nil
	stop    halting.Scheme  // the scheme at inference
	deep    bool            // every block's readouts are classified
	freezes bool            // halted tokens stay keys and values
	needs   []halting.Needs // [L]
}

// newPolicy prepares the scheme of a configuration, and refuses one that cannot be trained.
func newPolicy(c vit.Config) (policy, error) {
	scheme, err := halting.NewTraining(c.Halting)
	if err != nil {
		return policy{}, err
	}
	p := policy{Scheme: scheme, needs: make([]halting.Needs, c.Layers)}
	if p.stop, err = halting.New(c.Halting); err != nil {
		return policy{}, err
	}
	p.learner, _ = scheme.(halting.Learner)
	_, p.deep = scheme.(halting.Supervised)
	p.freezes = scheme.Needs(1, c.Layers).Frozen
	for l := range p.needs {
		p.needs[l] = scheme.Needs(l+1, c.Layers)
		if n := p.needs[l]; n.Keys || n.Logits || n.Sizes || n.Merges && p.freezes {
			return policy{}, fmt.Errorf("train: halting scheme %q cannot be trained", c.Halting.Policy)
		}
	}
	return p, nil
}

// couples reports whether the loss has a ponder cost and a prior over the mean scores, which make the gates of all tokens count.
func (p policy) couples() bool { return p.learner != nil && !p.deep }

// partial reports whether fewer rows run in block l than go into it: only the others' keys and values are wanted then. That holds for tokens that
// are frozen, and in the last block for all but the readouts, unless the loss looks at everybody's gate.
func (p policy) partial(l, layers int) bool {
	return p.freezes || p.readoutsOnly(l, layers)
}

// readoutsOnly reports whether in block l nothing is asked of any token but the readouts.
func (p policy) readoutsOnly(l, layers int) bool { return l == layers-1 && !p.couples() }
