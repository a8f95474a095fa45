package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// Options are a run's inputs besides its recipe.
type Options struct {
	Recipe       Recipe
	Init         *vit.Params // nil: the recipe's variant, initialised from its seed
	Preprocessor data.Preprocessor
	Data         data.Dataset
	InitName     string // what Init and Data are called in training.json
	DataName     string
	Dir          string // becomes a model directory; checkpoints/, log.jsonl and training.json lie beside the model
	Resume       bool
	Threads      int
	Evaluate     func(context.Context, *vit.Params) (map[string]float64, error) // after each epoch, on held-out images; may be nil
	Precisions   func(context.Context, *vit.Model) (map[string]float64, error)  // what each costs the finished model, for its card; may be nil
	Progress     func(Progress)                                                 // after each step; may be nil
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

// Entry is one line of log.jsonl: an epoch's means.
type Entry struct {
	Epoch           int                `json:"epoch"`
	Step            int                `json:"step"`
	LR              float64            `json:"lr"`
	Loss            float64            `json:"loss"`
	CrossEntropy    float64            `json:"loss_ce"`
	Ponder          float64            `json:"loss_ponder"`
	Prior           float64            `json:"loss_prior"`
	TrainTop1       float64            `json:"train_top1"` // percent, of augmented images with drop path
	MeanDepth       float64            `json:"mean_depth"`
	LayerScores     []float64          `json:"layer_scores,omitempty"`
	GradNorm        float64            `json:"grad_norm"`
	ImagesPerSecond float64            `json:"images_per_second"`
	Seconds         float64            `json:"seconds"`
	Test            map[string]float64 `json:"test,omitempty"`     // of the weights as they are
	TestEMA         map[string]float64 `json:"test_ema,omitempty"` // of their moving average
}

// ErrInterrupted says that a run was stopped from outside after it had saved a checkpoint.
var ErrInterrupted = errors.New("training was interrupted; a checkpoint is saved, the same command with --resume goes on from it")

// Run trains and stores the model in Options.Dir.
func Run(ctx context.Context, o Options) error {
	r := o.Recipe
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p, err := r.Start(o.Init)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if err := o.prepare(p); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	release, err := lock(o.Dir)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	defer release()
	if err := o.vacant(); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if err := weights.RemoveTemp(checkpointDir(o.Dir)); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	net, err := NewNetwork(p, o.Threads)
	if err != nil {
		return err
	}
	opt := newOptimizer(p)
	if o.Resume {
		resumed, err := opt.restore(o.Dir, p, r, o.Log)
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		if resumed {
			o.Log.Info("resumed", "step", opt.step)
		}
	}
	if err := trimLog(o.Dir, opt.step); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if err := o.catchUp(ctx, opt, p); err != nil {
		return err
	}
	if err := o.loop(ctx, net, opt, p); err != nil {
		return err
	}
	dtype := weights.DType(r.Store)
	if err := vit.Save(o.Dir, &vit.Model{Params: opt.kept(p, r), Preprocessor: o.Preprocessor}, dtype); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	var loss map[string]float64
	if o.Precisions != nil {
		m, err := vit.Load(o.Dir) // as it was stored
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		if loss, err = o.Precisions(ctx, m); err != nil {
			return err
		}
	}
	if err := o.writeCard(o.images(), opt.step, loss); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
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
	channels, height, width := o.Data.Size()
	if channels != c.Channels || height != c.Height || width != c.Width {
		return fmt.Errorf("the images are %d×%d×%d (channels, height, width), the model wants %d×%d×%d", channels, height, width, c.Channels, c.Height, c.Width)
	}
	if classes := len(o.Data.Classes()); classes != c.Classes {
		return fmt.Errorf("the data has %d classes, the model %d; a fresh head would fit (--new-head)", classes, c.Classes)
	}
	if o.Data.Len() == 0 {
		return errors.New("the data has no images")
	}
	if names := o.Data.Classes(); c.Labels == nil || !data.Numbered(names) { // numbers would tell less than the names that the model has
		c.Labels = names
	}
	return os.MkdirAll(o.Dir, 0o777)
}

// vacant checks that the run will overwrite nothing but, if it is to be resumed, what it wrote itself.
func (o *Options) vacant() error {
	if o.Resume {
		found, err := checkpoints(o.Dir)
		if err != nil || len(found) > 0 {
			return err
		}
		if _, err := os.Lstat(filepath.Join(o.Dir, vit.WeightsFile)); err == nil {
			return fmt.Errorf("%s holds a model but no checkpoint to go on from; give another folder", o.Dir)
		}
		return nil
	}
	for _, name := range []string{"config.json", "model.safetensors", "checkpoints", "log.jsonl"} {
		if _, err := os.Lstat(filepath.Join(o.Dir, name)); err == nil {
			return fmt.Errorf("%s already holds a run (%s); give another folder, or --resume to go on with it", o.Dir, name)
		}
	}
	return nil
}

// sizes are those of a batch, in images, and of an epoch, in batches; an incomplete last batch waits for another epoch's order.
func (o *Options) sizes() (batch, perEpoch int) {
	batch = min(o.Recipe.Batch, o.images())
	return batch, o.images() / batch
}

// loop runs the remaining steps.
func (o *Options) loop(ctx context.Context, net *Network, opt *optimizer, p *vit.Params) error {
	r, c := o.Recipe, p.Config
	images := o.images()
	batch, perEpoch := o.sizes()
	steps := r.Epochs * perEpoch
	every := r.CheckpointSteps
	if every == 0 {
		every = perEpoch
	}
	grad, labels := vit.NewParams(c), make([]int32, batch)
	for opt.step < steps {
		epoch := opt.step / perEpoch
		order := data.Order(r.Seed, uint64(epoch), images)
		begin, first := time.Now(), opt.step
		var sum Entry
		for opt.step < (epoch+1)*perEpoch {
			at := opt.step % perEpoch * batch
			for i := range labels {
				labels[i] = int32(o.Data.Label(order[at+i]))
			}
			b := Batch{Size: batch, Labels: labels, Seed: r.Seed ^ uint64(opt.step+1)*0x9e3779b97f4a7c15,
				Load: func(i int, dst []float32) error { return o.load(dst, order[at+i], epoch, c) }}
			lr := r.LearningRate(opt.step, perEpoch)
			stats, err := net.Step(b, r.loss(), grad)
			if err != nil {
				return err
			}
			norm := math.NaN()
			if !math.IsNaN(stats.Loss) && !math.IsInf(stats.Loss, 0) {
				norm = opt.update(net, p, grad, r, lr)
			}
			if math.IsNaN(norm) || math.IsInf(norm, 0) {
				return fmt.Errorf("train: step %d: loss %v, gradient norm %v (first bad tensor: %s); the last checkpoint in %s is sound: try a lower lr",
					opt.step+1, stats.Loss, norm, firstBad(grad), checkpointDir(o.Dir))
			}
			sum.add(stats, norm, lr, batch)
			if o.Progress != nil {
				rate := float64((opt.step-first)*batch) / time.Since(begin).Seconds()
				o.Progress(Progress{Epoch: epoch + 1, Epochs: r.Epochs, Step: opt.step, Steps: steps, Batch: batch, Stats: stats, Rate: rate})
			}
			last := opt.step == (epoch+1)*perEpoch // then the epoch is finished first
			if interrupted := ctx.Err() != nil; !last && (interrupted || opt.step%every == 0) {
				if err := opt.save(o.Dir, p, r); err != nil {
					return fmt.Errorf("train: %w", err)
				}
				if interrupted {
					return ErrInterrupted
				}
			}
		}
		sum.finish(epoch+1, opt.step, opt.step-first, batch, time.Since(begin))
		interrupted := o.evaluate(ctx, &sum, opt, p)
		if interrupted != nil && !errors.Is(interrupted, ErrInterrupted) {
			return interrupted
		}
		if err := appendLog(o.Dir, sum); err != nil {
			return fmt.Errorf("train: %w", err)
		}
		if err := opt.save(o.Dir, p, r); err != nil {
			return fmt.Errorf("train: %w", err)
		}
		if interrupted != nil {
			return interrupted
		}
	}
	return nil
}

// load writes training image i as the model wants it, augmented by its own stream of random numbers.
func (o *Options) load(dst []float32, i, epoch int, c vit.Config) error {
	pixels := make([]byte, len(dst))
	if err := o.Data.Pixels(pixels, i); err != nil {
		return err
	}
	rng := data.Rand(o.Recipe.Seed, uint64(epoch), uint64(i))
	mean, std := o.Preprocessor.MeanStd(c.Channels)
	o.Recipe.Augment.Apply(dst, pixels, c.Channels, c.Height, c.Width, mean, std, rng)
	return nil
}

// evaluate adds an epoch's test figures to its entry. Ctrl-C meanwhile is ErrInterrupted, and leaves the entry without them.
func (o *Options) evaluate(ctx context.Context, e *Entry, opt *optimizer, p *vit.Params) (err error) {
	if o.Evaluate == nil {
		return nil
	}
	if e.Test, err = o.Evaluate(ctx, p); err == nil && o.Recipe.EMA > 0 {
		e.TestEMA, err = o.Evaluate(ctx, opt.average)
	}
	if err != nil && ctx.Err() != nil {
		e.Test, e.TestEMA = nil, nil
		return ErrInterrupted
	}
	return err
}

// catchUp measures the epoch that a resumed run goes on from, if it was stopped before that was done.
func (o *Options) catchUp(ctx context.Context, opt *optimizer, p *vit.Params) error {
	_, perEpoch := o.sizes()
	if o.Evaluate == nil || opt.step == 0 || opt.step%perEpoch != 0 {
		return nil
	}
	entries, err := ReadLog(o.Dir)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if n := len(entries); n == 0 || entries[n-1].Step != opt.step {
		entries = append(entries, Entry{Epoch: opt.step / perEpoch, Step: opt.step})
	}
	e := &entries[len(entries)-1]
	if e.Test != nil {
		return nil
	}
	if err := o.evaluate(ctx, e, opt, p); err != nil {
		return err
	}
	if err := writeLog(o.Dir, entries); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}

func (e *Entry) add(s Stats, norm, lr float64, batch int) {
	e.LR = lr
	e.Loss += s.Loss
	e.CrossEntropy += s.CrossEntropy
	e.Ponder += s.Ponder
	e.Prior += s.Prior
	e.TrainTop1 += 100 * float64(s.Correct) / float64(batch)
	e.MeanDepth += s.MeanDepth
	e.GradNorm += norm
	if e.LayerScores == nil {
		e.LayerScores = make([]float64, len(s.LayerScores))
	}
	for l, v := range s.LayerScores {
		e.LayerScores[l] += v
	}
}

// finish turns the sums of an epoch's steps into means.
func (e *Entry) finish(epoch, step, steps, batch int, took time.Duration) {
	e.Epoch, e.Step, e.Seconds = epoch, step, took.Seconds()
	e.ImagesPerSecond = float64(steps*batch) / took.Seconds()
	for _, v := range []*float64{&e.Loss, &e.CrossEntropy, &e.Ponder, &e.Prior, &e.TrainTop1, &e.MeanDepth, &e.GradNorm} {
		*v /= float64(steps)
	}
	for l := range e.LayerScores {
		e.LayerScores[l] /= float64(steps)
	}
}

func firstBad(g *vit.Params) string {
	for _, t := range g.Tensors() {
		for _, v := range t.Data {
			if v-v != 0 {
				return t.Name
			}
		}
	}
	return "none"
}

func logPath(dir string) string { return filepath.Join(dir, "log.jsonl") }

func appendLog(dir string, e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(logPath(dir), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// trimLog drops the log's lines beyond a step, which a resumed run will write again, and a torn last line, which would spoil the next one.
func trimLog(dir string, step int) error {
	if _, err := os.Lstat(logPath(dir)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	entries, err := ReadLog(dir)
	if err != nil {
		return err
	}
	return writeLog(dir, slices.DeleteFunc(entries, func(e Entry) bool { return e.Step > step }))
}

func writeLog(dir string, entries []Entry) error {
	var out []byte
	for _, e := range entries {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		out = append(append(out, line...), '\n')
	}
	return weights.WriteFile(logPath(dir), out)
}

// ReadLog returns the entries of a run's log; a missing log is empty, a torn last line is left out.
func ReadLog(dir string) ([]Entry, error) {
	f, err := os.Open(logPath(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var entries []Entry
	for d := json.NewDecoder(f); ; {
		var e Entry
		if err := d.Decode(&e); err != nil {
			return entries, nil
		}
		entries = append(entries, e)
	}
}
