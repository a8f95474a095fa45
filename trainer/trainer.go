// Package trainer makes a model of a recipe and a data set, and survives while it does: it writes checkpoints, logs
// and, if asked, a report and TensorBoard's files; killed at any moment it goes on from its newest whole checkpoint
// and ends with the bits of an undisturbed run. Which pictures a step sees, how they are augmented and mixed, and its
// learning rate depend on (recipe, data, step) alone.
//
// What a step computes is behind Backend. Package train's Stepper is the one that is used unless Options name another.
//
// Everything that is chosen (raw or averaged weights, the best epoch, the precision that a model is fast enough in and
// loses nothing) is chosen by the validation images, which training does not see. The test images are only reported.
package trainer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/internal/filelock"
	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// Options are a run's inputs.
type Options struct {
	Recipe  Recipe
	Data    data.Parts   // see data.OpenParts; Validation and Test may be nil
	Init    *vit.Model   // to start from; nil: the recipe's variant, initialised from its seed
	NewHead bool         // Init gets a fresh head for the data's classes
	Unknown eval.Unknown // what becomes of pictures of classes that Init does not know
	Teacher *vit.Model   // what the recipe's distill names

	// Dir becomes a model directory. log.jsonl, steps.jsonl, training.json and checkpoints lie beside the model.
	Dir         string
	Resume      bool   // go on from Dir's newest whole checkpoint, or start if there is none
	Report      bool   // write report.html into Dir when the run is over
	TensorBoard bool   // write tensorboard/ into Dir
	InitName    string // what Init and Data are called in training.json
	DataName    string

	Threads  int                   // 0: the CPUs that the process may use
	Workers  int                   // goroutines that load pictures; 0: Threads. Neither changes the result
	Progress func(Progress)        // after each step; may be nil
	Contents func([]data.Contents) // told what the data are before the run begins; may be nil
	Log      *slog.Logger          // may be nil

	// Backend makes what takes the steps; nil is train.NewStepper.
	Backend func(p *vit.Params, s train.Settings, threads int) (Backend, error)
	// Epoch, which may be nil, is called after each epoch with its line of log.jsonl and the weights that the run
	// would keep after it, before the line is written: a run that is killed in between calls it again. An error ends
	// the run.
	Epoch func(context.Context, Entry, *vit.Params) error
}

// Backend takes the steps of a run, here or on another device. It is made of the parameters that a run starts from,
// and is not used concurrently.
type Backend interface {
	// Step takes one step of the optimizer. If it fails, the state is what it was. A loss or gradient that is not
	// finite is a *train.NotFiniteError. Batch.Stop says when to give up.
	Step(train.Update) (train.Stats, error)
	// Params returns the weights and their moving average as they are now. Both are valid until the next Step.
	Params() (weights, average *vit.Params, err error)
	// State returns all that steps change, by the names and in the layout of train.Stepper.State, so that a run can go
	// on with another backend; Restore brings it back after so many steps. What State returned is valid until the next
	// Step, and may be written to before a Restore.
	State() ([]train.Tensor, error)
	Restore(steps int, state []train.Tensor) error
	Close() error
}

// Evaluator is a Backend that measures models itself. For others package eval does.
type Evaluator interface {
	Evaluate(context.Context, *vit.Model, data.Dataset, eval.Options) (eval.Result, error)
}

// Progress is where a run stands.
type Progress struct {
	Epoch, Epochs int // from 1
	Step, Steps   int // of the whole run
	Batch         int
	Stats         train.Stats
	Rate          float64 // images a second since the last epoch began
}

// Result is what a finished run came to.
type Result struct {
	Dir        string   `json:"model"`
	Epochs     int      `json:"epochs"`
	Steps      int      `json:"steps"`
	Report     string   `json:"report"` // an HTML file of the run's curves; "" if none was asked for
	Kept       string   `json:"kept"`   // which weights became the model
	KeptEpoch  int      `json:"-"`      // after which they were kept
	Validation *Figures `json:"-"`      // of the kept weights; nil where there were no such images
	Test       *Figures `json:"test"`
}

// What a caller can do something about.
var (
	ErrInterrupted = errors.New("training was interrupted; a checkpoint is saved")
	ErrNotEmpty    = errors.New("already holds a run")
	ErrNoStart     = errors.New("the recipe names nothing to start from")
	ErrClasses     = errors.New("another head is needed")
)

// Run trains and stores the model in Options.Dir. When ctx ends it saves a checkpoint, within the time that a few
// images take, and returns ErrInterrupted.
func Run(ctx context.Context, o Options) (Result, error) {
	r, err := o.open(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("train: %w", err)
	}
	defer r.close()
	result, err := r.run(ctx)
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		if err = r.save(); err == nil {
			return Result{}, ErrInterrupted
		}
	}
	if err != nil {
		return Result{}, fmt.Errorf("train: %w", r.outOfRoom(err))
	}
	return result, nil
}

