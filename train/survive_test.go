package train

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/adavit/adavit/vit"
)

// everything is a run of stripes that uses all that has a state or random numbers of its own.
func everything(t *testing.T, dir string) Options {
	o := stripesRun(t, dir)
	r := &o.Recipe
	r.Accumulate, r.Repeats, r.LearnGate, r.Freeze, r.CheckpointSteps, r.LogSteps = 2, 2, true, []string{"pos_embed"}, 3, 1
	r.Mix = data.Mix{Mixup: 0.5, CutMix: 1, Prob: 1, SwitchProb: 0.5, OffEpoch: 2}
	r.Distill = &Distill{Model: "brightness", Mode: DistillSoft, Alpha: 0.5, Temperature: 2}
	o.Teacher = func(_ context.Context, images, logits []float32) error {
		size := len(images) / (len(logits) / 2)
		for i := range len(logits) / 2 {
			logits[2*i], logits[2*i+1] = images[i*size], images[i*size+1]
		}
		return nil
	}
	o.Resume = true
	o.Evaluate = func(ctx context.Context, p *vit.Params) (map[string]float64, error) {
		return map[string]float64{"top1": math.Abs(float64(p.Data[0])) * 1e3}, ctx.Err()
	}
	return o
}

// TestStopAnywhere interrupts a run that uses everything at moments of the clock, so within passes, evaluations and saving, until it comes through. The
// weights and the logs are those of an undisturbed run with another number of threads.
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
	if got.Kept != want.Kept || got.Test["top1"] != want.Test["top1"] || got.Steps != 36 {
		t.Errorf("result %+v, want %+v", got, want)
	}
	a, b := loadModel(t, whole), loadModel(t, broken)
	if !slices.Equal(a.Data, b.Data) {
		t.Error("the weights differ")
	}
	if a, b := a.Config.Halting, b.Config.Halting; a.Number("gate_scale") == 4 || !reflect.DeepEqual(a, b) {
		t.Errorf("gates %v and %v learnt from scale 4", a, b)
	}
	if !slices.Equal(a.Position, o.Init.Position) {
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
		epochs, err := ReadLog(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range epochs {
			e.Seconds, e.ImagesPerSecond = 0, 0
			lines = append(lines, fmt.Sprint(e))
		}
		steps, err := ReadSteps(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			s.ImagesPerSecond = 0
			lines = append(lines, fmt.Sprint(s))
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
	o.Evaluate = func(context.Context, *vit.Params) (map[string]float64, error) {
		list := raw
		if calls%2 == 1 {
			list = average
		}
		calls++
		return map[string]float64{"top1": list[(calls-1)/2]}, nil
	}
	return o
}

// TestBestIsKept follows which checkpoints stay and which weights become the model.
func TestBestIsKept(t *testing.T) {
	raw, average := []float64{50, 90, 60, 70, 80}, []float64{40, 80, 65, 70, 75} // the best weights are the raw ones of epoch 2
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
		if !strings.HasPrefix(got.Kept, c.kept) || got.KeptEpoch != c.epoch || got.Test["top1"] != c.top1 {
			t.Errorf("keep %s: %+v", c.keep, got)
		}
		steps, err := savedSteps(dir)
		if want := []int{60, 48, 24}; err != nil || !slices.Equal(steps, want) {
			t.Errorf("checkpoints %v %v, want the two newest and the best, %v", steps, err, want)
		}
		// The model is what the checkpoint of that epoch holds.
		r, err := newRunner(o, o.Init.Clone())
		if err != nil {
			t.Fatal(err)
		}
		r.start.Labels = []string{"vertical", "horizontal"}
		if _, err := r.load(12 * c.epoch); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(loadModel(t, dir).Data, r.params.Data) {
			t.Errorf("keep %s: the model is not the weights of epoch %d", c.keep, c.epoch)
		}
	}
	// Without a test there is nothing to choose by.
	o := stripesRun(t, filepath.Join(t.TempDir(), "model"))
	o.Recipe.Keep, o.Recipe.Epochs = KeepBest, 1
	got, err := Run(t.Context(), o)
	if err != nil || got.Kept != "moving average of the last step" || got.Test != nil {
		t.Errorf("untested: %+v, %v", got, err)
	}
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

// TestNaN: a run that overflows says at which step and in which tensor, leaves its last good checkpoint, and goes on from it with a lower rate.
func TestNaN(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	o := stripesRun(t, dir)
	o.Recipe.CheckpointSteps, o.Recipe.ClipNorm = 1, 0
	o.Progress = func(p Progress) {
		if p.Step == 5 {
			o.Data.(*poisoned).on.Store(true)
		}
	}
	o.Data = &poisoned{Dataset: o.Data}
	o.Preprocessor.Std = []float64{1e-38} // bytes above 0 become numbers that overflow when they are multiplied
	o.Preprocessor.Mean = []float64{0}
	_, err := Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "first bad tensor: the output of blocks.0;") || !strings.Contains(err.Error(), "--set lr") {
		t.Fatalf("%v, want the tensor and what to do", err)
	}
	steps, err := savedSteps(dir)
	if err != nil || len(steps) == 0 || steps[0] < 5 {
		t.Fatalf("checkpoints %v, %v", steps, err)
	}
	r, err := newRunner(o, o.Init.Clone())
	if err != nil {
		t.Fatal(err)
	}
	r.start.Labels = []string{"vertical", "horizontal"}
	if _, err := r.load(steps[0]); err != nil {
		t.Fatal(err)
	}
	if at := badIndex(r.params.Data); at >= 0 {
		t.Error("the last checkpoint is not finite")
	}
	o.Data.(*poisoned).on.Store(false)
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

// TestWhereBad puts numbers that are not finite into a pass and asks for them.
func TestWhereBad(t *testing.T) {
	o := stripesRun(t, "")
	nan := float32(math.NaN())
	for _, c := range []struct {
		want  string
		spoil func(*Network, *Batch, *vit.Params)
	}{
		{"first bad tensor: the gradient of none", func(*Network, *Batch, *vit.Params) {}},
		{"first bad tensor: the gradient of blocks.1.mlp.fc2.bias", func(_ *Network, _ *Batch, g *vit.Params) { g.Blocks[0].Norm1Bias[0], g.Blocks[1].FC2Bias[3] = nan, nan }},
		{"the weights themselves are not finite: blocks.2.attn.qkv.bias[5] is NaN", func(n *Network, _ *Batch, _ *vit.Params) { n.params.Blocks[2].QKVBias[5] = nan }},
		{"image 3 of the batch has a pixel of NaN", func(_ *Network, b *Batch, _ *vit.Params) {
			load := b.Load
			b.Load = func(i int, dst []float32) error {
				err := load(i, dst)
				if i == 3 {
					dst[7] = nan
				}
				return err
			}
		}},
		{"first bad tensor: the output of patch_embed", func(n *Network, b *Batch, _ *vit.Params) {
			b.Load = func(_ int, dst []float32) error {
				for i := range dst {
					dst[i] = 3e38
				}
				return nil
			}
			for i := range n.params.PatchWeight {
				n.params.PatchWeight[i] = 2
			}
		}},
		{"first bad tensor: the output of blocks.1", func(n *Network, _ *Batch, _ *vit.Params) {
			w := n.params.Blocks[1]
			for i := range w.FC2Weight {
				w.FC2Weight[i] = 3e38
			}
			for i := range w.FC1Bias {
				w.FC1Bias[i] = 100
			}
		}},
		{"first bad tensor: the logits", func(n *Network, _ *Batch, _ *vit.Params) {
			for i := range n.params.HeadWeight {
				n.params.HeadWeight[i] = float32(3e38 * math.Pow(-1, float64(i)))
			}
		}},
	} {
		net, err := NewNetwork(o.Init.Clone(), 2)
		if err != nil {
			t.Fatal(err)
		}
		net.params.Config.Halting = net.params.Config.Halting.With("gate_center", 100) // all tokens run in all blocks
		b, grad := randomBatch(o.Init.Config, 6, 1), vit.NewParams(o.Init.Config)
		spoiled := vit.NewParams(o.Init.Config)
		c.spoil(net, &b, spoiled)
		if _, err := net.Step(b, Loss{TargetLayer: 1}, grad); err != nil {
			t.Fatal(err)
		}
		if firstBad(spoiled) != "none" {
			grad = spoiled
		}
		if got := net.whereBad(grad, 6); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestUnused: a run that ended before its first step leaves nothing that keeps another one out; one that took a step does.
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
