package trainer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// runner is a run at work.
type runner struct {
	Options
	unlock       func() // gives the run's folder free
	preprocessor picture.Preprocessor
	census       census
	origin       origin
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

// prepare opens what a run that starts from p works with, in its folder, which is locked.
func (r *runner) prepare(p *vit.Params) (err error) {
	if err := r.vacant(); err != nil {
		return err
	}
	for _, dir := range []string{r.Dir, checkpointDir(r.Dir)} { // what a kill left; by the lock nobody else writes
		if err := atomicfile.RemoveTemp(dir); err != nil {
			return err
		}
	}
	r.batch = min(r.Recipe.Batch, r.images())
	r.perEpoch = r.images() / r.batch
	if r.parts = max(1, r.Recipe.Accumulate); r.batch%r.parts != 0 {
		return fmt.Errorf("a batch of %d images cannot be cut into %d equal parts (accumulate)", r.batch, r.parts)
	}
	if d := r.Recipe.Distill; d != nil {
		r.teacher, err = newTeacher(r.Teacher, d.Model, p.Config, r.preprocessor, r.Data.Train.Classes(), d.Tokens > 0,
			r.Unknown, r.Threads)
		if err != nil {
			return err
		}
		r.teacher.match.Tell(r.teacher.config, r.Data.Train.Classes(), r.Log)
	}
	if r.Backend != nil {
		r.backend, err = r.Backend(p, r.Recipe.Settings, r.Threads)
	} else {
		r.backend, err = train.NewStepper(p, r.Recipe.Settings, r.Threads)
	}
	return err
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
	r.unlock()
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
func (r *runner) begin(ctx context.Context) (err error) {
	if r.Resume {
		if err := r.restore(); err != nil {
			return err
		}
	}
	var lines []StepEntry
	if r.log, r.epochs, err = openLines(logPath(r.Dir), func(e Entry) bool { return e.Step <= r.step }); err != nil {
		return err
	}
	if r.steps, lines, err = openLines(stepsPath(r.Dir), func(e StepEntry) bool { return e.Step <= r.step }); err != nil {
		return err
	}
	ended := r.step%r.perEpoch == 0
	pending := ended && r.step > 0 && (len(r.epochs) == 0 || r.epochs[len(r.epochs)-1].Step != r.step)
	if err := r.showAgain(pending, lines); err != nil {
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
	if ended {
		r.entry = Entry{} // the one of the epoch before is in the log
	}
	return nil
}

// showAgain opens TensorBoard's files. With an epoch pending, the line of its last step is told again, since the
// epoch's belongs to the same step.
func (r *runner) showAgain(pending bool, lines []StepEntry) error {
	if !r.TensorBoard {
		return nil
	}
	known := r.step
	if pending || r.saved < 0 {
		known--
	}
	b, err := r.newBoard(known)
	if err != nil {
		return err
	}
	r.board = b
	if n := len(lines); pending && n > 0 && lines[n-1].Step == r.step {
		return b.step(lines[n-1])
	}
	return nil
}

// loop runs the remaining steps.
func (r *runner) loop(ctx context.Context) (err error) {
	steps := r.Recipe.Epochs * r.perEpoch
	if r.step == steps {
		return nil
	}
	if r.feed, err = r.newFeed(); err != nil {
		return err
	}
	epoch := r.mark() // when it, and when the last line of steps.jsonl, began
	lined := epoch
	for r.step < steps {
		begin := time.Now()
		line, err := r.take(ctx)
		if err != nil {
			return err
		}
		r.entry.add(line, time.Since(begin))
		if r.step%cmp.Or(r.Recipe.LogSteps, 50) == 0 {
			line.ImagesPerSecond = r.rate(lined)
			lined = r.mark()
			if err := errors.Join(addLine(r.steps, line), r.board.step(line)); err != nil {
				return err
			}
		}
		if r.Progress != nil {
			r.Progress(Progress{Epoch: line.Epoch, Epochs: r.Recipe.Epochs, Step: r.step, Steps: steps, Batch: r.batch,
				Stats: line.Stats, Rate: r.rate(epoch)})
		}
		ended := r.step%r.perEpoch == 0
		if ended {
			r.entry.finish(r.perEpoch, r.batch)
		} else if err := ctx.Err(); err != nil {
			return err
		}
		if ended || r.step%cmp.Or(r.Recipe.CheckpointSteps, r.perEpoch) == 0 {
			if err := r.save(); err != nil { // before the evaluation, so that a kill in it costs no training
				return err
			}
		}
		if ended {
			if err := r.endEpoch(ctx); err != nil {
				return err
			}
			epoch = r.mark()
			lined = epoch
		}
	}
	return nil
}

// mark is a step and the moment after it.
type mark struct {
	step int
	at   time.Time
}

func (r *runner) mark() mark { return mark{r.step, time.Now()} }

// rate is the number of images a second since a mark.
func (r *runner) rate(m mark) float64 {
	return float64((r.step-m.step)*r.batch) / max(time.Since(m.at).Seconds(), 1e-9)
}

// take takes a step and returns its line. If it fails, the backend's state is as it was.
func (r *runner) take(ctx context.Context) (StepEntry, error) {
	epoch, at := r.step/r.perEpoch, r.step%r.perEpoch
	lr := r.Recipe.LearningRate(r.step, r.perEpoch)
	stats, err := r.backend.Step(train.Update{LR: lr, Parts: r.parts,
		Progress: float64(r.step) / float64(r.Recipe.Epochs*r.perEpoch), Batch: func(part int) (train.Batch, error) {
			b, err := r.feed.next(ctx, epoch, at*r.parts+part)
			b.Seed = r.Recipe.Seed ^ uint64(r.step+1)*0x9e3779b97f4a7c15 ^ uint64(part)*0xd1b54a32d192ed03
			return b, err
		}})
	if bad := new(train.NotFiniteError); errors.As(err, &bad) {
		err = fmt.Errorf("step %d: %w; %s", r.step+1, err, r.sound())
	}
	if err != nil {
		return StepEntry{}, err
	}
	r.step++
	top1 := 100 * float64(stats.Correct) / float64(r.batch)
	return StepEntry{Step: r.step, Epoch: epoch + 1, Line: Line{LR: lr, TrainTop1: top1, Stats: stats}}, nil
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
	if err := errors.Join(addLine(r.log, e), r.log.Sync()); err != nil {
		return err
	}
	r.epochs, r.entry = append(r.epochs, e), Entry{}
	return ctx.Err()
}

// finished returns the model of a run that had ended before this call, which somebody may have calibrated since; else
// nil.
func (r *runner) finished() *vit.Model {
	c, err := ReadCard(r.Dir)
	if !r.Resume || err != nil || c.Steps != r.step || r.Recipe.changes(c.Recipe) != "" {
		return nil
	}
	m, err := vit.Load(r.Dir)
	if err != nil {
		return nil
	}
	return m
}

// store writes the model of the weights that are kept, its ladder, and last its card. changed says whether the model
// that is stored halts by other constants than those that were measured.
func (r *runner) store(ctx context.Context, kept choice) (changed bool, err error) {
	m := &vit.Model{Params: kept.params, Preprocessor: r.preprocessor}
	if err := vit.Save(r.Dir, m, weights.DType(r.Recipe.Store)); err != nil {
		return false, err
	}
	if changed, err = r.calibrate(ctx); err != nil {
		return false, err
	}
	return changed, r.writeCard(ctx, kept)
}

// finish makes a model of the weights that are kept, its card, and the report.
func (r *runner) finish(ctx context.Context) (Result, error) {
	kept, err := r.choose()
	if err != nil {
		return Result{}, err
	}
	stored, changed := r.finished(), false
	if stored != nil {
		r.Log.Info("the run had ended; its model stays as it is")
		changed = stored.Params.Config.Halting.String() != kept.params.Config.Halting.String()
	} else if changed, err = r.store(ctx, kept); err != nil {
		return Result{}, err
	}
	for _, c := range r.Data.Contents() {
		if c.Damaged+c.TooLarge > 0 {
			r.Log.Info("pictures left out", "split", c.Part, "damaged", c.Damaged, "too_large", c.TooLarge)
		}
	}
	result := Result{Dir: r.Dir, Epochs: r.Recipe.Epochs, Steps: r.step, Kept: kept.what, KeptEpoch: kept.entry.Epoch}
	if result.Validation, result.Test = r.kept(kept.entry); changed {
		if result.Validation, result.Test, err = r.measureStored(ctx); err != nil {
			return Result{}, err
		}
	}
	if r.Report {
		if result.Report, err = r.writeReport(ctx); err != nil {
			return Result{}, err
		}
	}
	return result, nil
}
