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
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/recipes"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// TrainOptions are what Train is given besides its recipe.
type TrainOptions struct {
	Recipe    train.Recipe
	Data      string // a data set as data.OpenPair names it; its test part, or what the recipe's validation holds out, measures the model after every epoch
	Dir       string // becomes the model's directory, with logs, tensorboard/ and checkpoints/ beside the model
	Init      string // model to start from, as Open names it; "" for the recipe's own
	NewHead   bool   // give that model a fresh head for the data's classes
	Resume    bool   // go on from Dir's newest whole checkpoint, or start if there is none
	Threads   int    // 0 for the CPUs that the process may use
	Workers   int    // goroutines that decode and augment images; 0 for as many as threads. Neither changes the result
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
	Kept   string             `json:"kept"`   // which weights became the model
	Test   map[string]float64 `json:"test"`   // of these: images, top1, top5, mean_depth, macs_per_image
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
	run, test, done, err := o.prepare(ctx)
	defer done()
	if err != nil {
		return TrainSummary{}, err
	}
	result, err := train.Run(ctx, run)
	if err != nil {
		return TrainSummary{}, err
	}
	log, err := train.ReadLog(o.Dir)
	if err != nil {
		return TrainSummary{}, err
	}
	s := TrainSummary{Dir: o.Dir, Epochs: result.Epochs, Steps: result.Steps, Kept: result.Kept, Test: result.Test, Report: filepath.Join(o.Dir, "report.html")}
	page := trainingPage(o, run.Threads, log)
	if err := o.showTokens(ctx, &page, test, run.Threads); err != nil {
		return TrainSummary{}, err
	}
	return s, report.WriteHTML(s.Report, page)
}

// prepare finds model and data and puts the run together; test are the images that measure it. done must be called when it is over, also after an error.
func (o TrainOptions) prepare(ctx context.Context) (run train.Options, test data.Dataset, done func(), err error) {
	r := o.Recipe
	run = train.Options{Recipe: r, DataName: o.Data, Dir: o.Dir, Resume: o.Resume, Workers: o.Workers, Progress: o.Progress, Log: o.Log}
	done = func() {}
	if p, err := precision(o.Precision, nil); err != nil {
		return run, test, done, err
	} else if p != infer.F32 {
		return run, test, done, fmt.Errorf("%w: training computes in f32, not in %s", ErrUsage, p)
	}
	if run.Threads, err = threads(o.Threads); err != nil {
		return run, test, done, err
	}
	if o.Workers < 0 || o.Workers > maxThreads {
		return run, test, done, fmt.Errorf("%w: %d workers, want 1 to %d (or 0 for as many as threads)", ErrUsage, o.Workers, maxThreads)
	}
	if run.InitName = o.Init; run.InitName == "" {
		run.InitName = r.Init
	}
	if run.InitName == "" && o.NewHead {
		return run, test, done, fmt.Errorf("%w: a new head is for a model to start from, and none is named", ErrUsage)
	}
	if test, err = o.pictures(&run); err != nil {
		return run, test, done, err
	}
	c, err := o.model(ctx, &run)
	if err != nil {
		return run, test, done, err
	}
	if r.Distill != nil {
		t, err := newTeacher(ctx, *r.Distill, c, run.Preprocessor, run.Data.Classes(), run.Threads)
		if err != nil {
			return run, test, done, err
		}
		run.Teacher, done = t.logits, t.close
	}
	watch, err := newBoard(o.Dir, run.Preprocessor, test, run.Threads)
	if err != nil {
		return run, test, done, err
	}
	run.Watch = watch
	run.Evaluate = func(ctx context.Context, p *vit.Params) (map[string]float64, error) {
		m := &vit.Model{Params: p, Preprocessor: run.Preprocessor}
		ev, err := eval.Run(ctx, m, test, eval.Options{Limit: r.Limit, Threads: run.Threads, Precision: infer.F32})
		if err != nil {
			return nil, err
		}
		o.Log.Info("tested", "top1", rounded(ev.Top1), "mean_depth", rounded(ev.MeanDepth), "macs_per_image", ev.MACs, "images", ev.Images)
		return map[string]float64{"images": float64(ev.Images), "top1": ev.Top1, "top5": ev.Top5, "mean_depth": ev.MeanDepth,
			"macs_per_image": ev.MACs, "images_per_second": ev.ImagesPerSecond}, nil
	}
	run.Precisions = func(ctx context.Context, m *vit.Model) (map[string]float64, error) {
		return precisionLoss(ctx, m, test, eval.Options{Limit: r.Limit, Threads: run.Threads})
	}
	return run, test, done, nil
}

