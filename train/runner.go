package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// runner is a run at work.
type runner struct {
	Options
	params *vit.Params
	start  vit.Config // params.Config as the run began
	net    *Network
	opt    *optimizer
	grad   *vit.Params
	feed   *feed

	batch, perEpoch int     // images a step, steps an epoch; an incomplete last batch waits for another epoch's order
	parts           int     // passes that a step's images are cut into
	epochs          []Entry // the log
	entry           Entry   // sums of the epoch under way
	saved           int     // step of the newest checkpoint, −1 before the first
	steps, log      *journal
	watching        bool
}

func newRunner(o Options, p *vit.Params) (*runner, error) {
	net, err := NewNetwork(p, o.Threads)
	if err != nil {
		return nil, err
	}
	r := &runner{Options: o, params: p, start: p.Config, net: net, opt: newOptimizer(p), grad: vit.NewParams(p.Config), saved: -1}
	r.batch = min(o.Recipe.Batch, o.images())
	r.perEpoch = o.images() / r.batch
	if o.Recipe.Freeze != nil {
		if err := r.opt.freeze(p, o.Recipe.Freeze); err != nil {
			return nil, err
		}
		net.LearnFrom(firstLearnt(p, r.opt.frozen))
	}
	if o.Recipe.LearnGate {
		if err := r.opt.learnGates(p); err != nil {
			return nil, err
		}
	}
	if r.parts = max(1, o.Recipe.Accumulate); r.batch%r.parts != 0 {
		return nil, fmt.Errorf("a batch of %d images cannot be cut into %d equal parts (accumulate)", r.batch, r.parts)
	}
	return r, nil
}

func (r *runner) close() {
	r.feed.close()
	r.steps.close()
	r.log.close()
	if r.watching {
		if err := r.Watch.Close(); err != nil {
			r.Log.Warn("what watches the run could not be closed", "error", err)
		}
	}
}

// run takes the run from wherever it stands to its end.
func (r *runner) run(ctx context.Context) (Result, error) {
	if err := r.begin(ctx); err != nil {
		return Result{}, err
	}
	if err := r.loop(ctx); err != nil {
		return Result{}, err
	}
	return r.finish(ctx)
}

// begin restores the newest whole checkpoint if there is one to go on from, and makes the logs agree with it. A fresh run saves one at once: what would
// keep it from saving shows before any work is done.
func (r *runner) begin(ctx context.Context) error {
	if r.Resume {
		if err := r.restore(); err != nil {
			return err
		}
	}
	step := r.opt.step
	if err := trim(logPath(r.Dir), func(e Entry) bool { return e.Step <= step }); err != nil {
		return err
	}
	if err := trim(stepsPath(r.Dir), func(e StepEntry) bool { return e.Step <= step }); err != nil {
		return err
	}
	var err error
	if r.epochs, err = ReadLog(r.Dir); err != nil {
		return err
	}
	if r.steps, err = openJournal(stepsPath(r.Dir)); err != nil {
		return err
	}
	if r.log, err = openJournal(logPath(r.Dir)); err != nil {
		return err
	}
	pending := step > 0 && step%r.perEpoch == 0 && (len(r.epochs) == 0 || r.epochs[len(r.epochs)-1].Step != step)
	if err := r.watch(step, pending); err != nil {
		return err
	}
	if r.saved < 0 {
		if err := r.save(); err != nil {
			return err
		}
	}
	if pending {
		return r.endEpoch(ctx)
	}
	if step%r.perEpoch == 0 {
		r.entry = Entry{} // the one of the epoch before is in the log
	}
	return nil
}

// watch begins what watches the run after a step; with an epoch pending, that step's own line is told again, since the epoch's belongs to the same step.
func (r *runner) watch(step int, pending bool) error {
	if r.Watch == nil {
		return nil
	}
	known := step
	if pending || r.saved < 0 {
		known--
	}
	if err := r.Watch.Begin(known); err != nil {
		return err
	}
	r.watching = true
	if !pending {
		return nil
	}
	lines, err := ReadSteps(r.Dir)
	if err != nil {
		return err
	}
	for _, line := range lines {
		if line.Step == step {
			if err := r.Watch.Step(line); err != nil {
				return err
			}
		}
	}
	return nil
}

