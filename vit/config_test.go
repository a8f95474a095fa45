package vit

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/weights"
)

func mustVariant(t interface{ Fatal(...any) }, name string) Config {
	c, err := Variant(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPublishedSizes holds the variants against the published counts: parameters as timm reports them, GMACs as the
// papers give them (some tools count a few operations more, hence 1 %).
func TestPublishedSizes(t *testing.T) {
	for _, v := range []struct {
		name   string
		params int
		gmacs  float64
	}{
		{"deit-tiny", 5_717_416, 1.26},
		{"deit-small", 22_050_664, 4.61},
		{"deit-base", 86_567_656, 17.6},
	} {
		c := mustVariant(t, v.name)
		if got := c.ParamCount(); got != v.params {
			t.Errorf("%s: %d parameters, want %d", v.name, got, v.params)
		}
		if got := float64(c.MACs(nil)) / 1e9; math.Abs(got/v.gmacs-1) > 0.01 {
			t.Errorf("%s: %.4f GMACs, want %.2f", v.name, got, v.gmacs)
		}
		if c.Tokens() != 197 || c.Patches() != 196 || c.GridH() != 14 || c.HeadDim() != 64 || c.PatchLen() != 768 {
			t.Errorf("%s: %d tokens, %d patches, head of %d, patch of %d",
				v.name, c.Tokens(), c.Patches(), c.HeadDim(), c.PatchLen())
		}
	}
}

func TestMACs(t *testing.T) {
	// Small enough to count by hand: E 2, F 3, two patches of 4 numbers, 5 classes.
	c := Config{Embed: 2, Heads: 1, Layers: 2, Hidden: 3, Height: 2,
		Width: 4, Patch: 2, Channels: 1, Classes: 5, Eps: 1e-6}
	const ends = 2*4*2 + 2*5                                                // patch embedding, head
	block := func(n int64) int64 { return n*(3*4+4+2*2*3) + n*n*2 + n*n*2 } // qkv, projection, MLP; q·k and p·v
	for _, v := range []struct {
		active []int32
		want   int64
	}{
		{nil, ends + 2*block(3)}, {[]int32{3, 3}, ends + 2*block(3)}, {[]int32{3, 1}, ends + block(3) + block(1)},
		{[]int32{3}, ends + block(3)}, {[]int32{}, ends}, {[]int32{3, 0}, ends + block(3)},
		{[]int32{3, 3, 3}, ends + 2*block(3)},
	} {
		if got := c.MACs(v.active); got != v.want {
			t.Errorf("%v: %d, want %d", v.active, got, v.want)
		}
	}
}

func TestVariants(t *testing.T) {
	for _, v := range variants {
		name := v.name
		c := mustVariant(t, name)
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c.Halting.Adaptive() {
			t.Errorf("%s is adaptive", name)
		}
	}
	if c := mustVariant(t, "fashion"); c.Embed != 96 || c.Heads != 3 ||
		c.Layers != 12 || c.Tokens() != 50 || c.Channels != 1 || c.Classes != 10 || c.Hidden != 384 {
		t.Errorf("fashion is %+v", c)
	}
	if _, err := Variant("deit-huge"); err == nil || !strings.Contains(err.Error(), `"deit-huge"`) ||
		!strings.Contains(err.Error(), "deit-tiny") {
		t.Errorf("%v", err)
	}
}

func TestValidate(t *testing.T) {
	for _, v := range []struct {
		fault  string
		change func(*Config)
	}{
		{"embedding width is 0", func(c *Config) { c.Embed = 0 }},
		{"embedding width is -32", func(c *Config) { c.Embed = -32 }},
		{"embedding width is 1048576", func(c *Config) { c.Embed = 1 << 20 }},
		{"number of heads is 0", func(c *Config) { c.Heads = 0 }},
		{"not a multiple of 3 heads", func(c *Config) { c.Heads = 3 }},
		{"number of layers is 0", func(c *Config) { c.Layers = 0 }},
		{"number of layers is 100000", func(c *Config) { c.Layers = 100000 }},
		{"hidden width is 0", func(c *Config) { c.Hidden = 0 }},
		{"image height is 0", func(c *Config) { c.Height = 0 }},
		{"image width is -1", func(c *Config) { c.Width = -1 }},
		{"image width is 1000000", func(c *Config) { c.Width = 1000000 }},
		{"whole number of patches", func(c *Config) { c.Height = 33 }},
		{"whole number of patches", func(c *Config) { c.Width = 4 }},
		{"65537 tokens", func(c *Config) { c.Height, c.Width, c.Patch = 2048, 2048, 8 }},
		{"patch size is 0", func(c *Config) { c.Patch = 0 }},
		{"number of channels is 0", func(c *Config) { c.Channels = 0 }},
		{"number of classes is 0", func(c *Config) { c.Classes = 0 }},
		{"eps is 0", func(c *Config) { c.Eps = 0 }},
		{"eps is -1", func(c *Config) { c.Eps = -1 }},
		{"eps is NaN", func(c *Config) { c.Eps = math.NaN() }},
		{"eps is +Inf", func(c *Config) { c.Eps = math.Inf(1) }},
		{"2 labels for 10 classes", func(c *Config) { c.Labels = []string{"a", "b"} }},
		{"parameters, at most", func(c *Config) { c.Embed, c.Hidden, c.Layers = 16384, 65536, 512 }},
		{`scheme "maybe"`, func(c *Config) { c.Halting.Scheme = "maybe" }},
	} {
		c := mustVariant(t, "micro")
		v.change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), v.fault) {
			t.Errorf("error %v, want %q", err, v.fault)
		}
	}
	c := Config{}
	if err := c.Validate(); err == nil || strings.Count(err.Error(), ";") < 5 {
		t.Errorf("not all faults are named: %v", err)
	}
}

