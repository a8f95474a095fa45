package vit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/strictjson"
	"github.com/adavit/adavit/weights"
)

// configJSON is config.json: the keys of transformers' ViTConfig and Dinov2Config that bear on a model's results, and
// ours: "halting", which only an adaptive model has, and what hfKind says of models that transformers does not know.
type configJSON struct {
	Architectures []string        `json:"architectures"`
	ModelType     string          `json:"model_type"`
	Embed         int             `json:"hidden_size"`
	Layers        int             `json:"num_hidden_layers"`
	Heads         int             `json:"num_attention_heads"`
	Hidden        int             `json:"intermediate_size,omitempty"`
	Ratio         float64         `json:"mlp_ratio,omitempty"` // of DINOv2: Hidden/Embed
	Act           string          `json:"hidden_act"`
	Eps           float64         `json:"layer_norm_eps"`
	QKVBias       bool            `json:"qkv_bias"`
	ImageSize     size            `json:"image_size"`
	PatchSize     size            `json:"patch_size"`
	Channels      int             `json:"num_channels"`
	SwiGLU        bool            `json:"use_swiglu_ffn,omitempty"`
	LayerScale    json.RawMessage `json:"layerscale_value,omitempty"` // written for transformers
	Registers     *int            `json:"num_register_tokens,omitempty"`
	ClassToken    *bool           `json:"class_token,omitempty"` // ours, as
	Pooling       string          `json:"pooling,omitempty"`     // is this
	Labels        labels          `json:"id2label"`
	Classes       *int            `json:"num_labels,omitempty"` // not written: id2label has as many
	Halting       *halting.Config `json:"halting,omitempty"`
	Quantization  *quantization   `json:"quantization_config,omitempty"`
}

// distillation tells from model_type and architectures what tokens and heads a model has.
func distillation(modelType string, architectures []string) (Distillation, error) {
	switch {
	case slices.Contains([]string{"vit", mae, msn}, modelType):
		return NoDistillation, nil
	case modelType != "deit":
		return 0, fmt.Errorf("model_type is %.60q, but only %q, %q, %q, %q, %q and %q are supported", modelType, "vit",
			"deit", dinoKind.modelType, dinoRegistersKind.modelType, ijepa, timmWrapper)
	case slices.Contains(architectures, hfKinds[DistillHead].architecture):
		return DistillHead, nil
	case slices.Contains(architectures, hfKinds[DistillToken].architecture), slices.Contains(architectures, "DeiTModel"):
		return DistillToken, nil
	}
	return 0, fmt.Errorf("architectures is %.200q, but of model_type %q only %s and %s are supported", architectures,
		modelType, hfKinds[DistillToken].architecture, hfKinds[DistillHead].architecture)
}

// parseConfig reads config.json; qkvBias says whether the weights hold biases of queries, keys and values. Keys of the
// ViTConfig family that this package has no use for are ignored. What ViTConfig itself would take for granted may be
// left out or null: num_channels 3, qkv_bias true, layer_norm_eps (usualEps), hidden_act gelu, two classes; the sizes
// may not.
func parseConfig(b []byte) (c Config, qkvBias bool, err error) {
	fail := func(err error) (Config, bool, error) { return Config{}, false, err }
	var keys map[string]json.RawMessage
	if err := strictjson.Unmarshal(b, &keys); err != nil {
		return fail(err)
	}
	for _, key := range [...]string{
		"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "image_size", "patch_size",
	} {
		if key == "intermediate_size" && keys["mlp_ratio"] != nil {
			continue
		}
		if raw := keys[key]; raw == nil || string(raw) == "null" {
			return fail(fmt.Errorf("key %q is missing", key))
		}
	}
	if raw := keys["quantization_config"]; raw != nil && !knownQuantization(raw) {
		return fail(errors.New("the weights are quantized (key \"quantization_config\") in a way that is not supported: " +
			"save the model in a floating type, or in 8 bits by compressed-tensors with one scale for each output"))
	}
	j := configJSON{ModelType: "vit", Act: "gelu", QKVBias: true, Channels: 3}
	if err := strictjson.UnmarshalKnown(b, &j); err != nil {
		return fail(err)
	}
	if eps := keys["layer_norm_eps"]; eps == nil || string(eps) == "null" {
		j.Eps = usualEps(j.ModelType)
	}
	if j.Hidden == 0 && j.Ratio > 0 && j.Ratio <= maxHidden {
		j.Hidden = int(float64(j.Embed) * j.Ratio)
	}
	err = j.tokens(&c)
	classes := cmp.Or(len(j.Labels), 2)
	if j.Classes != nil {
		classes = *j.Classes
	}
	switch {
	case err != nil:
		return fail(err)
	case j.Act != "gelu" && j.Act != "gelu_python": // the same function, written otherwise
		return fail(fmt.Errorf("hidden_act is %.60q, but only %q (the exact form) is supported", j.Act, "gelu"))
	case j.PatchSize.h != j.PatchSize.w:
		return fail(fmt.Errorf("patches of %d×%d pixels are not square", j.PatchSize.h, j.PatchSize.w))
	case len(j.Labels) > 0 && classes != len(j.Labels):
		return fail(fmt.Errorf("num_labels is %d, but id2label has %d", classes, len(j.Labels)))
	}
	c = Config{
		Distillation: c.Distillation, NoClassToken: c.NoClassToken, Registers: c.Registers, Pooling: c.Pooling,
		Embed: j.Embed, Heads: j.Heads, Layers: j.Layers, Hidden: j.Hidden, Height: j.ImageSize.h, Width: j.ImageSize.w,
		Patch: j.PatchSize.h, Channels: j.Channels, Classes: classes, Eps: j.Eps,
		Labels: j.Labels, Halting: halting.Dense(),
	}
	if j.Halting != nil {
		c.Halting = *j.Halting
	}
	return c, j.QKVBias, c.Validate()
}

