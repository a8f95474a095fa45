package vit

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

// TestLacks: what a directory has in the place of a file that it lacks is told.
func TestLacks(t *testing.T) {
	file := func(names ...string) func(fstest.MapFS) {
		return func(f fstest.MapFS) {
			for _, name := range names {
				f["models/m/"+name] = &fstest.MapFile{Data: []byte("{}")}
			}
		}
	}
	without := func(names ...string) func(fstest.MapFS) {
		return func(f fstest.MapFS) {
			for _, name := range names {
				delete(f, "models/m/"+name)
			}
		}
	}
	for _, c := range []struct {
		change []func(fstest.MapFS)
		want   []string
	}{
		{[]func(fstest.MapFS){without(ConfigFile, WeightsFile), file("checkpoint-500/config.json", "logs/x")},
			[]string{"models/m/config.json: file does not exist; models are its folders \"checkpoint-500\": name one"}},
		{[]func(fstest.MapFS){without(ConfigFile)},
			[]string{"config.json", `it has "model.safetensors": convert that file by itself`}},
		{[]func(fstest.MapFS){without(WeightsFile), file("tf_model.h5", "onnx/model.onnx", "model.fp16.safetensors")},
			[]string{"models/m/model.safetensors: file does not exist; it has \"model.fp16.safetensors\", " +
				"\"onnx/model.onnx\": convert", `; it has "tf_model.h5", which is not read as a model's weights`}},
	} {
		_, err := LoadFS(damaged(t, func(f fstest.MapFS) {
			for _, change := range c.change {
				change(f)
			}
		}), "models/m")
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%v, want %q", err, want)
			}
		}
	}
}

// TestProcessorFile: newer directories may have the image processor within another file; the older file goes before.
func TestProcessorFile(t *testing.T) {
	const nested = `{"processor_class": "P", "image_processor": {"size": [32, 32], "image_mean": 0.25}}`
	for _, c := range []struct {
		own, processor string
		mean           float64 // 0: the directory does not say
	}{
		{"", nested, 0.25}, {`{"size": 32, "image_mean": 0.75}`, nested, 0.75}, {"", `{"processor_class": "P"}`, 0},
		{"", "", 0},
	} {
		m, err := LoadFS(damaged(t, func(f fstest.MapFS) {
			for name, text := range map[string]string{PreprocessorFile: c.own, processorFile: c.processor} {
				if delete(f, "models/m/"+name); text != "" {
					f["models/m/"+name] = &fstest.MapFile{Data: []byte(text)}
				}
			}
		}), "models/m")
		if err != nil {
			t.Fatal(err)
		}
		if p := m.Preprocessor; c.mean == 0 && p.Mean != nil || c.mean != 0 && (p.Mean[0] != c.mean || p.Size.Width != 32) {
			t.Errorf("%+v: %+v", c, p)
		}
	}
	_, err := LoadFS(damaged(t, func(f fstest.MapFS) {
		delete(f, "models/m/"+PreprocessorFile)
		f["models/m/"+processorFile] = &fstest.MapFile{Data: []byte(`{"image_processor": {"size": 0}}`)}
	}), "models/m")
	if err == nil || !strings.Contains(err.Error(), processorFile) {
		t.Errorf("a bad one: %v", err)
	}
}
