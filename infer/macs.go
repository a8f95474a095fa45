package infer

import "github.com/adavit/adavit/internal/kernels"

// MACs returns the multiply-adds that the engine itself performs for one image whose blocks ran on active[l] tokens (nil: on all that start).
// Unlike vit.Config.MACs, which counts a block as if every token went through all of it, it counts what runs unless Options.Full asks for
// everything: in block L keys and values for all tokens and the rest for the readout tokens alone, elsewhere all of fc2 only for the readout tokens
// and the tokens that go on. Patch embedding counts the tokens that start. Where halted tokens freeze, they count with their keys and values, and as
// keys in attention; what the scheme computes itself in order to decide counts too.
func (e *Engine) MACs(active []int32) int64 {
	c := &e.config
	width, hidden := int64(c.Embed), int64(c.Hidden)
	ran := func(l int) int64 {
		switch {
		case active == nil:
			return int64(e.start)
		case l < c.Layers:
			return int64(active[l])
		}
		return 0
	}
	readouts := int64(c.Readouts().Heads)
	total := int64(e.start-c.Special())*int64(c.PatchLen())*width + readouts*width*int64(c.Classes)
	for l := range c.Layers {
		n := ran(l)
		asking, onward := n, n // tokens that attend and pass the MLP, those that pass all of fc2
		if l == c.Layers-1 && !e.options.Full {
			asking, onward = min(n, readouts), min(n, readouts)
		} else if e.gated {
			onward = min(n, max(readouts, ran(l+1)))
		}
		keys := n
		if e.freezes && n > 0 {
			keys = int64(e.start) // an image that goes on has lost none
		}
		gate := int64(kernels.FirstPanel(c.Embed))
		total += keys*2*width*width + asking*(2*width*width+width*hidden+gate*hidden) + onward*(width-gate)*hidden + 2*asking*keys*width
		if n > 0 && e.needs != nil {
			total += e.needs[l].MACs(int(n), c.Embed, c.HeadDim(), c.Readouts().Heads, c.Classes)
		}
	}
	return total
}
