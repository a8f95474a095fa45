package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// everything is a run of stripes that uses all that has a state or random numbers of its own.
func everything(t *testing.T, dir string) Options {
	o := stripesRun(t, dir)
	r := &o.Recipe
	r.Accumulate, r.Repeats, r.LearnGate, r.Freeze, r.CheckpointSteps, r.LogSteps = 2, 2, true, []string{"pos_embed"}, 3, 1
	r.Mix = data.Mix{Mixup: 0.5, CutMix: 1, Prob: 1, SwitchProb: 0.5, OffEpoch: 2}
	r.Distill = &train.Distill{Model: "another", Mode: train.DistillSoft, Alpha: 0.5, Temperature: 2}
	c := o.Init.Params.Config
	c.Halting = halting.Dense()
	o.Teacher = &vit.Model{Params: vit.Initialize(c, 9, 0.1), Preprocessor: o.Init.Preprocessor}
	o.Resume = true
	judge(t, &o, func(ctx context.Context, p *vit.Params, _ data.Dataset) (float64, error) {
		return math.Abs(float64(p.Data[0])) * 1e3, ctx.Err()
	})
	return o
}

// TestStopAnywhere interrupts a run that uses everything at moments of the clock, so within passes, evaluations and
// saving, until it comes through. The weights and the logs are those of an undisturbed run with another number of
// threads.
func TestStopAnywhere(t *testing.T) {
	whole, broken := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "broken")
	o := everything(t, whole)
	o.Threads, o.Workers = 1, 3
	want, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	stops := 0
	var got Result
	for life := time.Duration(1); ; life++ { // longer and longer, so that there is an end
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.Int64N(int64(life*2*time.Millisecond))))
		got, err = Run(ctx, everything(t, broken))
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, ErrInterrupted) {
			t.Fatalf("after %d stops: %v", stops, err)
		}
		stops++
	}
	t.Logf("%d stops", stops)
	if stops < 10 {
		t.Errorf("only %d stops", stops)
	}
	if got.Kept != want.Kept || *got.Validation != *want.Validation || got.Steps != 36 {
		t.Errorf("result %+v, want %+v", got, want)
	}
	a, b := loadModel(t, whole), loadModel(t, broken)
	if !slices.Equal(a.Data, b.Data) {
		t.Error("the weights differ")
	}
	if a, b := a.Config.Halting, b.Config.Halting; a.Number("gate_scale") == 4 || !reflect.DeepEqual(a, b) {
		t.Errorf("gates %v and %v learnt from scale 4", a, b)
	}
	if !slices.Equal(a.Position, o.Init.Params.Position) {
		t.Error("the frozen tensor has changed")
	}
	sameLogs(t, whole, broken)
}

func loadModel(t *testing.T, dir string) *vit.Params {
	t.Helper()
	m, err := vit.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m.Params
}