// marshalConfig writes config.json. Classes without names get transformers' LABEL_0, LABEL_1, …. dtype is
// that of the weights of the blocks.
func marshalConfig(c Config, dtype weights.DType) ([]byte, error) {
	j := configJSON{
		Embed: c.Embed, Layers: c.Layers, Heads: c.Heads, Hidden: c.Hidden, Act: "gelu", Eps: c.Eps, QKVBias: true,
		ImageSize: size{c.Height, c.Width}, PatchSize: size{c.Patch, c.Patch}, Channels: c.Channels,
		Labels: make(labels, c.Classes),
	}
	for i := range j.Labels {
		j.Labels[i] = c.Label(i)
		if !utf8.ValidString(j.Labels[i]) {
			return nil, fmt.Errorf("label %d, %.60q, is not valid UTF-8", i, j.Labels[i])
		}
	}
	j.setTokens(c)
	if dtype == weights.I8 {
		j.Quantization = newQuantization(c)
	}
	if c.Halting.Adaptive() {
		j.Halting = &c.Halting
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(j)
	return b.Bytes(), err
}

// size is a side's length, or [height, width].
type size struct{ h, w int }

func (s *size) UnmarshalJSON(b []byte) error {
	if b[0] != '[' {
		err := strictjson.Unmarshal(b, &s.h)
		s.w = s.h
		return err
	}
	var list [2]int
	err := strictjson.Unmarshal(b, &list, strictjson.NoNull)
	s.h, s.w = list[0], list[1]
	return err
}

func (s size) MarshalJSON() ([]byte, error) {
	if s.h == s.w {
		return strconv.AppendInt(nil, int64(s.h), 10), nil
	}
	return fmt.Appendf(nil, "[%d,%d]", s.h, s.w), nil
}

// labels is id2label: an object whose keys are the classes' numbers, or a list; names may be numbers, too. In a Go map
// "10" would come before "2".
type labels []string

func (l *labels) UnmarshalJSON(b []byte) error {
	var names map[string]label
	if string(b) == "null" {
		return nil
	}
	if b[0] == '[' {
		var list []label
		if err := strictjson.Unmarshal(b, &list, strictjson.NoNull); err != nil {
			return err
		}
		for _, name := range list {
			*l = append(*l, string(name))
		}
		return nil
	}
	if err := strictjson.Unmarshal(b, &names, strictjson.NoNull); err != nil {
		return err
	}
	list := make([]string, len(names))
	for key, name := range names {
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= len(list) || strconv.Itoa(i) != key {
			return fmt.Errorf("%.60q is not the number of one of %d classes", key, len(list))
		}
		list[i] = string(name)
	}
	*l = list
	return nil
}

// label is a class's name, a string or a number.
type label string

func (l *label) UnmarshalJSON(b []byte) error {
	if b[0] == '-' || b[0] >= '0' && b[0] <= '9' {
		*l = label(b)
		return nil
	}
	return strictjson.Unmarshal(b, (*string)(l))
}

// ClassNames reads what id2label of a config.json of transformers' calls the classes; nil if it has none.
func ClassNames(config []byte) ([]string, error) {
	var j struct {
		Labels labels `json:"id2label"`
	}
	err := strictjson.UnmarshalKnown(config, &j)
	return j.Labels, err
}

func (l labels) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, s := range l {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%d":`, i)
		if err := e.Encode(s); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
