package trainer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// runner is a run at work.
type runner struct {
	Options
	preprocessor picture.Preprocessor
	start        vit.Config // as the run began; learnt gates change the backend's
	backend      Backend
	teacher      *teacher // nil: no distillation
	feed         *feed
	board        *board // nil: no TensorBoard

	batch, perEpoch int     // images a step, steps an epoch; an incomplete last batch waits for another epoch's order
	parts           int     // passes that a step's images are cut into
	step            int     // steps taken
	epochs          []Entry // the log
	entry           Entry   // sums of the epoch under way
	saved           int     // step of the newest checkpoint, −1 before the first
	size            int64   // of a checkpoint in bytes, about
	steps, log      *os.File
}

// newRunner makes a run that starts from p. If it fails, nothing is left open.
func newRunner(o Options, p *vit.Params, prep picture.Preprocessor) (r *runner, err error) {
	r = &runner{Options: o, preprocessor: prep, start: p.Config, saved: -1, size: 4 * 4 * int64(len(p.Data))}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	r.batch = min(o.Recipe.Batch, o.images())
	r.perEpoch = o.images() / r.batch
	if r.parts = max(1, o.Recipe.Accumulate); r.batch%r.parts != 0 {
		return nil, fmt.Errorf("a batch of %d images cannot be cut into %d equal parts (accumulate)", r.batch, r.parts)
	}
	if d := o.Recipe.Distill; d != nil {
		if r.teacher, err = newTeacher(o.Teacher, d.Model, p.Config, prep, o.Data.Train.Classes(), o.Threads); err != nil {
			return nil, err
		}
	}
	if o.TensorBoard {
		if r.board, err = newBoard(o.Dir, prep, o.Data, o.Threads); err != nil {
			return nil, err
		}
	}
	if o.Backend != nil {
		r.backend, err = o.Backend(p, o.Recipe.settings(), o.Threads)
	} else {
		r.backend, err = train.NewStepper(p, o.Recipe.settings(), o.Threads)
	}
	return r, err
}

