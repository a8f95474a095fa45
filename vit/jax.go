package vit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/adavit/adavit/weights"
)

// jax are the names of Google's checkpoints (.npz), of vision_transformer and of big_vision, which numbers the parts of
// a block from 0 each.
var jax = &family{name: "JAX", sep: "/", anchor: "embedding/kernel", apart: true,
	blocks: []string{"Transformer/encoderblock_"},
	outer: [][2]string{{"cls_token", "cls"}, {"pos_embed", "Transformer/posembed_input/pos_embedding"},
		{"pos_embed", "pos_embedding"}, {"patch_embed.proj.weight", "embedding/kernel"},
		{"patch_embed.proj.bias", "embedding/bias"}, {"norm.weight", "Transformer/encoder_norm/scale"},
		{"norm.bias", "Transformer/encoder_norm/bias"}, {"head.weight", "head/kernel"}, {"head.bias", "head/bias"}},
	inner: slices.Concat(jaxRows("norm1.", "scale", "LayerNorm_0/"), jaxRows("norm2.", "scale", "LayerNorm_2/"),
		jaxRows("norm2.", "scale", "LayerNorm_1/"), jaxAttention("MultiHeadDotProductAttention_1/"),
		jaxAttention("MultiHeadDotProductAttention_0/"), jaxRows("mlp.fc1.", "kernel", "MlpBlock_3/Dense_0/"),
		jaxRows("mlp.fc2.", "kernel", "MlpBlock_3/Dense_1/"), jaxRows("mlp.fc1.", "kernel", "MlpBlock_0/Dense_0/"),
		jaxRows("mlp.fc2.", "kernel", "MlpBlock_0/Dense_1/")),
}

func jaxRows(timm, weight, own string) [][2]string {
	return [][2]string{{timm + "weight", own + weight}, {timm + "bias", own + "bias"}}
}

func jaxAttention(own string) [][2]string {
	return slices.Concat(jaxRows("attn.query.", "kernel", own+"query/"), jaxRows("attn.key.", "kernel", own+"key/"),
		jaxRows("attn.value.", "kernel", own+"value/"), jaxRows("attn.proj.", "kernel", own+"out/"))
}

// fromJAX turns a tensor round as PyTorch has it; timm is its name there. A linear map of JAX is [in, out], those of
// attention are [E, heads, E/heads] and back, a convolution is [h, w, in, out].
func fromJAX(timm string, t weights.Tensor) (weights.Tensor, error) {
	rank := len(t.Shape)
	wrong := func() (weights.Tensor, error) {
		return t, fmt.Errorf("tensor %.120q has shape %v, which no ViT of JAX has", t.Name, t.Shape)
	}
	isHeads := strings.HasSuffix(timm, "attn.query.weight") || strings.HasSuffix(timm, "attn.key.weight") ||
		strings.HasSuffix(timm, "attn.value.weight")
	switch {
	case timm == "patch_embed.proj.weight":
		if rank != 4 {
			return wrong()
		}
		return permuted(t, []int{3, 2, 0, 1})
	case isHeads && rank == 3:
		t.Shape = []int{t.Shape[0], t.Shape[1] * t.Shape[2]}
	case strings.HasSuffix(timm, "attn.proj.weight") && rank == 3:
		t.Shape = []int{t.Shape[0] * t.Shape[1], t.Shape[2]}
	case strings.Contains(timm, "attn.") && strings.HasSuffix(timm, ".bias") && rank == 2:
		t.Shape = []int{t.Shape[0] * t.Shape[1]}
		return t, nil
	case rank != 2 || !strings.HasSuffix(timm, ".weight"):
		return t, nil
	}
	return permuted(t, []int{1, 0})
}

// permuted copies a tensor with its dimensions in another order: the new dimension i is the old axes[i].
func permuted(t weights.Tensor, axes []int) (weights.Tensor, error) {
	x, err := t.Float32s()
	if err != nil {
		return t, err
	}
	shape, strides := make([]int, len(axes)), make([]int, len(axes))
	for i, axis := range axes {
		shape[i], strides[i] = t.Shape[axis], 1
		for _, d := range t.Shape[axis+1:] {
			strides[i] *= d
		}
	}
	y, index := make([]float32, len(x)), make([]int, len(axes))
	for k := range y {
		from := 0
		for i := range axes {
			from += index[i] * strides[i]
		}
		y[k] = x[from]
		for i := len(axes) - 1; i >= 0; i-- {
			if index[i]++; index[i] < shape[i] {
				break
			}
			index[i] = 0
		}
	}
	return weights.Float32Tensor(t.Name, shape, y), nil
}
