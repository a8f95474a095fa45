package tools

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/trainer"
)

// Train runs a recipe, with TensorBoard's files and a report. It finds by their names the data (o.DataName, as
// datasets.Find takes it), the model to start from (o.InitName, as Open takes it; "" for the recipe's own) and the
// teacher. precision is Auto or F32: training has no other.
func Train(ctx context.Context, o trainer.Options, precision infer.Precision) (trainer.Result, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Report, o.TensorBoard = true, true
	if err := find(ctx, &o, precision); err != nil {
		return trainer.Result{}, err
	}
	return trainer.Run(ctx, o)
}

// find opens what the names stand for.
func find(ctx context.Context, o *trainer.Options, precision infer.Precision) (err error) {
	if p, err := infer.Resolve(precision, nil); err != nil {
		return err
	} else if p != infer.F32 {
		return usage.Errorf("training computes in f32, not in %s", p)
	}
	if o.Threads, err = parallel.Threads(o.Threads); err != nil {
		return err
	}
	if o.Workers < 0 || o.Workers > parallel.MaxThreads {
		return usage.Errorf("%d workers, want 1 to %d (or 0 for as many as threads)", o.Workers, parallel.MaxThreads)
	}
	o.InitName = cmp.Or(o.InitName, o.Recipe.Init)
	if o.InitName == "" && o.NewHead {
		return usage.Errorf("a new head is for a model to start from, and none is named")
	}
	source, err := datasets.Find(o.DataName, o.Log)
	if err != nil {
		return err
	}
	if o.Data, err = trainer.PartsOf(o.DataName, source, o.Recipe, o.Dir, o.Resume, o.Log); err != nil {
		return err
	}
	if o.InitName != "" {
		if o.Init, err = adavit.OpenContext(ctx, o.InitName, adavit.OpenOptions{}); err != nil {
			return err
		}
	}
	if d := o.Recipe.Distill; d != nil {
		if o.Teacher, err = adavit.OpenContext(ctx, d.Model, adavit.OpenOptions{}); err != nil {
			return fmt.Errorf("teacher: %w", err)
		}
	}
	return nil
}
