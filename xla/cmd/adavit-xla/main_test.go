package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/trainer"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
	"github.com/adavit/adavit/xla"
)

// TestMain makes the test's own program adavit-xla where ADAVIT_XLA_SELF is set.
func TestMain(m *testing.M) {
	if os.Getenv("ADAVIT_XLA_SELF") != "" {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func self(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), "ADAVIT_XLA_SELF=1")
	return cmd
}

func plugin(t *testing.T) {
	t.Helper()
	if os.Getenv(xla.PluginVariable) == "" {
		t.Skipf("no PJRT plugin: run xla/plugin.sh and set %s to the file that it names", xla.PluginVariable)
	}
}

// fixture is a small model, a small data set and a recipe of three steps in each of two epochs.
type fixture struct{ init, data, recipe string }

func newFixture(t *testing.T) fixture {
	t.Helper()
	dir := t.TempDir()
	f := fixture{filepath.Join(dir, "init"), filepath.Join(dir, "set"), filepath.Join(dir, "recipe.json")}
	if err := vit.Save(f.init, modeltest.Small(t, true), weights.F32); err != nil {
		t.Fatal(err)
	}
	modeltest.WriteIDX(t, f.data)
	text := `{"epochs": 2, "batch": 8, "seed": 1, "ema": 0.9, "drop_path": 0.1, "alpha_prior": 0.1, "alpha_ponder": 0.001,
		"target_layer": 2, "checkpoint_steps": 1, "log_steps": 1}`
	if err := os.WriteFile(f.recipe, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f fixture) args(out string) []string {
	return []string{"train", "--recipe", f.recipe, "--data", f.data, "--init", f.init, "--out", out, "--resume",
		"--threads", "2"}
}

// ours runs the fixture's recipe on our own engine, until it has taken so many steps.
func (f fixture) ours(t *testing.T, out string, steps int) {
	t.Helper()
	r, err := trainer.LoadRecipe(f.recipe, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err = tools.Train(ctx, trainer.Options{Recipe: r, DataName: f.data, InitName: f.init, Dir: out, Resume: true,
		Threads: 2, Progress: func(p trainer.Progress) {
			if p.Step == steps {
				cancel()
			}
		}}, infer.Auto)
	if err != nil && !errors.Is(err, trainer.ErrInterrupted) {
		t.Fatal(err)
	}
}

// lines are what steps.jsonl says.
func lines(t *testing.T, out string) (list []trainer.StepEntry) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(out, "steps.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	for d.More() {
		var e trainer.StepEntry
		if err := d.Decode(&e); err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

// TestResume: a run that adavit-xla began, was killed in and went on with, that our own engine went on with and
// adavit-xla ended, has the losses of one that our own engine took alone.
func TestResume(t *testing.T) {
	plugin(t)
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	f, dir := newFixture(t), t.TempDir()
	alone, mixed := filepath.Join(dir, "alone"), filepath.Join(dir, "mixed")
	f.ours(t, alone, 6)

	first := self(t, f.args(mixed)...)
	var said bytes.Buffer
	first.Stdout, first.Stderr = &said, &said
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	for { // until a checkpoint beside that of the beginning is there
		if list, _ := filepath.Glob(filepath.Join(mixed, "checkpoints", "step-*[1-9].safetensors")); len(list) > 0 {
			break
		}
		if t.Context().Err() != nil {
			t.Fatalf("no checkpoint came:\n%s", &said)
		}
		time.Sleep(time.Millisecond)
	}
	first.Process.Kill()
	if err := first.Wait(); err == nil {
		t.Fatal("it ended before it could be killed")
	}
	f.ours(t, mixed, 4)
	if out, err := self(t, f.args(mixed)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	got, want := lines(t, mixed), lines(t, alone)
	if len(got) != 6 || len(want) != 6 {
		t.Fatalf("%d steps, want %d, which are 6", len(got), len(want))
	}
	for i := range want {
		t.Logf("step %d: loss %v, alone %v", want[i].Step, got[i].Loss, want[i].Loss)
		if math.Abs(got[i].Loss-want[i].Loss) > 1e-3*want[i].Loss || got[i].Step != want[i].Step {
			t.Errorf("step %d: loss %v, want %v", got[i].Step, got[i].Loss, want[i].Loss)
		}
	}
	if _, err := vit.Load(mixed); err != nil {
		t.Error(err)
	}
}

// TestEval: figures are those of our own engine.
func TestEval(t *testing.T) {
	plugin(t)
	var out, errs bytes.Buffer
	args := []string{"eval", "--model", "fashion-adaptive", "--data", "fashion-mnist", "--limit", "50", "--batch", "32",
		"--devices", "2", "--json"}
	if status := run(t.Context(), args, &out, &errs); status != 0 {
		t.Fatalf("status %d: %s", status, &errs)
	}
	var got eval.Result
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	m, err := adavit.Open("fashion-adaptive")
	if err != nil {
		t.Fatal(err)
	}
	want, err := eval.Run(t.Context(), m, modeltest.Fashion(t), eval.Options{Limit: 50, Precision: infer.F32})
	if err != nil {
		t.Fatal(err)
	}
	if got.Top1 != want.Top1 || got.Images != 50 || math.Abs(got.MeanDepth-want.MeanDepth) > 0.01 ||
		math.Abs(got.MACs/want.MACs-1) > 0.002 {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestUsage: what is wrong on the command line has status 2 and a reason.
func TestUsage(t *testing.T) {
	for args, want := range map[string]string{
		"":                 "no command given",
		"train --recipe x": "--recipe, --data and --out are needed",
		"eval --model m":   "--model and --data are needed",
		"eval --precision int8 --model m --data d": "want f32 or bf16",
		"train --what": "unknown flag",
	} {
		var errs bytes.Buffer
		status := run(t.Context(), strings.Fields(args), &errs, &errs)
		if status != 2 || !strings.Contains(errs.String(), want) {
			t.Errorf("%q: status %d, %s; want %q", args, status, &errs, want)
		}
	}
}
