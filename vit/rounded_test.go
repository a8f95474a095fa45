package vit

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/weights"
)

// roundedModels saves a model in 8 and in 16 bits and returns the directories by type.
func roundedModels(t *testing.T, m *Model) map[weights.DType]string {
	t.Helper()
	dirs := make(map[weights.DType]string)
	for _, dtype := range []weights.DType{weights.I8, weights.BF16} {
		dirs[dtype] = filepath.Join(t.TempDir(), "m")
		if err := SaveRounded(dirs[dtype], m, dtype); err != nil {
			t.Fatal(err)
		}
	}
	return dirs
}

// What is stored rounded is what the kernels make of the weights, all but those is what it was, and so are the first
// rows that decide when tokens halt.
func TestSaveRounded(t *testing.T) {
	m, err := Load(hfDir)
	if err != nil {
		t.Fatal(err)
	}
	for dtype, dir := range roundedModels(t, m) {
		got, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := LoadOptions{Stored: true}.Load(dir)
		if err != nil || stored.Params.Rounded() != dtype || got.Params.Rounded() != "" ||
			len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "are stored") {
			t.Fatalf("%s: %v, rounded to %q, notes %q", dtype, err, stored.Params.Rounded(), got.Notes)
		}
		if !reflect.DeepEqual(got.Params.Config, m.Params.Config) || !reflect.DeepEqual(got.Preprocessor, m.Preprocessor) {
			t.Errorf("%s: configuration %+v, want %+v", dtype, got.Params.Config, m.Params.Config)
		}
		list := got.Params.Tensors()
		for i, want := range m.Params.Tensors() {
			x := slices.Clone(want.Data)
			if rounds(want) {
				out, in := want.Shape[0], want.Len()/want.Shape[0]
				q, steps := make([]int8, len(x)), make([]float32, out)
				quantize(q, steps, x, in)
				for j := range x {
					if x[j] = weights.ToBFloat16(x[j]).Float32(); dtype == weights.I8 {
						x[j] = float32(q[j]) * steps[j/in]
					}
				}
				var packed kernels.PackedInt8
				kernels.PackInt8(&packed, want.Data, in, in, out)
				again, scale := make([]int8, len(x)), make([]float32, out)
				if ok, err := stored.Params.ReadInt8(again, scale, want.Offset); ok != (dtype == weights.I8) || err != nil {
					t.Fatalf("%s of %s: in 8 bits %v, %v", want.Name, dtype, ok, err)
				} else if ok && (!slices.Equal(again, q) || !slices.Equal(scale, packed.Scale)) {
					t.Errorf("%s is stored in other bytes than it is packed", want.Name)
				}
				if strings.Contains(want.Name, "attn.proj") || strings.Contains(want.Name, "fc2") {
					copy(x, want.Data[:in])
				}
			}
			if !slices.Equal(list[i].Data, x) {
				t.Errorf("%s of %s: other numbers than its own rounded", want.Name, dtype)
			}
		}
		// Stored once more it is the same file.
		again := filepath.Join(t.TempDir(), "again")
		if err := SaveRounded(again, stored, dtype); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{WeightsFile, ConfigFile} {
			a, _ := os.ReadFile(filepath.Join(dir, name))
			if b, _ := os.ReadFile(filepath.Join(again, name)); len(a) == 0 || !bytes.Equal(a, b) {
				t.Errorf("%s of %s differs, saved again", name, dtype)
			}
		}
	}
}

