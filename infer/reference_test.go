package infer

import (
	"math"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// TestReference holds the engine against results of the published PyTorch code.
func TestReference(t *testing.T) {
	for _, name := range []string{"micro", "micro_deep"} {
		f, err := weights.ReadSafetensors(filepath.Join("..", "testdata", "reference", name+".safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		p := referenceModel(t, f)
		dense := p.Clone()
		dense.Config.Halting = halting.Dense()
		images := floats(t, f, "input")
		t.Run(name, func(t *testing.T) {
			onEveryPath(t, func(t *testing.T) {
				full := run(t, p, options{Full: true}, images)
				close4(t, "logits", full.Logits, floats(t, f, "expect.logits"))
				quick := run(t, p, options{}, images)
				close4(t, "logits of the quick engine", quick.Logits, floats(t, f, "expect.logits"))
				close4(t, "dense logits", run(t, dense, options{}, images).Logits, floats(t, f, "expect.dense_logits"))
				close4(t, "scores", full.Trace.Score, floats(t, f, "expect.scores"))
				close4(t, "rho", full.Trace.Rho, floats(t, f, "expect.rho"))
				depth, err := tensor(t, f, "expect.depth").Int32s()
				if err != nil {
					t.Fatal(err)
				}
				same(t, "depth", full.Trace.Depth, depth)
				same(t, "blocks run", full.Depth, depth)
				same(t, "active", full.Trace.Active, tensor(t, f, "expect.active").Data)
			})
		})
	}
}

// close4 fails unless got is want within 1e-4, and logs the largest difference.
func close4(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	worst := 0.0
	for i := range got {
		d := math.Abs(float64(got[i] - want[i]))
		if !(d <= 1e-4) {
			t.Fatalf("%s[%d] is %v, want %v", what, i, got[i], want[i])
		}
		worst = max(worst, d)
	}
	t.Logf("%s: largest difference %.2g", what, worst)
}

func same[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s[%d] is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func tensor(t *testing.T, f *weights.File, name string) weights.Tensor {
	t.Helper()
	x, ok := f.Get(name)
	if !ok {
		t.Fatalf("the reference file has no tensor %q", name)
	}
	return x
}

func floats(t *testing.T, f *weights.File, name string) []float32 {
	t.Helper()
	x, err := tensor(t, f, name).Float32s()
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// referenceModel reads the constants and weights.* of a reference file.
func referenceModel(t *testing.T, f *weights.File) *vit.Params {
	t.Helper()
	number := func(key string) float64 {
		v, err := strconv.ParseFloat(f.Metadata[key], 64)
		if err != nil {
			t.Fatalf("metadata %s: %v", key, err)
		}
		return v
	}
	whole := func(key string) int { return int(number(key)) }
	gate := halting.Config{Scheme: "token"}.With("gate_scale", number("gate_scale"))
	c := vit.Config{
		Embed: whole("embed_dim"), Heads: whole("num_heads"), Layers: whole("depth"),
		Hidden: int(number("mlp_ratio") * number("embed_dim")),
		Height: whole("img_size"), Width: whole("img_size"), Patch: whole("patch_size"),
		Channels: 3, Classes: whole("num_classes"), Eps: number("layer_norm_eps"),
		Halting: gate.With("gate_center", number("gate_center")).With("epsilon", number("halt_eps")),
	}
	p := vit.NewParams(c)
	for _, dst := range p.Tensors() {
		if err := tensor(t, f, "weights."+dst.Name).CopyFloat32s(dst.Data); err != nil {
			t.Fatal(err)
		}
	}
	return p
}
