package train

import (
	"fmt"
	"slices"

	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// whereBad says in words where the first number that is not finite arose in the last Step, of size images: in the
// weights, in the pictures, in a block's output on the way up, in the logits, or in a gradient on the way down.
func (n *Network) whereBad(grad *vit.Params, size int) string {
	for _, t := range n.params.Tensors() {
		if at := kernels.FirstNotFinite(t.Data); at >= 0 {
			return fmt.Sprintf("the weights themselves are not finite: %s[%d] is %v", t.Name, at, t.Data[at])
		}
	}
	shards := n.active(size)
	pixels := n.config.Patches() * n.config.PatchLen()
	for _, s := range shards {
		if at := kernels.FirstNotFinite(s.patches[:s.images*pixels]); at >= 0 {
			return fmt.Sprintf("image %d of the batch has a pixel of %v", s.first+at/pixels, s.patches[at])
		}
	}
	bad := func(x []float32) bool { return kernels.FirstNotFinite(x) >= 0 }
	e, classes := n.config.Embed, n.config.Classes
	readouts, from := n.reads.Fields()*e, "patch_embed" // what made a block's input
	for l := range n.config.Layers {
		block := fmt.Sprintf("blocks.%d", l)
		for _, s := range shards {
			if bad(s.x[l][:s.blocks[l].inputs(s.images)*e]) {
				return "first bad tensor: the output of " + from
			}
			if bad(s.readout[l][:s.images*readouts]) { // of tokens that halt there, and so are nowhere in x
				return "first bad tensor: the output of " + block
			}
		}
		from = block
	}
	for _, s := range shards {
		for _, d := range s.decisions {
			if bad(d.input[:s.images*readouts]) {
				return "first bad tensor: the readouts"
			}
			if bad(d.logits[:s.images*classes]) {
				return "first bad tensor: the logits"
			}
		}
	}
	return "first bad tensor: the gradient of " + firstBad(grad)
}

// firstBad names the bad gradient that backward reached first, which is that of the tensor nearest to the output;
// "none" if there is none.
func firstBad(grad *vit.Params) string {
	for _, t := range slices.Backward(grad.Tensors()) {
		if kernels.FirstNotFinite(t.Data) >= 0 {
			return t.Name
		}
	}
	return "none"
}
