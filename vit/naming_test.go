package vit

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/adavit/adavit/weights"
)

// renamed is a file with other names; a name that becomes "" is left out.
func renamed(f *weights.File, to func(name string) string) *weights.File {
	g := &weights.File{}
	for _, t := range f.Tensors {
		if t.Name = to(t.Name); t.Name != "" {
			g.Tensors = append(g.Tensors, t)
		}
	}
	return g
}

// beside adds tensors of one element with those names.
func beside(f *weights.File, names ...string) *weights.File {
	g := &weights.File{Tensors: slices.Clone(f.Tensors)}
	for _, name := range names {
		g.Tensors = append(g.Tensors, weights.Float32Tensor(name, []int{1}, []float32{1}))
	}
	return g
}

// both puts two files into one.
func both(f, g *weights.File) *weights.File {
	return &weights.File{Tensors: slices.Concat(f.Tensors, g.Tensors)}
}

// behind puts a prefix before all names but the head's, which get another.
func behind(prefix, head string) func(string) string {
	return func(name string) string {
		if rest, ok := strings.CutPrefix(name, "head."); ok {
			return head + rest
		}
		return prefix + name
	}
}

func headless(name string) string {
	if strings.HasPrefix(name, "head.") {
		return ""
	}
	return name
}

// replaced makes a renaming of pairs, old and new.
func replaced(pairs ...string) func(string) string { return strings.NewReplacer(pairs...).Replace }

// TestNaming: a ViT is the same one whatever is before its names and beside them; notes say what was found.
func TestNaming(t *testing.T) {
	p := Initialize(mustVariant(t, "micro"), 3, 0)
	f := stateDict(p)
	hf := &weights.File{}
	for _, piece := range hfPieces(p.Config) {
		hf.Tensors = append(hf.Tensors,
			weights.Float32Tensor(piece.stored, piece.Shape, p.Data[piece.Offset:][:piece.Len()]))
	}
	five := replaced("encoder.layer.", "layers.", "attention.attention.query", "attention.q_proj",
		"attention.attention.key", "attention.k_proj", "attention.attention.value", "attention.v_proj",
		"attention.output.dense", "attention.o_proj", "intermediate.dense", "mlp.fc1", "output.dense", "mlp.fc2")
	mm := func(name string) string {
		return behind("backbone.", "head.layers.head.")(replaced("blocks.", "layers.", "norm.", "ln1.", "norm1.", "ln1.",
			"norm2.", "ln2.", "mlp.fc1.", "ffn.layers.0.0.", "mlp.fc2.", "ffn.layers.1.", "embed.proj.",
			"embed.projection.")(name))
	}
	for _, v := range []struct {
		what   string
		file   *weights.File
		prefix string
		notes  []string
	}{
		{"compiled", renamed(f, behind("_orig_mod.", "_orig_mod.head.")), "", []string{`"_orig_mod." is taken out`}},
		{"on several devices", renamed(f, behind("module.", "module.head.")), "", []string{`begin with "module."`}},
		{"average of weights", beside(renamed(f, behind("module.", "module.head.")), "n_averaged"), "",
			[]string{`"n_averaged"`}},
		{"wrapped blocks", renamed(f, replaced("blocks.1.", "blocks.1._checkpoint_wrapped_module.")), "",
			[]string{`"_checkpoint_wrapped_module." is taken out`}},
		{"head outside", renamed(f, behind("backbone.", "head.")), "", []string{`begin with "backbone."`}},
		{"nn.Sequential", renamed(f, behind("0.", "1.")), "", []string{`begin with "0."`, `the head is "1"`}},
		{"Lightning", renamed(f, behind("net.encoder.", "net.fc.")), "", []string{`the head is "net.fc"`}},
		{"a prefix that is said", renamed(f, behind("net.encoder.", "net.fc.")), "net", []string{`the head is "net.fc"`}},
		{"leftovers", beside(f, "mask_token", "decoder_embed.weight", "decoder_blocks.0.norm1.weight",
			"decoder_blocks.0.norm1.bias", "blocks.0.total_ops", "criterion.weight"), "", []string{
			`left out, as it has no part in classifying: "mask_token", "decoder_embed.", "decoder_blocks." (2 tensors)`}},
		{"teacher and student", both(renamed(f, behind("teacher.backbone.", "teacher.fc.")),
			beside(renamed(f, behind("student.backbone.", "student.head.")), "student.dino_head.mlp.0.weight")), "",
			[]string{`begin with "teacher.backbone."`, `"student." (57 tensors)`}},
		{"one of two", both(renamed(f, behind("q.", "q.head.")), renamed(f, behind("k.", "k.head."))), "k",
			[]string{`begin with "k."`, `"q." (56 tensors)`}},
		{"what is outside a prefix that is said", beside(renamed(f, behind("q.", "q.head.")), "x.weight"), "q.",
			[]string{`"x."`}},
		{"DINOv2's chunks", renamed(f, replaced("blocks.0.", "blocks.0.0.", "blocks.1.", "blocks.0.1.", "blocks.2.",
			"blocks.1.2.", "blocks.3.", "blocks.1.3.")), "", nil},
		{"transformers 4", hf, "", nil},
		{"transformers 5 in memory", renamed(hf, five), "", nil},
		{"transformers in Lightning", renamed(hf, func(name string) string { return "model." + five(name) }), "",
			[]string{`begin with "model.vit."`, `the head is "model.classifier"`}},
		{"transformers 5 saves ViTMSN", renamed(hf, replaced("vit.encoder.", "encoder.")), "", nil},
		{"mmpretrain", renamed(f, mm), "", []string{`begin with "backbone."`, `the head is "head.layers.head"`}},
		{"a pooler", beside(hf, "vit.pooler.dense.weight"), "", []string{`"vit.pooler."`}},
	} {
		m, err := Import(v.file, ImportOptions{Heads: 2, Prefix: v.prefix})
		if err != nil {
			t.Errorf("%s: %v", v.what, err)
			continue
		}
		if !slices.Equal(m.Params.Data, p.Data) {
			t.Errorf("%s: other parameters", v.what)
		}
		for _, note := range v.notes {
			if !strings.Contains(strings.Join(m.Notes, "\n"), note) {
				t.Errorf("%s: notes %q, want %q", v.what, m.Notes, note)
			}
		}
		if v.notes == nil && len(m.Notes) > 2 { // about pictures and transformers' eps
			t.Errorf("%s: notes %q", v.what, m.Notes)
		}
	}
}

