package infer

import "github.com/adavit/adavit/vit"

// Output is what Run finds out about B images. N counts tokens, the class token included and at place 0; L counts
// blocks.
type Output struct {
	Logits  []float32 // [B, classes]
	Depth   []int32   // [B, N] blocks that each token really ran in; an image that stopped early stops its tokens
	Active  []int32   // [B, L] tokens that ran in each block; in block L those that gave keys and values
	Stopped []bool    // [B] Batch.Stop or ctx ended the image: its logits are void, the rest says what ran until then
	Trace   *Trace    // set by the caller who wants it filled; needs Options.Full
}

// Trace holds the method's own quantities for every token and block.
type Trace struct {
	Depth  []int32   // [B, N] N[k]: the block where the token halted; 0 for one that never started
	Score  []float32 // [L, B, N] h[k,l], block L's sigmoid too; 0 where the token was gone
	Active []uint8   // [L, B, N] 1 where the token ran
	Rho    []float32 // [B, N] N[k] + r[k]
}

// resize gives every slice its length for b images; what the passes do not write themselves is zeroed.
func (o *Output) resize(b int, c *vit.Config) {
	n, l := c.Tokens(), c.Layers
	o.Logits = resize(o.Logits, b*c.Classes)
	o.Depth = resize(o.Depth, b*n)
	o.Active = resize(o.Active, b*l)
	o.Stopped = resize(o.Stopped, b)
	clear(o.Depth)
	clear(o.Active)
	clear(o.Stopped)
	if t := o.Trace; t != nil {
		t.Depth = resize(t.Depth, b*n)
		t.Score = resize(t.Score, l*b*n)
		t.Active = resize(t.Active, l*b*n)
		t.Rho = resize(t.Rho, b*n)
		clear(t.Score)
		clear(t.Active)
	}
}

// resize returns s with length n, in its own memory if that is large enough.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// add records what a trace wants to know of one image after one block: image i of b, block layer (1-based), the tokens
// that ran and their scores.
func (t *Trace) add(b, i, n, layer int, token []int32, score []float32) {
	at := ((layer-1)*b + i) * n
	for j, k := range token {
		t.Score[at+int(k)] = score[j]
		t.Active[at+int(k)] = 1
	}
}
