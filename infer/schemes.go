package infer

import (
	"errors"
	"slices"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
)

// scheme is a halting scheme with what it wants to see after each block.
type scheme struct {
	halting.Scheme
	needs []halting.Needs // [L]
	start int             // tokens that run in block 1, special ones counted: 1..N
}

// addSchemes asks the options' schemes what they need.
func (e *Engine) addSchemes() error {
	c := &e.config
	e.needs = make([]halting.Needs, c.Layers)
	frozen := e.options.Schemes[0].Needs(1, c.Layers).Frozen
	for _, h := range e.options.Schemes {
		s := scheme{h, make([]halting.Needs, c.Layers), c.Tokens()}
		if p, ok := h.(interface{ Start(patches int) int }); ok { // the first so many patch tokens run in block 1
			s.start = c.Special() + min(max(p.Start(c.Patches()), 0), c.Patches())
		}
		for l := range s.needs {
			if s.needs[l] = h.Needs(l+1, c.Layers).For(e.readouts); s.needs[l].Frozen != frozen {
				return errors.New("infer: halted tokens are frozen in one scheme, or in one block, and not in another")
			}
			e.needsAny = either(e.needsAny, s.needs[l])
		}
		e.start = max(e.start, s.start)
		e.schemes = append(e.schemes, s)
	}
	return nil
}

// lookAhead finds out what is wanted after each block by those schemes alone that a batch's images go by [B]; nil: the
// first.
func (e *Engine) lookAhead(schemes []int) {
	clear(e.needs)
	before := -1
	for i := range max(len(schemes), 1) {
		s := 0
		if schemes != nil {
			s = schemes[i]
		}
		if s == before {
			continue
		}
		before = s
		for l := range e.needs {
			e.needs[l] = either(e.needs[l], e.schemes[s].needs[l])
		}
	}
}

// either returns all that a or b asks for.
func either(a, b halting.Needs) halting.Needs {
	return halting.Needs{
		Halts: a.Halts || b.Halts, Output: a.Output || b.Output, Previous: a.Previous || b.Previous,
		Cosines: a.Cosines || b.Cosines, Attention: a.Attention || b.Attention, Received: a.Received || b.Received,
		Keys: a.Keys || b.Keys, Logits: a.Logits || b.Logits, Merges: a.Merges || b.Merges, Sizes: a.Sizes || b.Sizes,
		Frozen: a.Frozen || b.Frozen,
	}
}

// split reports whether halted tokens go before fc2 is complete in block l (1-based), where n is wanted: all that is
// wanted of a token that halts there is its gate, so fc2 runs for that first (see residual), and then for those that go
// on or are read. Where the patches' mean is read, that is all of them.
func (e *Engine) split(l int, n halting.Needs) bool {
	return n.Halts && !n.Output && e.readouts.Pooled == 0 && !e.options.Full && l < e.config.Layers
}

// readsAlone reports whether nothing but the tokens that are read runs in block l (1-based), the others giving keys and
// values alone.
func (e *Engine) readsAlone(l int) bool {
	return l == e.config.Layers && e.readouts.Pooled == 0 && !e.options.Full
}

// MACs returns the multiply-adds that the engine itself performs for one image, by the first of its schemes, whose
// blocks ran on active[l] tokens (nil: on all that start). Unlike vit.Config.MACs it counts what the engine leaves out
// as nothing, frozen tokens with their keys and values, and as keys in attention, and what the scheme computes itself
// in order to decide.
func (e *Engine) MACs(active []int32) int64 {
	c, s := &e.config, &e.schemes[0]
	width, hidden, classes := int64(c.Embed), int64(c.Hidden), int64(c.Classes)
	start, read, gate := int64(s.start), int64(e.readouts.Inputs()), int64(kernels.FirstPanel(c.Embed))
	if active == nil {
		active = slices.Repeat([]int32{int32(start)}, c.Layers)
	}
	total := (start-int64(c.Special()))*int64(c.PatchLen())*width + read*width*classes
	for l := range c.Layers {
		n := int64(active[l])
		whole, onward, keys := n, n, n // tokens that attend and pass the MLP, those that pass all of fc2, keys
		switch {
		case e.readsAlone(l + 1):
			whole, onward = min(n, read), min(n, read)
		case e.split(l+1, s.needs[l]):
			onward = min(n, max(read, int64(active[l+1])))
			if s.needs[l].Logits {
				onward += min(n, read) // ahead of the others, as copies
			}
		}
		if s.needs[l].Frozen && n > 0 {
			keys = start // an image that goes on has lost none
		}
		total += keys*2*width*width + whole*(2*width*width+width*hidden+gate*hidden) + onward*(width-gate)*hidden +
			2*whole*keys*width
		if n > 0 {
			total += s.needs[l].MACs(int(n), c.Embed, c.HeadDim(), e.readouts.Inputs(), c.Classes)
		}
	}
	return total
}
