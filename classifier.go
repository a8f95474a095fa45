package adavit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
	"sync"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
)

// Options say how a Classifier runs. The zero value uses all CPUs and the fastest arithmetic.
type Options struct {
	Threads   int    // 0 for the CPUs that the process may use
	Precision string // "" for PrecisionAuto
}

// Classifier turns pictures into labels. Several goroutines may use one; their calls take turns.
type Classifier struct {
	preprocessor picture.Preprocessor
	threads      int
	engine       *infer.Engine

	mu     sync.Mutex // over what follows
	pixels []float32
	out    infer.Output
}

// Prediction is one class with its probability.
type Prediction struct {
	Class       int     `json:"class"`
	Label       string  `json:"label"`
	Probability float64 `json:"probability"` // softmax of the logits, 0..1
}

// Result is what became of one image.
type Result struct {
	Top        []Prediction `json:"top"`         // the five most probable classes, or all if there are fewer
	Tokens     int          `json:"tokens"`      // token-blocks spent: the blocks that each token ran in, summed over all tokens
	TokenShare float64      `json:"token_share"` // Tokens against N·L, what the dense model spends; 0..1
	MeanDepth  float64      `json:"mean_depth"`  // blocks that a token ran in, mean over the image's tokens
	Blocks     int          `json:"blocks"`      // blocks the image went through before its class token halted
	MACs       int64        `json:"macs"`        // of the tokens that ran
	Depth      []int        `json:"-"`           // [N] blocks each token ran in; the class token first, then the patches row by row
}

// New prepares a model for classification. The classifier copies the weights; Close releases its threads.
func New(m *vit.Model, o Options) (*Classifier, error) {
	n, err := threads(o.Threads)
	if err != nil {
		return nil, err
	}
	p, err := precision(o.Precision, m)
	if err != nil {
		return nil, err
	}
	c := m.Params.Config
	if err := m.Preprocessor.Check(c.Channels, c.Height, c.Width); err != nil {
		return nil, named(vit.PreprocessorFile, err)
	}
	engine, err := newEngine(m.Params, p, infer.Options{Threads: n})
	if err != nil {
		return nil, err
	}
	return &Classifier{preprocessor: m.Preprocessor, threads: n, engine: engine}, nil
}

// Close releases the classifier's threads. It must not be used afterwards.
func (c *Classifier) Close() { c.engine.Close() }

// batchFloats bounds the memory of pixels that are classified together: 16 Mi numbers, 64 MiB.
const batchFloats = 16 << 20

// Classify returns one result for each image, in order. Images of any size and colour are resized, cropped and normalised as the model's
// preprocessor_config.json says; a one-channel model sees them in grey. A result does not depend on the images beside it. Classify stops
// between batches when ctx ends.
func (c *Classifier) Classify(ctx context.Context, images ...image.Image) ([]Result, error) {
	if len(images) == 0 {
		return nil, errors.New("no images given")
	}
	size := max(batchFloats/imageSize(c.engine.Config()), c.threads)
	results := make([]Result, 0, len(images))
	for part := range slices.Chunk(images, size) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, errs, err := c.batch(ctx, len(part), func(i int, dst []float32) error { return c.apply(dst, part[i]) })
		if err != nil {
			return nil, err
		}
		for i, err := range errs {
			if err != nil {
				return nil, fmt.Errorf("image %d: %w", len(results)+i, err)
			}
		}
		results = append(results, found...)
	}
	return results, nil
}

// apply turns a picture into the model's input.
func (c *Classifier) apply(dst []float32, img image.Image) error {
	config := c.engine.Config()
	return c.preprocessor.Apply(dst, img, config.Channels, config.Height, config.Width)
}

// batch classifies n images, which load writes as the model wants them, on all threads. errs[i] says why image i has no result; err, why none has.
func (c *Classifier) batch(ctx context.Context, n int, load func(i int, dst []float32) error) (results []Result, errs []error, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	config := c.engine.Config()
	size := imageSize(config)
	if len(c.pixels) < n*size {
		c.pixels = make([]float32, n*size)
	}
	results, errs = make([]Result, n), make([]error, n)
	spread(c.threads, n, func(i int) { errs[i] = load(i, c.pixels[i*size:(i+1)*size]) })
	good := 0
	for i := range n {
		if errs[i] != nil {
			continue
		}
		if good != i {
			copy(c.pixels[good*size:(good+1)*size], c.pixels[i*size:])
		}
		good++
	}
	if good == 0 {
		return results, errs, nil
	}
	if err := c.engine.Run(ctx, infer.Batch{Images: c.pixels[:good*size]}, &c.out); err != nil {
		return nil, nil, err
	}
	good = 0
	for i := range n {
		if errs[i] == nil {
			results[i], errs[i] = newResult(config, &c.out, good)
			good++
		}
	}
	return results, errs, nil
}

// newResult reads image i of an engine's output.
func newResult(c vit.Config, out *infer.Output, i int) (Result, error) {
	top, err := topOf(c, out.Logits[i*c.Classes:(i+1)*c.Classes], 5)
	if err != nil {
		return Result{}, err
	}
	r := Result{Top: top, Depth: make([]int, c.Tokens())}
	for k, d := range out.Depth[i*c.Tokens() : (i+1)*c.Tokens()] {
		r.Depth[k] = int(d)
		r.Tokens += int(d)
	}
	active := make([]int, c.Layers)
	for l := range active {
		active[l] = int(out.Active[i*c.Layers+l])
	}
	r.MACs = c.MACs(active)
	r.Blocks = r.Depth[0]
	r.MeanDepth = float64(r.Tokens) / float64(c.Tokens())
	r.TokenShare = r.MeanDepth / float64(c.Layers)
	return r, nil
}

// topOf returns the n most probable classes; equal ones in the order of their numbers.
func topOf(c vit.Config, logits []float32, n int) ([]Prediction, error) {
	if j := notFinite(logits); j >= 0 {
		return nil, fmt.Errorf("logit %d is %v: the weights are beyond what float32 can compute", j, logits[j])
	}
	best := float64(slices.Max(logits))
	sum := 0.0
	all := make([]Prediction, len(logits))
	for j, v := range logits {
		p := math.Exp(float64(v) - best)
		sum += p
		all[j] = Prediction{Class: j, Probability: p}
	}
	slices.SortStableFunc(all, func(a, b Prediction) int { return cmp.Compare(b.Probability, a.Probability) })
	top := slices.Clone(all[:min(n, len(all))])
	for i := range top {
		top[i].Probability /= sum
		top[i].Label = c.Label(top[i].Class)
	}
	return top, nil
}
