package vit

import (
	"fmt"
	"strings"
)

// piece is a tensor of a file: a parameter, or in transformers' layout, whose query, key and value are thirds of our
// qkv, perhaps a part of one.
type piece struct {
	stored string // its name in the file
	Tensor        // without Data
}

// hfNames gives timm's names in transformers' spelling, behind the model's own prefix.
var hfNames = map[string]string{
	"cls_token":         "embeddings.cls_token",
	"dist_token":        "embeddings.distillation_token",
	"pos_embed":         "embeddings.position_embeddings",
	"patch_embed.proj.": "embeddings.patch_embeddings.projection.",
	"norm.":             "layernorm.",
	// behind encoder.layer.N.
	"norm1.":     "layernorm_before.",
	"attn.proj.": "attention.output.dense.",
	"norm2.":     "layernorm_after.",
	"mlp.fc1.":   "intermediate.dense.",
	"mlp.fc2.":   "output.dense.",
}

// hfPieces lists the tensors of a model in transformers' layout (see hfKind).
func hfPieces(c Config) []piece {
	var list []piece
	hf := kindOf(c)
	if hf.names == nil {
		return timmPieces(c)
	}
	for _, t := range layout(c) {
		name, prefix := t.Name, hf.prefix
		if path, ok := strings.CutPrefix(name, "blocks."); ok {
			number, rest, _ := strings.Cut(path, ".")
			name, prefix = rest, fmt.Sprintf("%sencoder.layer.%s.", prefix, number)
		}
		if kind, ok := strings.CutPrefix(name, "attn.qkv."); ok {
			t.Shape = append([]int{t.Shape[0] / 3}, t.Shape[1:]...)
			for _, part := range [...]string{"query.", "key.", "value."} {
				list = append(list, piece{prefix + "attention.attention." + part + kind, t})
				t.Offset += t.Len()
			}
			continue
		}
		base := strings.TrimSuffix(strings.TrimSuffix(name, "weight"), "bias")
		full, isHead := hf.heads[base]
		if !isHead {
			full = prefix + hf.names[base]
		}
		list = append(list, piece{full + name[len(base):], t})
	}
	return list
}

// timmPieces lists the tensors of a model in timm's layout.
func timmPieces(c Config) []piece {
	var list []piece
	for _, t := range layout(c) {
		list = append(list, piece{t.Name, t})
	}
	return list
}
