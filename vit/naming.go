package vit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/adavit/adavit/weights"
)

// family is a way to name a ViT's tensors. Names are translated to timm's. A row that ends in a separator stands for
// the names that go on behind it; of two rows for the same tensor the first is what errors show.
type family struct {
	name   string
	sep    string   // between the parts of a name
	anchor string   // the patch embedding's weight, which every ViT has
	apart  bool     // queries, keys and values are tensors of their own
	blocks []string // before the number of a block; behind it comes sep
	outer  [][2]string
	inner  [][2]string // of a block
}

// The rows say timm's name, then the family's. Queries, keys and values of their own are called attn.query, attn.key
// and attn.value.
var families = [...]*family{
	{name: "timm", sep: ".", anchor: "patch_embed.proj.weight", blocks: []string{"blocks."},
		outer: [][2]string{{"cls_token", "cls_token"}, {"dist_token", "dist_token"}, {"reg_token", "reg_token"},
			{"reg_token", "register_tokens"}, {"pos_embed", "pos_embed"}, {"patch_embed.proj.", "patch_embed.proj."},
			{"norm.", "norm."}, {"fc_norm.", "fc_norm."}, {"head.", "head."}, {"head_dist.", "head_dist."}},
		inner: [][2]string{{"norm1.", "norm1."}, {"attn.qkv.", "attn.qkv."}, {"attn.proj.", "attn.proj."},
			{"norm2.", "norm2."}, {"mlp.fc1.", "mlp.fc1."}, {"mlp.fc2.", "mlp.fc2."}, {"ls1.gamma", "ls1.gamma"},
			{"ls2.gamma", "ls2.gamma"}, {"ls1.gamma", "gamma_1"}, {"ls2.gamma", "gamma_2"}}},
	transformers,
	{name: "torchvision", sep: ".", anchor: "conv_proj.weight", blocks: []string{"encoder.layers.encoder_layer_"},
		outer: [][2]string{{"cls_token", "class_token"}, {"pos_embed", "encoder.pos_embedding"},
			{"patch_embed.proj.", "conv_proj."}, {"norm.", "encoder.ln."}, {"head.", "heads.head."}},
		inner: [][2]string{{"norm1.", "ln_1."}, {"attn.qkv.weight", "self_attention.in_proj_weight"},
			{"attn.qkv.bias", "self_attention.in_proj_bias"}, {"attn.proj.", "self_attention.out_proj."},
			{"norm2.", "ln_2."}, {"mlp.fc1.", "mlp.0."}, {"mlp.fc2.", "mlp.3."},
			{"mlp.fc1.", "mlp.linear_1."}, {"mlp.fc2.", "mlp.linear_2."}}},
	mmpretrain,
	jax,
}

// mmpretrain's names (OpenMMLab's; mmcls before).
var mmpretrain = &family{name: "mmpretrain", sep: ".", anchor: "patch_embed.projection.weight",
	blocks: []string{"layers."},
	outer: [][2]string{{"cls_token", "cls_token"}, {"pos_embed", "pos_embed"},
		{"patch_embed.proj.", "patch_embed.projection."}, {"norm.", "ln1."}, {"fc_norm.", "ln2."},
		{"head.", "head.layers.head."}},
	inner: [][2]string{{"norm1.", "ln1."}, {"attn.qkv.", "attn.qkv."}, {"attn.proj.", "attn.proj."}, {"norm2.", "ln2."},
		{"mlp.fc1.", "ffn.layers.0.0."}, {"mlp.fc2.", "ffn.layers.1."}, {"ls1.gamma", "attn.gamma1.weight"},
		{"ls2.gamma", "ffn.gamma2.weight"}},
}

// transformers' names, of models that version 4 or 5 saved and of what version 5 has in memory, which others save; with
// DINOv2's, whose blocks are called otherwise.
var transformers = &family{name: "transformers", sep: ".", anchor: "embeddings.patch_embeddings.projection.weight",
	apart: true, blocks: []string{"encoder.layer.", "layers.", "encoder.layers."},
	outer: [][2]string{{"cls_token", "embeddings.cls_token"}, {"dist_token", "embeddings.distillation_token"},
		{"reg_token", "embeddings.register_tokens"}, {"pos_embed", "embeddings.position_embeddings"},
		{"patch_embed.proj.", "embeddings.patch_embeddings.projection."}, {"norm.", "layernorm."}},
	inner: [][2]string{{"norm1.", "layernorm_before."}, {"norm1.", "norm1."}, {"norm2.", "layernorm_after."},
		{"norm2.", "norm2."}, {"attn.query.", "attention.attention.query."}, {"attn.key.", "attention.attention.key."},
		{"attn.value.", "attention.attention.value."}, {"attn.query.", "attention.q_proj."},
		{"attn.key.", "attention.k_proj."}, {"attn.value.", "attention.v_proj."}, {"attn.proj.", "attention.output.dense."},
		{"attn.proj.", "attention.o_proj."}, {"mlp.fc1.", "intermediate.dense."}, {"mlp.fc1.", "mlp.fc1."},
		{"mlp.fc2.", "output.dense."}, {"mlp.fc2.", "mlp.fc2."}, {"ls1.gamma", "layer_scale1.lambda1"},
		{"ls2.gamma", "layer_scale2.lambda1"}},
}