// loop runs the remaining steps.
func (r *runner) loop(ctx context.Context) error {
	steps := r.Recipe.Epochs * r.perEpoch
	every := r.Recipe.CheckpointSteps
	if every == 0 {
		every = r.perEpoch
	}
	if r.opt.step >= steps {
		return nil
	}
	var err error
	if r.feed, err = r.newFeed(); err != nil {
		return err
	}
	for r.opt.step < steps {
		epoch := r.opt.step / r.perEpoch
		begin, first := time.Now(), r.opt.step
		lined := begin // when the last line of steps.jsonl was written, and at which step
		linedAt := first
		for r.opt.step < (epoch+1)*r.perEpoch {
			stepBegin := time.Now()
			stats, line, err := r.step(ctx)
			if err != nil && ctx.Err() != nil {
				return r.interrupt()
			}
			if err != nil {
				return err
			}
			r.entry.add(line, time.Since(stepBegin))
			if r.opt.step%r.Recipe.logSteps() == 0 {
				line.ImagesPerSecond = float64((r.opt.step-linedAt)*r.batch) / max(time.Since(lined).Seconds(), 1e-9)
				lined, linedAt = time.Now(), r.opt.step
				if err := r.tell(line); err != nil {
					return err
				}
			}
			if r.Progress != nil {
				rate := float64((r.opt.step-first)*r.batch) / max(time.Since(begin).Seconds(), 1e-9)
				r.Progress(Progress{Epoch: epoch + 1, Epochs: r.Recipe.Epochs, Step: r.opt.step, Steps: steps, Batch: r.batch, Stats: stats, Rate: rate})
			}
			if r.opt.step == (epoch+1)*r.perEpoch {
				break
			}
			if ctx.Err() != nil {
				return r.interrupt()
			}
			if r.opt.step%every == 0 {
				if err := r.save(); err != nil {
					return err
				}
			}
		}
		r.entry.finish(r.perEpoch, r.batch)
		if err := r.save(); err != nil { // before the evaluation, so that a kill in it costs no training
			return err
		}
		if err := r.endEpoch(ctx); err != nil {
			return err
		}
	}
	return nil
}

// interrupt saves what there is.
func (r *runner) interrupt() error {
	if r.saved == r.opt.step {
		return ErrInterrupted
	}
	if err := r.save(); err != nil {
		return err
	}
	return ErrInterrupted
}

// step takes one optimizer step and returns its line. If it fails, weights and moments are as they were.
func (r *runner) step(ctx context.Context) (Stats, StepEntry, error) {
	epoch, at := r.opt.step/r.perEpoch, r.opt.step%r.perEpoch
	lr := r.Recipe.LearningRate(r.opt.step, r.perEpoch)
	loss := r.Recipe.loss()
	loss.Scale = 1 / float64(r.parts)
	var stats Stats
	for part := range r.parts {
		b, err := r.feed.next(ctx, epoch, at*r.parts+part)
		if err != nil {
			return Stats{}, StepEntry{}, err
		}
		b.Seed = r.Recipe.Seed ^ uint64(r.opt.step+1)*0x9e3779b97f4a7c15 ^ uint64(part)*0xd1b54a32d192ed03
		pass := r.net.Step
		if part > 0 {
			pass = r.net.Accumulate
		}
		s, err := pass(b, loss, r.grad)
		if err != nil {
			return Stats{}, StepEntry{}, err
		}
		stats.add(s, 1/float64(r.parts))
		if !finite(s.Loss) {
			return stats, StepEntry{}, r.notFinite(stats, math.NaN())
		}
	}
	norm := r.opt.update(r.net, r.params, r.grad, r.Recipe, lr)
	if !finite(norm) {
		return stats, StepEntry{}, r.notFinite(stats, norm)
	}
	return stats, StepEntry{Step: r.opt.step, Epoch: epoch + 1, LR: lr, Loss: stats.Loss, CrossEntropy: stats.CrossEntropy, Distill: stats.Distill,
		Ponder: stats.Ponder, Prior: stats.Prior, TrainTop1: 100 * float64(stats.Correct) / float64(r.batch), MeanDepth: stats.MeanDepth,
		LayerScores: stats.LayerScores, GradNorm: norm}, nil
}

