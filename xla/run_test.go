package xla

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/trainer"
	"github.com/adavit/adavit/vit"
)

// course is a run in which all of a stepper's state changes: a budget, learnt gates, frozen tensors, batches in parts.
func course() problem {
	p := problems()["exit, budget, teacher's tokens"]
	p.settings.LearnGate, p.settings.Freeze, p.settings.LayerDecay = true, []string{"blocks.1.*", "pos_embed"}, 0.7
	return p
}

// step takes a step of a course.
func step(t *testing.T, b trainer.Backend, p problem) train.Stats {
	t.Helper()
	st, err := b.Step(p.update(2))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// handOver makes b go on from where a stands after so many steps.
func handOver(t *testing.T, a, b trainer.Backend, steps int) {
	t.Helper()
	state, err := a.State()
	if err == nil {
		err = b.Restore(steps, state)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestHandOver: the engines go on with each other's runs, and the next step comes to the same from either.
func TestHandOver(t *testing.T) {
	d, p := open(t, 1), course()
	ours, err := train.NewStepper(p.params.Clone(), p.settings, 1)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := NewStepper(d, p.params.Clone(), p.settings, Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	check := func() {
		t.Helper()
		compare(t, step(t, theirs, p), step(t, ours, p), most)
		want, err := ours.State()
		if err != nil {
			t.Fatal(err)
		}
		got, err := theirs.State()
		if err != nil {
			t.Fatal(err)
		}
		for i, tensor := range want {
			// Where a gradient is 0 but for rounding, AdamW makes a step of it all the same.
			most := map[string]float64{"moment1": most, "moment2": 2 * most, "controller": most}[tensor.Name]
			if by := apart(got[i].Data, tensor.Data); by > cmp.Or(most, 1e-3) {
				t.Errorf("%s differs by %g", tensor.Name, by)
			}
		}
	}
	step(t, ours, p)
	step(t, ours, p)
	handOver(t, ours, theirs, 2)
	check()
	handOver(t, theirs, ours, 3)
	check()

	weights, average, err := theirs.Params()
	if err != nil {
		t.Fatal(err)
	}
	was := p.params.Config.Halting.Number("gate_scale")
	if is := weights.Config.Halting.Number("gate_scale"); is == was || is == average.Config.Halting.Number("gate_scale") {
		t.Errorf("the gates' scale is %v after %v, and so is its average", is, was)
	}
	for i, tensor := range weights.Tensors() {
		frozen := tensor.Name == "pos_embed" || strings.HasPrefix(tensor.Name, "blocks.1.")
		if same := slices.Equal(tensor.Data, p.params.Tensors()[i].Data); same != frozen {
			t.Errorf("frozen is %t, but that %s has its old bits is %t", frozen, tensor.Name, same)
		}
	}
}

// TestNotFinite: a step that goes wrong changes nothing.
func TestNotFinite(t *testing.T) {
	d, p := open(t, 1), newProblem(halting.Dense(), func(c *vit.Config) { c.Layers = 1 })
	b, err := NewStepper(d, p.params.Clone(), p.settings, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	load := p.batch.Load
	p.batch.Load = func(i int, dst []float32) error {
		dst[0] = float32(math.Inf(1))
		return nil
	}
	bad := new(train.NotFiniteError)
	if _, err := b.Step(p.update(1)); !errors.As(err, &bad) || !strings.Contains(bad.Where, "pixel of +Inf") {
		t.Errorf("%v, want an error about a pixel", err)
	}
	weights, _, err := b.Params()
	if err != nil || !slices.Equal(weights.Data, p.params.Data) {
		t.Errorf("weights have changed (%v)", err)
	}
	p.batch.Load = load
	if st, err := b.Step(p.update(1)); err != nil || !finite(st.Loss) {
		t.Errorf("the step after: %v, %v", st.Loss, err)
	}
}

// TestRefusals: what has no graph is refused before anything is done.
func TestRefusals(t *testing.T) {
	c := newProblem(halting.Config{Scheme: "sact"}, nil).params.Config
	if _, err := newScheme(c); err == nil || !strings.Contains(err.Error(), `"sact"`) {
		t.Errorf("sact: %v", err)
	}
	if _, err := newSchedule(vit.Config{Pooling: vit.Mean, Patch: 4, Height: 8, Width: 8, Layers: 2}, 4); err == nil {
		t.Error("buckets for a mean of patches were accepted")
	}
	if _, err := Open("/no/such/plugin.so", 1); err == nil || !strings.Contains(err.Error(), "plugin.sh") {
		t.Errorf("a plugin that is not there: %v", err)
	}
}
