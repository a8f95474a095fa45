package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/adavit/adavit/internal/kernels"
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
	absent   map[string]string // peers that could not be had, and why
	chosen   map[string]string // the fastest settings of peers, see startFastest
	contests []*contest
	unplayed []*contest // which this machine has no kernels for
	scalings []*scaling
	accuracy []accuracy
	memory   []memoryOf
	starts   *starts

	trained      []*training
	trainingPeak []memoryOf // of each precision
}

// memoryOf is what a model takes in one program.
type memoryOf struct {
	model, who, what string
	memoryUse
}

// compare runs everything and writes the report.
func compare(ctx context.Context, o options) error {
	f := &findings{options: o, date: time.Now(), machine: describeMachine(ctx), absent: map[string]string{},
		chosen: map[string]string{}}
	f.commands.replace = [][2]string{{o.venv, "VENV"}, {o.cache, "CACHE"}}
	f.versions = append(f.versions, "adavit: "+revision(ctx)+", "+runtime.Version())
	present, err := f.preparePeers(ctx)
	if err != nil {
		return err
	}
	if err := f.knownPrecisions(); err != nil {
		return err
	}
	for _, name := range o.models {
		f.progress("making %s", name)
		m, err := makeModel(ctx, o.cache, name, &f.commands)
		if err != nil {
			return fmt.Errorf("model %s: %w", name, err)
		}
		for _, p := range present {
			if err := p.convert(ctx, m, &f.commands); err != nil {
				return fmt.Errorf("model %s, %s: %w", name, p.name(), err)
			}
		}
		if err := f.contestsOf(ctx, m, present); err != nil {
			return err
		}
		if err := f.scale(ctx, m); err != nil {
			return err
		}
		if name == o.startModel {
			if err := f.measureStarts(ctx, m, present); err != nil {
				return fmt.Errorf("from start to answer: %w", err)
			}
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
		for _, p := range f.options.precisions {
			if trainingAsked[p] == 0 {
				continue
			}
			f.progress("memory of training in %s", p)
			use, err := measureTrainingMemory(p)
			if err != nil {
				f.note("memory of training in %s not measured: %v", p, err)
				continue
			}
			f.trainingPeak = append(f.trainingPeak, memoryOf{trainingMemoryModel, oursName, p, use})
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

// progress tells whoever waits, with the minutes since the start.
func (f *findings) progress(format string, args ...any) {
	minutes := time.Since(f.date).Minutes()
	fmt.Fprintf(f.options.stderr, "bench: %4.1f min: "+format+"\n", append([]any{minutes}, args...)...)
}

// preparePeers returns those that can run here.
func (f *findings) preparePeers(ctx context.Context) ([]peer, error) {
	w := workplace{programs: filepath.Join(f.options.cache, "peers"), venv: f.options.venv, log: &f.commands}
	if err := unpackAll(w.programs); err != nil {
		return nil, err
	}
	var present []peer
	for _, p := range peers(f.options) {
		if f.options.skip[p.name()] {
			f.leaveOut(p, "-skip")
			continue
		}
		f.progress("preparing %s", p.name())
		version, err := p.prepare(ctx, w)
		switch {
		case errors.Is(err, errAbsent):
			f.leaveOut(p, err.Error())
			continue
		case err != nil:
			return nil, fmt.Errorf("%s: %w", p.name(), err)
		}
		f.versions = append(f.versions, p.name()+": "+version)
		present = append(present, p)
	}
	return present, nil
}

// leaveOut notes that there is no such peer, and why.
func (f *findings) leaveOut(p peer, why string) {
	f.absent[p.name()] = p.name() + " was left out: " + oneLine(why)
	f.note("%s", f.absent[p.name()])
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
				batch), peers: present}
			if err := f.play(ctx, c); err != nil {
				return err
			}
		}
	}
	for _, path := range f.options.paths {
		c := &contest{job: job{m, 1, 1}, title: fmt.Sprintf("%s, 1 thread, batch 1, our %s kernels", m.name, path),
			path: path}
		isa, known := isas[path]
		for _, p := range present {
			if o, ok := p.(*openVINO); ok && known {
				c.peers, c.title = []peer{o.held(isa)}, c.title+", OpenVINO held to "+isa
			} else if !known && p.name() == "ONNX Runtime" && m.name == f.options.models[0] {
				c.peers = []peer{p}
			}
		}
		if !known && m.name != f.options.models[0] {
			continue // it takes long, and one model says it all
		}
		if err := f.play(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// isas says, for our slower kernels, what oneDNN is held to in order to have the same instructions.
var isas = map[string]string{"avx2": "AVX2", "avxvnni": "AVX2_VNNI"}

// play loads all sides, checks that they compute the same, and lets them take turns. Sides that are compared stand
// beside each other.
func (f *findings) play(ctx context.Context, c *contest) error {
	defer c.close()
	f.progress("%s", c.title)
	precisions := f.options.precisions
	if c.path != "" && !slices.Contains(kernels.Paths(), c.path) {
		const why = "this machine, or build, has no such kernels"
		f.note("%s was left out: %s", c.title, why)
		c.missing = map[string]string{oursName + " " + f32: why, oursName + " " + int8Name: why}
		f.unplayed = append(f.unplayed, c)
		return nil
	}
	for _, p := range precisions {
		if err := f.addPeers(ctx, c, p); err != nil {
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
	if err := c.check(ctx, f.options.shares, func(err error) { f.note("left out: %v", err) }); err != nil {
		return err
	}
	rounds := f.options.rounds
	if c.batch > 1 || c.path != "" { // long ones, or many
		rounds = max(rounds/2, min(rounds, 3))
	}
	if err := c.measure(ctx, rounds, f.options.turn); err != nil {
		return fmt.Errorf("%s: %w", c.title, err)
	}
	c.writeTable(f.options.stderr)
	f.contests = append(f.contests, c)
	return nil
}

// addPeers takes every peer that has this precision into the contest. One that cannot run is left out.
func (f *findings) addPeers(ctx context.Context, c *contest, precision string) error {
	for _, p := range c.peers {
		if !slices.Contains(p.precisions(), precision) {
			continue
		}
		s, setting, err := f.startFastest(ctx, p, c.job, precision, c.model.logitsLen())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			c.failed(p, precision, err)
			f.note("%s, %s: %v", c.title, p.name(), err)
			continue
		}
		c.add(&entry{who: p.name(), what: precision, side: s, precision: precision, held: s.held, setting: setting,
			note: s.note})
		if c.threads == 1 && c.batch == 1 && c.path == "" {
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
