package trainer

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/vit"
)

// otherwise is a data set whose labels are all wrong.
type otherwise struct{ data.Dataset }

func (o otherwise) Label(i int) int { return 1 - o.Dataset.Label(i) }

// TestChosenByValidation: the weights that the validation images speak for become the model, whatever the test images
// say. The average is near the first weights here, and the test images' labels are wrong: they would have it.
func TestChosenByValidation(t *testing.T) {
	o := stripesRun(t, filepath.Join(t.TempDir(), "model"))
	o.Data.Validation, o.Data.Test = stripes(t, 50), otherwise{stripes(t, 60)}
	r := &o.Recipe
	r.EMA, r.Epochs, r.WarmupEpochs, r.LR, r.Limit = 0.9999, 1, 0, 1e-2, 64
	disagree := false
	o.Epoch = func(_ context.Context, e Entry, p *vit.Params) error {
		t.Logf("validation %.1f raw, %.1f averaged; test %.1f, %.1f", e.Validation.Top1, e.ValidationEMA.Top1,
			e.Test.Top1, e.TestEMA.Top1)
		disagree = e.Validation.Top1 > e.ValidationEMA.Top1 && e.Test.Top1 < e.TestEMA.Top1
		return nil
	}
	got, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !disagree || !strings.HasPrefix(got.Kept, "weights of the last step (validation top-1 ") {
		t.Errorf("kept %s, the two parts disagree: %v", got.Kept, disagree)
	}
	if got.Test.Top1 > 50 || got.Test.Images != 60 || got.Validation.Top1 < 50 || got.Validation.Images != 50 {
		t.Errorf("test %+v, validation %+v", got.Test, got.Validation)
	}
	card, err := ReadCard(o.Dir)
	if err != nil || card.Kept != got.Kept || card.PrecisionLoss == nil || card.Epochs[0].TestTop1 != got.Test.Top1 {
		t.Errorf("%+v, %v", card, err)
	}
}

// TestBestByValidation: the best epoch, and what each precision costs, are found on the validation images alone.
func TestBestByValidation(t *testing.T) {
	o := stripesRun(t, filepath.Join(t.TempDir(), "model"))
	o.Data.Validation, o.Data.Test = stripes(t, 50), stripes(t, 60)
	o.Recipe.Keep, o.Recipe.EMA = KeepBest, 0
	epoch := 0
	judge(t, &o, func(_ context.Context, _ *vit.Params, d data.Dataset) (float64, error) {
		if d.Len() == 60 {
			return []float64{0, 10, 50, 90}[min(epoch, 3)], nil
		}
		epoch++
		return []float64{0, 70, 80, 60}[min(epoch, 3)], nil
	})
	got, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got.KeptEpoch != 2 || got.Validation.Top1 != 80 || got.Test.Top1 != 50 {
		t.Errorf("%+v, test %+v: want epoch 2", got, got.Test)
	}
	// Without validation images nothing is chosen: it is the last epoch's average.
	o = stripesRun(t, filepath.Join(t.TempDir(), "untold"))
	o.Data.Test, o.Recipe.Keep = otherwise{stripes(t, 60)}, KeepBest
	if got, err = Run(t.Context(), o); err != nil || got.Kept != "moving average of the last step" || got.Test == nil {
		t.Errorf("%+v, %v", got, err)
	}
	if card, err := ReadCard(o.Dir); err != nil || card.PrecisionLoss != nil {
		t.Errorf("%+v, %v: nothing tells what a precision costs", card, err)
	}
}

