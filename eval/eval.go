// Package eval runs a model over a data set: accuracy, depth, work and speed, what became of the tokens, and what a
// halting scheme's choice of tokens is worth.
package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/internal/turns"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
)

// Options say how a model is measured. The zero value measures it on all images, on all CPUs.
type Options struct {
	Name      string          // what Result.Model says
	Limit     int             // only the first so many images; 0 for all
	Threads   int             // 0 for the CPUs that the process may use
	Precision infer.Precision // the zero value is infer.Auto
	Budget    infer.Budget    // of every image
	Progress  func(done, total int)

	// Engine makes what runs a model's images; nil is infer.New, and what the budget is for. It takes Slice images at a
	// time, all but the last.
	Engine func(*vit.Model) (Engine, error)
	Slice  int
}

// Engine runs batches of images as infer.Engine does, without caps: it fills Logits, Depth and Active of out.
type Engine interface {
	Run(ctx context.Context, b infer.Batch, out *infer.Output) error
	Close()
}

// Result is what a model reached on a data set.
type Result struct {
	Model           string  `json:"model"`
	Images          int     `json:"images"`
	Top1            float64 `json:"top1"`                 // percent whose largest logit is their label
	Top5            float64 `json:"top5"`                 // percent whose label is among the five largest logits
	MeanDepth       float64 `json:"mean_depth"`           // blocks that a token really ran in, over all tokens
	MACs            float64 `json:"macs_per_image"`       // mean, counted from the tokens that ran
	DenseMACs       float64 `json:"dense_macs_per_image"` // the same had no token halted
	ImagesPerSecond float64 `json:"images_per_second"`    // from the data set's bytes to logits, decoding included
	Threads         int     `json:"threads"`
	Precision       string  `json:"precision"`
	Damaged         int     `json:"damaged,omitempty"`   // images that cannot be read, and were left out
	TooLarge        int     `json:"too_large,omitempty"` // images of more pixels than may be decoded, left out

	Control *Control `json:"control,omitempty"` // what MeasureControl said, if it was asked
}

// Run runs m over d, which is resized to the model's input where it must be. It stops between slices of images when ctx
// ends.
//
// Classes are matched as MatchClasses does it; what is to become of unknown ones is for Match to say before. Damaged
// images that d bears (data.Tolerated) are left out of all figures, and so are those that are too large; Result.Images
// tells how many were not.
func Run(ctx context.Context, m *vit.Model, d data.Dataset, o Options) (Result, error) {
	results, err := run(ctx, d, o, nil, m)
	if err != nil {
		return Result{}, err
	}
	return results[0], nil
}

// run runs models over d in turns, slice by slice, so that whatever else the machine does slows all of them alike.
// watch, which may be nil, sees the last one before it begins.
func run(ctx context.Context, d data.Dataset, o Options, watch func(*evaluator) error, models ...*vit.Model) (
	results []Result, err error) {
	list := make([]*evaluator, len(models))
	for i, m := range models {
		if list[i], err = newEvaluator(m, d, o); err != nil {
			return nil, err
		}
		defer list[i].engine.Close()
	}
	if watch != nil {
		if err := watch(list[len(list)-1]); err != nil {
			return nil, err
		}
	}
	if err := runAll(ctx, list...); err != nil {
		return nil, err
	}
	for _, e := range list {
		results = append(results, e.result())
	}
	return results, nil
}

// evaluator runs a model over a data set slice by slice and adds up what it finds.
type evaluator struct {
	options      Options
	preprocessor picture.Preprocessor
	config       vit.Config
	data         data.Dataset
	class        []int // of the model, for each label of the data
	engine       Engine
	weights      *infer.Weights // of our own engine

	total, done int
	counted     int         // of done, those that could be read
	tooLarge    int         // of the others, those that are no damaged ones
	size        int         // images in a slice
	pixels      [][]byte    // of each thread: one image
	images      []float32   // [size, C, H, W]
	labels      []int       // [size]
	batch       infer.Batch // what scheme and cap each has [size]; none in other engines than infer's
	out         infer.Output

	top1, top5 int
	depth      int64 // token-blocks
	macs       int64
	took       time.Duration
	seen       func(first int) error // after each slice, with its first image; may be nil
}

