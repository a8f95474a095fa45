package train

import (
	"math"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/vit"
)

// TestWhereBad puts numbers that are not finite into a pass and asks for them.
func TestWhereBad(t *testing.T) {
	config := vit.Config{Embed: 16, Heads: 2, Layers: 3, Hidden: 32, Height: 16, Width: 16, Patch: 4, Channels: 1,
		Classes: 2, Eps: 1e-6, // all tokens run in all blocks
		Halting: halting.Config{Scheme: "token"}.With("gate_scale", 4).With("gate_center", 100)}
	nan := float32(math.NaN())
	for _, c := range []struct {
		want  string
		spoil func(*Network, *Batch, *vit.Params)
	}{
		{"first bad tensor: the gradient of none", func(*Network, *Batch, *vit.Params) {}},
		{"first bad tensor: the gradient of blocks.1.mlp.fc2.bias", func(_ *Network, _ *Batch, g *vit.Params) {
			g.Blocks[0].Norm1Bias[0], g.Blocks[1].FC2Bias[3] = nan, nan
		}},
		{"the weights themselves are not finite: blocks.2.attn.qkv.bias[5] is NaN",
			func(n *Network, _ *Batch, _ *vit.Params) { n.params.Blocks[2].QKVBias[5] = nan }},
		{"image 3 of the batch has a pixel of NaN", func(_ *Network, b *Batch, _ *vit.Params) {
			load := b.Load
			b.Load = func(i int, dst []float32) error {
				err := load(i, dst)
				if i == 3 {
					dst[7] = nan
				}
				return err
			}
		}},
		{"first bad tensor: the output of patch_embed", func(n *Network, b *Batch, _ *vit.Params) {
			b.Load = func(_ int, dst []float32) error {
				for i := range dst {
					dst[i] = 3e38
				}
				return nil
			}
			for i := range n.params.PatchWeight {
				n.params.PatchWeight[i] = 2
			}
		}},
		{"first bad tensor: the output of blocks.1", func(n *Network, _ *Batch, _ *vit.Params) {
			w := n.params.Blocks[1]
			for i := range w.FC2Weight {
				w.FC2Weight[i] = 3e38
			}
			for i := range w.FC1Bias {
				w.FC1Bias[i] = 100
			}
		}},
		{"first bad tensor: the logits", func(n *Network, _ *Batch, _ *vit.Params) {
			for i := range n.params.HeadWeight {
				n.params.HeadWeight[i] = float32(3e38 * math.Pow(-1, float64(i)))
			}
		}},
	} {
		net, err := NewNetwork(vit.Initialize(config, 3, 0), 2)
		if err != nil {
			t.Fatal(err)
		}
		b, grad := randomBatch(config, 6, 1), vit.NewParams(config)
		spoiled := vit.NewParams(config)
		c.spoil(net, &b, spoiled)
		if _, err := net.Step(b, Loss{TargetLayer: 1}, grad); err != nil {
			t.Fatal(err)
		}
		if firstBad(spoiled) != "none" {
			grad = spoiled
		}
		if got := net.whereBad(grad, 6); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
