package infer

import (
	"slices"

	"github.com/adavit/adavit/internal/kernels"
)

// MACs returns the multiply-adds that the engine itself performs for one image, by the first of its schemes, whose
// blocks ran on active[l] tokens (nil: on all that start). Unlike vit.Config.MACs it counts what the engine leaves out
// as nothing, frozen tokens with their keys and values, and as keys in attention, and what the scheme computes itself
// in order to decide.
func (e *Engine) MACs(active []int32) int64 {
	c, s := &e.config, &e.schemes[0]
	width, hidden, classes := int64(c.Embed), int64(c.Hidden), int64(c.Classes)
	start, read, gate := int64(s.start), int64(e.readouts.Heads), int64(kernels.FirstPanel(c.Embed))
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
		case e.split(l + 1):
			onward = min(n, max(read, int64(active[l+1])))
		}
		if s.needs[l].Frozen && n > 0 {
			keys = start // an image that goes on has lost none
		}
		total += keys*2*width*width + whole*(2*width*width+width*hidden+gate*hidden) + onward*(width-gate)*hidden +
			2*whole*keys*width
		if n > 0 {
			total += s.needs[l].MACs(int(n), c.Embed, c.HeadDim(), e.readouts.Heads, c.Classes)
		}
	}
	return total
}
