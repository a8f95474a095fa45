package vit

import (
	"strings"
	"testing"

	"github.com/adavit/adavit/weights"
)

// TestUnsupported: networks that are computed otherwise than a plain ViT are refused by what they have, and the error
// says what to take.
func TestUnsupported(t *testing.T) {
	p := Initialize(mustVariant(t, "micro"), 3, 0)
	f, e := stateDict(p), p.Config.Embed
	zeros := func(name string, shape ...int) *weights.File {
		n := 1
		for _, side := range shape {
			n *= side
		}
		return &weights.File{Tensors: []weights.Tensor{weights.Float32Tensor(name, shape, make([]float32, n))}}
	}
	without := func(gone string) *weights.File {
		return renamed(f, func(name string) string {
			if name == gone {
				return ""
			}
			return name
		})
	}
	for _, v := range []struct {
		what string
		file *weights.File
		want string
	}{
		{"CLIP of timm", beside(f, "norm_pre.weight"), `a layer norm before the blocks, as CLIP has it (tensor "norm_pre.`},
		{"CLIP of transformers", beside(&weights.File{}, "vision_model.embeddings.patch_embedding.weight",
			"vision_model.pre_layrnorm.weight"), `CLIP has it (tensor "vision_model.pre_layrnorm.weight")`},
		{"DINOv2's giant by its authors", beside(f, "blocks.0.mlp.w12.weight"), "gated MLPs (SwiGLU)"},
		{"the same of timm", both(without("blocks.0.mlp.fc1.weight"),
			zeros("blocks.0.mlp.fc1.weight", 2*p.Config.Hidden, e)), `gated MLPs (SwiGLU), as DINOv2's giant has them (tensor ` +
			`"blocks.0.mlp.fc1.weight")`},
		{"the same of transformers", beside(&weights.File{}, "encoder.layer.0.mlp.gate_proj.weight"), "gated MLPs"},
		{"norms of queries", beside(f, "blocks.3.attn.q_norm.weight"), "norms of queries and keys"},
		{"BEiT", beside(without("pos_embed"), "blocks.0.attn.relative_position_bias_table"), "relative positions"},
		{"parallel blocks", beside(f, "blocks.0.attns.1.norm.weight"), "parallel blocks"},
		{"SigLIP", beside(f, "attn_pool.latent"), "a head with attention of its own"},
		{"DINOv3", without("pos_embed"), `tensor "pos_embed" is missing: if the network has rotary positions`},
		{"registers beside DeiT's tokens", both(f, both(zeros("dist_token", 1, 1, e), zeros("reg_token", 1, 4, e))),
			"registers beside DeiT's distillation token"},
	} {
		_, err := Import(v.file, ImportOptions{Heads: 2})
		if err == nil || !strings.Contains(err.Error(), v.want) || !strings.Contains(err.Error(), "take a plain ViT") {
			t.Errorf("%s: %v, want %q", v.what, err, v.want)
		}
	}
}
