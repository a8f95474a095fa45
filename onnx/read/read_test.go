package read

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/filetest"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// unpacked returns a file of testdata, which testdata/export.py made.
func unpacked(t testing.TB, name string) []byte {
	t.Helper()
	return filetest.Gunzip(t, "testdata", name+".gz")
}

// logits runs a model in float32.
func logits(t testing.TB, m *vit.Model, images []float32) []float32 {
	t.Helper()
	w, err := infer.Pack(m.Params, infer.F32)
	if err != nil {
		t.Fatal(err)
	}
	e, err := infer.New(w, infer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var out infer.Output
	if err := e.Run(t.Context(), infer.Batch{Images: images}, &out); err != nil {
		t.Fatal(err)
	}
	return out.Logits
}

// expectation returns a tensor of what PyTorch gave.
func expectation(t testing.TB, name string) []float32 {
	t.Helper()
	f, err := weights.ReadSafetensors("testdata/expected.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	x, ok := f.Get(name)
	if !ok {
		t.Fatalf("nothing is expected of %s", name)
	}
	v, err := x.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestExports reads what PyTorch's exporters, timm, transformers, torchvision and optimum wrote, and holds the model's
// logits against PyTorch's.
func TestExports(t *testing.T) {
	for name, c := range map[string]struct {
		eps  float64
		note string
	}{
		"timm-legacy": {eps: 1e-6}, "timm-legacy-steps": {eps: 1e-6}, "timm-legacy-unfolded": {eps: 1e-6},
		"timm-legacy-batch": {eps: 1e-6}, "timm-legacy-half": {eps: 1e-6},
		"timm-legacy-softmax": {eps: 1e-6, note: "softmax, which is left out"},
		"timm-distilled":      {eps: 1e-6}, "timm-rect": {eps: 1e-6}, "timm-dynamo": {eps: 1e-6},
		"timm-dynamo-23": {eps: 1e-6}, "timm-dynamo-raw": {eps: 1e-6}, "timm-dynamo-external": {eps: 1e-6},
		"hf-legacy": {eps: 1e-12}, "hf-distilled": {eps: 1e-12}, "hf-dynamo": {eps: 1e-12}, "optimum": {eps: 1e-12},
		"torchvision": {eps: 1e-6}, "hand": {eps: 1e-5},
		"timm-gap": {eps: 1e-6}, "timm-gap-normed": {eps: 1e-6}, "timm-registers": {eps: 1e-6}, "hf-dinov2": {eps: 1e-6},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			files := []string{name + ".onnx"}
			if strings.HasSuffix(name, "external") {
				files = append(files, name+".onnx.data")
			}
			for _, file := range files {
				if err := os.WriteFile(filepath.Join(dir, file), unpacked(t, file), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			r, err := File(filepath.Join(dir, files[0]), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, c.note) || (c.note == "") != (notes == "") {
				t.Errorf("notes %q, want %q", notes, c.note)
			}
			input := "input.16x16"
			if name == "timm-rect" {
				input = "input.16x24"
			}
			got, want := logits(t, r.Model, expectation(t, input)), expectation(t, "logits."+name)
			worst := 0.0
			for i, v := range want {
				worst = max(worst, math.Abs(float64(got[i]-v)))
			}
			t.Logf("largest difference %.2g", worst)
			if len(got) != len(want) || !(worst <= 1e-5) {
				t.Errorf("logits %v, want %v", got, want)
			}
			heads := 3
			if name == "timm-legacy-softmax" {
				heads = 1
			}
			if c2 := r.Model.Params.Config; c2.Eps != c.eps || c2.Heads != heads || r.Own {
				t.Errorf("eps %v, %d heads, own %t", c2.Eps, c2.Heads, r.Own)
			}
		})
	}
}

// TestHeadless gives a model without a head a new one where one is asked for.
func TestHeadless(t *testing.T) {
	b := unpacked(t, "hf-headless.onnx")
	r, err := decode(b, "", Options{Classes: 7})
	if err != nil {
		t.Fatal(err)
	}
	if n := r.Model.Params.Config.Classes; n != 7 {
		t.Errorf("%d classes", n)
	}
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "the others of the graph are left out") {
		t.Errorf("notes %q", r.Notes)
	}
	if _, err := decode(b, "", Options{}); err == nil || !strings.Contains(err.Error(), "no head") {
		t.Errorf("without classes: %v", err)
	}
}

// TestRefused: of what is no plain vision transformer the error says where and why.
func TestRefused(t *testing.T) {
	for name, want := range map[string]string{
		"no-prenorm":   `there is a norm before the blocks (node "/norm_pre/LayerNormalization"`,
		"no-qknorm":    "block 1 from the end: attention's queries: they pass a norm",
		"no-quickgelu": `node "/blocks/blocks.0/mlp/act/Sigmoid" (Sigmoid): this is an activation other than GELU`,
		"no-tanh":      "this looks like its approximation by tanh",
		"no-centred":   `node "/Sub" (Sub): the graph normalises its pictures itself`,
		"no-optimised": `this is an operator of "com.microsoft"`,
		"no-quantised": "the model is quantised; convert the original",
	} {
		if _, err := decode(unpacked(t, name+".onnx"), "", Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