// heldOutSeed decides which images validation holds out. It is not the run's own, so that runs that differ in their seeds test on the same images.
const heldOutSeed = 0

// pictures opens both parts of the data: the training images go to run, the test images are returned.
func (o TrainOptions) pictures(run *train.Options) (test data.Dataset, err error) {
	if run.Data, test, err = datasets.OpenPair(o.Data, o.Recipe.Validation, heldOutSeed, o.Log); err != nil {
		return nil, err
	}
	if run.Data, err = limited(run.Data, o.Recipe.Limit); err != nil {
		return nil, err
	}
	if test, err = limited(test, o.Recipe.Limit); err != nil {
		return nil, err
	}
	tolerant := func(d data.Dataset, message string) data.Dataset {
		return data.Tolerant(d, o.Recipe.Damaged, func(i int, err error) { o.Log.Warn(message, "index", i, "error", err) })
	}
	run.Data = tolerant(run.Data, "damaged training image, another takes its place")
	return tolerant(test, "damaged test image, left out"), nil
}

// limited makes the first limit images of d fit to stand for all of it: where they lack a class, as in a folder that is listed class by class, it is as many
// drawn at random. 0 is no limit.
func limited(d data.Dataset, limit int) (data.Dataset, error) {
	if limit <= 0 || limit >= d.Len() {
		return d, nil
	}
	first, all := map[int]bool{}, map[int]bool{}
	for i := range d.Len() {
		all[d.Label(i)] = true
		if i < limit {
			first[d.Label(i)] = true
		}
	}
	if len(first) == len(all) {
		return d, nil
	}
	return data.Subset(d, data.Order(heldOutSeed, 0, d.Len())[:limit])
}

// model opens the model to start from and fits it to the recipe and the data.
func (o TrainOptions) model(ctx context.Context, run *train.Options) (c vit.Config, err error) {
	r := o.Recipe
	if run.InitName == "" {
		if r.Variant == "" {
			return c, fmt.Errorf("%w: the recipe names nothing to start from: name a model (--init)", ErrUsage)
		}
		if c, err = vit.Variant(r.Variant); err != nil {
			return c, fmt.Errorf("recipe: %w", err)
		}
		if r.ImageSize > 0 {
			c.Height, c.Width = r.ImageSize, r.ImageSize
		}
		run.Preprocessor = picture.DefaultPreprocessor(c.Height, c.Width, c.Channels)
		return c, nil
	}
	m, err := OpenContext(ctx, run.InitName, OpenOptions{})
	if err != nil {
		return c, err
	}
	if o.NewHead {
		if m, err = m.ReplaceHead(len(run.Data.Classes()), run.Data.Classes(), r.Seed); err != nil {
			return c, err
		}
	}
	if r.ImageSize > 0 {
		if m, err = m.Resize(r.ImageSize, r.ImageSize); err != nil {
			return c, fmt.Errorf("image_size: %w", err)
		}
	}
	run.Init, run.Preprocessor = m.Params, m.Preprocessor
	return m.Params.Config, nil
}

// precisionLoss measures what each precision costs a model, in points of top-1 against f32.
func precisionLoss(ctx context.Context, m *vit.Model, test data.Dataset, o eval.Options) (map[string]float64, error) {
	top1 := func(p infer.Precision) (float64, error) {
		o.Precision = p
		ev, err := eval.Run(ctx, m, test, o)
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
