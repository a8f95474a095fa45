package vit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/adavit/adavit/halting"
)

// configJSON is config.json: the keys of transformers' ViTConfig that bear on a model's results, and "halting", which
// only an adaptive model has.
type configJSON struct {
	Architectures []string        `json:"architectures"`
	ModelType     string          `json:"model_type"`
	Embed         int             `json:"hidden_size"`
	Layers        int             `json:"num_hidden_layers"`
	Heads         int             `json:"num_attention_heads"`
	Hidden        int             `json:"intermediate_size"`
	Act           string          `json:"hidden_act"`
	Eps           float64         `json:"layer_norm_eps"`
	QKVBias       bool            `json:"qkv_bias"`
	ImageSize     size            `json:"image_size"`
	PatchSize     int             `json:"patch_size"`
	Channels      int             `json:"num_channels"`
	Labels        labels          `json:"id2label"`
	Halting       *halting.Config `json:"halting,omitempty"`
}

// hfArchitectures are the classes of transformers that a model is one of, by its distillation.
var hfArchitectures = [...]string{
	NoDistillation: "ViTForImageClassification",
	DistillToken:   "DeiTForImageClassification",
	DistillHead:    "DeiTForImageClassificationWithTeacher",
}

// distillation tells from model_type and architectures what tokens and heads a model has.
func distillation(modelType string, architectures []string) (Distillation, error) {
	switch {
	case modelType == "vit":
		return NoDistillation, nil
	case modelType != "deit":
		return 0, fmt.Errorf("model_type is %.60q, but only %q and %q are supported", modelType, "vit", "deit")
	case slices.Contains(architectures, hfArchitectures[DistillHead]):
		return DistillHead, nil
	case slices.Contains(architectures, hfArchitectures[DistillToken]):
		return DistillToken, nil
	}
	return 0, fmt.Errorf("architectures is %.200q, but of model_type %q only %s and %s are supported", architectures, modelType, hfArchitectures[DistillToken], hfArchitectures[DistillHead])
}

// parseConfig reads config.json; qkvBias says whether the weights hold biases of queries, keys and values. Keys of the
// ViTConfig family that this package has no use for are ignored. What ViTConfig itself would take for granted may be
// left out: num_channels 3, qkv_bias true, layer_norm_eps 1e-12, hidden_act gelu, two classes; the sizes may not.
func parseConfig(b []byte) (c Config, qkvBias bool, err error) {
	keys, err := decodeObject(b)
	if err != nil {
		return Config{}, false, err
	}
	// One function for each kind of value; the first fault stays in err.
	value := func(key string, required bool, v any) {
		raw, ok := keys[key]
		switch {
		case err != nil:
		case (!ok || string(raw) == "null") && required:
			err = fmt.Errorf("key %q is missing", key)
		case !ok || string(raw) == "null":
		default:
			if e := json.Unmarshal(raw, v); e != nil {
				err = fmt.Errorf("key %q: %w", key, shortJSON(e))
			}
		}
	}
	j := configJSON{ModelType: "vit", Act: "gelu", Eps: 1e-12, QKVBias: true, Channels: 3}
	value("model_type", false, &j.ModelType)
	value("architectures", false, &j.Architectures)
	var distilled Distillation
	if err == nil {
		distilled, err = distillation(j.ModelType, j.Architectures)
	}
	value("hidden_size", true, &j.Embed)
	value("num_hidden_layers", true, &j.Layers)
	value("num_attention_heads", true, &j.Heads)
	value("intermediate_size", true, &j.Hidden)
	value("hidden_act", false, &j.Act)
	value("layer_norm_eps", false, &j.Eps)
	value("qkv_bias", false, &j.QKVBias)
	value("image_size", true, &j.ImageSize)
	var patch size
	value("patch_size", true, &patch)
	value("num_channels", false, &j.Channels)
	value("id2label", false, &j.Labels)
	classes := 2
	if len(j.Labels) > 0 {
		classes = len(j.Labels)
	}
	value("num_labels", false, &classes)
	var object map[string]json.RawMessage
	if raw, ok := keys["halting"]; ok && string(raw) != "null" && err == nil {
		if object, err = decodeObject(raw); err == nil {
			err = checkKeys(object)
		}
		if err != nil {
			err = fmt.Errorf("key %q: %w", "halting", err)
		}
	}
	dense := halting.Dense()
	j.Halting = &dense
	value("halting", false, j.Halting)
	switch {
	case err != nil:
		return Config{}, false, err
	case j.Act != "gelu":
		return Config{}, false, fmt.Errorf("hidden_act is %.60q, but only %q (the exact form) is supported", j.Act, "gelu")
	case patch.h != patch.w:
		return Config{}, false, fmt.Errorf("patches of %d×%d pixels are not square", patch.h, patch.w)
	case len(j.Labels) > 0 && classes != len(j.Labels):
		return Config{}, false, fmt.Errorf("num_labels is %d, but id2label has %d", classes, len(j.Labels))
	}
	c = Config{
		Embed: j.Embed, Heads: j.Heads, Layers: j.Layers, Hidden: j.Hidden, Height: j.ImageSize.h, Width: j.ImageSize.w,
		Patch: patch.h, Channels: j.Channels, Classes: classes, Eps: j.Eps, Distillation: distilled, Labels: j.Labels, Halting: *j.Halting,
	}
	return c, j.QKVBias, c.Validate()
}