// TestLadder: with "ladder" a run leaves a ladder that the validation images have made, whatever the test images say;
// the model has the bits that it has without. Interrupted there, it goes on.
func TestLadder(t *testing.T) {
	o := stripesRun(t, filepath.Join(t.TempDir(), "plain"))
	o.Data.Validation, o.Data.Test, o.DataName = stripes(t, 40), otherwise{stripes(t, 60)}, "stripes"
	o.Recipe.Epochs = 1
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	plain, err := vit.Load(o.Dir)
	if err != nil || plain.Ladder != nil {
		t.Fatalf("%+v, %v", plain.Ladder, err)
	}
	o.Dir, o.Recipe.Ladder = filepath.Join(t.TempDir(), "ladder"), true
	ctx, cancel := context.WithCancel(t.Context())
	o.Log = slog.New(slog.NewTextHandler(writer(func(line []byte) {
		if bytes.Contains(line, []byte("measuring budgets")) {
			cancel()
		}
	}), nil))
	if _, err := Run(ctx, o); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("interrupted while budgets are measured: %v", err)
	}
	o.Resume, o.Log = true, nil
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	m, err := vit.Load(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(m.Params.Data, plain.Params.Data) {
		t.Error("the model has changed")
	}
	if c := m.Calibration; len(m.Ladder) < 3 || c.Images != 40 || c.Data != "stripes" || c.Part != "validation" {
		t.Errorf("%d rungs, %+v", len(m.Ladder), c)
	}
	for _, r := range m.Ladder {
		got, err := eval.Run(t.Context(), m.WithHalting(r.Apply(m.Params.Config.Halting)), o.Data.Validation,
			eval.Options{Precision: infer.Precision(m.Calibration.Precision)})
		if err != nil || r.Top1 == nil || math.Abs(*r.Top1-got.Top1) > 0.01 {
			t.Errorf("%+v comes to %+v on the validation images, %v", r, got, err)
		}
	}
	// A run that has ended stays as it is, with what somebody has measured since.
	m.Ladder = m.Ladder[:2]
	if err := vit.SaveLadder(o.Dir, m); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if again, err := vit.Load(o.Dir); err != nil || len(again.Ladder) != 2 ||
		again.Params.Config.Halting.String() != m.Params.Config.Halting.String() {
		t.Errorf("resumed after its end: %+v, %v", again, err)
	}
	// A model that does not halt, and a run without validation images, have none.
	o = stripesRun(t, filepath.Join(t.TempDir(), "dense"))
	o.Recipe.Ladder, o.Recipe.Epochs, o.Data.Validation = true, 1, stripes(t, 40)
	dense := halting.Dense()
	o.Recipe.Halting = &dense
	untold := stripesRun(t, filepath.Join(t.TempDir(), "untold"))
	untold.Recipe.Ladder, untold.Recipe.Epochs = true, 1
	for _, o := range []Options{o, untold} {
		if _, err := Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if m, err := vit.Load(o.Dir); err != nil || m.Ladder != nil {
			t.Errorf("%+v, %v", m, err)
		}
	}
}

// TestBudget: a run with a budget leaves a model that costs it on the validation images, with a ladder or without, and
// tells what that model, not its epoch's, came to.
func TestBudget(t *testing.T) {
	for _, ladder := range []bool{false, true} {
		o := stripesRun(t, filepath.Join(t.TempDir(), "budget"))
		o.Data.Validation, o.Data.Test = stripes(t, 200), stripes(t, 60)
		o.Recipe.Budget, o.Recipe.BudgetSpread, o.Recipe.CenterSpread, o.Recipe.Ladder = 0.6, 0.2, 2, ladder
		credit := halting.Config{Scheme: "token"}.With("gate_scale", 3).With("gate_center", 0.8).With("credit", 1)
		o.Recipe.Halting = &credit
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		m, err := vit.Load(o.Dir)
		if err != nil {
			t.Fatal(err)
		}
		c := m.Params.Config
		if got := r.Validation.MeanDepth / float64(c.Layers); math.Abs(got-0.6) > 0.03 {
			t.Errorf("ladder %v: it costs %v of the dense token-blocks, want 0.6", ladder, got)
		}
		if h := c.Halting; h.Number("exit") != 0 || h.Number("gate_center") == 0.8 || h.Number("credit") != 1 ||
			(m.Ladder != nil) != ladder {
			t.Errorf("ladder %v: %s, %d rungs", ladder, c.Halting, len(m.Ladder))
		}
		test, err := eval.Run(t.Context(), m, o.Data.Test, eval.Options{Precision: infer.F32})
		if err != nil || test.Top1 != r.Test.Top1 || test.MeanDepth != r.Test.MeanDepth {
			t.Errorf("ladder %v: the run tells %+v of its model, which comes to %+v, %v", ladder, r.Test, test, err)
		}
	}
}

// writer is a function that is given what is written.
type writer func(b []byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }
