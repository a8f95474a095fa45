package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/trainer"
	"github.com/adavit/adavit/vit"
)

// seed trains, matches, tests and times all schemes with one seed.
func (c *comparer) seed(ctx context.Context, index int, seed uint64) error {
	models := make([]*vit.Model, len(c.schemes)) // as trained
	seconds := make([]float64, len(c.schemes))
	folders := make([]string, len(c.schemes))
	parts, err := c.openParts(index)
	if err != nil {
		return err
	}
	for i, s := range c.schemes {
		c.runs++
		folders[i] = s.run(c.o.Dir, seed)
		r, err := c.opened(ctx, s, c.recipes[i][index], parts, folders[i])
		if err != nil {
			return err
		}
		if !s.trains {
			models[i], folders[i] = withHalting(models[0], *r.Halting), folders[0]
			continue
		}
		card, err := c.train(ctx, s, r, parts.all, folders[i])
		if err != nil {
			return fmt.Errorf("scheme %s, seed %d: %w", s.name, seed, err)
		}
		seconds[i] = card.Seconds
		if models[i], err = vit.Load(folders[i]); err != nil {
			return err
		}
	}
	if index == 0 {
		ev, err := c.test(ctx, c.start, parts.test, "the model to start from", seed)
		if err != nil {
			return err
		}
		c.result.StartTop1, c.result.Images = ev.Top1, parts.images
	}
	target, measure, err := c.target(ctx, models, parts, seed)
	if err != nil {
		return err
	}
	trained := slices.Clone(models)
	for i, s := range c.schemes {
		run := SchemeRun{Seed: seed, Run: folders[i], Model: filepath.Join(s.run(c.o.Dir, seed), matchedFolder),
			Seconds: seconds[i]}
		if err := c.reach(ctx, s, models[i], parts, target, i == measure, &run); err != nil {
			return fmt.Errorf("scheme %s, seed %d: %w", s.name, seed, err)
		}
		models[i] = withHalting(models[i], run.Halting)
		c.result.Schemes[i].Runs = append(c.result.Schemes[i].Runs, run)
	}
	speeds, err := c.time(ctx, models, parts, seed)
	if err != nil {
		return err
	}
	for i := range c.schemes {
		c.result.Schemes[i].Runs[index].Speed = speeds[i]
	}
	return c.sweep(ctx, trained, parts, index)
}

// opened is the recipe of a scheme, with constants that let tokens halt about where they should from the first step
// where it needs that (halting.Descriptor.FitFirst).
func (c *comparer) opened(ctx context.Context, s scheme, r trainer.Recipe, p parts, dir string) (trainer.Recipe,
	error) {
	own := func(setting string) bool { return strings.HasPrefix(setting, "halting") }
	if d, err := halting.Describe(s.base); err != nil || !d.FitFirst || slices.ContainsFunc(s.settings, own) ||
		slices.ContainsFunc(c.o.Set, own) {
		return r, nil
	}
	var before asked
	if text, err := regular.Read(filepath.Join(dir, askedFile), maxRecipe); err == nil &&
		json.Unmarshal(text, &before) == nil && before.Recipe.Halting != nil {
		key := r.Halting.Tuning().Key
		opened := r.Halting.With(key, before.Recipe.Halting.Number(key)) // found when the run began
		r.Halting = &opened
		return r, nil
	}
	target := r.TargetLayer
	if target < 1 {
		target = float64(c.result.Layers) / 2
	}
	constants, _, err := c.tune(ctx, s, withHalting(c.start, *r.Halting), p, target, r.Seed)
	r.Halting = &constants
	return r, err
}

// report hands progress on.
func (c *comparer) report(p Progress) {
	if c.o.Progress != nil {
		p.Run, p.Runs = min(max(c.runs, 1), len(c.schemes)*len(c.o.Seeds)), len(c.schemes)*len(c.o.Seeds)
		c.o.Progress(p)
	}
}

