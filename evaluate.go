package adavit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
)

// EvaluateOptions say how a model is measured. The zero value measures it on all images, on all CPUs.
type EvaluateOptions struct {
	Name      string // what Evaluation.Model says
	Limit     int    // only the first so many images; 0 for all
	Threads   int    // 0 for the CPUs that the process may use
	Precision string // "" for PrecisionAuto
	Progress  func(done, total int)
}

// Evaluation is what a model reached on a data set.
type Evaluation struct {
	Model           string  `json:"model"`
	Images          int     `json:"images"`
	Top1            float64 `json:"top1"`                 // percent of the images whose largest logit is their label
	Top5            float64 `json:"top5"`                 // percent of the images whose label is among the five largest logits
	MeanDepth       float64 `json:"mean_depth"`           // blocks that a token really ran in, mean over all tokens of all images
	MACs            float64 `json:"macs_per_image"`       // mean, counted from the tokens that ran
	DenseMACs       float64 `json:"dense_macs_per_image"` // the same had no token halted
	ImagesPerSecond float64 `json:"images_per_second"`    // from the data set's bytes (decoding included, if it decodes) to logits
	Threads         int     `json:"threads"`
	Precision       string  `json:"precision"`
}

// Evaluate runs m over d, which is resized to the model's input where it must be. It stops between slices of images when ctx ends.
//
// Classes are matched by name where all of the data's names are among the model's labels, else by number. Damaged images that d bears
// (data.Tolerated) are left out of all figures, and Evaluation.Images tells how many were not.
func Evaluate(ctx context.Context, m *vit.Model, d data.Dataset, o EvaluateOptions) (Evaluation, error) {
	e, err := newEvaluator(m, d, o)
	if err != nil {
		return Evaluation{}, err
	}
	defer e.close()
	if err := e.all(ctx); err != nil {
		return Evaluation{}, err
	}
	return e.result(), nil
}

// evaluator runs a model over a data set slice by slice and adds up what it finds.
type evaluator struct {
	options      EvaluateOptions
	preprocessor picture.Preprocessor
	config       vit.Config
	data         data.Dataset
	class        []int // of the model, for each label of the data
	engine       *infer.Engine

	total, done int
	counted     int       // of done, those that are not damaged
	size        int       // images in a slice
	pixels      [][]byte  // of each thread: one image
	images      []float32 // [size, C, H, W]
	labels      []int     // [size]
	active      []int     // [L]
	out         infer.Output

	top1, top5 int
	depth      int64 // token-blocks
	macs       int64
	took       time.Duration
	seen       func(first int) error // after each slice, with its first image; may be nil
}

// What a slice of images may take: memory for its pixels, 16 Mi numbers or 64 MiB, and time, since a run that is to stop waits for it: 40 GMACs for
// each thread are about half a second in AVX-512.
const (
	sliceFloats = 16 << 20
	sliceMACs   = 40e9
)

// quickly is the number of images that so many threads run in about half a second, but at least one each.
func quickly(c vit.Config, threads int) int {
	return threads * max(1, int(sliceMACs/float64(c.MACs(nil))))
}

func newEvaluator(m *vit.Model, d data.Dataset, o EvaluateOptions) (*evaluator, error) {
	var err error
	if o.Threads, err = threads(o.Threads); err != nil {
		return nil, err
	}
	p, err := precision(o.Precision, m)
	if err != nil {
		return nil, err
	}
	o.Precision = string(p)
	if o.Limit < 0 {
		return nil, fmt.Errorf("%w: a limit of %d images", ErrUsage, o.Limit)
	}
	c := m.Params.Config
	class, err := matchClasses(c, d.Classes())
	if err != nil {
		return nil, err
	}
	if err := m.Preprocessor.Check(c.Channels, c.Height, c.Width); err != nil {
		return nil, named(vit.PreprocessorFile, err)
	}
	if d, err = data.Fit(d, m.Preprocessor, c.Channels, c.Height, c.Width); err != nil {
		return nil, err
	}
	e := &evaluator{options: o, preprocessor: m.Preprocessor, config: c, data: d, class: class, total: d.Len()}
	if o.Limit > 0 {
		e.total = min(e.total, o.Limit)
	}
	if e.total == 0 {
		return nil, errors.New("the data set has no images")
	}
	if e.engine, err = infer.New(m.Params, infer.Options{Threads: o.Threads, Precision: p}); err != nil {
		return nil, err
	}
	size := imageSize(c)
	e.size = min(max(sliceFloats/size, o.Threads), quickly(c, o.Threads), 500, e.total)
	e.images, e.labels, e.active = make([]float32, e.size*size), make([]int, e.size), make([]int, c.Layers)
	e.pixels = make([][]byte, o.Threads)
	for i := range e.pixels {
		e.pixels[i] = make([]byte, size)
	}
	return e, nil
}

