package train

import (
	"fmt"

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
	e := n.config.Embed
	readouts := n.reads.Fields() * e
	for l := range n.config.Layers {
		for _, s := range shards {
			input := s.x[l][:s.blocks[l].inputs(s.images)*e]
			switch {
			case bad(input) && l == 0:
				return "first bad tensor: the output of patch_embed"
			case bad(input):
				return fmt.Sprintf("first bad tensor: the output of blocks.%d", l-1)
			case bad(s.readout[l][:s.images*readouts]): // of tokens that halt there, and so are nowhere in x
				return fmt.Sprintf("first bad tensor: the output of blocks.%d", l)
			}
		}
	}
	for _, s := range shards {
		for _, d := range s.decisions {
			if bad(d.input[:s.images*readouts]) {
				return "first bad tensor: the readouts"
			}
			if bad(d.logits[:s.images*n.config.Classes]) {
				return "first bad tensor: the logits"
			}
		}
	}
	return "first bad tensor: the gradient of " + firstBad(grad)
}

// firstBad names the bad gradient that backward reached first, which is that of the tensor nearest to the output;
// "none" if there is none.
func firstBad(grad *vit.Params) string {
	tensors := grad.Tensors()
	for i := len(tensors) - 1; i >= 0; i-- {
		if kernels.FirstNotFinite(tensors[i].Data) >= 0 {
			return tensors[i].Name
		}
	}
	return "none"
}
