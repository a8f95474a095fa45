package infer

import (
	"errors"

	"github.com/adavit/adavit/halting"
)

// scheme is a halting scheme with what it wants to see after each block.
type scheme struct {
	halting.Scheme
	needs []halting.Needs // [L]
	start int             // tokens that run in block 1, special ones counted: 1..N
}

// starter is implemented by schemes that keep some patch tokens out of the first block.
type starter interface {
	Start(patches int) int // the first so many patch tokens run in block 1
}

// addSchemes asks the options' schemes what they need.
func (e *Engine) addSchemes() error {
	c := &e.config
	e.needs = make([]halting.Needs, c.Layers)
	for _, h := range e.options.Schemes {
		s := scheme{h, make([]halting.Needs, c.Layers), c.Tokens()}
		if p, ok := h.(starter); ok {
			s.start = c.Special() + min(max(p.Start(c.Patches()), 0), c.Patches())
		}
		for l := range s.needs {
			s.needs[l] = h.Needs(l+1, c.Layers)
			e.needs[l] = either(e.needs[l], s.needs[l])
			e.needsAny = either(e.needsAny, s.needs[l])
		}
		e.start = max(e.start, s.start)
		e.schemes = append(e.schemes, s)
	}
	for _, s := range e.schemes {
		for _, n := range s.needs {
			if n.Frozen != e.needsAny.Frozen {
				return errors.New("infer: halted tokens are frozen in one scheme, or in one block, and not in another")
			}
		}
	}
	return nil
}

// either returns all that a or b asks for.
func either(a, b halting.Needs) halting.Needs {
	return halting.Needs{
		Halts: a.Halts || b.Halts, Output: a.Output || b.Output, Previous: a.Previous || b.Previous,
		Attention: a.Attention || b.Attention, Keys: a.Keys || b.Keys, Logits: a.Logits || b.Logits,
		Merges: a.Merges || b.Merges, Sizes: a.Sizes || b.Sizes, Frozen: a.Frozen || b.Frozen,
	}
}

// split reports whether halted tokens go before fc2 is complete in block l (1-based): all that is wanted of a token that
// halts there is its gate, so fc2 runs for that first (see residual), and later for the tokens that go on or are read.
func (e *Engine) split(l int) bool {
	n := e.needs[l-1]
	return n.Halts && !n.Output && !e.options.Full && l < e.config.Layers
}

// readsAlone reports whether nothing but the tokens that are read runs in block l (1-based), the others giving keys and
// values alone.
func (e *Engine) readsAlone(l int) bool { return l == e.config.Layers && !e.options.Full }