// marshalConfig writes config.json. Classes without names get transformers' LABEL_0, LABEL_1, ….
func marshalConfig(c Config) ([]byte, error) {
	j := configJSON{
		Architectures: []string{hfArchitectures[c.Distillation]}, ModelType: hfPrefix(c), Embed: c.Embed, Layers: c.Layers, Heads: c.Heads,
		Hidden: c.Hidden, Act: "gelu", Eps: c.Eps, QKVBias: true, ImageSize: size{c.Height, c.Width}, PatchSize: c.Patch,
		Channels: c.Channels, Labels: make(labels, c.Classes),
	}
	for i := range j.Labels {
		j.Labels[i] = c.Label(i)
		if !utf8.ValidString(j.Labels[i]) {
			return nil, fmt.Errorf("label %d, %.60q, is not valid UTF-8", i, j.Labels[i])
		}
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
		err := json.Unmarshal(b, &s.h)
		s.w = s.h
		return err
	}
	var list []int
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	if len(list) != 2 {
		return fmt.Errorf("%d numbers, wanted one or [height, width]", len(list))
	}
	s.h, s.w = list[0], list[1]
	return nil
}

func (s size) MarshalJSON() ([]byte, error) {
	if s.h == s.w {
		return strconv.AppendInt(nil, int64(s.h), 10), nil
	}
	return fmt.Appendf(nil, "[%d,%d]", s.h, s.w), nil
}

// labels is id2label: an object whose keys are the classes' numbers. In a Go map "10" would come before "2".
type labels []string

func (l *labels) UnmarshalJSON(b []byte) error {
	object, err := decodeObject(b)
	if err != nil {
		return err
	}
	list := make([]string, len(object))
	for key, raw := range object {
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= len(list) || strconv.Itoa(i) != key {
			return fmt.Errorf("%.60q is not the number of one of %d classes", key, len(list))
		}
		if len(raw) == 0 || raw[0] != '"' {
			return fmt.Errorf("the label of class %d is not a string", i)
		}
		if err := json.Unmarshal(raw, &list[i]); err != nil {
			return err
		}
	}
	*l = list
	return nil
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

// decodeObject splits an object by its keys, spelled as they stand: filling a struct would take "Hidden_Size" for
// "hidden_size" and let the last of two equal keys win.
func decodeObject(b []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("not valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	token, err := d.Token()
	if err != nil {
		return nil, shortJSON(err)
	}
	if token != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	object := make(map[string]json.RawMessage)
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, shortJSON(err)
		}
		key, ok := token.(string)
		if !ok {
			return nil, errors.New("a key is not a string")
		}
		if _, ok := object[key]; ok {
			return nil, fmt.Errorf("key %.60q appears twice", key)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, fmt.Errorf("key %.60q: %w", key, shortJSON(err))
		}
		object[key] = raw
	}
	if _, err := d.Token(); err != nil {
		return nil, shortJSON(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return object, nil
}

// checkKeys refuses keys in a spelling that encoding/json would take for another: all of ours are small ASCII letters.
func checkKeys(object map[string]json.RawMessage) error {
	names := make([]string, 0, len(object))
	for key := range object {
		names = append(names, key)
	}
	slices.Sort(names)
	for _, key := range names {
		for _, r := range key {
			if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' {
				return fmt.Errorf("unknown key %.60q", key)
			}
		}
	}
	return nil
}

// shortJSON words an error of encoding/json without the names of Go's types.
func shortJSON(err error) error {
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return fmt.Errorf("%s does not fit (a %s was expected)", wrong.Value, wrong.Type.Kind())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("invalid JSON: unexpected end")
	}
	return err
}
