package vit

import (
	"bytes"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/weights"
)

// testdata/hf_vit was saved by transformers, testdata/timm_vit.safetensors holds the same weights as timm names them;
// expect.safetensors is what transformers computes.
const hfDir = "testdata/hf_vit"

func TestLoadHuggingFace(t *testing.T) {
	m, err := Load(hfDir)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Embed: 32, Heads: 2, Layers: 3, Hidden: 128, Height: 32,
		Width: 32, Patch: 8, Channels: 3, Classes: 6, Eps: 1e-12,
		Labels: []string{"LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3", "LABEL_4", "LABEL_5"}, Halting: halting.Dense(),
	}
	if diff := cmp.Diff(want, m.Params.Config); diff != "" {
		t.Error(diff)
	}
	if m.Preprocessor.Mean[0] != 0.5 || m.Preprocessor.DoCenterCrop {
		t.Errorf("preprocessor is %+v", m.Preprocessor)
	}
	if worst := worstLogit(t, m.Params, hfDir+"/expect.safetensors"); !(worst < 1e-5) {
		t.Errorf("logits differ by up to %g", worst)
	}
}

// TestLoadDistilled: a model with two tokens and two heads, saved by transformers with the logits it computes.
func TestLoadDistilled(t *testing.T) {
	const dir = "testdata/hf_deit_distilled"
	m, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if c := m.Params.Config; c.Distillation != DistillHead ||
		c.Tokens() != 18 || m.Preprocessor.Size.ShortestEdge != 36 {
		t.Errorf("configuration %+v, preprocessor %+v", c, m.Preprocessor)
	}
	if worst := worstLogit(t, m.Params, dir+"/expect.safetensors"); !(worst < 1e-5) {
		t.Errorf("logits differ by up to %g", worst)
	}
}

// worstLogit is the largest difference between the plain network's logits and those in a file of "input" and "logits".
func worstLogit(t *testing.T, p *Params, file string) (worst float64) {
	t.Helper()
	expect, err := weights.ReadSafetensors(file)
	if err != nil {
		t.Fatal(err)
	}
	input, logits := tensor(t, expect, "input"), tensor(t, expect, "logits")
	images := len(logits) / p.Config.Classes
	pixels := len(input) / images
	for i := range images {
		for j, v := range denseLogits(p, input[i*pixels:(i+1)*pixels]) {
			worst = max(worst, math.Abs(v-float64(logits[i*p.Config.Classes+j])))
		}
	}
	return worst
}