func (e *evaluator) close() { e.engine.Close() }

// all runs the images, and stops between slices when ctx ends.
func (e *evaluator) all(ctx context.Context) error {
	for e.done < e.total {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("evaluation stopped after %d of %d images: %w", e.done, e.total, err)
		}
		if err := e.slice(e.size); err != nil {
			return err
		}
		if e.options.Progress != nil {
			e.options.Progress(e.done, e.total)
		}
	}
	if e.counted == 0 {
		return fmt.Errorf("all of the %d images are damaged", e.total)
	}
	return nil
}

// slice runs the next n images, or as many as are left.
func (e *evaluator) slice(n int) error {
	n = min(n, e.size, e.total-e.done)
	begin := time.Now()
	if err := e.load(n); err != nil {
		return err
	}
	if err := e.engine.Run(e.images[:n*len(e.pixels[0])], &e.out); err != nil {
		return err
	}
	e.took += time.Since(begin)
	first := e.done
	for i := range n {
		if data.Replaced(e.data, first+i) { // it could not be read; what stands for it does not count
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
	errs := make([]error, len(e.pixels))
	spread(len(errs), len(errs), func(t int) {
		for i := n * t / len(errs); i < n*(t+1)/len(errs); i++ {
			if errs[t] = e.data.Pixels(e.pixels[t], e.done+i); errs[t] != nil {
				return
			}
			e.preprocessor.Normalize(e.images[i*size:(i+1)*size], e.pixels[t], c.Channels, c.Height, c.Width)
			e.labels[i] = e.class[e.data.Label(e.done+i)]
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
	for l := range e.active {
		e.active[l] = int(e.out.Active[i*c.Layers+l])
	}
	e.macs += c.MACs(e.active)
	return nil
}

// result is the evaluation of the images counted so far, which are some.
func (e *evaluator) result() Evaluation {
	n := float64(e.counted)
	return Evaluation{
		Model: e.options.Name, Images: e.counted, Top1: 100 * float64(e.top1) / n, Top5: 100 * float64(e.top5) / n,
		MeanDepth: float64(e.depth) / (n * float64(e.config.Tokens())), MACs: math.Round(float64(e.macs) / n), DenseMACs: float64(e.config.MACs(nil)),
		ImagesPerSecond: float64(e.done) / e.took.Seconds(), Threads: e.options.Threads, Precision: e.options.Precision,
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

// matchClasses gives the model's class for each class of the data.
func matchClasses(c vit.Config, names []string) ([]int, error) {
	class, byName := make([]int, len(names)), map[string]int{}
	for i, l := range c.Labels {
		byName[l] = i
	}
	named, numbered := true, data.Numbered(names)
	for i, name := range names {
		j, ok := byName[name]
		class[i], named = j, named && ok
	}
	if named {
		return class, nil
	}
	// Labels that are bare numbers may leave out classes that the data has no image of.
	if len(names) == c.Classes || numbered && len(names) < c.Classes {
		for i := range class {
			class[i] = i
		}
		return class, nil
	}
	if numbered {
		return nil, fmt.Errorf("the data has labels up to %d, the model classes 0 to %d", len(names)-1, c.Classes-1)
	}
	return nil, fmt.Errorf("the data has %d classes (%s, …), the model %d (%s, …), and their names do not match", len(names), names[0], c.Classes, c.Label(0))
}
