package tools

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/trainer"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// TestTrainInterrupted stops a run after its second step and goes on: the model has the same bits as one trained in
// one go.
func TestTrainInterrupted(t *testing.T) {
	dir := t.TempDir()
	init, set := filepath.Join(dir, "init"), filepath.Join(dir, "set")
	if err := vit.Save(init, modeltest.Small(t, true), weights.F32); err != nil {
		t.Fatal(err)
	}
	modeltest.WriteIDX(t, set)
	r, err := trainer.ParseRecipe("test",
		[]byte(`{"epochs": 2, "batch": 8, "seed": 1, "alpha_prior": 0.1, "target_layer": 2}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	o := trainer.Options{Recipe: r, DataName: set, InitName: init, Threads: 2, Dir: filepath.Join(dir, "whole")}
	whole, err := Train(t.Context(), o, infer.Auto)
	if err != nil {
		t.Fatal(err)
	}
	if whole.Epochs != 2 || whole.Steps != 6 || whole.Test.Images != 10 || whole.Validation.Images != 10 {
		t.Errorf("%+v, want 2 epochs, 6 steps, 10 test images", whole)
	}

	ctx, cancel := context.WithCancel(t.Context())
	o.Dir = filepath.Join(dir, "stopped")
	o.Progress = func(p trainer.Progress) {
		if p.Step == 2 {
			cancel()
		}
	}
	if _, err := Train(ctx, o, infer.Auto); !errors.Is(err, trainer.ErrInterrupted) {
		t.Fatalf("%v, want ErrInterrupted", err)
	}
	if _, err := adavit.Open(o.Dir); err == nil {
		t.Error("an interrupted run left a model")
	}
	o.Resume, o.Progress = true, nil
	if _, err := Train(t.Context(), o, infer.Auto); err != nil {
		t.Fatal(err)
	}
	a, err := os.ReadFile(filepath.Join(dir, "whole", "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "stopped", "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("the resumed run's weights differ")
	}
}

// TestRunBegunBefore: a run that an older program began with all training images goes on with them.
func TestRunBegunBefore(t *testing.T) {
	dir := t.TempDir()
	init, set, out := filepath.Join(dir, "init"), filepath.Join(dir, "set"), filepath.Join(dir, "out")
	m := modeltest.Small(t, true)
	if err := vit.Save(init, m, weights.F32); err != nil {
		t.Fatal(err)
	}
	modeltest.WriteIDX(t, set)
	r, err := trainer.ParseRecipe("test", []byte(`{"epochs": 2, "batch": 8, "ema": 0.9, "target_layer": 2}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := data.Open(set, data.Train)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = trainer.Run(ctx, trainer.Options{Recipe: r, Data: data.Parts{Train: whole}, Init: m, Dir: out,
		Progress: func(trainer.Progress) { cancel() }})
	if !errors.Is(err, trainer.ErrInterrupted) {
		t.Fatal(err)
	}
	o := trainer.Options{Recipe: r, DataName: set, InitName: init, Resume: true, Dir: out}
	got, err := Train(t.Context(), o, infer.Auto)
	if err != nil {
		t.Fatal(err)
	}
	if got.Steps != 8 || got.Validation != nil || got.Test.Images != 10 || got.Kept != "moving average of the last step" {
		t.Errorf("%+v: want 4 steps of 34 images an epoch", got)
	}
	o.Recipe.Validation, o.Recipe.Epochs = 0.3, 3
	_, err = Train(t.Context(), o, infer.Auto)
	if err == nil || !strings.Contains(err.Error(), "validation was 0, now it is 0.3") {
		t.Errorf("with other images: %v", err)
	}
}