func tensor(t *testing.T, f *weights.File, name string) []float32 {
	t.Helper()
	x, ok := f.Get(name)
	if !ok {
		t.Fatalf("no tensor %q", name)
	}
	v, err := x.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestImportStored: timm's file and transformers' directory hold the same weights.
func TestImportStored(t *testing.T) {
	want, err := Load(hfDir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := weights.ReadSafetensors("testdata/timm_vit.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	o := ImportOptions{Heads: want.Params.Config.Heads}
	if m, err := Import(f, o); err != nil || !slices.Equal(m.Params.Data, want.Params.Data) {
		t.Errorf("timm's file and transformers' give other parameters; %v", err)
	}
	more := slices.Concat(f.Tensors, []weights.Tensor{weights.Float32Tensor("extra", []int{1}, []float32{1})})
	if _, err = Import(&weights.File{Tensors: more}, o); err == nil || !strings.Contains(err.Error(), `"extra"`) {
		t.Errorf("an extra tensor: %v", err)
	}
	for i, x := range f.Tensors {
		rest := slices.Delete(slices.Clone(f.Tensors), i, i+1)
		if _, err = Import(&weights.File{Tensors: rest}, o); err == nil && !strings.HasSuffix(x.Name, "qkv.bias") {
			t.Errorf("accepted without %s", x.Name)
		}
	}
}

// damaged is a good model directory in memory after a change.
func damaged(t *testing.T, change func(files fstest.MapFS)) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	for _, name := range []string{ConfigFile, WeightsFile, PreprocessorFile} {
		b, err := os.ReadFile(filepath.Join(hfDir, name))
		if err != nil {
			t.Fatal(err)
		}
		files["models/m/"+name] = &fstest.MapFile{Data: b}
	}
	change(files)
	return files
}

// editTensors rewrites the weights' file.
func editTensors(t *testing.T, edit func([]weights.Tensor) []weights.Tensor) func(fstest.MapFS) {
	return func(files fstest.MapFS) {
		file := files["models/m/"+WeightsFile]
		f, err := weights.ReadSafetensorsFrom("f", bytes.NewReader(file.Data), int64(len(file.Data)))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := weights.EncodeSafetensors(&b, f.Metadata, edit(slices.Clone(f.Tensors))); err != nil {
			t.Fatal(err)
		}
		file.Data = b.Bytes()
	}
}

// editTensor changes the tensor of that name.
func editTensor(t *testing.T, name string, edit func(*weights.Tensor)) func(fstest.MapFS) {
	return editTensors(t, func(list []weights.Tensor) []weights.Tensor {
		for i := range list {
			if list[i].Name == name {
				list[i].Data = slices.Clone(list[i].Data)
				edit(&list[i])
				return list
			}
		}
		t.Fatalf("no tensor %q", name)
		return nil
	})
}

func editConfig(old, new string) func(fstest.MapFS) {
	return func(files fstest.MapFS) {
		file := files["models/m/"+ConfigFile]
		file.Data = bytes.Replace(file.Data, []byte(old), []byte(new), 1)
	}
}

func TestLoadRefuses(t *testing.T) {
	const norm, query = "vit.layernorm.weight", "vit.encoder.layer.1.attention.attention.query.weight"
	put := func(v float32) func(*weights.Tensor) {
		return func(x *weights.Tensor) {
			copy(x.Data[4*3:], weights.Float32Tensor("", []int{1}, []float32{v}).Data)
		}
	}
	for _, v := range []struct {
		name   string
		change func(fstest.MapFS)
		fault  string
	}{
		{"no config", func(f fstest.MapFS) { delete(f, "models/m/"+ConfigFile) },
			"models/m/config.json: file does not exist"},
		{"no weights", func(f fstest.MapFS) { delete(f, "models/m/"+WeightsFile) },
			"models/m/model.safetensors: file does not exist"},
		{"nothing", func(f fstest.MapFS) { clear(f) }, "models/m/config.json: file does not exist"},
		{"config a directory", func(f fstest.MapFS) {
			f["models/m/"+ConfigFile] = &fstest.MapFile{Mode: fs.ModeDir}
		}, "models/m/config.json: not a regular file"},
		{"empty config", func(f fstest.MapFS) { f["models/m/"+ConfigFile].Data = nil },
			"models/m/config.json: invalid JSON"},
		{"huge config", func(f fstest.MapFS) { f["models/m/"+ConfigFile].Data = make([]byte, maxJSON+1) },
			"config.json: 16777217 bytes, expected at most"},
		{"bad preprocessor", func(f fstest.MapFS) { f["models/m/"+PreprocessorFile].Data = []byte("{") },
			"models/m/preprocessor_config.json"},
		{"empty weights", func(f fstest.MapFS) { f["models/m/"+WeightsFile].Data = nil },
			"models/m/model.safetensors: empty file"},
		{"truncated weights", func(f fstest.MapFS) {
			w := f["models/m/"+WeightsFile]
			w.Data = w.Data[:len(w.Data)-1]
		}, "models/m/model.safetensors: tensor"},
		{"other model_type", editConfig(`"vit"`, `"swin"`), `models/m/config.json: model_type is "swin"`},
		{"a DeiT that says it is a ViT", editConfig(`"vit"`, `"deit"`),
			`models/m/config.json: architectures is ["ViTForImageClassification"], but of model_type "deit" only`},
		{"more layers", editConfig(`"num_hidden_layers": 3`, `"num_hidden_layers": 4`),
			`models/m/model.safetensors: 16 tensors are missing: "vit.encoder.layer.3.layernorm_before.weight"`},
		{"fewer layers", editConfig(`"num_hidden_layers": 3`, `"num_hidden_layers": 2`),
			`16 tensors are no part of this model: "vit.encoder.layer.2.`},
		{"other width", editConfig(`"hidden_size": 32`, `"hidden_size": 64`),
			`tensor "vit.embeddings.cls_token" has shape [1 1 32], but the configuration wants [1 1 64]`},
		{"other hidden width", editConfig(`"intermediate_size": 128`, `"intermediate_size": 64`),
			"has shape [128 32], but the configuration wants [64 32]"},
		{"other image size", editConfig(`"image_size": 32`, `"image_size": 64`),
			`tensor "vit.embeddings.position_embeddings" has shape [1 17 32], but the configuration wants [1 65 32]`},
		{"other classes", editConfig(`,
    "5": "LABEL_5"`, ``), `tensor "classifier.weight" has shape [6 32], but the configuration wants [5 32]`},
		{"config for a giant", editConfig(`"hidden_size": 32`, `"hidden_size": 4096`), "has shape"},
		{"biases that should not be", editConfig(`"qkv_bias": true`, `"qkv_bias": false`),
			"9 tensors are no part of this model"},
		{"tensor missing", editTensors(t, func(l []weights.Tensor) []weights.Tensor {
			return slices.DeleteFunc(l, func(x weights.Tensor) bool { return x.Name == norm })
		}), `models/m/model.safetensors: 1 tensor is missing: "` + norm + `"`},
		{"tensor extra", editTensors(t, func(l []weights.Tensor) []weights.Tensor {
			return append(l, weights.Float32Tensor("vit.pooled.dense.bias", []int{1}, []float32{0}))
		}), `models/m/model.safetensors: 1 tensor is no part of this model: "vit.pooled.dense.bias"`},
		{"transposed shape", editTensor(t, "vit.encoder.layer.0.intermediate.dense.weight",
			func(x *weights.Tensor) { slices.Reverse(x.Shape) }), "has shape [32 128]"},
		{"flat shape", editTensor(t, query, func(x *weights.Tensor) { x.Shape = []int{1024} }), "has shape [1024]"},
		{"integers", editTensor(t, query, func(x *weights.Tensor) { x.DType = weights.I32 }),
			`models/m/model.safetensors: tensor "` + query + `": has dtype I32`},
		{"NaN", editTensor(t, query, put(float32(math.NaN()))),
			`models/m/model.safetensors: tensor "` + query + `": element 3 is NaN`},
		{"infinity", editTensor(t, norm, put(float32(math.Inf(-1)))), `tensor "` + norm + `": element 3 is -Inf`},
		{"too large for float32", editTensor(t, norm, func(x *weights.Tensor) {
			x.DType, x.Data = weights.F64, bytes.Repeat([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xef, 0x7f}, 32)
		}), `tensor "` + norm + `": element 0 is +Inf`},
		{"unknown halting key", editConfig(`"qkv_bias"`, `"halting": {"policy": "token", "warmth": 1}, "qkv_bias"`),
			"models/m/config.json"},
	} {
		t.Run(v.name, func(t *testing.T) {
			files := damaged(t, v.change)
			_, err := LoadFS(files, "models/m")
			if err == nil || !strings.Contains(err.Error(), v.fault) {
				t.Fatalf("error %v, want %q", err, v.fault)
			}
		})
	}
	if m, err := LoadFS(damaged(t, func(fstest.MapFS) {}), "models/m"); err != nil || m.Params.Data[0] == 0 {
		t.Errorf("undamaged: %v", err)
	}
	// Tensors can go into a model that does not say what becomes of pictures; pictures cannot.
	m, err := LoadFS(damaged(t, func(f fstest.MapFS) { delete(f, "models/m/"+PreprocessorFile) }), "models/m")
	if err != nil {
		t.Fatalf("no preprocessor: %v", err)
	}
	if err := m.Preprocessor.Check(3, 32, 32); err == nil || !strings.Contains(err.Error(), PreprocessorFile) {
		t.Errorf("pictures without a preprocessor: %v", err)
	}
}

func TestLoadOddDirectories(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("missing: %v", err)
	}
	if _, err := Load(hfDir + "/" + ConfigFile); err == nil ||
		!strings.Contains(err.Error(), "is not a model directory") {
		t.Errorf("a file: %v", err)
	}
	if _, err := Load(""); err == nil {
		t.Error("no name: no error")
	}
	dir := t.TempDir()
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, ConfigFile)) {
		t.Errorf("empty: %v", err)
	}
}

