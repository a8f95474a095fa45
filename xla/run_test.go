package xla

import (
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
	p.settings.LearnGate, p.settings.Freeze = true, []string{"blocks.1.*", "pos_embed"}
	return p
}

// steps takes so many steps of a course.
func steps(t *testing.T, b trainer.Backend, p problem, n int) (list []train.Stats) {
	t.Helper()
	for range n {
		st, err := b.Step(p.update(2))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, st)
	}
	return list
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

// TestHandOver: a run that one engine begins and the other goes on with, in both directions, takes the steps of one
// that our own engine takes alone.
func TestHandOver(t *testing.T) {
	d, p := open(t, 1), course()
	ours := func() trainer.Backend {
		b, err := train.NewStepper(p.params.Clone(), p.settings, 1)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	alone := ours()
	want := steps(t, alone, p, 4)
	theirs, err := NewStepper(d, p.params.Clone(), p.settings, Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	end := func(b trainer.Backend) (weights, average *vit.Params) {
		weights, average, err := b.Params()
		if err != nil {
			t.Fatal(err)
		}
		return weights, average
	}
	check := func(name string, got []train.Stats, last trainer.Backend) {
		t.Helper()
		for i := range want {
			compare(t, got[i], want[i], 1e-3)
		}
		weights, average := end(last)
		trueWeights, trueAverage := end(alone)
		if by := apart(weights.Data, trueWeights.Data); by > 1e-3 {
			t.Errorf("%s: weights differ by %g", name, by)
		}
		if by := apart(average.Data, trueAverage.Data); by > 1e-3 {
			t.Errorf("%s: averages differ by %g", name, by)
		}
		for _, key := range []string{"gate_scale", "gate_center"} {
			was, is := p.params.Config.Halting.Number(key), weights.Config.Halting.Number(key)
			if is == was || math.Abs(is-trueWeights.Config.Halting.Number(key)) > 1e-4 {
				t.Errorf("%s: %s is %v after %v, want %v", name, key, is, was, trueWeights.Config.Halting.Number(key))
			}
		}
		for i, tensor := range weights.Tensors() {
			frozen := tensor.Name == "pos_embed" || strings.HasPrefix(tensor.Name, "blocks.1.")
			if same := slices.Equal(tensor.Data, p.params.Tensors()[i].Data); same != frozen {
				t.Errorf("%s: frozen is %t, but %s has its old bits: %t", name, frozen, tensor.Name, same)
			}
		}
	}

	got := steps(t, theirs, p, 2)
	own := ours()
	handOver(t, theirs, own, 2)
	check("there and here", append(got, steps(t, own, p, 2)...), own)

	own = ours()
	got = steps(t, own, p, 2)
	handOver(t, own, theirs, 2)
	check("here and there", append(got, steps(t, theirs, p, 2)...), theirs)
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
