package compare

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/internal/strictjson"
	"github.com/adavit/adavit/trainer"
	"github.com/adavit/adavit/vit"
)

// round is the part of a comparison that has one seed.
type round struct {
	*comparer
	seed              uint64
	recipes           []trainer.Recipe // with this seed
	parts             data.Parts       // of the data, as runs take them
	calibration, test data.Dataset     // training images that depths are matched on; test images
	images            int              // of test that are used
	models            []*vit.Model     // of each scheme, as trained
	runs              []SchemeRun
}

// round trains, matches, tests and times all schemes with a seed.
func (c *comparer) round(ctx context.Context, seed uint64) error {
	r, err := c.open(ctx, seed)
	if err != nil {
		return err
	}
	for i, s := range r.schemes {
		if err := r.train(ctx, i); err != nil {
			return fmt.Errorf("scheme %s, seed %d: %w", s.name, r.seed, err)
		}
	}
	if r.result.Images == 0 { // the first round
		start, err := r.measure(ctx, "testing", "the model to start from", r.start)
		if err != nil {
			return err
		}
		r.result.StartTop1, r.result.Images = start.Top1, r.images
	}
	target, measure, err := r.target(ctx)
	if err != nil {
		return err
	}
	matched := make([]*vit.Model, len(r.schemes))
	for i, s := range r.schemes {
		if err := r.reach(ctx, i, target, i == measure); err != nil {
			return fmt.Errorf("scheme %s, seed %d: %w", s.name, r.seed, err)
		}
		matched[i] = r.models[i].WithHalting(r.runs[i].Halting)
	}
	speeds, err := r.time(ctx, matched)
	if err != nil {
		return err
	}
	if err := r.sweep(ctx); err != nil {
		return err
	}
	for i, run := range r.runs {
		run.Speed = speeds[i]
		s := &r.result.Schemes[i]
		s.Runs = append(s.Runs, run)
	}
	return nil
}

// open opens the data for the runs with a seed.
func (c *comparer) open(ctx context.Context, seed uint64) (*round, error) {
	r := &round{comparer: c, seed: seed, recipes: slices.Clone(c.recipes),
		models: make([]*vit.Model, len(c.schemes)), runs: make([]SchemeRun, len(c.schemes))}
	for i, s := range c.schemes {
		r.recipes[i].Seed = seed
		dir := filepath.Join(c.o.Dir, fmt.Sprintf("%s-seed%d", s.folder(), seed))
		r.runs[i] = SchemeRun{Seed: seed, Run: dir, Model: filepath.Join(dir, "matched")}
	}
	source, err := datasets.Find(c.o.Data, c.o.Log)
	if err != nil {
		return nil, err
	}
	recipe := r.recipes[0]
	if r.parts, err = trainer.PartsOf(c.o.Data, source, recipe, r.runs[0].Run, true, c.o.Log); err != nil {
		return nil, err
	}
	if c.start, r.parts, err = eval.MatchParts(c.start, r.parts, c.o.Unknown, c.o.Log); err != nil {
		return nil, err
	}
	prepared, err := recipe.Prepare(r.parts, c.o.Log)
	if err != nil {
		return nil, err
	}
	if prepared.Test == nil { // nothing of a run is chosen by them: the last epoch's weights are kept
		prepared.Test = prepared.Validation
		c.o.Log.Warn("no test part: the schemes are tested on the validation images", "data", c.o.Data)
	}
	if c.o.Contents != nil && c.result.Images == 0 { // the first round
		err := prepared.Check(ctx, recipe.Preprocess(c.start.Preprocessor, c.start.Params.Config).Decoding())
		if c.o.Contents(prepared.Contents()); err != nil {
			return nil, err
		}
	}
	used := func(d data.Dataset) int { return min(d.Len(), cmp.Or(recipe.Limit, d.Len())) }
	r.test, r.images = prepared.Test, used(prepared.Test)
	n := used(prepared.Train)
	r.calibration, err = data.Subset(prepared.Train, data.Order(r.seed, 0, n)[:min(n, calibrationImages)])
	return r, err
}

// asked is what a run was started with; a file in its folder says so.
type asked struct {
	Recipe trainer.Recipe `json:"recipe"`
	Model  string         `json:"model"`
	Data   string         `json:"data"`
}

