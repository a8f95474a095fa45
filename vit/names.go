package vit

import (
	"fmt"
	"strings"
)

// piece is one tensor of transformers' layout and the part of Params.Data that it is. Its query, key and value are
// thirds of our qkv; everything else corresponds one to one.
type piece struct {
	name   string
	shape  []int
	offset int
	length int
}

var hfNames = map[string]string{
	"cls_token":         "vit.embeddings.cls_token",
	"pos_embed":         "vit.embeddings.position_embeddings",
	"patch_embed.proj.": "vit.embeddings.patch_embeddings.projection.",
	"norm.":             "vit.layernorm.",
	"head.":             "classifier.",
	// behind vit.encoder.layer.N.
	"norm1.":     "layernorm_before.",
	"attn.proj.": "attention.output.dense.",
	"norm2.":     "layernorm_after.",
	"mlp.fc1.":   "intermediate.dense.",
	"mlp.fc2.":   "output.dense.",
}

// hfPieces lists the tensors of a model in transformers' layout (ViTForImageClassification). Without qkvBias the biases
// of query, key and value are left out.
func hfPieces(c Config, qkvBias bool) []piece {
	var list []piece
	for _, t := range layout(c) {
		name, prefix := t.Name, ""
		if path, ok := strings.CutPrefix(name, "blocks."); ok {
			number, rest, _ := strings.Cut(path, ".")
			name, prefix = rest, fmt.Sprintf("vit.encoder.layer.%s.", number)
		}
		if kind, ok := strings.CutPrefix(name, "attn.qkv."); ok {
			if kind == "bias" && !qkvBias {
				continue
			}
			shape := append([]int{t.Shape[0] / 3}, t.Shape[1:]...)
			third := t.Len() / 3
			for i, part := range [...]string{"query.", "key.", "value."} {
				list = append(list, piece{prefix + "attention.attention." + part + kind, shape, t.Offset + i*third, third})
			}
			continue
		}
		base := strings.TrimSuffix(strings.TrimSuffix(name, "weight"), "bias")
		list = append(list, piece{prefix + hfNames[base] + name[len(base):], t.Shape, t.Offset, t.Len()})
	}
	return list
}

// timmPieces lists the tensors of a model in timm's layout, each behind prefix.
func timmPieces(c Config, prefix string) []piece {
	var list []piece
	for _, t := range layout(c) {
		list = append(list, piece{prefix + t.Name, t.Shape, t.Offset, t.Len()})
	}
	return list
}
