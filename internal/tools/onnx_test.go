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
			[]string{"2 blocks, 6 wide, 3 heads", "does not say how pictures"}},
		{in("first"), in("second.onnx"), ConvertOptions{Opset: 23}, nil},
		{in("second.onnx"), in("third"), ConvertOptions{}, nil},
		{source, in("fourth.onnx"), ConvertOptions{}, []string{"2 blocks", "--labels does", "does not say how"}},
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