// open puts a run together and locks its folder.
func (o Options) open(ctx context.Context) (r *runner, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Threads, err = parallel.Threads(o.Threads); err != nil {
		return nil, err
	}
	o.Recipe.Validation = o.Data.Share // as it came about, so that a run that goes on holds out the same
	if o.Data.Train == nil || o.Data.Train.Len() == 0 {
		return nil, errors.New("the data has no images")
	}
	raw := o.Data
	p, prep, err := o.start()
	if err != nil && o.Resume {
		err = sinceBegun(err, raw, o.Dir)
	}
	if err != nil {
		if o.Contents != nil {
			o.Contents(raw.Contents())
		}
		return nil, err
	}
	counted := censusOf(o.Data)
	if o.Data, err = o.Recipe.Prepare(o.Data, o.Log); err != nil {
		return nil, err
	}
	if err := o.check(p, prep); err != nil {
		return nil, err
	}
	if err := o.look(ctx, prep); err != nil {
		return nil, err
	}
	began, err := originOf(p, o.Teacher)
	if err != nil {
		return nil, err
	}
	if o.Recipe.Slice != nil {
		if p, err = o.slice(p, prep); err != nil {
			return nil, err
		}
	}
	o.Recipe = o.Recipe.resolve(p.Config)
	if err := os.MkdirAll(o.Dir, 0o777); err != nil {
		return nil, err
	}
	unlock, ok, err := filelock.Try(o.Dir)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("another run is at work in %s", o.Dir)
	}
	r = &runner{Options: o, unlock: unlock, preprocessor: prep, census: counted, origin: began, start: p.Config, saved: -1,
		size: 4 * 4 * int64(len(p.Data))}
	if err := r.prepare(p); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// start returns the parameters that the run begins with, fitted to recipe and data, and how pictures are prepared for
// them. The data gets the classes of a model that keeps its head.
func (o *Options) start() (p *vit.Params, prep picture.Preprocessor, err error) {
	m, r, classes := o.Init, o.Recipe, o.Data.Train.Classes()
	if m != nil && o.NewHead {
		if m, err = m.ReplaceHead(len(classes), classes, r.Seed); err != nil {
			return nil, prep, err
		}
	} else if m != nil {
		if m, o.Data, err = eval.MatchParts(m, o.Data, o.Unknown, o.Log); err != nil {
			return nil, prep, fmt.Errorf("%w; %w", err, ErrClasses)
		}
	}
	if m != nil && r.ImageSize > 0 {
		if m, err = m.Resize(r.ImageSize, r.ImageSize); err != nil {
			return nil, prep, fmt.Errorf("image_size: %w", err)
		}
	}
	if m != nil {
		if p, err = m.Params.Whole(); err != nil {
			return nil, prep, err
		}
		p, prep = p.Clone(), m.Preprocessor
	} else if p, err = r.initialise(classes); err != nil {
		return nil, prep, err
	} else {
		prep = picture.DefaultPreprocessor(p.Config.Height, p.Config.Width, p.Config.Channels)
	}
	prep = r.Preprocess(prep, p.Config)
	if r.Halting != nil {
		p.Config.Halting = *r.Halting
	}
	return p, prep, p.Config.Validate()
}

// look tells what the data consist of, once small ones have been looked through for damage.
func (o *Options) look(ctx context.Context, prep picture.Preprocessor) error {
	if o.Contents == nil {
		return nil
	}
	err := o.Data.Check(ctx, prep.Decoding())
	o.Contents(o.Data.Contents())
	return err
}

// check finds out whether data and model fit together before any work is done.
func (o *Options) check(p *vit.Params, prep picture.Preprocessor) error {
	c := &p.Config
	names := o.Data.Train.Classes()
	if len(names) != c.Classes {
		return fmt.Errorf("the data has %d classes, the model %d; %w", len(names), c.Classes, ErrClasses)
	}
	if (o.Recipe.Distill != nil) != (o.Teacher != nil) {
		return errors.New("the recipe's distill and a teacher go together")
	}
	_, err := data.NewAugmenter(o.Recipe.Augment, o.Data.Train, prep, c.Channels, c.Height, c.Width)
	if c.Labels == nil || !data.Numbered(names) { // numbers would tell less than the names that the model has
		c.Labels = names
	}
	return err
}

// images is the number of training images that the run uses.
func (o *Options) images() int {
	if limit := o.Recipe.Limit; limit > 0 {
		return min(limit, o.Data.Train.Len())
	}
	return o.Data.Train.Len()
}

// vacant checks that the run will overwrite nothing but, if it is to be resumed, what it wrote itself.
func (o *Options) vacant() error {
	saved, err := savedSteps(o.Dir)
	if err != nil || o.Resume && len(saved) > 0 {
		return err
	}
	if o.Resume {
		if o.holds(vit.WeightsFile) != "" {
			return fmt.Errorf("%s holds a model but no checkpoint to go on from; give another folder", o.Dir)
		}
		o.aboutFolder()
		return nil
	}
	logs := []string{vit.ConfigFile, vit.WeightsFile, filepath.Base(logPath(o.Dir)), filepath.Base(stepsPath(o.Dir))}
	if len(saved) == 1 && saved[0] == 0 && o.holds(logs...) == "" { // a run that ended before its first step
		return os.RemoveAll(checkpointDir(o.Dir))
	}
	if name := o.holds(append(logs, filepath.Base(checkpointDir(o.Dir)))...); name != "" {
		return fmt.Errorf("%s %w (%s); give another folder", o.Dir, ErrNotEmpty, name)
	}
	o.aboutFolder()
	return nil
}

// aboutFolder says where a run begins in a folder that has others in it: perhaps somebody's pictures.
func (o *Options) aboutFolder() {
	list, err := os.ReadDir(o.Dir)
	if err != nil {
		return
	}
	own := filepath.Base(checkpointDir(o.Dir)) // of a run that ended before it saved anything
	if i := slices.IndexFunc(list, func(e fs.DirEntry) bool { return e.IsDir() && e.Name() != own }); i >= 0 {
		o.Log.Warn("the run's files will lie among others", "folder", o.Dir, "there is", list[i].Name())
	}
}

// holds returns the first of the names that Dir has a folder of, or a file with something in it.
func (o *Options) holds(names ...string) string {
	for _, name := range names {
		if info, err := os.Lstat(filepath.Join(o.Dir, name)); err == nil && (info.IsDir() || info.Size() > 0) {
			return name
		}
	}
	return ""
}