const goldenConfig = `{
  "architectures": [
    "ViTForImageClassification"
  ],
  "model_type": "vit",
  "hidden_size": 32,
  "num_hidden_layers": 4,
  "num_attention_heads": 2,
  "intermediate_size": 128,
  "hidden_act": "gelu",
  "layer_norm_eps": 0.000001,
  "qkv_bias": true,
  "image_size": [
    32,
    64
  ],
  "patch_size": 8,
  "num_channels": 3,
  "id2label": {
    "0": "cat",
    "1": "\"dög\" <&>",
    "2": "LABEL_2"
  },
  "halting": {
    "policy": "token",
    "gate_scale": 10,
    "gate_center": 30,
    "epsilon": 0.01
  }
}
`

func goldenModelConfig(t *testing.T) Config {
	c := mustVariant(t, "micro")
	c.Width, c.Classes, c.Labels = 64, 3, []string{"cat", `"dög" <&>`, "LABEL_2"}
	c.Halting = halting.Config{Scheme: "token"}
	return c
}

func TestGoldenConfig(t *testing.T) {
	c := goldenModelConfig(t)
	got, err := marshalConfig(c, weights.F32)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(goldenConfig, string(got)); diff != "" {
		t.Error(diff)
	}
	back, bias, err := parseConfig(got)
	if err != nil || !bias {
		t.Fatal(bias, err)
	}
	if diff := cmp.Diff(c, back); diff != "" {
		t.Error(diff)
	}
	// A dense, square model has a plain number and no "halting".
	c = mustVariant(t, "micro")
	got, err = marshalConfig(c, weights.F32)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(got); strings.Contains(text, "halting") ||
		!strings.Contains(text, `"image_size": 32,`) || !strings.Contains(text, `"9": "LABEL_9"`) {
		t.Error(text)
	}
}