// Files in 8 bits of others, and damaged ones.
func TestLoadRounded(t *testing.T) {
	m, err := Load(hfDir)
	if err != nil {
		t.Fatal(err)
	}
	const fc1, proj = "vit.encoder.layer.0.intermediate.dense.weight", "vit.encoder.layer.1.attention.output.dense.weight"
	edit := func(l []weights.Tensor, name string, change func(t *weights.Tensor)) []weights.Tensor {
		at := slices.IndexFunc(l, func(t weights.Tensor) bool { return t.Name == name })
		if change == nil {
			return slices.Delete(l, at, at+1)
		}
		change(&l[at])
		return l
	}
	for _, v := range []struct {
		name, tensor string
		change       func(t *weights.Tensor)
		fault        string
	}{
		{"as it is", fc1, func(t *weights.Tensor) {}, ""},
		{"without first rows", proj + "_first", nil, ""},
		{"scales in bfloat16", fc1 + "_scale", func(t *weights.Tensor) {
			x, _ := t.Float32s()
			*t = weights.BFloat16Tensor(t.Name, t.Shape, x)
		}, ""},
		{"-128", fc1, func(t *weights.Tensor) { t.Data[5] = 0x80 }, ""},
		{"no scales", fc1 + "_scale", nil, `"` + fc1 + `_scale", which says what they stand for, is missing`},
		{"too few scales", fc1 + "_scale", func(t *weights.Tensor) { t.Shape, t.Data = []int{3}, t.Data[:12] },
			"has shape [3], but the configuration wants 128 numbers"},
		{"infinite scale", fc1 + "_scale", func(t *weights.Tensor) { copy(t.Data[4:], "\x00\x00\x80\x7f") },
			`"` + fc1 + `_scale": element 1 is +Inf`},
		{"NaN in a first row", proj + "_first", func(t *weights.Tensor) { copy(t.Data[8:], "\x00\x00\xc0\x7f") },
			`"` + proj + `_first": element 2 is NaN`},
		{"scales of float32s", fc1, func(t *weights.Tensor) {
			*t = weights.Float32Tensor(t.Name, t.Shape, make([]float32, len(t.Data)))
		}, "has dtype F32, but"},
		{"zero points", fc1 + "_scale", func(t *weights.Tensor) { t.Name = fc1 + "_zero_point" }, "no part of this model"},
	} {
		dir := roundedModels(t, m)[weights.I8]
		path := filepath.Join(dir, WeightsFile)
		f, err := weights.ReadSafetensors(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := weights.WriteSafetensors(path, f.Metadata, edit(f.Tensors, v.tensor, v.change)); err != nil {
			t.Fatal(err)
		}
		got, err := Load(dir)
		if v.fault == "" && err != nil || v.fault != "" && (err == nil || !strings.Contains(err.Error(), v.fault)) {
			t.Errorf("%s: error %v, want %q", v.name, err, v.fault)
		}
		if v.name == "-128" {
			stored, err := LoadOptions{Stored: true}.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			w := stored.Params.Tensors()[slices.IndexFunc(stored.Params.Tensors(), func(t Tensor) bool {
				return t.Name == "blocks.0.mlp.fc1.weight"
			})]
			ok, err := stored.Params.ReadInt8(make([]int8, 64), make([]float32, 2), w.Offset)
			if ok || err != nil || got.Params.Blocks[0].FC1Weight[5] >= 0 {
				t.Errorf("-128 is taken as a byte of ours: %v, %v", ok, err)
			}
		}
	}
}

// config.json says how weights are quantised; other ways than ours are refused.
func TestQuantizationConfig(t *testing.T) {
	m, err := Load(hfDir)
	if err != nil {
		t.Fatal(err)
	}
	dirs := roundedModels(t, m)
	text, err := os.ReadFile(filepath.Join(dirs[weights.I8], ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	var j map[string]json.RawMessage
	if err := json.Unmarshal(text, &j); err != nil || !knownQuantization(j["quantization_config"]) {
		t.Fatalf("%v: %s", err, j["quantization_config"])
	}
	own := string(j["quantization_config"])
	for _, change := range [][2]string{{"compressed-tensors", "gptq"}, {"int-quantized", "pack-quantized"},
		{`"num_bits": 8`, `"num_bits": 4`}, {`"channel"`, `"group"`}, {`"symmetric": true`, `"symmetric": false`}} {
		other := strings.Replace(own, change[0], change[1], 1)
		if other == own || knownQuantization(json.RawMessage(other)) {
			t.Errorf("%s in place of %s is taken", change[1], change[0])
		}
	}
	text, err = os.ReadFile(filepath.Join(dirs[weights.BF16], ConfigFile))
	if err != nil || strings.Contains(string(text), "quantization") {
		t.Errorf("bfloat16 is no quantization: %v", err)
	}
	if _, err := LoadFS(fstest.MapFS{"m/" + ConfigFile: {Data: []byte(strings.Replace(string(text), "{",
		`{"quantization_config": `+strings.Replace(own, "int-", "float-", 1)+",", 1))}}, "m"); err == nil ||
		!strings.Contains(err.Error(), "compressed-tensors") {
		t.Errorf("error %v", err)
	}
	p := m.Params.Clone()
	p.Blocks[0].FC1Weight[3] = float32(math.Inf(1))
	if err := SaveRounded(filepath.Join(t.TempDir(), "x"), &Model{Params: p}, weights.I8); err == nil {
		t.Error("an infinite weight was rounded")
	}
}
