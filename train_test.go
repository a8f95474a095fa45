package adavit

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/recipes"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// TestBundledRecipes makes sure that every recipe that comes with the program can be read, and that overrides reach it.
func TestBundledRecipes(t *testing.T) {
	if len(recipes.Names()) < 2 {
		t.Fatalf("only %v", recipes.Names())
	}
	for _, name := range recipes.Names() {
		r, err := LoadRecipe(name, []string{"epochs=3", "augment.shift=1"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if r.Epochs != 3 || r.Augment.Shift != 1 {
			t.Errorf("%s: overrides are lost: %+v", name, r)
		}
		if r.Variant != "" {
			if _, err := vit.Variant(r.Variant); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if r.Variant == "" && r.Init == "" && name != "finetune-adaptive" { // which is for a model of the user's own
			t.Errorf("%s starts from neither a variant nor a model", name)
		}
	}
}

// TestTrainInterrupted stops a run after its second step and goes on: the model has the same bits as one trained in one go.
func TestTrainInterrupted(t *testing.T) {
	dir := t.TempDir()
	init, set := filepath.Join(dir, "init"), filepath.Join(dir, "set")
	if err := vit.Save(init, modeltest.Small(t, true), weights.F32); err != nil {
		t.Fatal(err)
	}
	modeltest.WriteIDX(t, set)
	r, err := train.ParseRecipe("test", []byte(`{"epochs": 2, "batch": 8, "seed": 1, "alpha_prior": 0.1, "target_layer": 2}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	o := TrainOptions{Recipe: r, Data: set, Init: init, Threads: 2, Dir: filepath.Join(dir, "whole")}
	whole, err := Train(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if whole.Epochs != 2 || whole.Steps != 6 || whole.Test["images"] != 10 {
		t.Errorf("%+v, want 2 epochs, 6 steps, 10 test images", whole)
	}

	ctx, cancel := context.WithCancel(t.Context())
	o.Dir = filepath.Join(dir, "stopped")
	o.Progress = func(p train.Progress) {
		if p.Step == 2 {
			cancel()
		}
	}
	if _, err := Train(ctx, o); !errors.Is(err, train.ErrInterrupted) {
		t.Fatalf("%v, want ErrInterrupted", err)
	}
	if _, err := Open(o.Dir); err == nil {
		t.Error("an interrupted run left a model")
	}
	o.Resume, o.Progress = true, nil
	if _, err := Train(t.Context(), o); err != nil {
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

// TestLimited: a limit takes the first images unless they lack a class.
func TestLimited(t *testing.T) {
	labels := make([]byte, 60)
	for i := range labels {
		labels[i] = byte(i / 20)
	}
	sorted, err := data.NewBlock("sorted", make([]byte, 60), labels, 1, 1, 1, []string{"a", "b", "c"})
	if err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int]int{0: 60, 12: 12, 41: 60, 60: 60, 99: 60} { // 41 have all classes: the run itself stops there
		d, err := limited(sorted, limit)
		if err != nil || d.Len() != want {
			t.Errorf("limit %d: %d images, %v, want %d", limit, d.Len(), err, want)
		}
		seen := map[int]bool{}
		for i := range d.Len() {
			seen[d.Label(i)] = true
		}
		if len(seen) != 3 {
			t.Errorf("limit %d: classes %v", limit, seen)
		}
	}
}
