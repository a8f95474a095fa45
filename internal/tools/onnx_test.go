package tools

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/internal/filetest"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// exported unpacks what a Python program exported.
func exported(t *testing.T, name string) string {
	t.Helper()
	b := filetest.Gunzip(t, "..", "..", "onnx", "read", "testdata", name+".gz")
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestConvertONNX takes an export to a directory, with labels, from there to ONNX and back, and holds the logits
// against PyTorch's all along.
func TestConvertONNX(t *testing.T) {
	dir := t.TempDir()
	labels := filepath.Join(dir, "labels")
	if err := os.WriteFile(labels, []byte("a\nb\nc\nd\ne\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	source := exported(t, "hf-legacy.onnx")
	for _, step := range []struct {
		from, to string
		o        ConvertOptions
		notes    []string
	}{
		{source, in("first"), ConvertOptions{Labels: labels},
			[]string{"2 blocks, 6 wide, 3 heads", "the usual way is taken (resized to cover 18×18 by bicubic, centre crop of " +
				"16×16, mean [0.485 0.456 0.406] and deviation [0.229 0.224 0.225]), and --preprocessor names another"}},
		{in("first"), in("second.onnx"), ConvertOptions{Opset: 23}, nil},
		{in("second.onnx"), in("third"), ConvertOptions{}, nil},
		{source, in("fourth.onnx"), ConvertOptions{}, []string{"2 blocks", "--preprocessor names", "--labels does"}},
		{in("fourth.onnx"), in("fifth"), ConvertOptions{}, nil},
	} {
		done, err := Convert(context.Background(), step.from, step.to, step.o)
		if err != nil {
			t.Fatal(err)
		}
		if len(done.Notes) != len(step.notes) {
			t.Errorf("%s: notes %q, want %q", step.to, done.Notes, step.notes)
		}
		for i, want := range step.notes {
			if i < len(done.Notes) && !strings.Contains(done.Notes[i], want) {
				t.Errorf("%s: note %q, want %q", step.to, done.Notes[i], want)
			}
		}
	}
	expect, err := weights.ReadSafetensors("../../onnx/read/testdata/expected.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	input, _ := expect.Get("input.16x16")
	input.Name = "input"
	logits, _ := expect.Get("logits.hf-legacy")
	want, err := logits.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"first", "third", "fifth"} {
		m, err := adavit.Open(in(name))
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Params.Config.Labels; name != "fifth" && !slices.Equal(got, []string{"a", "b", "c", "d", "e"}) {
			t.Errorf("%s: labels %q", name, got)
		}
		out, err := Predict(context.Background(), m, name, &weights.File{Tensors: []weights.Tensor{input}}, PredictOptions{})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(out, func(x weights.Tensor) bool { return x.Name == "logits" })
		got, err := out[i].Float32s()
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range want {
			if !(math.Abs(float64(got[k]-v)) <= 1e-5) {
				t.Fatalf("%s: logits %v, want %v", name, got, want)
			}
		}
	}
}

// TestConvertPreprocessor: how pictures become the input is what a user says, before what stands beside a graph; ONNX
// keeps it. What classes are called may stand beside a graph, too.
func TestConvertPreprocessor(t *testing.T) {
	source, dir := exported(t, "hf-legacy.onnx"), t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(in("named.json"), `{"size": {"height": 16, "width": 16}, "resample": 3, "image_mean": [0.1, 0.2, 0.3]}`)
	write(in("small.json"), `{"size": 8, "image_mean": 0.2}`)
	write(in("other.json"), `{"size": {"height": 24, "width": 24}}`)
	write(filepath.Join(filepath.Dir(source), vit.PreprocessorFile),
		`{"size": 16, "image_mean": 0.7, "image_processor_type": "ViTImageProcessor"}`)
	write(filepath.Join(filepath.Dir(source), vit.ConfigFile),
		`{"model_type": "vit", "id2label": {"0": "a", "1": "b", "2": "c", "3": "d", "4": "e"}}`)
	for _, step := range []struct {
		from, to, named string
		mean            float64
		note, fault     string
	}{
		{source, "beside", "", 0.7, "taken from preprocessor_config.json beside it (resized to 16×16", ""},
		{source, "named", "named.json", 0.1, "", ""},
		{source, "named.onnx", "named.json", 0.1, "", ""},
		{in("named.onnx"), "back", "", 0.1, "", ""},
		{in("beside"), "again", "named.json", 0.1, "", ""},
		{filepath.Join("testdata", "checkpoints", "timm.pth"), "file", "small.json", 0.2, "", ""},
		{source, "x", "other.json", 0, "", "other.json: the preprocessor makes pictures of 24×24, the model takes 16×16"},
		{source, "x", "none.json", 0, "", "none.json"},
		{source, "x.safetensors", "named.json", 0, "", "holds tensors alone"},
	} {
		var o ConvertOptions
		if step.named != "" {
			o.Preprocessor = in(step.named)
		}
		if step.to == "file" {
			o.Heads = 2
		}
		done, err := Convert(context.Background(), step.from, in(step.to), o)
		if step.fault != "" {
			if err == nil || !strings.Contains(err.Error(), step.fault) {
				t.Errorf("%s: error %v, want %q", step.to, err, step.fault)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		notes := strings.Join(done.Notes, "\n")
		if !strings.Contains(notes, step.note) || strings.Contains(notes, "usual") {
			t.Errorf("%s: notes %q, want %q", step.to, done.Notes, step.note)
		}
		if strings.HasSuffix(step.to, ".onnx") {
			continue
		}
		m, err := adavit.Open(in(step.to))
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Params.Config.Labels; step.to != "file" && !slices.Equal(got, []string{"a", "b", "c", "d", "e"}) {
			t.Errorf("%s: labels %q", step.to, got)
		}
		if p := m.Preprocessor; len(p.Mean) == 0 || p.Mean[0] != step.mean || p.Exif != (step.to == "beside") {
			t.Errorf("%s: %+v, want mean %v", step.to, p, step.mean)
		}
	}
}

// TestConvertONNXRefuses: what a graph says cannot be said otherwise, and an opset is for ONNX.
func TestConvertONNXRefuses(t *testing.T) {
	source := exported(t, "timm-legacy.onnx")
	for want, c := range map[string]struct {
		to string
		o  ConvertOptions
	}{
		"--heads is for a file of weights": {"m", ConvertOptions{Heads: 2}},
		"--key is for a file of weights":   {"m", ConvertOptions{Key: "model"}},
		"--opset is 17 for":                {"m", ConvertOptions{Opset: 17}},
		"--opset is 16 for":                {"m.onnx", ConvertOptions{Opset: 16}},
		"--opset is 99 for":                {"m.onnx", ConvertOptions{Opset: 99}},
	} {
		to := filepath.Join(t.TempDir(), c.to)
		if _, err := Convert(context.Background(), source, to, c.o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if _, err := os.Stat(to); err == nil {
			t.Errorf("%s: something was written", want)
		}
	}
}