// askedFile lies in the folder of a run and says what it was started with.
const askedFile = "asked.json"

// asked is what a run was started with.
type asked struct {
	Recipe trainer.Recipe `json:"recipe"`
	Model  string         `json:"model"`
	Data   string         `json:"data"`
}

// train runs one scheme's training, goes on with it, or finds it done.
func (c *comparer) train(ctx context.Context, s scheme, r trainer.Recipe, data data.Parts, dir string) (
	trainer.Card, error) {
	want, err := json.MarshalIndent(asked{r, c.o.Model, c.o.Data}, "", "  ")
	if err != nil {
		return trainer.Card{}, err
	}
	want = append(want, '\n')
	path := filepath.Join(dir, askedFile)
	switch before, err := regular.Read(path, maxRecipe); {
	case errors.Is(err, os.ErrNotExist):
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return trainer.Card{}, err
		}
		if err := atomicfile.WriteFile(path, want); err != nil {
			return trainer.Card{}, err
		}
	case err != nil:
		return trainer.Card{}, err
	case !bytes.Equal(before, want):
		return trainer.Card{}, fmt.Errorf("%s holds a run with other settings (see %s); give another folder, or remove it",
			dir, path)
	}
	// The report is what a run writes last of all, after its card.
	if _, err := os.Stat(filepath.Join(dir, "report.html")); err == nil {
		c.o.Log.Info("already trained", "scheme", s.name, "folder", dir)
		return trainer.ReadCard(dir)
	}
	c.o.Log.Info("training", "scheme", s.name, "seed", r.Seed, "epochs", r.Epochs, "folder", dir)
	_, err = trainer.Run(ctx, trainer.Options{
		Recipe: r, Data: data, Init: c.start, Dir: dir, Resume: true, Report: true, TensorBoard: true,
		InitName: c.o.Model, DataName: c.o.Data, Threads: c.o.Threads, Log: c.o.Log,
		Progress: func(p trainer.Progress) {
			c.report(Progress{Phase: "training", Scheme: s.name, Seed: r.Seed, Done: p.Step, Total: p.Steps, Train: &p})
		}})
	if err != nil {
		return trainer.Card{}, err
	}
	return trainer.ReadCard(dir)
}

// parts are the images of a comparison.
type parts struct {
	all               data.Parts   // as runs take them
	calibration, test data.Dataset // as models are measured on them
	images            int          // of test that are used
}

// openParts opens the data for the runs with the seed of this index.
func (c *comparer) openParts(index int) (p parts, err error) {
	r := c.recipes[0][index]
	source, err := datasets.Find(c.o.Data, c.o.Log)
	if err != nil {
		return p, err
	}
	dir := c.schemes[0].run(c.o.Dir, c.o.Seeds[index])
	if p.all, err = trainer.PartsOf(c.o.Data, source, r, dir, true, c.o.Log); err != nil {
		return p, err
	}
	prepared, err := r.Prepare(p.all, c.o.Log)
	if err != nil {
		return p, err
	}
	p.test = prepared.Test
	p.images = p.test.Len()
	if r.Limit > 0 {
		p.images = min(p.images, r.Limit)
	}
	p.calibration, err = calibration(prepared.Train, r.Limit, r.Seed)
	return p, err
}

// test measures a model on the test images.
func (c *comparer) test(ctx context.Context, m *vit.Model, d data.Dataset, name string, seed uint64) (eval.Result,
	error) {
	return eval.Run(ctx, m, d, c.testing("testing", name, seed))
}

// testing is how a scheme's models are measured: on the test images, or the training images for matching, which are no
// more than the limit.
func (c *comparer) testing(phase, name string, seed uint64) eval.Options {
	return eval.Options{Name: name, Limit: c.recipes[0][0].Limit, Threads: c.o.Threads, Precision: c.o.Precision,
		Progress: func(done, total int) {
			c.report(Progress{Phase: phase, Scheme: name, Seed: seed, Done: done, Total: total})
		}}
}