// TestNamingEps: tensors do not say eps, but their names say whose default it is; a note says how to change it.
func TestNamingEps(t *testing.T) {
	p := Initialize(mustVariant(t, "micro"), 3, 0)
	hf := &weights.File{}
	for _, piece := range hfPieces(p.Config) {
		hf.Tensors = append(hf.Tensors,
			weights.Float32Tensor(piece.stored, piece.Shape, p.Data[piece.Offset:][:piece.Len()]))
	}
	e := p.Config.Embed
	placed := func(f *weights.File, rows []float32) *weights.File { // with other positions
		f = renamed(f, func(name string) string { return name })
		for i, x := range f.Tensors {
			if strings.HasSuffix(x.Name, "position_embeddings") {
				f.Tensors[i] = weights.Float32Tensor(x.Name, []int{1, len(rows) / e, e}, rows)
			}
		}
		return f
	}
	distilled := placed(renamed(hf, replaced("vit.", "deit.")), slices.Concat(p.ClassToken, p.Position))
	distilled.Tensors = append(distilled.Tensors,
		weights.Float32Tensor("deit.embeddings.distillation_token", []int{1, 1, e}, p.ClassToken))
	scaled := renamed(hf, replaced("vit.", "dinov2.", "layernorm_before", "norm1", "layernorm_after", "norm2"))
	for l := range p.Config.Layers {
		scaled.Tensors = append(scaled.Tensors, weights.Float32Tensor(fmt.Sprintf(
			"dinov2.encoder.layer.%d.layer_scale1.lambda1", l), []int{e}, make([]float32, e)))
	}
	for _, v := range []struct {
		what string
		file *weights.File
		eps  float64
		note bool
	}{
		{"timm", stateDict(p), 1e-6, false},
		{"ViT of transformers", hf, 1e-12, true},
		{"the same in Lightning", renamed(hf, behind("model.", "model.")), 1e-12, true},
		{"DeiT of transformers", distilled, 1e-12, true},
		{"ViTMSN as transformers 5 saves it", renamed(hf, replaced("vit.encoder.", "encoder.")), 1e-6, true},
		{"DINOv2 of transformers", scaled, 1e-6, true},
		{"IJepa of transformers", placed(renamed(hf, func(name string) string {
			if strings.HasSuffix(name, "cls_token") {
				return ""
			}
			return strings.Replace(name, "vit.", "ijepa.", 1)
		}), p.Position[e:]), 1e-12, true},
	} {
		o := ImportOptions{Heads: 2}
		m, err := Import(v.file, o)
		if err != nil {
			t.Errorf("%s: %v", v.what, err)
			continue
		}
		note := fmt.Sprintf("%v is taken, as transformers has it by default", v.eps)
		if got := m.Params.Config.Eps; got != v.eps || strings.Contains(strings.Join(m.Notes, "\n"), note) != v.note {
			t.Errorf("%s: eps %v, want %v; notes %q", v.what, got, v.eps, m.Notes)
		}
		o.Eps = 1e-5
		if m, err := Import(v.file, o); err != nil || m.Params.Config.Eps != 1e-5 {
			t.Errorf("%s: an eps that is said is not taken (%v)", v.what, err)
		}
	}
}

