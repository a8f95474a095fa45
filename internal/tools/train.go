package tools

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/trainer"
	"github.com/adavit/adavit/vit"
)

// TrainOptions are what Train is given besides its recipe.
type TrainOptions struct {
	Recipe  trainer.Recipe
	Data    string // a data set as datasets.Find names it
	Dir     string // becomes the model's directory, with logs, tensorboard/ and checkpoints/ beside the model
	Init    string // model to start from, as Open names it; "" for the recipe's own
	NewHead bool   // give that model a fresh head for the data's classes
	Resume  bool   // go on from Dir's newest whole checkpoint, or start if there is none
	Threads int    // 0 for the CPUs that the process may use
	// goroutines that decode and augment images; 0 for as many as threads. Neither changes the result
	Workers   int
	Precision infer.Precision // Auto or F32: training has no other
	Log       *slog.Logger
	Progress  func(trainer.Progress) // after each step; may be nil
}

// Train finds data and models by their names and runs a recipe, with TensorBoard's files and a report.
func Train(ctx context.Context, o TrainOptions) (trainer.Result, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	run, err := o.options(ctx)
	if err != nil {
		return trainer.Result{}, err
	}
	return trainer.Run(ctx, run)
}

// options opens what the names stand for.
func (o TrainOptions) options(ctx context.Context) (run trainer.Options, err error) {
	run = trainer.Options{Recipe: o.Recipe, NewHead: o.NewHead, Dir: o.Dir, Resume: o.Resume, Report: true,
		TensorBoard: true,
		InitName:    o.Init, DataName: o.Data, Workers: o.Workers, Progress: o.Progress, Log: o.Log}
	if p, err := infer.Resolve(o.Precision, nil); err != nil {
		return run, err
	} else if p != infer.F32 {
		return run, usage.Errorf("training computes in f32, not in %s", p)
	}
	if run.Threads, err = parallel.Threads(o.Threads); err != nil {
		return run, err
	}
	if o.Workers < 0 || o.Workers > parallel.MaxThreads {
		return run, usage.Errorf("%d workers, want 1 to %d (or 0 for as many as threads)", o.Workers, parallel.MaxThreads)
	}
	if run.InitName == "" {
		run.InitName = o.Recipe.Init
	}
	if run.InitName == "" && o.NewHead {
		return run, usage.Errorf("a new head is for a model to start from, and none is named")
	}
	source, err := datasets.Find(o.Data, o.Log)
	if err != nil {
		return run, err
	}
	if run.Data, err = trainer.PartsOf(o.Data, source, o.Recipe, o.Dir, o.Resume, o.Log); err != nil {
		return run, err
	}
	open := func(name string) (*vit.Model, error) { return adavit.OpenContext(ctx, name, adavit.OpenOptions{}) }
	if run.InitName != "" {
		if run.Init, err = open(run.InitName); err != nil {
			return run, err
		}
	}
	if d := o.Recipe.Distill; d != nil {
		if run.Teacher, err = open(d.Model); err != nil {
			return run, fmt.Errorf("teacher: %w", err)
		}
	}
	return run, nil
}
