package vit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/adavit/adavit/weights"
)

// onDisk writes a directory.
func onDisk(t *testing.T, files fstest.MapFS) string {
	t.Helper()
	dir := t.TempDir()
	for name, file := range files {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), file.Data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// reencoded changes the tensors of a directory's model.safetensors.
func reencoded(t *testing.T, files fstest.MapFS, change func(f *weights.File) *weights.File) {
	t.Helper()
	for name, file := range files {
		if filepath.Base(name) != WeightsFile {
			continue
		}
		f, err := weights.ReadSafetensorsFrom(name, bytes.NewReader(file.Data), int64(len(file.Data)))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := weights.EncodeSafetensors(&b, nil, change(f).Tensors); err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: b.Bytes()}
	}
}

// TestLoadHeadless: a directory without a head is refused, or loaded for a head that is to come, with its own
// preprocessing.
func TestLoadHeadless(t *testing.T) {
	timm, _ := timmDir(t, func(c map[string]any) {
		c["num_classes"] = 0
		c["pretrained_cfg"].(map[string]any)["num_classes"] = 0
	})
	reencoded(t, timm, func(f *weights.File) *weights.File { return renamed(f, headless) })
	hf := damaged(t, func(files fstest.MapFS) { // what ViTModel saves
		config := string(files["models/m/"+ConfigFile].Data)
		files["models/m/"+ConfigFile].Data = []byte(strings.Replace(config, "ViTForImageClassification", "ViTModel", 1))
		reencoded(t, files, func(f *weights.File) *weights.File {
			return beside(renamed(f, func(name string) string {
				name = strings.TrimPrefix(name, "vit.")
				if strings.HasPrefix(name, "classifier.") {
					return ""
				}
				return name
			}), "pooler.dense.weight")
		})
	})
	whole, err := Load(hfDir)
	if err != nil {
		t.Fatal(err)
	}
	for what, files := range map[string]fstest.MapFS{"timm": timm, "transformers": hf} {
		dir := onDisk(t, files)
		if _, err := Load(dir); !errors.Is(err, ErrNoHead) || !strings.Contains(err.Error(), WeightsFile) {
			t.Errorf("%s: %v, want %v", what, err, ErrNoHead)
		}
		m, err := LoadOptions{NewHead: true}.Load(dir)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		mean, body := 0.4, len(m.Params.Data)-m.Params.Config.Embed-1
		if what == "transformers" {
			mean = whole.Preprocessor.Mean[0]
			if !slices.Equal(m.Params.Data[:body], whole.Params.Data[:body]) {
				t.Errorf("%s: other parameters", what)
			}
			if !slices.ContainsFunc(m.Notes, func(s string) bool { return strings.Contains(s, `"pooler."`) }) {
				t.Errorf("notes %q", m.Notes)
			}
		}
		m, err = m.ReplaceHead(3, []string{"a", "b", "c"}, 1)
		if err != nil || m.Params.Config.Classes != 3 || m.Preprocessor.Mean[0] != mean {
			t.Errorf("%s: %d classes, preprocessing %+v, %v", what, m.Params.Config.Classes, m.Preprocessor, err)
		}
	}
	// A model that has a head keeps what is told of it until it is replaced.
	m, err := LoadOptions{NewHead: true}.Load(hfDir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(whole.Params.Config, m.Params.Config); diff != "" {
		t.Error(diff)
	}
}

// TestLoadAdapter: what PEFT saves is refused with the model's name that it belongs to.
func TestLoadAdapter(t *testing.T) {
	for _, change := range []func(fstest.MapFS){
		func(files fstest.MapFS) { delete(files, "models/m/"+ConfigFile) },
		func(fstest.MapFS) {}, // transformers would load the adapter on top
	} {
		dir := onDisk(t, damaged(t, func(files fstest.MapFS) {
			files["models/m/"+adapterFile] = &fstest.MapFile{Data: []byte(`{"peft_type": "LORA",` +
				`"base_model_name_or_path": "google/vit-base-patch16-224-in21k"}`)}
			change(files)
		}))
		_, err := Load(dir)
		for _, part := range []string{adapterFile, "an adapter of PEFT", "merge_and_unload",
			`trained on "google/vit-base-patch16-224-in21k"`} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%v, want %q", err, part)
			}
		}
	}
}

func TestLoadQuantized(t *testing.T) {
	_, err := LoadFS(damaged(t, func(files fstest.MapFS) {
		config := files["models/m/"+ConfigFile].Data
		files["models/m/"+ConfigFile].Data = append([]byte(`{"quantization_config": {"load_in_8bit": true}, `), config[1:]...)
	}), "models/m")
	if err == nil || !strings.Contains(err.Error(), "quantized") {
		t.Errorf("%v", err)
	}
}