// What a slice of images may take: memory for its pixels, 16 Mi numbers or 64 MiB, and time, since a run that is to
// stop waits for it: 40 GMACs for each thread are about half a second in AVX-512.
const (
	sliceFloats = 16 << 20
	sliceMACs   = 40e9
)

// sliceOf returns how many images a slice holds at most.
func sliceOf(c *vit.Config, threads int) int {
	return min(max(sliceFloats/c.ImageLen(), threads), threads*max(1, int(sliceMACs/float64(c.MACs(nil)))), 500)
}

// newEvaluator prepares to run m over d as Run does; its engine must be closed.
func newEvaluator(m *vit.Model, d data.Dataset, o Options) (*evaluator, error) {
	match, err := MatchClasses(m.Params.Config, NamedOf(d), UnknownFails)
	if err != nil {
		return nil, err
	}
	if d, err = fit(m, d); err != nil {
		return nil, err
	}
	return fittedEvaluator(m, d, match.Class, o)
}

// fit gives the images of d the model's size.
func fit(m *vit.Model, d data.Dataset) (data.Dataset, error) {
	c := m.Params.Config
	if err := m.Preprocessor.Check(c.Channels, c.Height, c.Width); err != nil {
		return nil, fmt.Errorf("%s: %w", vit.PreprocessorFile, err)
	}
	return data.Fit(d, m.Preprocessor, c.Channels, c.Height, c.Width)
}

// fittedEvaluator is newEvaluator for images that have the model's size, and the model's class for each of theirs.
func fittedEvaluator(m *vit.Model, d data.Dataset, class []int, o Options) (*evaluator, error) {
	var err error
	if o.Threads, err = parallel.Threads(o.Threads); err != nil {
		return nil, err
	}
	if o.Precision, err = infer.Resolve(o.Precision, m); err != nil {
		return nil, err
	}
	if o.Limit < 0 {
		return nil, usage.Errorf("a limit of %d images", o.Limit)
	}
	c := m.Params.Config
	e := &evaluator{options: o, preprocessor: m.Preprocessor, config: c, data: d, class: class, total: d.Len()}
	if o.Limit > 0 {
		e.total = min(e.total, o.Limit)
	}
	if e.total == 0 {
		return nil, errors.New("the data set has no images")
	}
	size := c.ImageLen()
	if o.Engine != nil {
		if o.Budget != (infer.Budget{}) {
			return nil, usage.Errorf("this engine keeps to no budget")
		}
		e.size = min(max(o.Slice, 1), e.total)
		e.engine, err = o.Engine(m)
		e.room(size)
		return e, err
	}
	e.weights, err = infer.PackOptions{Precision: o.Precision, Threads: o.Threads}.Pack(m.Params)
	if err != nil {
		return nil, err
	}
	schemes, err := infer.Schemes(m)
	if err != nil {
		return nil, err
	}
	scheme, most, err := o.Budget.Limits(m)
	if err != nil {
		return nil, err
	}
	if e.engine, err = infer.New(e.weights, infer.Options{Threads: o.Threads, Schemes: schemes}); err != nil {
		return nil, err
	}
	e.size = min(sliceOf(&c, o.Threads), e.total)
	e.batch = infer.Batch{Scheme: slices.Repeat([]int{scheme}, e.size), Caps: slices.Repeat([]int{most}, e.size)}
	e.room(size)
	return e, nil
}

// room makes the memory of slices of images of so many numbers.
func (e *evaluator) room(size int) {
	e.images, e.labels = make([]float32, e.size*size), make([]int, e.size)
	e.pixels = make([][]byte, e.options.Threads)
	for i := range e.pixels {
		e.pixels[i] = make([]byte, size)
	}
}