// TestNamingJAX: what big_vision saves has other numbers, and may stand beside an optimizer's state.
func TestNamingJAX(t *testing.T) {
	c, err := weights.ReadCheckpoint("../internal/tools/testdata/checkpoints/jax.npz", "")
	if err != nil {
		t.Fatal(err)
	}
	want, err := Import(c.File, ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	big := renamed(c.File, replaced("LayerNorm_2/", "LayerNorm_1/", "MlpBlock_3/", "MlpBlock_0/", "Attention_1/",
		"Attention_0/", "Transformer/posembed_input/", ""))
	params := renamed(big, func(name string) string { return "params/" + name })
	moments := renamed(big, func(name string) string { return "opt/0/mu/" + name })
	for what, f := range map[string]*weights.File{"big_vision": big, "training": both(moments, params)} {
		m, err := Import(f, ImportOptions{})
		if err != nil || !slices.Equal(m.Params.Data, want.Params.Data) || m.Params.Config.Heads != 2 {
			t.Errorf("%s: other parameters, %v", what, err)
		}
	}
	if want.Preprocessor.Mean[0] != 0.5 || want.Preprocessor.DoCenterCrop {
		t.Errorf("preprocessing %+v", want.Preprocessor)
	}
	for _, name := range []string{"embedding/kernel", "Transformer/encoderblock_0/MlpBlock_3/Dense_0/kernel"} {
		damaged := renamed(c.File, func(s string) string { return strings.TrimPrefix(s, name) })
		damaged = both(damaged, &weights.File{Tensors: []weights.Tensor{weights.Float32Tensor(name, []int{2},
			[]float32{1, 2})}})
		if _, err := Import(damaged, ImportOptions{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s of rank 1: %v", name, err)
		}
	}
}

// TestNamingHeadless: a fresh head takes the place of whatever is there, and of what there is not.
func TestNamingHeadless(t *testing.T) {
	p := Initialize(mustVariant(t, "micro"), 3, 0)
	f := stateDict(p)
	bare := renamed(f, headless)
	want, err := Import(f, ImportOptions{Heads: 2, Classes: 5})
	if err != nil {
		t.Fatal(err)
	}
	for what, f := range map[string]*weights.File{
		"none":            bare,
		"MoCo":            beside(renamed(bare, behind("module.base_encoder.", "")), "module.base_encoder.head.0.weight"),
		"DINO":            beside(bare, "head.mlp.0.weight", "head.last_layer.weight_v"),
		"DINOv2, trained": beside(renamed(bare, behind("teacher.backbone.", "")), "teacher.dino_head.mlp.0.weight"),
		"ImageNet-21K":    beside(f, "pre_logits.fc.weight", "pre_logits.fc.bias"),
		"of another width": both(bare, &weights.File{Tensors: []weights.Tensor{
			weights.Float32Tensor("head.weight", []int{2, 3}, make([]float32, 6)),
			weights.Float32Tensor("head.bias", []int{2}, make([]float32, 2))}}),
		"another's": beside(renamed(bare, behind("backbone.", "")), "neck.conv.weight"),
	} {
		m, err := Import(f, ImportOptions{Heads: 2, Classes: 5})
		if err != nil || !slices.Equal(m.Params.Data, want.Params.Data) {
			t.Errorf("%s: %v", what, err)
		}
		if what == "ImageNet-21K" || what == "of another width" { // these have a head that is in the way
			continue
		}
		if _, err := Import(f, ImportOptions{Heads: 2}); !errors.Is(err, ErrNoHead) {
			t.Errorf("%s: %v, want %v", what, err, ErrNoHead)
		}
	}
}

func TestNamingRefuses(t *testing.T) {
	f := stateDict(Initialize(mustVariant(t, "micro"), 3, 0))
	two := both(renamed(f, behind("q.", "q.head.")), renamed(f, behind("k.", "k.head.")))
	for _, v := range []struct {
		what   string
		file   *weights.File
		prefix string
		fault  string
	}{
		{"two", two, "", `several ViTs, and does not say which one is meant: there are some behind the prefixes "q.", "k."`},
		{"another prefix", two, "v", `no ViT behind the prefix "v"; there is one behind "q.", "k."`},
		{"LoRA", beside(f, "base_model.model.blocks.0.attn.qkv.lora_A.weight"), "", "an adapter of PEFT"},
		{"LoRA alone", beside(&weights.File{}, "base_model.model.vit.x.lora_A.weight"), "", "merge_and_unload"},
		{"LoRA beside", renamed(f, replaced("attn.qkv.", "attn.qkv.base_layer.")), "", "an adapter of PEFT"},
		{"a norm", beside(f, "norm_pre.weight"), "", `a layer norm before the blocks, as CLIP has it`},
		{"around", beside(renamed(f, behind("backbone.", "head.")), "neck.conv.weight"), "", `"neck.conv.weight"`},
		{"twice", beside(f, "blocks.0._orig_mod.norm1.weight"), "", "once inside a wrapper"},
		{"two spellings", beside(f, "blocks.0.gamma_1", "blocks.0.ls1.gamma"), "", "are the same one"},
		{"two heads", both(renamed(f, behind("backbone.", "a.")), renamed(f, behind("", "b."))), "backbone.", "no head"},
		{"other blocks", renamed(f, replaced("mlp.fc1.", "in_proj.")), "",
			`"blocks.0.mlp.fc1.weight" is missing, while this program does not know "blocks.0.in_proj.weight"`},
		{"a block's tensor", beside(f, "blocks.0.attn.q_norm.weight"), "", "q_norm"},
	} {
		if _, err := Import(v.file, ImportOptions{Heads: 2, Prefix: v.prefix}); err == nil ||
			!strings.Contains(err.Error(), v.fault) {
			t.Errorf("%s: %v, want %q", v.what, err, v.fault)
		}
	}
}

// FuzzImport takes any names and shapes: each line is a name and, behind a space, a tensor's dimensions.
func FuzzImport(f *testing.F) {
	var lines []string
	for _, t := range stateDict(Initialize(Config{Embed: 2, Heads: 1, Layers: 1, Hidden: 1, Height: 1, Width: 1, Patch: 1,
		Channels: 1, Classes: 1}, 1, 0)).Tensors {
		shape := strings.ReplaceAll(strings.Trim(fmt.Sprint(t.Shape), "[]"), " ", ".")
		lines = append(lines, t.Name+" "+shape)
	}
	text := strings.Join(lines, "\n")
	f.Add(text, "", true)
	f.Add(strings.ReplaceAll(text, "blocks", "module.blocks"), "module", false)
	f.Add("embedding/kernel 1.1.1.2\nTransformer/encoderblock_0/MultiHeadDotProductAttention_1/query/kernel 2.1.2", "",
		true)
	f.Add("vit.embeddings.patch_embeddings.projection.weight 2.1.1.1\nencoder.layer.0.norm1.weight 2", "vit.", true)
	f.Fuzz(func(t *testing.T, text, prefix string, newHead bool) {
		file := &weights.File{}
		for line := range strings.Lines(text) {
			name, shape, _ := strings.Cut(strings.TrimSpace(line), " ")
			x := weights.Tensor{Name: name, DType: weights.F32}
			n := 1
			for part := range strings.SplitSeq(shape, ".") {
				d, _ := strconv.Atoi(part)
				x.Shape = append(x.Shape, d)
				n *= min(max(d, 0), 64)
			}
			x.Data = make([]byte, 4*min(n, 1<<12))
			file.Tensors = append(file.Tensors, x)
		}
		o := ImportOptions{Prefix: prefix}
		if newHead {
			o.Classes = 2
		}
		m, err := Import(file, o)
		if err == nil {
			err = m.Params.Config.Validate()
		}
		if err != nil && len(err.Error()) > 4000 {
			t.Fatalf("error of %d bytes", len(err.Error()))
		}
	})
}
