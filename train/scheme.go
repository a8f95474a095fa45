package train

import (
	"fmt"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/vit"
)

// scheme is a model's halting scheme as training sees it.
type scheme struct {
	halting.Scheme
	learner halting.Learner // the scheme, where its gates are learnt; else nil
	stop    halting.Scheme  // the scheme at inference
	deep    bool            // every block's readouts are classified
	chances bool            // and count by the learnt chances to stop there
	freezes bool            // halted tokens stay keys and values
	pools   bool            // the patches' mean is read
	prior   bool            // the loss looks at the scores of all tokens in all blocks
	regs    bool            // registers halt, too
	credit  float32         // λ, by which patches' gates learn what their tokens are worth; 0: they do not
	needs   []halting.Needs // [L]
}

// newScheme prepares the scheme of a configuration, and refuses one that cannot be trained.
func newScheme(c vit.Config) (s scheme, err error) {
	s.needs = make([]halting.Needs, c.Layers)
	if s.Scheme, err = halting.NewTraining(c.Halting); err != nil {
		return s, err
	}
	if s.stop, err = halting.New(c.Halting); err != nil {
		return s, err
	}
	s.learner, _ = s.Scheme.(halting.Learner)
	_, s.deep = s.Scheme.(halting.Supervised)
	s.prior = true
	_, s.chances = s.Scheme.(halting.Chances)
	s.credit = float32(c.Halting.Number("credit"))
	s.freezes = s.Needs(1, c.Layers).Frozen
	s.regs = c.Halting.Switch("registers_halt")
	s.pools = c.Readouts().Pooled > 0
	for l := range s.needs {
		s.needs[l] = s.Needs(l+1, c.Layers).For(c.Readouts())
		if n := s.needs[l]; n.Logits || n.Merges && s.freezes {
			return s, fmt.Errorf("train: halting scheme %q cannot be trained", c.Halting.Scheme)
		}
	}
	return s, nil
}

// couples reports whether the loss has a ponder cost and a prior over the mean scores, so that the gates of all tokens
// count.
func (s scheme) couples() bool { return s.learner != nil && !s.chances }

// partial reports whether fewer rows run in block l than go into it: only the others' keys and values are wanted then.
// That holds for tokens that are frozen, and in the last block for all but the readouts, unless the loss looks at
// everybody's gate.
func (s scheme) partial(l, layers int) bool { return s.freezes || s.readoutsOnly(l, layers) }

// readoutsOnly reports whether in block l nothing is asked of any token but the readouts.
func (s scheme) readoutsOnly(l, layers int) bool {
	return l == layers-1 && !s.pools && !(s.couples() && s.prior)
}

// provisional reports whether what is classified after a block are the patches' mean fields as they would be if the
// image ended there: those of an exit whose patches halt by themselves.
func (s scheme) provisional() bool { return s.pools && s.deep && s.couples() }
