package adavit

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/recipes"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// TrainOptions are what Train is given besides its recipe.
type TrainOptions struct {
	Recipe    train.Recipe
	Data      string // a data set as data.Open names it; its test part measures the model after every epoch
	Dir       string // becomes the model's directory, with log.jsonl and checkpoints/ beside the model
	Init      string // model to start from, as Open names it; "" for the recipe's own
	NewHead   bool   // give that model a fresh head for the data's classes
	Resume    bool   // go on from Dir's newest whole checkpoint, or start if there is none
	Threads   int    // 0 for the CPUs that the process may use
	Precision string // "" or auto or f32: training has no other
	Log       *slog.Logger
	Progress  func(train.Progress) // after each step; may be nil
}

// TrainSummary is what a finished run came to.
type TrainSummary struct {
	Dir    string             `json:"model"`
	Epochs int                `json:"epochs"`
	Steps  int                `json:"steps"`
	Report string             `json:"report"` // an HTML file of the run's curves
	Test   map[string]float64 `json:"test"`   // of the weights that were kept: images, top1, top5, mean_depth, macs_per_image
}

// LoadRecipe reads a recipe by its bundled name or from a file, and applies overrides of the form KEY=VALUE.
func LoadRecipe(nameOrFile string, overrides []string) (train.Recipe, error) {
	if slices.Contains(recipes.Names(), nameOrFile) {
		text, err := recipes.Read(nameOrFile)
		if err != nil {
			return train.Recipe{}, err
		}
		return train.ParseRecipe(nameOrFile, text, overrides)
	}
	text, err := readSmall(nameOrFile, maxRecipe)
	if err != nil {
		if os.IsNotExist(err) {
			_, err = recipes.Read(nameOrFile) // its error lists the names
			err = fmt.Errorf("%w, nor is there such a file", err)
		}
		return train.Recipe{}, fmt.Errorf("recipe: %w", err)
	}
	return train.ParseRecipe(nameOrFile, text, overrides)
}

// maxRecipe bounds a recipe's file, which has a page of text.
const maxRecipe = 1 << 20

// readSmall reads a regular file of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%s is not a file of at most %d bytes", path, limit)
	}
	return os.ReadFile(path)
}

// Train runs a recipe and leaves a model directory in o.Dir, with a report of the run's curves. When ctx ends it saves a checkpoint and returns train.ErrInterrupted.
//
// After each epoch the weights, and their moving average, are measured on the test part of the data; with the recipe's "limit" on as many
// test images.
func Train(ctx context.Context, o TrainOptions) (TrainSummary, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	run, err := o.prepare(ctx)
	if err != nil {
		return TrainSummary{}, err
	}
	if err := train.Run(ctx, run); err != nil {
		return TrainSummary{}, err
	}
	log, err := train.ReadLog(o.Dir)
	if err != nil {
		return TrainSummary{}, err
	}
	s := TrainSummary{Dir: o.Dir, Report: filepath.Join(o.Dir, "report.html")}
	if err := report.WriteTraining(s.Report, trainingPage(o, run.Threads, log)); err != nil {
		return TrainSummary{}, err
	}
	if len(log) > 0 {
		last := log[len(log)-1]
		s.Epochs, s.Steps, s.Test = last.Epoch, last.Step, last.Test
		if last.TestEMA != nil {
			s.Test = last.TestEMA
		}
	}
	return s, nil
}

// prepare finds model and data and puts the run together.
func (o TrainOptions) prepare(ctx context.Context) (train.Options, error) {
	r := o.Recipe
	run := train.Options{Recipe: r, DataName: o.Data, Dir: o.Dir, Resume: o.Resume, Progress: o.Progress, Log: o.Log}
	var err error
	if p, err := precision(o.Precision, nil); err != nil {
		return run, err
	} else if p != infer.F32 {
		return run, fmt.Errorf("%w: training computes in f32, not in %s", ErrUsage, p)
	}
	if run.Threads, err = threads(o.Threads); err != nil {
		return run, err
	}
	init := o.Init
	if init == "" {
		init = r.Init
	}
	if init == "" && o.NewHead {
		return run, fmt.Errorf("%w: a new head is for a model to start from, and none is named", ErrUsage)
	}
	if run.Data, err = data.Open(o.Data, data.Train); err != nil {
		return run, err
	}
	var c vit.Config
	if init != "" {
		m, err := OpenContext(ctx, init, nil)
		if err != nil {
			return run, err
		}
		if o.NewHead {
			if m, err = m.ReplaceHead(len(run.Data.Classes()), run.Data.Classes(), r.Seed); err != nil {
				return run, err
			}
		}
		run.InitName = init
		run.Init, run.Preprocessor, c = m.Params, m.Preprocessor, m.Params.Config
	} else {
		if c, err = vit.Variant(r.Variant); err != nil {
			return run, fmt.Errorf("recipe: %w", err)
		}
		run.Preprocessor = data.DefaultPreprocessor(c.Height, c.Width, c.Channels)
	}
	if run.Data, err = data.Fit(run.Data, run.Preprocessor, c.Channels, c.Height, c.Width); err != nil {
		return run, err
	}
	run.InitName, run.DataName = init, o.Data
	test, err := data.Open(o.Data, data.Test)
	if err != nil {
		return run, err
	}
	run.Evaluate = func(ctx context.Context, p *vit.Params) (map[string]float64, error) {
		m := &vit.Model{Params: p, Preprocessor: run.Preprocessor}
		ev, err := Evaluate(ctx, m, test, EvaluateOptions{Limit: r.Limit, Threads: run.Threads, Precision: string(infer.F32)})
		if err != nil {
			return nil, err
		}
		o.Log.Info("tested", "top1", rounded(ev.Top1), "mean_depth", rounded(ev.MeanDepth), "macs_per_image", ev.MACs, "images", ev.Images)
		return map[string]float64{"images": float64(ev.Images), "top1": ev.Top1, "top5": ev.Top5, "mean_depth": ev.MeanDepth,
			"macs_per_image": ev.MACs, "images_per_second": ev.ImagesPerSecond}, nil
	}
	run.Precisions = func(ctx context.Context, m *vit.Model) (map[string]float64, error) {
		return precisionLoss(ctx, m, test, EvaluateOptions{Limit: r.Limit, Threads: run.Threads})
	}
	return run, nil
}

// precisionLoss measures what each precision costs a model, in points of top-1 against f32.
func precisionLoss(ctx context.Context, m *vit.Model, test data.Dataset, o EvaluateOptions) (map[string]float64, error) {
	top1 := func(p infer.Precision) (float64, error) {
		o.Precision = string(p)
		ev, err := Evaluate(ctx, m, test, o)
		return ev.Top1, err
	}
	exact, err := top1(infer.F32)
	if err != nil {
		return nil, err
	}
	loss := make(map[string]float64)
	for _, p := range []infer.Precision{infer.BF16, infer.Int8} {
		got, err := top1(p)
		if err != nil {
			return nil, err
		}
		loss[string(p)] = rounded(exact - got)
	}
	return loss, nil
}

// rounded is a figure for a line of log.
func rounded(v float64) float64 { return math.Round(v*100) / 100 }
