package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/adavit/adavit/vit"
)

// findings are all that was measured, for the report.
type findings struct {
	options  options
	date     time.Time
	took     time.Duration
	machine  []string
	versions []string
	notes    []string // what was left out, and why
	commands commandLog
	contests []*contest
	accuracy []accuracy
	memory   []memoryOf

	trained      []*training
	trainingPeak int64 // bytes
}

// memoryOf is what a model takes in one program.
type memoryOf struct {
	model, who, what string
	memoryUse
}

// compare runs everything and writes the report.
func compare(ctx context.Context, o options) error {
	f := &findings{options: o, date: time.Now(), machine: describeMachine(ctx)}
	if o.cache != "" {
		f.commands.replace = [][2]string{{o.cache, "CACHE"}}
	}
	f.versions = append(f.versions, "adavit: "+revision(ctx)+", "+runtime.Version())
	present, err := f.preparePeers(ctx)
	if err != nil {
		return err
	}
	if err := f.knownPrecisions(); err != nil {
		return err
	}
	for _, name := range o.models {
		m, err := makeModel(ctx, o.cache, name, &f.commands)
		if err != nil {
			return fmt.Errorf("model %s: %w", name, err)
		}
		if err := f.contestsOf(ctx, m, present); err != nil {
			return err
		}
		for _, p := range f.options.precisions {
			use, err := measureMemory(m.dir, p)
			if err != nil {
				f.note("memory of %s %s not measured: %v", name, p, err)
				continue
			}
			f.memory = append(f.memory, memoryOf{name, oursName, p, use})
		}
	}
	f.progress("accuracy of %s", accuracyModel)
	if f.accuracy, err = measureAccuracy(ctx, f.options.precisions, slices.Max(o.threads), o.accuracyLimit); err != nil {
		return fmt.Errorf("accuracy of %s: %w", accuracyModel, err)
	}
	if err := f.trainings(ctx, present); err != nil {
		return err
	}
	if o.training == "all" {
		f.progress("memory of training")
		if use, err := measureTrainingMemory(); err != nil {
			f.note("memory of training not measured: %v", err)
		} else {
			f.trainingPeak = use.Peak
		}
	}
	f.took = time.Since(f.date)
	var text bytes.Buffer
	f.write(&text)
	if _, err := o.stdout.Write(text.Bytes()); err != nil {
		return err
	}
	return os.WriteFile(o.out, []byte(keepSection(o.out, text.String())), 0o666)
}

// note records what a reader of the report must know, and says it at once.
func (f *findings) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	f.notes = append(f.notes, text)
	f.progress("%s", text)
}

func (f *findings) progress(format string, args ...any) {
	fmt.Fprintf(f.options.stderr, "bench: "+format+"\n", args...)
}

// preparePeers returns those that can run here.
func (f *findings) preparePeers(ctx context.Context) ([]peer, error) {
	if err := os.MkdirAll(f.options.cache, 0o777); err != nil {
		return nil, err
	}
	var present []peer
	for _, p := range peers() {
		if f.options.skip[p.name()] {
			f.note("%s was left out by -skip", p.name())
			continue
		}
		f.progress("preparing %s", p.name())
		version, err := p.prepare(ctx, f.options.cache, &f.commands)
		switch {
		case errors.Is(err, errAbsent):
			f.note("%s was left out: %v", p.name(), err)
			continue
		case err != nil:
			return nil, fmt.Errorf("%s: %w", p.name(), err)
		}
		f.versions = append(f.versions, p.name()+": "+version)
		present = append(present, p)
	}
	return present, nil
}

// knownPrecisions keeps those that the engine has.
func (f *findings) knownPrecisions() error {
	c, err := vit.Variant("micro")
	if err != nil {
		return err
	}
	tiny := job{model: &model{params: vit.Initialize(c, 1, 0), images: drawImages(c, 1)}, threads: 1, batch: 1}
	var known []string
	for _, p := range append([]string{f32}, f.options.precisions...) { // float32 is what others are held against
		if slices.Contains(known, p) {
			continue
		}
		s, err := newEngineSide(tiny, p, "", nil)
		if err != nil {
			f.note("precision %s was left out: %v", p, err)
			continue
		}
		s.close()
		known = append(known, p)
	}
	f.options.precisions = known
	return nil
}

// contestsOf runs all contests of one model.
func (f *findings) contestsOf(ctx context.Context, m *model, present []peer) error {
	for _, batch := range f.options.batches {
		for _, threads := range f.options.threads {
			c := &contest{job: job{m, threads, batch}, title: fmt.Sprintf("%s, %s, batch %d", m.name, count(threads, "thread"),
				batch)}
			if err := f.play(ctx, c, present); err != nil {
				return err
			}
			if threads != 1 || batch != f.options.batches[0] {
				continue
			}
			if m.name != f.options.models[0] {
				continue
			}
			for _, path := range f.options.paths {
				c := &contest{job: job{m, threads, batch}, title: fmt.Sprintf("%s, 1 thread, batch %d, our %s kernels", m.name,
					batch, path), path: path}
				if err := f.play(ctx, c, present[:min(1, len(present))]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// play loads all sides, checks that they compute the same, and lets them take turns. Sides that are compared stand
// beside each other.
func (f *findings) play(ctx context.Context, c *contest, present []peer) error {
	defer c.close()
	f.progress("%s", c.title)
	precisions := f.options.precisions
	for _, p := range precisions {
		if err := f.addPeers(ctx, c, present, p); err != nil {
			return err
		}
		for _, pruned := range []bool{false, true} {
			if pruned && c.path != "" {
				continue
			}
			e := &entry{who: oursName, what: p, precision: p, pruned: pruned}
			var shares []float64
			if pruned {
				e.what += prunedTag
				shares = f.options.shares
			}
			s, err := newEngineSide(c.job, p, c.path, shares)
			if err != nil {
				if c.path != "" { // a machine or build without these kernels
					f.note("%s was left out: %v", c.title, err)
					return nil
				}
				return err
			}
			e.side = s
			c.add(e)
		}
	}
	if c.threads == 1 && c.batch == 1 && c.path == "" {
		for _, p := range precisions {
			c.parts = append(c.parts, &partsTurns{precision: p, kernels: newPartKernels(c.model.params.Config, p)})
		}
	}
	if err := c.check(ctx, f.options.shares); err != nil {
		return err
	}
	if err := c.measure(ctx, f.options.rounds, f.options.turn); err != nil {
		return fmt.Errorf("%s: %w", c.title, err)
	}
	c.writeTable(f.options.stderr)
	f.contests = append(f.contests, c)
	return nil
}

// addPeers takes every peer that has this precision into the contest.
func (f *findings) addPeers(ctx context.Context, c *contest, present []peer, precision string) error {
	for _, p := range present {
		if !slices.Contains(p.precisions(), precision) {
			continue
		}
		s, err := startPeer(ctx, p, c.job, precision, &f.commands, c.model.logitsLen())
		if err != nil {
			return err
		}
		c.add(&entry{who: p.name(), what: precision, side: s, precision: precision, held: s.held})
		if c.threads == 1 && c.batch == 1 {
			f.recordMemory(c.model.name, p.name(), precision, s.held)
		}
	}
	return nil
}

// recordMemory keeps the first figure of a peer.
func (f *findings) recordMemory(model, who, what string, held int64) {
	for _, m := range f.memory {
		if m.model == model && m.who == who && m.what == what {
			return
		}
	}
	if held > 0 {
		f.memory = append(f.memory, memoryOf{model, who, what, memoryUse{Held: held}})
	}
}

// count is "1 thread" or "2 threads".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
