package adavit

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/trainer"
	"github.com/adavit/adavit/vit"
)

// TrainOptions are what Train is given besides its recipe.
type TrainOptions struct {
	Recipe    trainer.Recipe
	Data      string // a data set as datasets.OpenParts names it
	Dir       string // becomes the model's directory, with logs, tensorboard/ and checkpoints/ beside the model
	Init      string // model to start from, as Open names it; "" for the recipe's own
	NewHead   bool   // give that model a fresh head for the data's classes
	Resume    bool   // go on from Dir's newest whole checkpoint, or start if there is none
	Threads   int    // 0 for the CPUs that the process may use
	Workers   int    // goroutines that decode and augment images; 0 for as many as threads. Neither changes the result
	Precision string // "" or auto or f32: training has no other
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
	run = trainer.Options{Recipe: o.Recipe, NewHead: o.NewHead, Dir: o.Dir, Resume: o.Resume, Report: true, TensorBoard: true,
		InitName: o.Init, DataName: o.Data, Workers: o.Workers, Progress: o.Progress, Log: o.Log}
	if p, err := precision(o.Precision, nil); err != nil {
		return run, err
	} else if p != infer.F32 {
		return run, fmt.Errorf("%w: training computes in f32, not in %s", ErrUsage, p)
	}
	if run.Threads, err = threads(o.Threads); err != nil {
		return run, err
	}
	if o.Workers < 0 || o.Workers > maxThreads {
		return run, fmt.Errorf("%w: %d workers, want 1 to %d (or 0 for as many as threads)", ErrUsage, o.Workers, maxThreads)
	}
	if run.InitName == "" {
		run.InitName = o.Recipe.Init
	}
	if run.InitName == "" && o.NewHead {
		return run, fmt.Errorf("%w: a new head is for a model to start from, and none is named", ErrUsage)
	}
	if run.Data, err = o.parts(); err != nil {
		return run, err
	}
	run.Recipe.Validation = run.Data.Share
	open := func(name string) (*vit.Model, error) { return OpenContext(ctx, name, OpenOptions{}) }
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

// parts opens the data. A run that was begun when nothing was held out of training images with a test part beside them goes
// on with all of them, and has no validation images.
func (o TrainOptions) parts() (data.Parts, error) {
	p, err := datasets.OpenParts(o.Data, o.Recipe.Validation, trainer.HeldOutSeed, o.Log)
	if err != nil || !o.Resume || o.Recipe.Validation > 0 {
		return p, err
	}
	if before, ok := trainer.Begun(o.Dir); ok && before.Validation == 0 && p.Share > 0 {
		o.Log.Warn("the run was begun without validation images and goes on without", "folder", o.Dir)
		p.Train, err = datasets.Open(o.Data, data.Train, o.Log)
		p.Validation, p.Share = nil, 0
	}
	return p, err
}