func (r *runner) close() {
	r.feed.close()
	r.teacher.close()
	r.steps.Close() // what is to last was synced
	r.log.Close()
	var err error
	if r.backend != nil {
		err = r.backend.Close()
	}
	if err := errors.Join(err, r.board.close()); err != nil {
		r.Log.Warn("the run could not be closed as it should", "error", err)
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

// begin restores the newest whole checkpoint if there is one to go on from, and makes the logs agree with it. A fresh
// run saves one at once: what would keep it from saving shows before any work is done.
func (r *runner) begin(ctx context.Context) error {
	if r.Resume {
		if err := r.restore(); err != nil {
			return err
		}
	}
	if err := trim(logPath(r.Dir), func(e Entry) bool { return e.Step <= r.step }); err != nil {
		return err
	}
	if err := trim(stepsPath(r.Dir), func(e StepEntry) bool { return e.Step <= r.step }); err != nil {
		return err
	}
	var err error
	if r.epochs, err = ReadLog(r.Dir); err != nil {
		return err
	}
	if r.steps, err = openLines(stepsPath(r.Dir)); err != nil {
		return err
	}
	if r.log, err = openLines(logPath(r.Dir)); err != nil {
		return err
	}
	ended := r.step > 0 && r.step%r.perEpoch == 0
	pending := ended && (len(r.epochs) == 0 || r.epochs[len(r.epochs)-1].Step != r.step)
	if err := r.showAgain(pending); err != nil {
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
	if r.step%r.perEpoch == 0 {
		r.entry = Entry{} // the one of the epoch before is in the log
	}
	return nil
}

// showAgain opens TensorBoard's files. With an epoch pending, the line of its last step is told again, since the
// epoch's belongs to the same step.
func (r *runner) showAgain(pending bool) error {
	known := r.step
	if pending || r.saved < 0 {
		known--
	}
	if err := r.board.begin(known); err != nil || !pending {
		return err
	}
	lines, err := ReadSteps(r.Dir)
	if err != nil {
		return err
	}
	for _, line := range lines {
		if line.Step == r.step {
			if err := r.board.step(line); err != nil {
				return err
			}
		}
	}
	return nil
}

// loop runs the remaining steps.
func (r *runner) loop(ctx context.Context) (err error) {
	steps := r.Recipe.Epochs * r.perEpoch
	every := cmp.Or(r.Recipe.CheckpointSteps, r.perEpoch)
	if r.step >= steps {
		return nil
	}
	if r.feed, err = r.newFeed(); err != nil {
		return err
	}
	for r.step < steps {
		epoch := r.step / r.perEpoch
		begin, first := time.Now(), r.step
		lined, linedAt := begin, first // when the last line of steps.jsonl was written, and at which step
		for r.step < (epoch+1)*r.perEpoch {
			stepBegin := time.Now()
			stats, line, err := r.take(ctx)
			if err != nil {
				return err
			}
			r.entry.add(line, time.Since(stepBegin))
			if r.step%cmp.Or(r.Recipe.LogSteps, 50) == 0 {
				line.ImagesPerSecond = r.rate(linedAt, lined)
				lined, linedAt = time.Now(), r.step
				if err := addLine(r.steps, line); err != nil {
					return err
				}
				if err := r.board.step(line); err != nil {
					return err
				}
			}
			if r.Progress != nil {
				r.Progress(Progress{Epoch: epoch + 1, Epochs: r.Recipe.Epochs, Step: r.step, Steps: steps, Batch: r.batch,
					Stats: stats, Rate: r.rate(first, begin)})
			}
			if r.step == (epoch+1)*r.perEpoch {
				break
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if r.step%every == 0 {
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

// rate is the number of images a second since an earlier step and moment.
func (r *runner) rate(step int, moment time.Time) float64 {
	return float64((r.step-step)*r.batch) / max(time.Since(moment).Seconds(), 1e-9)
}

// take takes a step and returns its line. If it fails, the backend's state is as it was.
func (r *runner) take(ctx context.Context) (train.Stats, StepEntry, error) {
	epoch, at := r.step/r.perEpoch, r.step%r.perEpoch
	lr := r.Recipe.LearningRate(r.step, r.perEpoch)
	stats, err := r.backend.Step(train.Update{LR: lr, Parts: r.parts, Batch: func(part int) (train.Batch, error) {
		b, err := r.feed.next(ctx, epoch, at*r.parts+part)
		b.Seed = r.Recipe.Seed ^ uint64(r.step+1)*0x9e3779b97f4a7c15 ^ uint64(part)*0xd1b54a32d192ed03
		return b, err
	}})
	if bad := new(train.NotFiniteError); errors.As(err, &bad) {
		err = fmt.Errorf("step %d: %w; %s", r.step+1, err, r.sound())
	}
	if err != nil {
		return stats, StepEntry{}, err
	}
	r.step++
	return stats, StepEntry{Step: r.step, Epoch: epoch + 1, Line: line(stats, lr, r.batch)}, nil
}

// endEpoch measures the weights that an epoch came to and writes its line of the log. Stopped meanwhile, it leaves
// that to the run that goes on: the epoch's checkpoint is there.
func (r *runner) endEpoch(ctx context.Context) error {
	e := r.entry
	weights, average, err := r.backend.Params()
	if err != nil {
		return err
	}
	if err := r.measure(ctx, weights, average, &e); err != nil {
		return err
	}
	kept := weights
	if r.averaged(e) {
		kept = average
	}
	if r.Epoch != nil {
		if err := r.Epoch(ctx, e, kept); err != nil {
			return err
		}
	}
	if err := r.board.epoch(ctx, e, kept); err != nil {
		return err
	}
	if err := r.board.sync(); err != nil {
		return err
	}
	if err := addLine(r.log, e); err != nil {
		return err
	}
	if err := r.log.Sync(); err != nil {
		return err
	}
	r.epochs, r.entry = append(r.epochs, e), Entry{}
	return ctx.Err()
}

// finish makes a model of the weights that are kept, its card, and the report.
func (r *runner) finish(ctx context.Context) (Result, error) {
	kept, err := r.choose()
	if err != nil {
		return Result{}, err
	}
	m := &vit.Model{Params: kept.params, Preprocessor: r.preprocessor}
	if err := vit.Save(r.Dir, m, weights.DType(r.Recipe.Store)); err != nil {
		return Result{}, err
	}
	loss, err := r.precisionLoss(ctx)
	if err != nil {
		return Result{}, err
	}
	if err := r.writeCard(kept, loss); err != nil {
		return Result{}, err
	}
	result := Result{Dir: r.Dir, Epochs: r.Recipe.Epochs, Steps: r.step, Kept: kept.what, KeptEpoch: kept.entry.Epoch}
	result.Validation, result.Test = r.kept(kept.entry)
	if r.Report {
		if result.Report, err = r.writeReport(ctx); err != nil {
			return Result{}, err
		}
	}
	return result, nil
}