// runAll runs the images of evaluators of the same data in turns, and stops between slices when ctx ends.
func runAll(ctx context.Context, list ...*evaluator) error {
	first, size := list[0], list[0].size
	for _, e := range list {
		size = min(size, e.size)
	}
	err := turns.Play(ctx, (first.total+size-1)/size, len(list), func(_, i int) error {
		return list[i].slice(ctx, size)
	}, func(turn int) {
		if progress := first.options.Progress; progress != nil && turn%len(list) == 0 {
			progress(first.done, first.total)
		}
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("evaluation stopped after %d of %d images: %w", first.done, first.total, err)
	case err == nil && first.counted == 0:
		return fmt.Errorf("all of the %d images are damaged or too large", first.total)
	}
	return err
}

// slice runs the next n images, or as many as are left.
func (e *evaluator) slice(ctx context.Context, n int) error {
	n = min(n, e.size, e.total-e.done)
	begin := time.Now()
	if err := e.load(n); err != nil {
		return err
	}
	batch := infer.Batch{Images: e.images[:n*len(e.pixels[0])]}
	if e.batch.Scheme != nil {
		batch.Caps, batch.Scheme = e.batch.Caps[:n], e.batch.Scheme[:n]
	}
	if err := e.engine.Run(ctx, batch, &e.out); err != nil {
		return err
	}
	e.took += time.Since(begin)
	first := e.done
	for i := range n {
		if data.Replaced(e.data, first+i) { // it could not be read; what stands for it does not count
			if data.TooLarge(e.data, first+i) {
				e.tooLarge++
			}
			continue
		}
		if err := e.count(i); err != nil {
			return fmt.Errorf("image %d: %w", first+i, err)
		}
		e.counted++
	}
	e.done += n
	if e.seen != nil {
		return e.seen(first)
	}
	return nil
}

// load reads and normalises the next n images, on all threads since a data set of files decodes them here.
func (e *evaluator) load(n int) error {
	c, size := e.config, len(e.pixels[0])
	return e.spread(n, func(t, i int) error {
		if err := e.data.Pixels(e.pixels[t], e.done+i); err != nil {
			return err
		}
		e.preprocessor.Normalize(e.images[i*size:(i+1)*size], e.pixels[t], c.Channels, c.Height, c.Width)
		e.labels[i] = e.class[e.data.Label(e.done+i)]
		return nil
	})
}

// spread gives each thread its share of a slice's n images, in order, until one fails. Sums by thread then come out the
// same in every run.
func (e *evaluator) spread(n int, task func(thread, i int) error) error {
	errs := make([]error, e.options.Threads)
	parallel.For(len(errs), len(errs), func(_, t int) {
		for i := n * t / len(errs); i < n*(t+1)/len(errs) && errs[t] == nil; i++ {
			errs[t] = task(t, i)
		}
	})
	return errors.Join(errs...)
}

// count adds image i of the slice to the sums.
func (e *evaluator) count(i int) error {
	c := e.config
	logits := e.out.Logits[i*c.Classes : (i+1)*c.Classes]
	rank, err := rankOf(logits, e.labels[i])
	if err != nil {
		return err
	}
	if rank < 1 {
		e.top1++
	}
	if rank < 5 {
		e.top5++
	}
	for _, d := range e.out.Depth[i*c.Tokens() : (i+1)*c.Tokens()] {
		e.depth += int64(d)
	}
	e.macs += c.MACs(e.out.Active[i*c.Layers : (i+1)*c.Layers])
	return nil
}

// result is the evaluation of the images counted so far, which are some.
func (e *evaluator) result() Result {
	n := float64(e.counted)
	return Result{
		Model: e.options.Name, Images: e.counted, Top1: 100 * float64(e.top1) / n, Top5: 100 * float64(e.top5) / n,
		MeanDepth: float64(e.depth) / (n * float64(e.config.Tokens())), MACs: math.Round(float64(e.macs) / n),
		DenseMACs:       float64(e.config.MACs(nil)),
		ImagesPerSecond: float64(e.done) / e.took.Seconds(), Threads: e.options.Threads,
		Precision: string(e.options.Precision), Damaged: e.done - e.counted - e.tooLarge, TooLarge: e.tooLarge,
	}
}

// rankOf counts the logits that go before the label's: larger ones, and equal ones of a lower class.
func rankOf(logits []float32, label int) (int, error) {
	rank := 0
	for j, v := range logits {
		if v-v != 0 {
			return 0, fmt.Errorf("logit %d is %v: the weights or the pixels are beyond what float32 can compute", j, v)
		}
		if v > logits[label] || v == logits[label] && j < label {
			rank++
		}
	}
	return rank, nil
}