// timm translates a name without its prefix to timm's.
func (f *family) timm(name string) (string, bool) {
	rows, block := f.outer, ""
	for _, before := range f.blocks {
		rest, ok := strings.CutPrefix(name, before)
		if !ok {
			continue
		}
		number, rest, _ := strings.Cut(rest, f.sep)
		// DINOv2's training cuts the blocks into chunks: blocks.CHUNK.NUMBER.
		if next, behind, ok := strings.Cut(rest, f.sep); ok && isNumber(next) {
			number, rest = next, behind
		}
		if !isNumber(number) {
			continue
		}
		rows, block, name = f.inner, "blocks."+number+".", rest
		break
	}
	for _, row := range rows {
		if row[1] == name {
			return block + row[0], true
		}
		if rest, ok := strings.CutPrefix(name, row[1]); ok && strings.HasSuffix(row[1], f.sep) &&
			slices.Contains(kinds[:], rest) {
			return block + row[0] + rest, true
		}
	}
	return "", false
}

// kinds are the parts of a linear map or a norm.
var kinds = [...]string{"weight", "bias", "weight" + stepsEnd, "weight" + firstEnd}

// own is the inverse: a name of timm's as the family has it.
func (f *family) own(timm string) string {
	rows, block, name := f.outer, "", timm
	if path, ok := strings.CutPrefix(timm, "blocks."); ok {
		number, rest, _ := strings.Cut(path, ".")
		rows, block, name = f.inner, f.blocks[0]+number+f.sep, rest
	}
	for _, row := range rows {
		if rest, ok := strings.CutPrefix(name, row[0]); ok && (rest == "" || strings.HasSuffix(row[0], ".")) {
			return block + row[1] + rest
		}
	}
	return timm
}

// isNumber reports whether s is a number as it stands in a block's name.
func isNumber(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0 && n < 1<<20 && strconv.Itoa(n) == s
}

// naming is how a file names its tensors: in a family's way, behind a prefix.
type naming struct {
	*family
	prefix string
}

func (n naming) full(timm string) string { return n.prefix + n.own(timm) }

// levels are the prefixes under which a head may be: that of the other tensors, and what is left of it without its last
// parts.
func (n naming) levels() []string {
	list := []string{n.prefix}
	for p := n.prefix; p != ""; list = append(list, p) {
		p = p[:strings.LastIndex(strings.TrimSuffix(p, n.sep), n.sep)+1]
	}
	return list
}

// findNaming looks for the patch embedding. prefix, if it is not "", says behind which names; where there are several
// networks and one is a teacher, as DINO has it, that is taken, and of a training state of JAX the parameters. The
// others' prefixes are returned, too.
func findNaming(f *weights.File, prefix string) (n naming, others []string, err error) {
	var found []naming
	for _, t := range f.Tensors {
		for _, family := range families {
			before, ok := strings.CutSuffix(t.Name, family.anchor)
			if ok && (before == "" || strings.HasSuffix(before, family.sep)) {
				found = append(found, naming{family, before})
			}
		}
	}
	if len(found) == 0 {
		return n, nil, notViT(f)
	}
	var list []string
	for _, c := range found {
		list = append(list, c.prefix)
	}
	chosen := found
	for _, fits := range []func(naming) bool{
		func(n naming) bool { return n.prefix == prefix || n.prefix == prefix+n.sep },
		func(n naming) bool { return prefix != "" && strings.HasPrefix(n.prefix, prefix) },
		func(n naming) bool { return prefix == "" && slices.Contains(strings.Split(n.prefix, n.sep), "teacher") },
		func(n naming) bool { return prefix == "" && n.prefix == "params/" },
		func(naming) bool { return prefix == "" },
	} {
		chosen = slices.DeleteFunc(slices.Clone(found), func(n naming) bool { return !fits(n) })
		if len(chosen) > 0 {
			break
		}
	}
	switch {
	case len(chosen) == 0:
		return n, nil, fmt.Errorf("no ViT behind the prefix %.120q; there is one behind %s", prefix, some(list))
	case len(chosen) > 1:
		return n, nil, fmt.Errorf("%w: there are some behind the prefixes %s", ErrPrefix, some(list))
	}
	for _, c := range found {
		if c.prefix != chosen[0].prefix {
			others = append(others, c.prefix)
		}
	}
	return chosen[0], others, nil
}

// notViT says what a file has instead.
func notViT(f *weights.File) error {
	var names, anchors []string
	for _, t := range f.Tensors {
		names = append(names, t.Name)
	}
	if len(names) == 0 {
		return fmt.Errorf("the file holds no tensors")
	}
	if err := refuse(names); err != nil {
		return err
	}
	for _, family := range families {
		anchors = append(anchors, fmt.Sprintf("%q in %s's names", family.anchor, family.name))
	}
	return fmt.Errorf("no patch embedding (%s): not a ViT, or one that this program does not know; the file has %s",
		strings.Join(anchors, ", "), some(names))
}
