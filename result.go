package adavit

import (
	"fmt"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/pool"
	"github.com/adavit/adavit/vit"
)

// Prediction is one class with its probability.
type Prediction = infer.Prediction

// Result is what became of one image.
type Result struct {
	Top        []Prediction `json:"top"`         // the five most probable classes, or all if there are fewer
	Tokens     int          `json:"tokens"`      // token-blocks spent: the blocks that a token ran in, summed over all
	TokenShare float64      `json:"token_share"` // Tokens against N·L, what the dense model spends; 0..1
	MeanDepth  float64      `json:"mean_depth"`  // blocks that a token ran in, mean over the image's tokens
	Blocks     int          `json:"blocks"`      // blocks the image went through until its prediction was known
	MACs       int64        `json:"macs"`        // of the tokens that ran
	Depth      []int        `json:"-"`           // [N] blocks each token ran in, special tokens first, then patches
	Budget     Budget       `json:"budget,omitzero"`

	// Embedding is what the head reads of the image, with Options.Embed: the class token's last value behind the final
	// norm [E], its weighted mean over the blocks (METHOD.md, 9) where tokens halt; the two special tokens' of a
	// distilled model, the patches' mean where a model is pooled so.
	Embedding []float32 `json:"embedding,omitempty"`
}

// newResult reads what became of an image.
func newResult(c *vit.Config, j *pool.Job) (Result, error) {
	top, err := infer.Top(c, j.Logits, 5)
	if err != nil {
		return Result{}, err
	}
	n := c.Tokens()
	r := Result{Top: top, Depth: make([]int, n), Embedding: j.Embedding}
	for k, d := range j.Depth {
		r.Depth[k] = int(d)
		r.Tokens += int(d)
	}
	r.MACs = c.MACs(j.Active)
	r.Blocks = halting.End(c.Readouts(), r.Depth)
	r.MeanDepth = float64(r.Tokens) / float64(n)
	r.TokenShare = r.MeanDepth / float64(c.Layers)
	return r, nil
}

// ImageError says what is wrong with one of several images.
type ImageError struct {
	Index int // from 0, in the order given
	Err   error
}

func (e *ImageError) Error() string { return fmt.Sprintf("image %d: %v", e.Index, e.Err) }

func (e *ImageError) Unwrap() error { return e.Err }