// train comes to a scheme's model: by a run that it begins, goes on with or finds done, or by the dense run's weights.
func (r *round) train(ctx context.Context, i int) error {
	r.begun++
	s, run := r.schemes[i], &r.runs[i]
	path := filepath.Join(run.Run, "asked.json")
	before, unread := regular.Read(path, maxFile)
	recipe, err := r.opened(ctx, i, before)
	if err != nil {
		return err
	}
	if !s.trains {
		run.Run, r.models[i] = r.runs[0].Run, r.models[0].WithHalting(*recipe.Halting)
		return nil
	}
	want, err := indented(asked{recipe, r.o.Model, r.o.Data})
	if err != nil {
		return err
	}
	switch {
	case errors.Is(unread, os.ErrNotExist):
		if err = os.MkdirAll(run.Run, 0o777); err == nil {
			err = atomicfile.WriteFile(path, want)
		}
	case unread != nil:
		err = unread
	case !bytes.Equal(before, want):
		changed, differs := strictjson.Differences(before, want)
		err = cmp.Or(differs, fmt.Errorf("%s holds a run with other settings: %s; give another folder, or remove it", run.Run,
			changed))
	}
	if err != nil {
		return err
	}
	// The report is what a run writes last of all, after its card.
	if _, err := os.Stat(filepath.Join(run.Run, "report.html")); err == nil {
		r.o.Log.Info("already trained", "scheme", s.name, "folder", run.Run)
	} else {
		r.o.Log.Info("training", "scheme", s.name, "seed", r.seed, "epochs", recipe.Epochs, "folder", run.Run)
		var teacher *vit.Model
		name, err := recipe.TeacherName(r.o.Model)
		if err != nil {
			return err
		}
		if name != "" {
			if teacher, err = adavit.OpenContext(ctx, name, adavit.OpenOptions{}); err != nil {
				return fmt.Errorf("teacher: %w", err)
			}
		}
		if _, err := trainer.Run(ctx, trainer.Options{
			Recipe: recipe, Data: r.parts, Init: r.start, Teacher: teacher, Dir: run.Run, Resume: true, Report: true,
			TensorBoard: true,
			InitName:    r.o.Model, DataName: r.o.Data, Threads: r.o.Threads, Log: r.o.Log,
			Progress: func(p trainer.Progress) { r.report("training", s.name, p.Step, p.Steps, &p) },
		}); err != nil {
			return err
		}
	}
	card, err := trainer.ReadCard(run.Run)
	if err != nil {
		return err
	}
	run.Seconds = card.Seconds
	r.models[i], err = vit.Load(run.Run)
	return err
}

// opened is the recipe of a scheme, with constants that let tokens halt about where they should from the first step
// where it needs that (halting.Descriptor.FitFirst). started is what the run was begun with before, nil if it was not.
func (r *round) opened(ctx context.Context, i int, started []byte) (trainer.Recipe, error) {
	s, recipe := r.schemes[i], r.recipes[i]
	own := func(setting string) bool { return strings.HasPrefix(setting, "halting") }
	if !s.base.FitFirst || slices.ContainsFunc(s.settings, own) || slices.ContainsFunc(r.o.Set, own) {
		return recipe, nil
	}
	var before asked
	if json.Unmarshal(started, &before) == nil && before.Recipe.Halting != nil {
		key := recipe.Halting.Tuning().Key
		opened := recipe.Halting.With(key, before.Recipe.Halting.Number(key)) // found when the run began
		recipe.Halting = &opened
		return recipe, nil
	}
	target := recipe.TargetLayer
	if target < 1 {
		target = float64(r.result.Layers) / 2
	}
	constants, _, err := r.tune(ctx, s.name, r.start.WithHalting(*recipe.Halting), target)
	recipe.Halting = &constants
	return recipe, err
}

// measure tests a model: for "matching" on the training images that depths are matched on, else on the test images.
func (r *round) measure(ctx context.Context, phase, name string, m *vit.Model) (Reached, error) {
	d := r.test
	if phase == "matching" {
		d = r.calibration
	}
	ev, err := eval.Run(ctx, m, d, r.measuring(phase, name))
	return Reached{ev.Top1, ev.MeanDepth, ev.MACs, ev.DenseMACs}, err
}

// measuring is how a scheme's models are measured; the training images for matching are no more than the limit.
func (r *round) measuring(phase, name string) eval.Options {
	return eval.Options{Name: name, Limit: r.recipes[0].Limit, Threads: r.o.Threads, Precision: r.o.Precision,
		Progress: func(done, total int) { r.report(phase, name, done, total, nil) }}
}

func (r *round) report(phase, scheme string, done, total int, p *trainer.Progress) {
	if r.o.Progress != nil {
		r.o.Progress(Progress{Phase: phase, Scheme: scheme, Seed: r.seed, Run: r.begun,
			Runs: len(r.schemes) * len(r.o.Seeds), Done: done, Total: total, Train: p})
	}
}
