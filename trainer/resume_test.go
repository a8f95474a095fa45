package trainer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/filetest"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// measured is a run of stripes whose weights' sum is taken for their top-1, after calling before.
func measured(t *testing.T, dir string, before func()) Options {
	o := stripesRun(t, dir)
	o.Resume = true
	judge(t, &o, func(ctx context.Context, p *vit.Params, _ data.Dataset) (float64, error) {
		before()
		sum := 0.0
		for _, v := range p.Data {
			sum += float64(v)
		}
		return sum, ctx.Err()
	})
	return o
}

// TestLogOfInterruptedRun interrupts a run in the last step of an epoch and in the middle of evaluations: no epoch may
// be missing from the log.
func TestLogOfInterruptedRun(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole")
	if _, err := Run(t.Context(), measured(t, whole, func() {})); err != nil {
		t.Fatal(err)
	}
	want, err := ReadLog(whole)
	if err != nil || len(want) != 3 || want[2].ValidationEMA.Top1 == 0 {
		t.Fatalf("log %+v, error %v: want three measured epochs", want, err)
	}
	for _, stop := range []int{1, 2, 3, 4, 5, 6} { // the evaluations: two an epoch
		for _, early := range []bool{false, true} {
			dir := filepath.Join(t.TempDir(), "model")
			ctx, cancel := context.WithCancel(t.Context())
			calls := 0
			o := measured(t, dir, func() {
				if calls++; calls == stop && !early {
					cancel()
				}
			})
			o.Progress = func(p Progress) {
				if early && p.Step == stop*p.Steps/6 { // the last step of an epoch for even stops
					cancel()
				}
			}
			if _, err := Run(ctx, o); !errors.Is(err, ErrInterrupted) {
				t.Fatalf("stop %d, early %v: %v", stop, early, err)
			}
			cancelled, cancelAgain := context.WithCancel(t.Context())
			cancelAgain()
			if _, err := Run(cancelled, o); !errors.Is(err, ErrInterrupted) { // before it has done anything
				t.Fatalf("stop %d, early %v: stopped at once: %v", stop, early, err)
			}
			if _, err := Run(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			got, err := ReadLog(dir)
			if err != nil || len(got) != len(want) {
				t.Fatalf("stop %d, early %v: the log has %d epochs (%v), want %d", stop, early, len(got), err, len(want))
			}
			for i, e := range got {
				if e.Epoch != want[i].Epoch || e.Step != want[i].Step || e.Loss == 0 ||
					*e.Validation != *want[i].Validation || *e.ValidationEMA != *want[i].ValidationEMA {
					t.Errorf("stop %d, early %v: the log has\n%+v\nwant\n%+v", stop, early, e, want[i])
				}
			}
			if !slices.Equal(storedWeights(t, dir), storedWeights(t, whole)) {
				t.Errorf("stop %d, early %v: other weights", stop, early)
			}
		}
	}
}

// TestLeftovers resumes after a run that was killed: half a line of log, a file under a temporary name.
func TestLeftovers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	o := measured(t, dir, func() {})
	o.Recipe.Epochs = 1
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(logPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(logPath(dir), append(log, `{"epoch":2,"ste`...), 0o666); err != nil {
		t.Fatal(err)
	}
	temp := filepath.Join(checkpointDir(dir), atomicfile.TempName())
	if err := os.WriteFile(temp, []byte("half a checkpoint"), 0o666); err != nil {
		t.Fatal(err)
	}
	o.Recipe.Epochs = 3
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if entries, err := ReadLog(dir); err != nil || len(entries) != 3 {
		t.Errorf("the log has %d epochs (%v), want 3", len(entries), err)
	}
	if _, err := os.Stat(temp); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v, want it gone", temp, err)
	}
}

// TestNoWholeEpoch: a run that was stopped in its second epoch cannot end with the first, its log lost or not.
func TestNoWholeEpoch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	ctx, cancel := context.WithCancel(t.Context())
	o := measured(t, dir, func() {})
	o.Progress = func(p Progress) {
		if p.Step == p.Steps/2 {
			cancel()
		}
	}
	if _, err := Run(ctx, o); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	o.Recipe.Epochs = 1
	for _, lost := range []bool{false, true} {
		if lost {
			filetest.Check(t, os.Remove(logPath(dir)))
		}
		_, err := Run(t.Context(), o)
		filetest.WantError(t, err, "has taken 18 steps already", "set more epochs")
	}
}

// TestOneRunAFolder: a folder in which a run is at work takes no other.
func TestOneRunAFolder(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("folders cannot be locked here")
	}
	dir := filepath.Join(t.TempDir(), "model")
	o := measured(t, dir, func() {})
	o.Recipe.Epochs = 1
	for _, resume := range []bool{false, true} {
		second := o
		second.Resume = resume
		o.Progress = func(Progress) {
			if _, err := Run(t.Context(), second); err == nil || !strings.Contains(err.Error(), "another run") {
				t.Errorf("resume %v: a second run at the same time: %v", resume, err)
			}
		}
		if _, err := Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		o.Recipe.Epochs++
	}
}

// TestResumeOverAModel: a model that no checkpoint belongs to is not this run's to replace.
func TestResumeOverAModel(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	o := stripesRun(t, dir)
	if err := vit.Save(dir, o.Init, weights.F32); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, vit.WeightsFile))
	if err != nil {
		t.Fatal(err)
	}
	o.Resume = true
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "no checkpoint") {
		t.Errorf("resumed over a model: %v", err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, vit.WeightsFile)); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the model is another one, %v", err)
	}
}

// TestFinishedRunKeepsItsRecipe: a run that has taken its last step does not claim to have gone by another recipe.
func TestFinishedRunKeepsItsRecipe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	o := measured(t, dir, func() {})
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	card, err := os.ReadFile(filepath.Join(dir, vit.CardFile))
	if err != nil {
		t.Fatal(err)
	}
	other := o
	other.Recipe.LR *= 2
	if _, err := Run(t.Context(), other); !errors.Is(err, usage.Err) || !strings.Contains(err.Error(), "lr") {
		t.Errorf("another learning rate: %v", err)
	}
	other = o
	other.Recipe.Epochs--
	if _, err := Run(t.Context(), other); !errors.Is(err, usage.Err) || !strings.Contains(err.Error(), "epochs=") {
		t.Errorf("an end that lies behind: %v", err)
	}
	filetest.Content(t, filepath.Join(dir, vit.CardFile), string(card))
	o.Recipe.Store = "F16"
	if _, err := Run(t.Context(), o); err != nil {
		t.Errorf("another type of stored weights: %v", err)
	}
}