// TestGELU: the name that transformers gives the exact function written in Python is known.
func TestGELU(t *testing.T) {
	python := editConfig(`"hidden_act": "gelu"`, `"hidden_act": "gelu_python"`)
	if _, err := LoadFS(damaged(t, python), "models/m"); err != nil {
		t.Error(err)
	}
}

// TestWithoutBiases: a model with qkv_bias false has zero biases.
func TestWithoutBiases(t *testing.T) {
	isBias := func(x weights.Tensor) bool {
		return strings.Contains(x.Name, ".attention.attention.") && strings.HasSuffix(x.Name, ".bias")
	}
	drop := editTensors(t, func(l []weights.Tensor) []weights.Tensor { return slices.DeleteFunc(l, isBias) })
	_, err := LoadFS(damaged(t, drop), "models/m")
	if err == nil || !strings.Contains(err.Error(), "9 tensors are missing") {
		t.Errorf("qkv_bias true: %v", err)
	}
	m, err := LoadFS(damaged(t, func(f fstest.MapFS) {
		drop(f)
		editConfig(`"qkv_bias": true`, `"qkv_bias": false`)(f)
	}), "models/m")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Load(hfDir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole.Params.Blocks {
		clear(whole.Params.Blocks[i].QKVBias)
	}
	if !slices.Equal(m.Params.Data, whole.Params.Data) {
		t.Error("other parameters than those of the whole model with zero biases")
	}
}