// add counts a pass in as its share of a step.
func (s *Stats) add(pass Stats, share float64) {
	s.Loss += share * pass.Loss
	s.CrossEntropy += share * pass.CrossEntropy
	s.Distill += share * pass.Distill
	s.Ponder += share * pass.Ponder
	s.Prior += share * pass.Prior
	s.Correct += pass.Correct
	s.MeanDepth += share * pass.MeanDepth
	if s.LayerScores == nil {
		s.LayerScores = make([]float64, len(pass.LayerScores))
	}
	for l, v := range pass.LayerScores {
		s.LayerScores[l] += share * v
	}
}

// tell writes a line of steps.jsonl.
func (r *runner) tell(line StepEntry) error {
	if err := r.steps.add(line); err != nil {
		return r.outOfRoom(err)
	}
	if r.Watch == nil {
		return nil
	}
	return r.outOfRoom(r.Watch.Step(line))
}

// endEpoch measures the weights that an epoch came to and writes its line of the log. Stopped meanwhile, it leaves that to the run that goes on: the
// epoch's checkpoint is there.
func (r *runner) endEpoch(ctx context.Context) error {
	e := r.entry
	if r.Evaluate != nil {
		var err error
		if e.Test, err = r.Evaluate(ctx, r.params); err == nil && r.Recipe.EMA > 0 {
			e.TestEMA, err = r.Evaluate(ctx, r.opt.average)
		}
		if err != nil {
			return stopped(ctx, err)
		}
	}
	if r.Watch != nil {
		if err := r.Watch.Epoch(ctx, e, r.weights(e)); err != nil {
			return r.outOfRoom(stopped(ctx, err))
		}
		if err := r.Watch.Sync(); err != nil {
			return r.outOfRoom(err)
		}
	}
	if err := r.log.add(e); err != nil {
		return r.outOfRoom(err)
	}
	if err := r.log.sync(); err != nil {
		return r.outOfRoom(err)
	}
	r.epochs, r.entry = append(r.epochs, e), Entry{}
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	return nil
}

// stopped is ErrInterrupted in the place of an error that comes of ctx's end.
func stopped(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ErrInterrupted
	}
	return err
}

// weights are those that the run is judged by after an epoch: of raw weights and average the better ones; untested, the average.
func (r *runner) weights(e Entry) *vit.Params {
	if e.Averaged() || e.Test == nil && r.Recipe.EMA > 0 {
		return r.opt.average
	}
	return r.params
}

// finish makes a model of the weights that are kept.
func (r *runner) finish(ctx context.Context) (Result, error) {
	kept, err := r.kept()
	if err != nil {
		return Result{}, err
	}
	if err := vit.Save(r.Dir, &vit.Model{Params: kept.params, Preprocessor: r.Preprocessor}, weights.DType(r.Recipe.Store)); err != nil {
		return Result{}, r.outOfRoom(err)
	}
	var loss map[string]float64
	if r.Precisions != nil {
		m, err := vit.Load(r.Dir) // as it was stored
		if err != nil {
			return Result{}, err
		}
		if loss, err = r.Precisions(ctx, m); err != nil {
			return Result{}, stopped(ctx, err)
		}
	}
	if err := r.writeCard(kept, loss); err != nil {
		return Result{}, r.outOfRoom(err)
	}
	return Result{Epochs: r.Recipe.Epochs, Steps: r.opt.step, Kept: kept.what, KeptEpoch: kept.entry.Epoch, Test: kept.entry.Kept()}, nil
}

// finite reports whether v is neither NaN nor infinite.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// notFinite says where a step went wrong.
func (r *runner) notFinite(stats Stats, norm float64) error {
	return fmt.Errorf("step %d: loss %v, gradient norm %v; %s; the checkpoint of step %d in %s is sound: try a lower learning rate (--resume --set lr=…)",
		r.opt.step+1, stats.Loss, norm, r.net.whereBad(r.grad, r.batch/r.parts), r.saved, checkpointDir(r.Dir))
}

// outOfRoom says what to do where err is for want of room.
func (r *runner) outOfRoom(err error) error {
	if err == nil || errors.Is(err, ErrInterrupted) || !full(err) {
		return err
	}
	return noRoom(err, r.Dir, r.opt.size(), r.saved)
}
