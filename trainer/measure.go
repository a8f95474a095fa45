package trainer

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// Figures are what weights reached on a part of the data.
type Figures struct {
	Images          int     `json:"images"`
	ImagesPerSecond float64 `json:"images_per_second"`
	MACs            float64 `json:"macs_per_image"`
	MeanDepth       float64 `json:"mean_depth"` // blocks a token ran in, mean over all tokens
	Top1            float64 `json:"top1"`       // percent
	Top5            float64 `json:"top5"`
}

// PrecisionLoss is what other precisions than f32 cost a model, in points of top-1 on the validation images: top-1 in
// f32 less that in bf16, int8.
type PrecisionLoss struct {
	BF16 float64 `json:"bf16"`
	Int8 float64 `json:"int8"`
}

// evaluate runs a model over a part of the data, as many images of it as the recipe allows.
func (r *runner) evaluate(ctx context.Context, m *vit.Model, d data.Dataset, p infer.Precision) (eval.Result, error) {
	run := eval.Run
	if b, ok := r.backend.(Evaluator); ok && p == infer.F32 {
		run = b.Evaluate
	}
	return run(ctx, m, d, eval.Options{Limit: r.Recipe.Limit, Threads: r.Threads, Precision: p})
}

// measure evaluates weights and average after an epoch and writes what they reached into its entry.
func (r *runner) measure(ctx context.Context, weights, average *vit.Params, e *Entry) error {
	for _, m := range []struct {
		p    *vit.Params
		d    data.Dataset
		did  string
		into **Figures
	}{
		{weights, r.Data.Validation, "validated", &e.Validation}, {weights, r.Data.Test, "tested", &e.Test},
		{average, r.Data.Validation, "validated the average", &e.ValidationEMA},
		{average, r.Data.Test, "tested the average", &e.TestEMA},
	} {
		if m.d == nil || m.p == average && r.Recipe.EMA == 0 {
			continue
		}
		f, err := r.figures(ctx, &vit.Model{Params: m.p, Preprocessor: r.preprocessor}, m.d, m.did)
		if err != nil {
			return err
		}
		*m.into = f
	}
	return nil
}

// figures are what a model reaches on a part of the data in f32. The log tells them, too: the model was did.
func (r *runner) figures(ctx context.Context, m *vit.Model, d data.Dataset, did string) (*Figures, error) {
	f, err := r.evaluate(ctx, m, d, infer.F32)
	if err != nil {
		return nil, err
	}
	r.Log.Info(did, "top1", rounded(f.Top1), "mean_depth", rounded(f.MeanDepth), "macs_per_image", f.MACs,
		"images", f.Images)
	return &Figures{f.Images, f.ImagesPerSecond, f.MACs, f.MeanDepth, f.Top1, f.Top5}, nil
}

// precisionLoss measures what each precision costs the stored model; nil without validation images.
func (r *runner) precisionLoss(ctx context.Context) (*PrecisionLoss, error) {
	if r.Data.Validation == nil {
		return nil, nil
	}
	m, err := vit.Load(r.Dir)
	if err != nil {
		return nil, err
	}
	var top1 [3]float64
	for i, p := range []infer.Precision{infer.F32, infer.BF16, infer.Int8} {
		e, err := r.evaluate(ctx, m, r.Data.Validation, p)
		if err != nil {
			return nil, err
		}
		top1[i] = e.Top1
	}
	return &PrecisionLoss{rounded(top1[0] - top1[1]), rounded(top1[0] - top1[2])}, nil
}

