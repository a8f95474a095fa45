package vit

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/weights"
)

// timmDir is a directory as timm's hub has it, after a change of its config.json.
func timmDir(t *testing.T, change func(config map[string]any)) (fstest.MapFS, *Params) {
	c := mustVariant(t, "micro")
	p := Initialize(c, 3, 0)
	var b bytes.Buffer
	if err := weights.EncodeSafetensors(&b, nil, stateDict(p).Tensors); err != nil {
		t.Fatal(err)
	}
	config := map[string]any{"architecture": "vit_micro_patch8_32",
		"num_classes": 10, "num_features": 32, "global_pool": "token",
		"model_args": map[string]any{"num_heads": 2},
		"pretrained_cfg": map[string]any{"input_size": []int{3, 32, 32},
			"interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center",
			"mean": []float64{0.4, 0.5, 0.6}, "std": []float64{0.2, 0.25, 0.3}, "classifier": "head"}}
	change(config)
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{"m/" + ConfigFile: {Data: text}, "m/" + WeightsFile: {Data: b.Bytes()}}, p
}

func TestLoadTimm(t *testing.T) {
	dir, p := timmDir(t, func(map[string]any) {})
	m, err := LoadFS(dir, "m")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(m.Params.Data, p.Data) || m.Params.Config.Eps != 1e-6 {
		t.Error("other parameters")
	}
	nothing, _ := timmDir(t, func(c map[string]any) { c["halting"] = nil })
	if m, err := LoadFS(nothing, "m"); err != nil || m.Params.Config.Halting.Adaptive() {
		t.Errorf("halting null: %v, want a dense model", err)
	}
	want := picture.Preprocessor{DoResize: true, Resample: picture.Bicubic,
		DoCenterCrop: true, Crop: picture.Size{Height: 32, Width: 32}, CropPct: 0.9,
		DoRescale: true, RescaleFactor: 1.0 / 255, DoNormalize: true,
		Mean: []float64{0.4, 0.5, 0.6}, Std: []float64{0.2, 0.25, 0.3}}
	if diff := cmp.Diff(want, m.Preprocessor); diff != "" {
		t.Error(diff)
	}
	wrapped, _ := timmDir(t, func(c map[string]any) { // transformers has loaded and saved it
		c["model_type"], c["architectures"] = "timm_wrapper", []string{"TimmWrapperForImageClassification"}
		c["label_names"] = strings.Split("abcdefghij", "")
		delete(c["pretrained_cfg"].(map[string]any), "num_classes")
	})
	m, err = LoadFS(wrapped, "m")
	if err != nil {
		t.Fatal(err)
	}
	want.Exif = true // as transformers opens pictures
	if diff := cmp.Diff(want, m.Preprocessor); diff != "" {
		t.Error(diff)
	}
	if !slices.Equal(m.Params.Data, p.Data) || m.Params.Config.Label(9) != "j" {
		t.Errorf("other parameters, or labels %q", m.Params.Config.Labels)
	}
	for mode, want := range map[string][2]int{"center": {35, 70}, "squash": {35, 52}} { // of 32×48 and crop_pct 0.9
		dir, _ := timmDir(t, func(c map[string]any) {
			c["pretrained_cfg"].(map[string]any)["crop_mode"] = mode
		})
		m, err := LoadFS(dir, "m")
		if err != nil {
			t.Fatal(err)
		}
		if m, err = m.Resize(32, 48); err != nil {
			t.Fatal(err)
		}
		if h, w := m.Preprocessor.Resized(100, 200, 32, 48); h != want[0] || w != want[1] {
			t.Errorf("crop_mode %s: a picture of 100×200 is resized to %d×%d, want %d×%d", mode, h, w, want[0], want[1])
		}
	}
	for _, v := range []struct {
		key   string
		value any
		fault string
	}{
		{"architecture", "swin_tiny", "swin_tiny"},
		{"architecture", "vit_base_patch16_clip_quickgelu_224", "activation"},
		{"architecture", "vit_small_patch16_rope_ape_224", "rotary positions"},
		{"global_pool", "map", "global_pool"},
		{"num_classes", 7, "num_classes is 7"},
		{"label_names", []string{"a"}, "1 label_names for 10 classes"},
		{"model_args", map[string]any{"num_heads": 3}, "3 heads"},
		{"model_args", map[string]any{}, "num_heads in model_args"},
		{"model_args", map[string]any{"num_heads": 2, "norm_layer": "rmsnorm"}, "other blocks, norms"},
		{"model_args", map[string]any{"num_heads": 2, "pool_include_prefix": true}, "other blocks, norms"},
		{"architecture", "vit_base_patch16_rpn_224", "other blocks, norms"},
		{"architecture", "vit_base_patch32_siglip_gap_256", "activation"},
		{"pretrained_cfg", map[string]any{"crop_pct": 3, "input_size": []int{3, 32, 32}}, "crop_pct is 3"},
		{"pretrained_cfg", map[string]any{"interpolation": "random"}, "interpolation"},
		{"pretrained_cfg", map[string]any{"crop_mode": "border"}, "crop_mode"},
		{"pretrained_cfg", map[string]any{"input_size": []int{1, 32, 32}}, "channels"},
		{"pretrained_cfg", map[string]any{"std": []float64{0, 1, 1}}, "image_std"},
	} {
		dir, _ := timmDir(t, func(c map[string]any) { c[v.key] = v.value })
		if _, err := LoadFS(dir, "m"); err == nil || !strings.Contains(err.Error(), v.fault) {
			t.Errorf("%s = %v: error %v, want %q", v.key, v.value, err, v.fault)
		}
	}
}
