package infer

import (
	"slices"

	"github.com/adavit/adavit/vit"
)

// Output is what Run finds out about B images of N tokens, special ones first, in L blocks.
type Output struct {
	Logits     []float32 // [B, classes]
	Fields     []float32 // [B, inputs, E] what the heads look at, before a norm that is still to come; with Options.Fields
	Embeddings []float32 // [B, inputs, E] the same as the heads read it, normalised; with Options.Embed
	Depth      []int32   // [B, N] blocks that each token really ran in; an image that stopped early stops its tokens
	Active     []int32   // [B, L] tokens that ran in each block; in block L those that gave keys and values
	Stopped    []bool    // [B] Batch.Stop or ctx ended the image: its logits are void, the rest says what ran until then
	Trace      *Trace    // set by the caller who wants it filled; needs Options.Full
}

// Trace holds the method's own quantities for every token and block.
type Trace struct {
	Depth  []int32   // [B, N] N[k]: the block where the token halted; 0 for one that never started
	Score  []float32 // [L, B, N] h[k,l], block L's sigmoid too; 0 where the token was gone
	Active []uint8   // [L, B, N] 1 where the token ran
	Rho    []float32 // [B, N] N[k] + r[k]
}

// resize makes every slice zeros for b images.
func (o *Output) resize(b int, c *vit.Config, options *Options) {
	n, l := c.Tokens(), c.Layers
	read := b * c.Readouts().Inputs() * c.Embed
	if options.Fields {
		zeros(&o.Fields, read)
	}
	if options.Embed {
		zeros(&o.Embeddings, read)
	}
	zeros(&o.Logits, b*c.Classes)
	zeros(&o.Depth, b*n)
	zeros(&o.Active, b*l)
	zeros(&o.Stopped, b)
	if t := o.Trace; t != nil {
		zeros(&t.Depth, b*n)
		zeros(&t.Score, l*b*n)
		zeros(&t.Active, l*b*n)
		zeros(&t.Rho, b*n)
	}
}

// zeros makes s n zeros, in its own memory if that is large enough.
func zeros[T any](s *[]T, n int) {
	*s = slices.Grow((*s)[:0], n)[:n]
	clear(*s)
}