// sameLogs compares both logs of two runs, clocks apart.
func sameLogs(t *testing.T, want, got string) {
	t.Helper()
	text := func(dir string) (lines []string) {
		add := func(entry any) {
			line, err := json.Marshal(entry)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, string(line))
		}
		epochs, err := ReadLog(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range epochs {
			e.Seconds, e.ImagesPerSecond = 0, 0
			for _, f := range []*Figures{e.Validation, e.ValidationEMA, e.Test, e.TestEMA} {
				if f != nil {
					f.ImagesPerSecond = 0
				}
			}
			add(e)
		}
		steps, err := readLines[StepEntry](stepsPath(dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			s.ImagesPerSecond = 0
			add(s)
		}
		return lines
	}
	if a, b := text(want), text(got); len(a) < 3 || !slices.Equal(a, b) {
		t.Errorf("the logs say\n%s\nwant\n%s", strings.Join(b, "\n"), strings.Join(a, "\n"))
	}
}

// scored is a run of stripes whose evaluations find the given top-1 of the weights and of the average, epoch by epoch.
func scored(t *testing.T, dir string, raw, average []float64) Options {
	o := stripesRun(t, dir)
	o.Recipe.Epochs = len(raw)
	calls := 0
	judge(t, &o, func(context.Context, *vit.Params, data.Dataset) (float64, error) {
		list := raw
		if calls%2 == 1 {
			list = average
		}
		calls++
		return list[min((calls-1)/2, len(list)-1)], nil
	})
	return o
}

// TestBestIsKept follows which checkpoints stay and which weights become the model.
func TestBestIsKept(t *testing.T) {
	// the best weights are the raw ones of epoch 2
	raw, average := []float64{50, 90, 60, 70, 80}, []float64{40, 80, 65, 70, 75}
	for _, c := range []struct {
		keep, kept string
		epoch      int
		top1       float64
	}{{KeepLast, "weights of the last step", 5, 80}, {KeepBest, "weights after epoch 2", 2, 90}} {
		dir := filepath.Join(t.TempDir(), "model")
		o := scored(t, dir, raw, average)
		o.Recipe.Keep = c.keep
		got, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(got.Kept, c.kept) || got.KeptEpoch != c.epoch || got.Validation.Top1 != c.top1 {
			t.Errorf("keep %s: %+v", c.keep, got)
		}
		steps, err := savedSteps(dir)
		if want := []int{60, 48, 24}; err != nil || !slices.Equal(steps, want) {
			t.Errorf("checkpoints %v %v, want the two newest and the best, %v", steps, err, want)
		}
		// The model is what the checkpoint of that epoch holds.
		if !slices.Equal(loadModel(t, dir).Data, saved(t, o, 12*c.epoch)) {
			t.Errorf("keep %s: the model is not the weights of epoch %d", c.keep, c.epoch)
		}
	}
	// Without a test there is nothing to choose by.
	o := stripesRun(t, filepath.Join(t.TempDir(), "model"))
	o.Recipe.Keep, o.Recipe.Epochs = KeepBest, 1
	got, err := Run(t.Context(), o)
	if err != nil || got.Kept != "moving average of the last step" || got.Validation != nil || got.Test != nil {
		t.Errorf("untested: %+v, %v", got, err)
	}
}

// saved returns the weights in a checkpoint of a run of stripes.
func saved(t *testing.T, o Options, step int) []float32 {
	t.Helper()
	o.Resume = true
	r, err := o.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	s, err := r.load(step)
	if err != nil {
		t.Fatal(err)
	}
	return s.tensors[0].Data
}

// TestLostBest: a best epoch whose checkpoint is damaged is an error that says what to do.
func TestLostBest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	o := scored(t, dir, []float64{9, 1, 1, 1}, []float64{1, 1, 1, 1})
	o.Recipe.Keep, o.Resume = KeepBest, true
	o.Progress = func(p Progress) {
		if p.Step == p.Steps {
			spoil(t, checkpointPath(dir, 12))
		}
	}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "keep=last") {
		t.Fatalf("the best checkpoint is damaged: %v", err)
	}
	o.Recipe.Keep, o.Progress = KeepLast, nil
	if got, err := Run(t.Context(), o); err != nil || got.KeptEpoch != 4 {
		t.Errorf("%+v, %v", got, err)
	}
}

// spoil changes a byte in the middle of a file.
func spoil(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestNaN: a run that overflows says at which step and in which tensor, leaves its last good checkpoint, and goes on
// from it with a lower rate.
func TestNaN(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	o := stripesRun(t, dir)
	o.Recipe.CheckpointSteps, o.Recipe.ClipNorm = 1, 0
	poison := &poisoned{Dataset: o.Data.Train}
	o.Progress = func(p Progress) {
		if p.Step == 5 {
			poison.on.Store(true)
		}
	}
	o.Data.Train = poison
	o.Init.Preprocessor.Std = []float64{1e-38} // bytes above 0 become numbers that overflow when they are multiplied
	o.Init.Preprocessor.Mean = []float64{0}
	_, err := Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "first bad tensor: the output of blocks.0;") ||
		!strings.Contains(err.Error(), "with a lower lr") {
		t.Fatalf("%v, want the tensor and what to do", err)
	}
	steps, err := savedSteps(dir)
	if err != nil || len(steps) == 0 || steps[0] < 5 {
		t.Fatalf("checkpoints %v, %v", steps, err)
	}
	if at := kernels.FirstNotFinite(saved(t, o, steps[0])); at >= 0 {
		t.Error("the last checkpoint is not finite")
	}
	poison.on.Store(false)
	o.Progress, o.Resume, o.Recipe.LR = nil, true, 1e-4
	if _, err := Run(t.Context(), o); err != nil {
		t.Errorf("resumed: %v", err)
	}
}

// poisoned is a data set whose pictures are all black until it is switched on.
type poisoned struct {
	data.Dataset
	on atomic.Bool
}

func (p *poisoned) Pixels(dst []byte, i int) error {
	if p.on.Load() {
		return p.Dataset.Pixels(dst, i)
	}
	clear(dst)
	return nil
}

// TestUnused: a run that ended before its first step leaves nothing that keeps another one out; one that took a step
// does.
func TestUnused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	o := stripesRun(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, o); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	if steps, err := savedSteps(dir); err != nil || !slices.Equal(steps, []int{0}) {
		t.Fatalf("checkpoints %v, %v", steps, err)
	}
	o.Recipe.Seed++ // another run
	ctx, cancel = context.WithCancel(t.Context())
	o.Progress = func(Progress) { cancel() }
	if _, err := Run(ctx, o); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "already holds a run") {
		t.Errorf("over a run of one step: %v", err)
	}
}