// TestConfigDefaults: what ViTConfig takes for granted, and what of it we do.
func TestConfigDefaults(t *testing.T) {
	const sizes = `"hidden_size":32,"num_hidden_layers":4,"num_attention_heads":2,` +
		`"intermediate_size":64,"image_size":32,"patch_size":8`
	c, bias, err := parseConfig([]byte(`{` + sizes + `}`))
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Embed: 32, Heads: 2, Layers: 4, Hidden: 64,
		Height: 32, Width: 32, Patch: 8, Channels: 3, Classes: 2, Eps: 1e-12, Halting: halting.Dense()}
	if diff := cmp.Diff(want, c); diff != "" || !bias {
		t.Error(bias, diff)
	}
	for kind, eps := range map[string]float64{"vit_mae": 1e-12, "vit_msn": 1e-6, "dinov2": 1e-6, "ijepa": 1e-12} {
		for _, absent := range []string{"", `,"layer_norm_eps":null`} {
			c, _, err := parseConfig([]byte(`{"model_type":"` + kind + `",` + sizes + absent + `}`))
			if err != nil || c.Eps != eps || c.NoClassToken != (kind == "ijepa") {
				t.Errorf("%s: %+v, %v, want eps %v", kind, c, err, eps)
			}
		}
	}
	// Keys that do not matter, null for absence, no biases, patches as a pair, a number of classes without names.
	other := strings.Replace(sizes, `"image_size":32,"patch_size":8`, `"image_size":[32,16],"patch_size":[8,8]`, 1)
	c, bias, err = parseConfig([]byte(`{` + other +
		`,"encoder_stride":16,"torch_dtype":"float32","pooler_act":null,"x":{"a":[1,{}]},"halting":null,` +
		`"Hidden_Size":7,"id2label":null,"num_labels":5,"qkv_bias":false,"num_channels":1,"layer_norm_eps":1e-6}`))
	if err != nil {
		t.Fatal(err)
	}
	want = Config{Embed: 32, Heads: 2, Layers: 4, Hidden: 64,
		Height: 32, Width: 16, Patch: 8, Channels: 1, Classes: 5, Eps: 1e-6, Halting: halting.Dense()}
	if diff := cmp.Diff(want, c); diff != "" || bias {
		t.Error(bias, diff)
	}
}

// TestLabelList: names may be a list, which has no numbers to go wrong.
func TestLabelList(t *testing.T) {
	from, to := strings.Index(goldenConfig, `"id2label": {`), strings.Index(goldenConfig, "}")
	text := goldenConfig[:from] + `"id2label": ["x", 7, "y"]` + goldenConfig[to+1:]
	c, _, err := parseConfig([]byte(text))
	if err != nil || !slices.Equal(c.Labels, []string{"x", "7", "y"}) {
		t.Errorf("%q, %v", c.Labels, err)
	}
}

