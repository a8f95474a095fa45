package vit

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"

	"github.com/adavit/adavit/weights"
)

// Parameters that stay in their files are, in any part, those that Load reads.
func TestStored(t *testing.T) {
	whole, err := Load(hfDir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := LoadOptions{Stored: true}.Load(hfDir)
	if err != nil || m.Params.Data != nil || m.Params.Position != nil {
		t.Fatalf("%v, %d parameters in memory", err, len(m.Params.Data))
	}
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom([]*Params{m.Params, m.Params.Clone(), whole.Params}).Draw(t, "params")
		from := rapid.IntRange(0, len(whole.Params.Data)).Draw(t, "from")
		part := make([]float32, rapid.IntRange(0, len(whole.Params.Data)-from).Draw(t, "length"))
		if err := p.Read(part, from); err != nil || !slices.Equal(part, whole.Params.Data[from:from+len(part)]) {
			t.Fatalf("parameters %d to %d: %v", from, from+len(part), err)
		}
	})
	for _, from := range []int{-1, len(whole.Params.Data), math.MaxInt} {
		if err := m.Params.Read(make([]float32, 1), from); err == nil {
			t.Errorf("parameter %d is read", from)
		}
	}
	if err := (&Params{Config: m.Params.Config}).Read(make([]float32, 1), 0); err == nil {
		t.Error("parameters that are nowhere are read")
	}
	if all, err := m.Params.Whole(); err != nil || !reflect.DeepEqual(all, whole.Params) {
		t.Errorf("whole: %v", err)
	}
	// For images of another size the position embedding changes, and the rest stays where it is.
	small, err := m.Resize(16, 48)
	if err != nil || small.Params.Data != nil {
		t.Fatalf("resized: %v, %d parameters in memory", err, len(small.Params.Data))
	}
	want, err := whole.Resize(16, 48)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := small.Params.Whole(); err != nil || !reflect.DeepEqual(all, want.Params) {
		t.Errorf("resized: %v", err)
	}
	// What is written from them is what they are.
	dir := filepath.Join(t.TempDir(), "again")
	if err := Save(dir, m, weights.F32); err != nil {
		t.Fatal(err)
	}
	if again, err := Load(dir); err != nil || !reflect.DeepEqual(again.Params, whole.Params) {
		t.Errorf("saved: %v", err)
	}
}

// Weights without biases, LayerScale, a head that is missing: what is not in the file, or not as it is in the file.
func TestStoredOdd(t *testing.T) {
	scaled := editTensors(t, func(l []weights.Tensor) []weights.Tensor {
		gamma := make([]float32, 32)
		for i := range gamma {
			gamma[i] = float32(i) / 7
		}
		l = slices.DeleteFunc(l, func(x weights.Tensor) bool { return strings.HasSuffix(x.Name, "attention.query.bias") })
		return append(l, weights.Float32Tensor("vit.encoder.layer.1.layer_scale2.lambda1", []int{32}, gamma))
	})
	for name, change := range map[string]func(fstest.MapFS){"scaled": scaled, "NaN": editTensor(t,
		"vit.encoder.layer.1.output.dense.weight", func(x *weights.Tensor) { copy(x.Data[400:], "\x00\x00\xc0\x7f") })} {
		files := damaged(t, change)
		whole, err := LoadFS(files, "models/m")
		m, storedErr := LoadOptions{Stored: true}.LoadFS(files, "models/m")
		if storedErr == nil {
			var all *Params
			if all, storedErr = m.Params.Whole(); storedErr == nil && !reflect.DeepEqual(all, whole.Params) {
				t.Errorf("%s: the parameters differ", name)
			}
		}
		if (err == nil) != (storedErr == nil) || err != nil && err.Error() != storedErr.Error() {
			t.Errorf("%s: error %v, want %v", name, storedErr, err)
		}
	}
}

// A file that shrinks once the model is open is an error that names it.
func TestStoredShrinks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "m")
	m, err := Load(hfDir)
	if err == nil {
		err = Save(dir, m, weights.F32)
	}
	if err == nil {
		m, err = LoadOptions{Stored: true}.Load(dir)
	}
	if err == nil {
		err = os.Truncate(filepath.Join(dir, WeightsFile), 10000)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Params.Whole(); err == nil || !strings.Contains(err.Error(), WeightsFile) {
		t.Errorf("error %v, want one that names %s", err, WeightsFile)
	}
}
