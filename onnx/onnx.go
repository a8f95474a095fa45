// Package onnx writes a model as an ONNX file, for ONNX Runtime and everything else that reads the format
// (https://onnx.ai/onnx).
//
// The graph takes "input" [batch, C, H, W] float32, prepared as the model's own preprocessor does it, and gives
// "logits" [batch, classes]. batch is any number from 1 up. Only standard operators are used, those of opset 17: the
// first that has LayerNormalization, so that a norm is one node in every runtime, and old enough (2022) for all that
// are in use. Opset 20 has Gelu too; ONNX Runtime puts the five nodes that spell it in opset 17 together by itself, so
// that nothing is gained there.
//
// An adaptive model removes its halted tokens in the graph: after every block but the last the tokens that go on are
// gathered, so that all later products are smaller. The images of a batch keep the number of tokens that the one with
// the most of them needs, and where an image has fewer its halted ones fill the place, barred as keys. For a batch of
// one that is exact removal; for larger ones it is a mask over what is left. One formulation serves both, without a
// branch. An image whose readouts (the tokens that are read, by themselves or in the patches' mean) have all halted is
// finished: nothing can change its logits, so its other tokens halt with them. In a model with an exit the heads look
// at the readouts after every block but the last, and a sure prediction halts them.
//
// The weights are the model's own bits, in timm's layout and names (blocks.3.attn.qkv is cut into q, k and v).
package onnx

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// Opsets that a graph can be written for.
const (
	DefaultOpset = 17
	MaxOpset     = 20
)

// Options say what graph to write. The zero value is the model as it is, in DefaultOpset.
type Options struct {
	Dense bool // leave halting out: every token runs in every block
	Depth bool // adaptive only: a second output, "depth" [batch, N] int64, the number of blocks that each token ran in
	Opset int  // DefaultOpset to MaxOpset; 0 for DefaultOpset
}

// Write writes the model as one ONNX file, the same bytes for the same model and options. Weights stream to w; they are
// not copied. Names of the classes go into the file's metadata, as a JSON list under "labels".
//
// A file beyond 2 GiB is refused, for that is protobuf's limit, and so are weights that are not finite.
func Write(w io.Writer, p *vit.Params, o Options) error {
	if o.Opset == 0 {
		o.Opset = DefaultOpset
	}
	err := check(p, o)
	if err == nil {
		err = encode(w, build(p, o), o.Opset, p.Config.Labels)
	}
	if err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	return nil
}

// check reports what keeps a model from being written.
func check(p *vit.Params, o Options) error {
	if p == nil {
		return errors.New("no parameters")
	}
	c := p.Config
	if err := c.Validate(); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if o.Opset < DefaultOpset || o.Opset > MaxOpset {
		return fmt.Errorf("opset %d cannot be written (%d to %d can)", o.Opset, DefaultOpset, MaxOpset)
	}
	adaptive := c.Halting.Adaptive() && !o.Dense
	if d, err := c.Halting.Descriptor(); adaptive && (err != nil || !d.ONNX) {
		can := strings.Join(halting.Names(func(d halting.Descriptor) bool { return d.ONNX }), ", ")
		return fmt.Errorf("halting scheme %q cannot be written (%q can, and every model as a dense one)", d.Name, can)
	}
	if o.Depth && !adaptive {
		return errors.New("a dense graph has no depth to give: every token runs in every block")
	}
	if err := checkSize(4 * int64(c.ParamCount())); err != nil {
		return err
	}
	if got, want := len(p.Data), c.ParamCount(); got != want {
		return fmt.Errorf("%d parameters, but the configuration wants %d", got, want)
	}
	for _, t := range p.Tensors() {
		if i := kernels.FirstNotFinite(t.Data); i >= 0 {
			return fmt.Errorf("tensor %q: element %d is %v", t.Name, i, t.Data[i])
		}
	}
	return nil
}

// checkSize refuses a file that protobuf's readers cannot take.
func checkSize(bytes int64) error {
	if bytes > math.MaxInt32 {
		return fmt.Errorf("the file would have %.1f GiB or more, but protobuf ends at 2 GiB", float64(bytes)/(1<<30))
	}
	return nil
}
