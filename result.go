package adavit

import (
	"fmt"

	"github.com/adavit/adavit/infer"
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
	Blocks     int          `json:"blocks"`      // blocks the image went through before its class token halted
	MACs       int64        `json:"macs"`        // of the tokens that ran
	Depth      []int        `json:"-"`           // [N] blocks each token ran in, the class token first, then patches
	Budget     Budget       `json:"budget,omitzero"`
}

// newResult reads image i of an engine's output.
func newResult(c *vit.Config, out *infer.Output, i int) (Result, error) {
	top, err := infer.Top(c, out.Logits[i*c.Classes:(i+1)*c.Classes], 5)
	if err != nil {
		return Result{}, err
	}
	n := c.Tokens()
	r := Result{Top: top, Depth: make([]int, n)}
	for k, d := range out.Depth[i*n : (i+1)*n] {
		r.Depth[k] = int(d)
		r.Tokens += int(d)
	}
	r.MACs = c.MACs(out.Active[i*c.Layers : (i+1)*c.Layers])
	r.Blocks = r.Depth[0]
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