func TestConfigRefuses(t *testing.T) {
	for _, v := range []struct{ old, new, fault string }{
		{goldenConfig, ``, "unexpected end"},
		{goldenConfig, `[]`, "an array where an object was expected"},
		{goldenConfig, `null`, `"hidden_size" is missing`},
		{goldenConfig, "{\"a\":\"\xff\"}", "UTF-8"},
		{"{\n", "{\n x", "invalid"},
		{"}\n}\n", "}\n", "unexpected end"},
		{"}\n}\n", "}\n}\n{}", "after top-level value"},
		{`"hidden_size": 32`, `"hidden_size": 32, "hidden_size": 32`, "twice"},
		{`"hidden_size": 32,`, ``, `"hidden_size" is missing`},
		{`"num_hidden_layers": 4,`, ``, `"num_hidden_layers" is missing`},
		{`"num_attention_heads": 2,`, ``, `"num_attention_heads" is missing`},
		{`"intermediate_size": 128,`, ``, `"intermediate_size" is missing`},
		{`"patch_size": 8,`, ``, `"patch_size" is missing`},
		{`"image_size"`, `"image_sizes"`, `"image_size" is missing`},
		{`"hidden_size": 32`, `"hidden_size": null`, `"hidden_size" is missing`},
		{`"hidden_size": 32`, `"hidden_size": "32"`, `"hidden_size": a string where a whole number was expected`},
		{`"hidden_size": 32`, `"hidden_size": 32.5`, `"hidden_size": number 32.5 is not a whole number`},
		{`"hidden_size": 32`, `"hidden_size": 1e30`, `number 1e30 is not a whole number`},
		{`"hidden_size": 32`, `"hidden_size": 99999999999999999999`, `number 99999999999999999999 is out of range`},
		{`"hidden_size": 32`, `"hidden_size": -32`, "embedding width is -32"},
		{`"hidden_size": 32`, `"hidden_size": 33`, "not a multiple"},
		{`"num_hidden_layers": 4`, `"num_hidden_layers": 4000000000`, "number of layers"},
		{`"patch_size": 8`, `"patch_size": 0`, "patch size is 0"},
		{`"patch_size": 8`, `"patch_size": 7`, "whole number of patches"},
		{`"patch_size": 8`, `"patch_size": [8, 4]`, "not square"},
		{`"patch_size": 8`, `"patch_size": []`, "too few array elements: 2 are wanted"},
		{`"patch_size": 8`, `"patch_size": {}`, "an object where a whole number was expected"},
		{`"num_channels": 3`, `"num_channels": [3]`, "an array where a whole number was expected"},
		{"32,\n    64\n", "32,\n64,\n64", "too many array elements: 2 are wanted"},
		{`"vit"`, `"deit"`, `but of model_type "deit" only DeiTForImageClassification`},
		{`"vit"`, `7`, `"model_type"`},
		{`"gelu"`, `"gelu_new"`, `hidden_act is "gelu_new"`},
		{`"qkv_bias": true`, `"qkv_bias": "yes"`, `"qkv_bias"`},
		{`0.000001`, `0`, "eps is 0"},
		{`0.000001`, `1e999`, "number 1e999 is out of range"},
		{`0.000001`, `"small"`, "a string where a number was expected"},
		{`"0": "cat"`, `"00": "cat"`, `"00" is not the number`},
		{`"0": "cat"`, `"3": "cat"`, `"3" is not the number`},
		{`"0": "cat"`, `"-1": "cat"`, `"-1" is not the number`},
		{`"0": "cat"`, `"x": "cat"`, `"x" is not the number`},
		{`"0": "cat"`, `"1": "cat"`, `"1" appears twice`},
		{`"0": "cat"`, `"0": true`, "a boolean where a string was expected"},
		{`"0": "cat"`, `"0": null`, "null where a string was expected"},
		{`"num_channels": 3`, `"num_labels": 4`, "num_labels is 4, but id2label has 3"},
		{`"id2label": {`, `"num_labels": 0, "id2labels": {`, "number of classes is 0"},
		{`"policy": "token"`, `"policy": "sometimes"`, `"sometimes"`},
		{`"policy": "token"`, `"policy": 7`, `"halting"`},
		{`"gate_scale": 10`, `"gate_scales": 10`, `key "gate_scales" means nothing to scheme "token"`},
		{`"gate_scale": 10`, `"Gate_Scale": 10`, `key "Gate_Scale" means nothing`},
		{`"gate_scale": 10`, `"gate_scale": 10, "gate_scale": 5`, `"gate_scale" appears twice`},
		{`"gate_scale": 10`, `"gate_ſcale": 10`, `key "gate_ſcale" means nothing`},
		{`"gate_scale": 10`, `"gate_scale": "10"`, `halting`},
		{`"epsilon": 0.01`, `"epsilon": 2`, `epsilon is 2`},
		{`"epsilon": 0.01`, `"epsilon": -1`, `epsilon is -1`},
		{`"halting": {`, `"halting": 7, "x": {`, "halting"},
	} {
		if !strings.Contains(goldenConfig, v.old) {
			t.Fatalf("%q is not in the golden file", v.old)
		}
		text := strings.Replace(goldenConfig, v.old, v.new, 1)
		c, _, err := parseConfig([]byte(text))
		if err == nil {
			t.Errorf("%q for %q: accepted as %+v", v.new, v.old, c)
		} else if !strings.Contains(err.Error(), v.fault) {
			t.Errorf("%q for %q: error %q, want %q", v.new, v.old, err, v.fault)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(goldenConfig))
	f.Add([]byte(`{"id2label":{"1":"b","0":"a"},"image_size":[1,2]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, _, err := parseConfig(b)
		if err != nil {
			return
		}
		text, err := marshalConfig(c, weights.F32)
		if err != nil {
			t.Fatal(err)
		}
		back, _, err := parseConfig(text)
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		c.Labels, back.Labels = labelsOf(c), labelsOf(back)
		if !c.Halting.Adaptive() {
			c.Halting = halting.Dense()
		}
		if diff := cmp.Diff(c, back); diff != "" {
			t.Fatal(diff)
		}
	})
}

// labelsOf writes out the labels that a nil slice stands for.
func labelsOf(c Config) []string {
	var list []string
	for i := range c.Classes {
		list = append(list, c.Label(i))
	}
	return list
}
