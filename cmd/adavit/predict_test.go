package main

import (
	"bytes"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// TestPredictParity runs predict as a user does, on the published code's inputs and weights, and compares every tensor
// with what that code gave: logits, rho and scores to 1e-4, depth and active exactly, gradients to 1e-3 of each
// tensor's largest.
func TestPredictParity(t *testing.T) {
	for _, path := range kernels.Paths() {
		for _, name := range []string{"micro", "micro_deep"} {
			t.Run(path+"/"+name, func(t *testing.T) {
				restore, err := kernels.Use(path)
				if err != nil {
					t.Fatal(err)
				}
				defer restore()
				comparePrediction(t, name, false)
			})
		}
	}
}

// TestPredictReversePrior compares the loss with the prior in the released code's direction.
func TestPredictReversePrior(t *testing.T) { comparePrediction(t, "micro", true) }

func comparePrediction(t *testing.T, name string, reverse bool) {
	file, model := readReference(t, name)
	dir := t.TempDir()
	modelDir, x, y := filepath.Join(dir, "model"), filepath.Join(dir, "x.safetensors"), filepath.Join(dir, "y.safetensors")
	if err := vit.Save(modelDir, model, weights.F32); err != nil {
		t.Fatal(err)
	}
	input, _ := file.Get("input")
	labels, _ := file.Get("labels")
	if err := weights.WriteSafetensors(x, nil, []weights.Tensor{input, labels}); err != nil {
		t.Fatal(err)
	}
	meta := file.Metadata
	args := []string{"predict", "--model", modelDir, "--input", x, "--output", y, "--threads", "2", "--gradients",
		"--alpha-ponder", meta["alpha_ponder"],
		"--alpha-prior", meta["alpha_prior"], "--target-layer", meta["prior_target_layer"], "--label-smoothing",
		meta["label_smoothing"]}
	if reverse {
		args = append(args, "--reverse-prior")
	}
	var out, errs strings.Builder
	if status := run(t.Context(), args, nil, &out, &errs); status != exitDone {
		t.Fatalf("status %d: %s", status, &errs)
	}
	got, err := weights.ReadSafetensors(y)
	if err != nil {
		t.Fatal(err)
	}
	p := parity{t, got, file}
	for _, n := range []string{"logits", "rho", "scores", "loss_ce", "loss_ponder"} {
		p.close(n, "expect."+n, 1e-4, 0)
	}
	p.equal("depth", "expect.depth")
	p.equal("active", "expect.active")
	if reverse {
		p.close("loss_prior", "expect.loss_prior_reverse", 1e-4, 0)
		return // the reference has gradients for the other direction only
	}
	p.close("loss_prior", "expect.loss_prior", 1e-4, 0)
	p.close("loss", "expect.loss", 1e-4, 0)
	gradients := 0
	for _, want := range file.Tensors {
		if strings.HasPrefix(want.Name, "grad.") {
			p.close(want.Name, want.Name, 0, 1e-3)
			gradients++
		}
	}
	if count := len(model.Params.Tensors()); gradients != count {
		t.Errorf("the reference has %d gradients, the model %d tensors", gradients, count)
	}
	if want := len(model.Params.Tensors()) + 9; len(got.Tensors) != want {
		t.Errorf("%d tensors written, want %d", len(got.Tensors), want)
	}
}

// TestPredictDense runs the reference's weights without halting: every token runs in every block, and there is nothing
// to ponder.
func TestPredictDense(t *testing.T) {
	file, model := readReference(t, "micro")
	model.Params.Config.Halting = halting.Dense()
	input, _ := file.Get("input")
	labels, _ := file.Get("labels")
	loss := train.Loss{AlphaPonder: 5e-4, AlphaPrior: 0.1, TargetLayer: 3}
	out, err := tools.Predict(t.Context(), model, "x", &weights.File{Tensors: []weights.Tensor{input, labels}},
		tools.PredictOptions{Loss: &loss, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	got := &weights.File{Tensors: out}
	p := parity{t, got, file}
	p.close("logits", "expect.dense_logits", 1e-4, 0)
	c := model.Params.Config
	for name, want := range map[string]byte{"active": 1, "scores": 0, "loss_ponder": 0, "loss_prior": 0} {
		tensor, _ := got.Get(name)
		if len(tensor.Data) == 0 || slices.ContainsFunc(tensor.Data, func(b byte) bool { return b != want }) {
			t.Errorf("%s: %v, want only %d", name, tensor.Data, want)
		}
	}
	depth, _ := got.Get("depth")
	values, err := depth.Int32s()
	if err != nil || len(values) != 4*c.Tokens() || slices.ContainsFunc(values,
		func(d int32) bool { return int(d) != c.Layers }) {
		t.Errorf("depth %v, %v; want %d everywhere", values, err, c.Layers)
	}
}

// parity compares the tensors of two files.
type parity struct {
	t         *testing.T
	got, want *weights.File
}

func (p parity) pair(got, want string) (a, b weights.Tensor) {
	p.t.Helper()
	a, ok := p.got.Get(got)
	if !ok {
		p.t.Fatalf("the output has no tensor %s", got)
	}
	if b, ok = p.want.Get(want); !ok {
		p.t.Fatalf("the reference has no tensor %s", want)
	}
	if !slices.Equal(a.Shape, b.Shape) || a.DType != b.DType {
		p.t.Fatalf("%s is %s %v, want %s %v", got, a.DType, a.Shape, b.DType, b.Shape)
	}
	return a, b
}

// close allows a difference of absolute + relative · the largest element.
func (p parity) close(got, want string, absolute, relative float64) {
	p.t.Helper()
	a, b := p.pair(got, want)
	x, err := a.Float32s()
	if err != nil {
		p.t.Fatal(err)
	}
	y, err := b.Float32s()
	if err != nil {
		p.t.Fatal(err)
	}
	worst, largest := 0.0, 0.0
	for i := range x {
		d := math.Abs(float64(x[i]) - float64(y[i]))
		if math.IsNaN(d) {
			d = math.Inf(1)
		}
		worst, largest = max(worst, d), max(largest, math.Abs(float64(y[i])))
	}
	if worst > absolute+relative*largest {
		p.t.Errorf("%s differs by %.3g, its largest is %.3g", got, worst, largest)
	}
}

func (p parity) equal(got, want string) {
	p.t.Helper()
	if a, b := p.pair(got, want); !bytes.Equal(a.Data, b.Data) {
		p.t.Errorf("%s differs", got)
	}
}
