package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/slicing"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// stripes is a data set that can be learnt: pictures of horizontal or vertical stripes under noise.
func stripes(t *testing.T, images int) data.Dataset {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	pixels, labels := make([]byte, images*16*16), make([]byte, images)
	for i := range labels {
		labels[i] = byte(r.IntN(2))
		for y := range 16 {
			for x := range 16 {
				at := x
				if labels[i] == 1 {
					at = y
				}
				pixels[(i*16+y)*16+x] = byte(60 + 100*(at/2%2) + r.IntN(60))
			}
		}
	}
	d, err := data.NewBlock("stripes", pixels, labels, 1, 16, 16, []string{"vertical", "horizontal"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func stripesRun(t *testing.T, dir string) Options {
	r := DefaultRecipe()
	r.Epochs, r.Batch, r.LR, r.EMA, r.Seed, r.WarmupEpochs = 3, 16, 3e-3, 0.9, 5, 0.5
	r.DropPath, r.LabelSmoothing, r.AlphaPonder, r.AlphaPrior, r.TargetLayer = 0.1, 0.1, 0.01, 0.1, 2
	r.Augment = data.Augment{Shift: 1}
	c := vit.Config{Embed: 16, Heads: 2, Layers: 3, Hidden: 32, Height: 16, Width: 16, Patch: 4, Channels: 1,
		Classes: 2, Eps: 1e-6,
		Halting: halting.Config{Scheme: "token"}.With("gate_scale", 4).With("gate_center", 1)}
	init := &vit.Model{Params: vit.Initialize(c, 3, 0), Preprocessor: picture.DefaultPreprocessor(16, 16, 1)}
	return Options{Recipe: r, Init: init, Data: data.Parts{Train: stripes(t, 200)}, Dir: dir, Threads: 2}
}

// judged is a Backend that measures models its own way.
type judged struct {
	*train.Stepper
	top1 func(context.Context, *vit.Params, data.Dataset) (float64, error)
}

func (j judged) Evaluate(ctx context.Context, m *vit.Model, d data.Dataset, _ eval.Options) (r eval.Result, err error) {
	r.Images = d.Len()
	r.Top1, err = j.top1(ctx, m.Params, d)
	return r, err
}

// judge gives a run validation images, if it has none, and a function that tells any weights' top-1 on a part of the
// data.
func judge(t *testing.T, o *Options, top1 func(context.Context, *vit.Params, data.Dataset) (float64, error)) {
	if o.Data.Validation == nil {
		o.Data.Validation = stripes(t, 10)
	}
	o.Backend = func(p *vit.Params, s train.Settings, threads int) (Backend, error) {
		b, err := train.NewStepper(p, s, threads)
		return judged{b, top1}, err
	}
}

func storedWeights(t *testing.T, dir string) []float32 {
	t.Helper()
	m, err := vit.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m.Params.Data
}

func TestRunLearns(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	o := stripesRun(t, dir)
	evaluated := 0
	o.Data.Test = stripes(t, 11)
	judge(t, &o, func(_ context.Context, _ *vit.Params, d data.Dataset) (float64, error) {
		evaluated++
		return 5 * float64(d.Len()), nil
	})
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	entries, err := ReadLog(dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("log has %d entries (%v), want 3", len(entries), err)
	}
	if last := entries[2]; last.TrainTop1 < 95 || last.Loss >= entries[0].Loss || last.ValidationEMA.Top1 != 50 ||
		last.TestEMA.Top1 != 55 {
		t.Errorf("the last epoch ended at %+v", last)
	}
	if evaluated != 13 {
		t.Errorf("evaluated %d times, want raw and averaged weights on two parts after each of 3 epochs, and the model",
			evaluated)
	}
	var card Card
	if b, err := os.ReadFile(filepath.Join(dir, "training.json")); err != nil {
		t.Error(err)
	} else if err := json.Unmarshal(b, &card); err != nil {
		t.Error(err)
	} else if card.Images != 200 || card.Steps != 36 || card.Recipe.Seed != 5 || len(card.Epochs) != 3 ||
		card.Epochs[2].TestTop1 != 55 {
		t.Errorf("training.json says %+v", card)
	}
	m, err := vit.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(m.Params.Config.Labels, []string{"vertical", "horizontal"}) {
		t.Errorf("labels %v", m.Params.Config.Labels)
	}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "already holds a run") {
		t.Errorf("a second run over the first: %v", err)
	}
}

// TestResume interrupts a run twice, once mid-epoch, damages the newest checkpoint, and wants the bits of an
// undisturbed run.
func TestResume(t *testing.T) {
	for _, precision := range []string{train.F32, train.BF16} {
		t.Run(precision, func(t *testing.T) {
			testResume(t, func(dir string) Options {
				o := stripesRun(t, dir)
				o.Recipe.Precision = precision
				return o
			})
		})
	}
	t.Run("sliced", func(t *testing.T) {
		testResume(t, func(dir string) Options {
			o := stripesRun(t, dir)
			o.Recipe.Slice = &slicing.Size{Embed: 8, Heads: 1, Hidden: 20}
			return o
		})
	})
}

func testResume(t *testing.T, options func(dir string) Options) {
	// a name that is no pattern
	whole, broken := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "broken[1]")
	if _, err := Run(t.Context(), options(whole)); err != nil {
		t.Fatal(err)
	}
	o := options(broken)
	o.Resume = true // there is nothing to resume at first
	for _, stop := range []int{7, 20} {
		ctx, cancel := context.WithCancel(t.Context())
		o.Progress = func(p Progress) {
			if p.Step == stop {
				cancel()
			}
		}
		if _, err := Run(ctx, o); !errors.Is(err, ErrInterrupted) {
			t.Fatalf("interrupted at step %d: %v", stop, err)
		}
		cancel()
		if _, err := os.Stat(filepath.Join(broken, "config.json")); err == nil {
			t.Fatal("an unfinished run left a model")
		}
		o.Threads++
	}
	found, err := savedSteps(broken)
	if err != nil || len(found) != 2 {
		t.Fatalf("checkpoints %v, %v: want two", found, err)
	}
	newest := checkpointPath(broken, found[0])
	torn, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	torn[len(torn)-5] ^= 1
	if err := os.WriteFile(newest, torn, 0o666); err != nil {
		t.Fatal(err)
	}
	other := o
	other.Recipe.Seed++
	if _, err := Run(t.Context(), other); !errors.Is(err, errOtherRun) {
		t.Errorf("resumed with another seed: %v", err)
	}
	o.Progress = nil
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(storedWeights(t, broken), storedWeights(t, whole)) {
		t.Error("the resumed run ended with other weights")
	}
	one, _ := ReadLog(whole)
	two, _ := ReadLog(broken)
	if len(one) != len(two) {
		t.Fatalf("logs have %d and %d lines", len(one), len(two))
	}
	for _, log := range [][]Entry{one, two} {
		for i := range log {
			log[i].Seconds, log[i].ImagesPerSecond = 0, 0
		}
	}
	if !reflect.DeepEqual(one, two) {
		t.Errorf("the log is\n%+v\nwant\n%+v", two, one)
	}
	if list, err := savedSteps(broken); err != nil || len(list) != 2 {
		t.Errorf("checkpoints %v, %v: want two", list, err)
	}
}

func TestRunStopsAtNaN(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	o := stripesRun(t, dir)
	o.Init.Params.Blocks[1].FC1Weight[3] = float32(1e38)
	o.Recipe.LR = 10
	_, err := Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "step") {
		t.Fatalf("a run that overflows ended with %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err == nil {
		t.Error("it left a model")
	}
}

func TestRunRefuses(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"other image size": func(o *Options) {
			o.Init.Params.Config.Height = 32
			o.Init.Params = vit.Initialize(o.Init.Params.Config, 1, 0)
		},
		"other classes": func(o *Options) {
			o.Init.Params.Config.Classes = 5
			o.Init.Params = vit.Initialize(o.Init.Params.Config, 1, 0)
		},
		"no variant":       func(o *Options) { o.Init = nil },
		"unknown variant":  func(o *Options) { o.Init, o.Recipe.Variant = nil, "resnet" },
		"unwritable":       func(o *Options) { o.Dir = "/dev/null/model" },
		"absurd prior":     func(o *Options) { o.Recipe.TargetLayer = 300 },
		"too wide a slice": func(o *Options) { o.Recipe.Slice = &slicing.Size{Hidden: 64} },
		"a slice of nothing": func(o *Options) {
			o.Init, o.Recipe.Variant, o.Recipe.Slice = nil, "fashion-small", &slicing.Size{Hidden: 20}
		},
	} {
		o := stripesRun(t, filepath.Join(t.TempDir(), "model"))
		change(&o)
		if _, err := Run(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// device is a Backend whose memory is elsewhere: all that it tells and takes is copied.
type device struct{ on *train.Stepper }

func (d device) Step(u train.Update) (train.Stats, error) { return d.on.Step(u) }
func (d device) Close() error                             { return d.on.Close() }

func (d device) Params() (weights, average *vit.Params, err error) {
	weights, average, err = d.on.Params()
	return weights.Clone(), average.Clone(), err
}

func (d device) State() ([]train.Tensor, error) {
	state, err := d.on.State()
	for i := range state {
		state[i].Data = slices.Clone(state[i].Data)
	}
	return state, err
}

func (d device) Restore(steps int, state []train.Tensor) error { return d.on.Restore(steps, state) }

// TestBackends: a run that goes from one backend to another and back ends with the weights of one that stayed.
func TestBackends(t *testing.T) {
	whole, moved := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "moved")
	run := func(dir string) Options {
		o := stripesRun(t, dir)
		o.Recipe.LearnGate, o.Resume = true, true
		o.Data.Validation, o.Data.Test = stripes(t, 20), stripes(t, 20)
		return o
	}
	if _, err := Run(t.Context(), run(whole)); err != nil {
		t.Fatal(err)
	}
	for _, stop := range []int{7, 20, 36} {
		ctx, cancel := context.WithCancel(t.Context())
		o := run(moved)
		o.Progress = func(p Progress) {
			if p.Step == stop {
				cancel()
			}
		}
		if stop == 20 {
			o.Backend = func(p *vit.Params, s train.Settings, threads int) (Backend, error) {
				on, err := train.NewStepper(p, s, threads)
				return device{on}, err
			}
		}
		if _, err := Run(ctx, o); !errors.Is(err, ErrInterrupted) {
			t.Fatalf("stopped at step %d: %v", stop, err)
		}
	}
	if _, err := Run(t.Context(), run(moved)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(storedWeights(t, moved), storedWeights(t, whole)) {
		t.Error("other weights")
	}
	sameLogs(t, whole, moved)
	o := run(filepath.Join(t.TempDir(), "none"))
	o.Backend = func(*vit.Params, train.Settings, int) (Backend, error) { return nil, errors.New("no such device") }
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "no such device") {
		t.Errorf("%v, want what the backend says", err)
	}
}
