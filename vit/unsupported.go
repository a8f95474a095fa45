package vit

import (
	"fmt"
	"slices"
	"strings"
)

// unsupported are parts of tensors' names by which other networks than a plain ViT are known, whatever their shapes.
var unsupported = [...]struct {
	parts []string
	what  string
}{
	{[]string{"norm_pre", "pre_layrnorm", "ln_pre"}, "a layer norm before the blocks, as CLIP has it"},
	{[]string{"w12", "gate_proj", "weights_in", "fc1_g"}, "gated MLPs (SwiGLU), as DINOv2's giant has them"},
	{[]string{"q_norm", "k_norm"}, "norms of queries and keys"},
	{[]string{"relative_position_bias_table", "relative_position_bias", "rel_pos", "rel_pos_bias"},
		"relative positions, as BEiT and Swin have them"},
	{[]string{"attns", "ffns"}, "parallel blocks"},
	{[]string{"attn_pool", "probe"}, "a head with attention of its own, as SigLIP has it"},
}

// refused is the error about what is in the model's stead.
func refused(what, name string) error {
	return fmt.Errorf("the network has %s (tensor %.120q), which this program does not compute: take a plain ViT, a "+
		"DeiT, or DINOv2 (small to large)", what, name)
}

// refuse looks for other networks than a plain ViT among tensors that have no place in one.
func refuse(names []string) error {
	for _, u := range unsupported {
		for _, name := range names {
			for part := range strings.SplitSeq(name, ".") {
				if slices.Contains(u.parts, part) {
					return refused(u.what, name)
				}
			}
		}
	}
	return nil
}

// refuse looks for what the names alone do not say, too: MLPs whose first map makes two gates of what the second takes,
// positions that are no tensor, and registers beside DeiT's two tokens.
func (s *state) refuse() error {
	first, second := s.tensors["blocks.0.mlp.fc1.weight"], s.tensors["blocks.0.mlp.fc2.weight"]
	registers, there := s.get("reg_token")
	switch err := refuse(s.extra); {
	case err != nil:
		return err
	case len(first.Shape) == 2 && len(second.Shape) == 2 && first.Shape[0] == 2*second.Shape[1]:
		return refused("gated MLPs (SwiGLU), as DINOv2's giant has them", first.Name)
	case there && s.has("dist_token"):
		return refused("registers beside DeiT's distillation token", registers.Name)
	case !s.has("pos_embed") && s.has("blocks.0.norm1.weight"):
		return fmt.Errorf("tensor %q is missing: if the network has rotary positions in its stead, as DINOv3 has, this "+
			"program does not compute it: take a plain ViT, a DeiT, or DINOv2 (small to large)", s.full("pos_embed"))
	}
	return nil
}
