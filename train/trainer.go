package train

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
)

// Options are a run's inputs besides its recipe.
type Options struct {
	Recipe       Recipe
	Init         *vit.Params // nil: the recipe's variant, initialised from its seed
	Preprocessor picture.Preprocessor
	Data         data.Dataset
	InitName     string // what Init and Data are called in training.json
	DataName     string
	Dir          string // becomes a model directory; checkpoints/, log.jsonl, steps.jsonl and training.json lie beside the model
	Resume       bool
	Threads      int
	Workers      int                                                            // goroutines that load pictures; 0: Threads
	Teacher      func(ctx context.Context, images, logits []float32) error      // writes a teacher's logits [B, classes] for a batch [B, C, H, W]; nil: no distillation
	Evaluate     func(context.Context, *vit.Params) (map[string]float64, error) // after each epoch, on held-out images; may be nil
	Precisions   func(context.Context, *vit.Model) (map[string]float64, error)  // what each costs the finished model, for its card; may be nil
	Progress     func(Progress)                                                 // after each step; may be nil
	Watch        Watcher                                                        // may be nil
	Log          *slog.Logger
}

// Progress is where a run stands.
type Progress struct {
	Epoch, Epochs int // from 1
	Step, Steps   int // of the whole run
	Batch         int
	Stats         Stats
	Rate          float64 // images a second since the last epoch began
}

// Watcher follows a run to show it elsewhere. It is told what the run's own logs hold, never twice, also when the run is killed and resumed. An error
// ends the run.
type Watcher interface {
	// Begin comes first. What the watcher knows of steps after this one it must forget: it will be told again. A new run begins at −1.
	Begin(step int) error
	// Step is told every line of steps.jsonl.
	Step(StepEntry) error
	// Epoch is told every line of log.jsonl, with the weights that the run would keep after it.
	Epoch(context.Context, Entry, *vit.Params) error
	// Sync comes before a checkpoint: what was told must last as that does.
	Sync() error
	// Close comes last.
	Close() error
}

// ErrInterrupted says that a run was stopped from outside after it had saved a checkpoint.
var ErrInterrupted = errors.New("training was interrupted; a checkpoint is saved, the same command with --resume goes on from it")

// Result is what a finished run came to.
type Result struct {
	Epochs, Steps int
	Kept          string             // which weights became the model, in words
	KeptEpoch     int                // after which they were kept
	Test          map[string]float64 // what Evaluate said of them; nil without
}

// Run trains and stores the model in Options.Dir. When ctx ends it saves a checkpoint, within the time that a few images take, and returns ErrInterrupted.
func Run(ctx context.Context, o Options) (Result, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p, err := o.Recipe.Start(o.Init, o.Data.Classes())
	if err != nil {
		return Result{}, fmt.Errorf("train: %w", err)
	}
	if err := o.prepare(p); err != nil {
		return Result{}, fmt.Errorf("train: %w", err)
	}
	o.Recipe = o.Recipe.resolve(p.Config)
	release, err := lock(o.Dir)
	if err != nil {
		return Result{}, fmt.Errorf("train: %w", err)
	}
	defer release()
	if err := o.vacant(); err != nil {
		return Result{}, fmt.Errorf("train: %w", err)
	}
	for _, dir := range []string{o.Dir, checkpointDir(o.Dir)} { // what a kill left; the lock says that nobody else is writing
		if err := atomicfile.RemoveTemp(dir); err != nil {
			return Result{}, fmt.Errorf("train: %w", err)
		}
	}
	r, err := newRunner(o, p)
	if err != nil {
		return Result{}, fmt.Errorf("train: %w", err)
	}
	defer r.close()
	result, err := r.run(ctx)
	if err != nil && !errors.Is(err, ErrInterrupted) {
		return Result{}, fmt.Errorf("train: %w", err)
	}
	return result, err
}

// images is the number of training images that the run uses.
func (o *Options) images() int {
	if limit := o.Recipe.Limit; limit > 0 {
		return min(limit, o.Data.Len())
	}
	return o.Data.Len()
}

// prepare checks that data, model and directory fit together before any work is done.
func (o *Options) prepare(p *vit.Params) error {
	c := &p.Config
	if classes := len(o.Data.Classes()); classes != c.Classes {
		return fmt.Errorf("the data has %d classes, the model %d; a fresh head would fit (--new-head)", classes, c.Classes)
	}
	if o.Data.Len() == 0 {
		return errors.New("the data has no images")
	}
	if (o.Recipe.Distill != nil) != (o.Teacher != nil) {
		return errors.New("the recipe's distill and a teacher go together")
	}
	if _, err := data.NewAugmenter(o.Recipe.Augment, o.Data, o.Preprocessor, c.Channels, c.Height, c.Width); err != nil {
		return err
	}
	if names := o.Data.Classes(); c.Labels == nil || !data.Numbered(names) { // numbers would tell less than the names that the model has
		c.Labels = names
	}
	return os.MkdirAll(o.Dir, 0o777)
}

// vacant checks that the run will overwrite nothing but, if it is to be resumed, what it wrote itself.
func (o *Options) vacant() error {
	if o.Resume {
		found, err := savedSteps(o.Dir)
		if err != nil || len(found) > 0 {
			return err
		}
		if _, err := os.Lstat(filepath.Join(o.Dir, vit.WeightsFile)); err == nil {
			return fmt.Errorf("%s holds a model but no checkpoint to go on from; give another folder", o.Dir)
		}
		return nil
	}
	if o.unused() {
		return os.RemoveAll(checkpointDir(o.Dir))
	}
	for _, name := range []string{vit.ConfigFile, vit.WeightsFile, "checkpoints", "log.jsonl", "steps.jsonl"} {
		if info, err := os.Lstat(filepath.Join(o.Dir, name)); err == nil && (info.IsDir() || info.Size() > 0) {
			return fmt.Errorf("%s already holds a run (%s); give another folder, or --resume to go on with it", o.Dir, name)
		}
	}
	return nil
}

// unused reports whether Dir holds a run that ended before its first step, of which nothing is worth keeping.
func (o *Options) unused() bool {
	steps, err := savedSteps(o.Dir)
	if err != nil || len(steps) != 1 || steps[0] != 0 {
		return false
	}
	for _, name := range []string{vit.ConfigFile, vit.WeightsFile, filepath.Base(logPath(o.Dir)), filepath.Base(stepsPath(o.Dir))} {
		if info, err := os.Lstat(filepath.Join(o.Dir, name)); err == nil && info.Size() > 0 {
			return false
		}
	}
	return true
}
