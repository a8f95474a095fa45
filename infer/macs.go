package infer

// MACs returns the multiply-adds that the engine itself performs for one image whose blocks ran on active[l] tokens (nil: on all that start).
// Unlike vit.Config.MACs, which counts a block as if every token went through all of it, it counts block L as it runs: keys and values for all
// tokens, the rest for the class token alone, unless Options.Full asks for everything. Patch embedding counts the tokens that start.
func (e *Engine) MACs(active []int32) int64 {
	c := &e.config
	width, hidden := int64(c.Embed), int64(c.Hidden)
	total := int64(e.start-1)*int64(c.PatchLen())*width + width*int64(c.Classes)
	for l := range c.Layers {
		n := int64(e.start)
		if active != nil {
			n = int64(active[l])
		}
		asking := n // tokens that attend and pass the MLP
		if l == c.Layers-1 && !e.options.Full {
			asking = min(n, 1)
		}
		total += n*2*width*width + asking*(2*width*width+2*width*hidden) + 2*asking*n*width
	}
	return total
}