// calibrate measures the ladder of the stored model, if the recipe wants it or has a budget, on the validation images,
// and stores it; and with a budget, the constants of the rung that costs it on the average, for in training the mean is
// one over augmented images and drawn centers. A model without a ladder is as good as it was.
func (r *runner) calibrate(ctx context.Context) (changed bool, err error) {
	budget := r.Recipe.Budget
	if !r.Recipe.Ladder && budget == 0 {
		return false, nil
	}
	m, err := vit.Load(r.Dir)
	if err != nil || !m.Params.Config.Halting.Adaptive() {
		return false, err
	}
	if r.Data.Validation == nil {
		r.Log.Warn("no validation images, so no ladder of budgets is measured")
		return false, nil
	}
	r.Log.Info("measuring budgets")
	var budgets []float64 // all that are usual
	if budget > 0 && !r.Recipe.Ladder {
		budgets = []float64{budget}
	} else if budget > 0 {
		budgets = append(eval.DefaultBudgets(), budget)
	}
	// A model that has not learnt to predict after every block is given no exit here; adavit calibrate tries one.
	l, err := eval.Calibrate(ctx, m, r.Data.Validation, eval.CalibrateOptions{Threads: r.Threads, Budgets: budgets,
		NoExit: m.Params.Config.Halting.Exit() == 0,
		Limit:  min(cmp.Or(r.Recipe.Limit, eval.CalibrationImages), eval.CalibrationImages)})
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		r.Log.Warn("no ladder of budgets", "error", err)
		return false, nil
	}
	if text := l.Caution(); text != "" {
		r.Log.Warn(text)
	}
	if r.Recipe.Ladder {
		m.Ladder, m.Calibration = l.Rungs, l.Calibration
		m.Calibration.Data, m.Calibration.Part = r.DataName, "validation"
		r.Log.Info("measured budgets", "rungs", len(l.Rungs), "from", rounded(l.Rungs[0].Mean), "to",
			rounded(l.Rungs[len(l.Rungs)-1].Mean), "out_of_reach", len(l.Missed))
		if budget == 0 {
			return false, vit.SaveLadder(r.Dir, m)
		}
	}
	nearest := slices.MinFunc(l.Rungs, func(a, b vit.Rung) int {
		return cmp.Compare(math.Abs(a.Mean-budget), math.Abs(b.Mean-budget))
	})
	h := &m.Params.Config.Halting
	*h = nearest.Apply(*h)
	m.Calibration.Mean = nearest.Mean
	r.Log.Info("set the constants for the budget", "budget", budget, "mean", nearest.Mean, "halting", h.String())
	return true, vit.Save(r.Dir, m, weights.DType(r.Recipe.Store))
}

// measureStored evaluates the stored model, whose constants are no longer those that its epoch was measured with.
func (r *runner) measureStored(ctx context.Context) (validation, test *Figures, err error) {
	m, err := vit.Load(r.Dir)
	if err != nil {
		return nil, nil, err
	}
	if validation, err = r.figures(ctx, m, r.Data.Validation, "validated the model"); err == nil && r.Data.Test != nil {
		test, err = r.figures(ctx, m, r.Data.Test, "tested the model")
	}
	return validation, test, err
}

// rounded is a figure to two places.
func rounded(v float64) float64 { return math.Round(v*100) / 100 }

// averaged reports whether the moving average is what is kept of the two after this epoch: where it did better on the
// validation images than the weights, or as well, and where there are no such images to tell.
func (r *runner) averaged(e Entry) bool {
	if e.Validation == nil || e.ValidationEMA == nil {
		return r.Recipe.EMA > 0
	}
	return e.ValidationEMA.Top1 >= e.Validation.Top1
}

// kept are the figures of what is kept of the two after this epoch; nil where nothing was measured.
func (r *runner) kept(e Entry) (validation, test *Figures) {
	if r.averaged(e) {
		return e.ValidationEMA, e.TestEMA
	}
	return e.Validation, e.Test
}

// bests lists the steps of the epochs after which the kept weights did better on the validation images than after all
// before, rising.
func bests(epochs []Entry) []int {
	var steps []int
	best := 0.0
	for _, e := range epochs {
		if e.Validation == nil {
			continue
		}
		top1 := e.Validation.Top1
		if e.ValidationEMA != nil {
			top1 = max(top1, e.ValidationEMA.Top1)
		}
		if steps == nil || top1 > best {
			steps, best = append(steps, e.Step), top1
		}
	}
	return steps
}

// choice is what becomes the model, and what training.json says of it.
type choice struct {
	params *vit.Params
	entry  Entry
	what   string
}

// choose finds the weights that become the model: those of the last epoch, or with the recipe's keep = "best" of the
// one that did best on the validation images; of the two, raw and average, those that did better on them.
func (r *runner) choose() (choice, error) {
	e, when := r.epochs[len(r.epochs)-1], "of the last step"
	if list := bests(r.epochs); r.Recipe.Keep == KeepBest && len(list) > 0 {
		if step := list[len(list)-1]; step == e.Step {
			when += ", whose validation top-1 was best"
		} else { // the run is over: its memory can take what the file holds
			if _, err := r.load(step); err != nil {
				return choice{}, fmt.Errorf("the best epoch's checkpoint: %w; keep=last takes the last epoch's weights", err)
			}
			e = r.epochs[slices.IndexFunc(r.epochs, func(e Entry) bool { return e.Step == step })]
			when = fmt.Sprintf("after epoch %d, whose validation top-1 was best", e.Epoch)
		}
	}
	weights, average, err := r.backend.Params()
	c := choice{params: weights, entry: e, what: "weights " + when}
	if r.averaged(e) {
		c.params, c.what = average, "moving average "+when
	}
	if e.Validation != nil && e.ValidationEMA != nil {
		c.what += fmt.Sprintf(" (validation top-1 %.2f raw, %.2f averaged)", e.Validation.Top1, e.ValidationEMA.Top1)
	}
	return c, err
}
