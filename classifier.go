package adavit

import (
	"context"
	"errors"
	"fmt"
	"image"
	"sync/atomic"
	"time"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/internal/pool"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/vit"
)

// Options say how a Classifier runs. The zero value uses all CPUs and the fastest arithmetic.
type Options struct {
	Threads   int // that compute; 0 for the CPUs that the process may use. As many goroutines prepare pictures
	Precision Precision
	Embed     bool // Result.Embedding is wanted
}

// Budget bounds what an image may cost, as shares of the token-blocks that the dense model spends on one: Mean is aimed
// at on the average over images, by the model's ladder of measured budgets, and Max is never exceeded. The zero value
// asks for nothing.
type Budget = infer.Budget

// Classifier turns pictures into labels. Any number of goroutines may use one at the same time: it holds the packed
// weights once, gathers what they ask for into common passes, and shares an image among its threads where there is
// nothing else to do. A result does not depend on the images beside it, to the bit.
type Classifier struct {
	model  *Model     // without its parameters, which are packed apart
	config vit.Config // model's

	prepare chan struct{}  // as many as may prepare pictures at the same time
	pixels  chan []float32 // room for images that are prepared and wait [C, H, W], nil before its first use
	pool    *pool.Pool
	packed  *pool.Model
	closed  atomic.Bool
}

var errClosed = errors.New("the classifier is closed")

// NewClassifier packs a model's weights, of which it keeps a copy, and starts its threads; Close ends them.
func NewClassifier(m *Model, o Options) (*Classifier, error) {
	if m == nil || m.Params == nil {
		return nil, errors.New("no model given")
	}
	config := m.Params.Config
	if err := m.Preprocessor.Check(config.Channels, config.Height, config.Width); err != nil {
		return nil, fmt.Errorf("%s: %w", vit.PreprocessorFile, err)
	}
	p, err := pool.New(pool.Options{Threads: o.Threads, Embed: o.Embed})
	if err != nil {
		return nil, err
	}
	packed, err := p.Add(m, o.Precision)
	if err != nil {
		p.Close()
		return nil, err
	}
	shape := &Model{Params: &vit.Params{Config: config}, Preprocessor: m.Preprocessor, Ladder: m.Ladder}
	c := &Classifier{model: shape, config: config, prepare: make(chan struct{}, p.Threads()), pool: p, packed: packed}
	c.pixels = make(chan []float32, c.inFlight())
	for range cap(c.pixels) {
		c.pixels <- nil
	}
	return c, nil
}

// Close waits for the calls that are under way and ends the classifier's threads. Later calls fail.
func (c *Classifier) Close() {
	c.closed.Store(true)
	c.pool.Close()
}

// Classify returns the result of one image. Images of any size and colour are resized, cropped and normalised as the
// model's preprocessor_config.json says; a one-channel model sees them in grey. There may be one Budget. When ctx ends
// Classify returns its error, and the image costs nothing from the next block on.
func (c *Classifier) Classify(ctx context.Context, img image.Image, budget ...Budget) (Result, error) {
	l, err := c.limits(budget)
	if err != nil {
		return Result{}, err
	}
	r, _, err := c.classify(ctx, l, func(dst []float32) error { return c.apply(dst, img, nil) })
	return r, err
}

// ClassifyAll returns the results of images, in order. A bad image does not affect the others' results: its place holds
// the zero Result, and the error joins an *ImageError for each. When ctx ends the error joins ctx's.
func (c *Classifier) ClassifyAll(ctx context.Context, images []image.Image, budget ...Budget) ([]Result, error) {
	l, err := c.limits(budget)
	if err != nil {
		return nil, err
	}
	results, errs := make([]Result, len(images)), make([]error, len(images))
	parallel.For(c.inFlight(), len(images), func(_, i int) {
		if ctx.Err() != nil {
			return
		}
		r, _, err := c.classify(ctx, l, func(dst []float32) error { return c.apply(dst, images[i], nil) })
		if results[i] = r; err != nil && ctx.Err() == nil {
			errs[i] = &ImageError{i, err}
		}
	})
	return results, errors.Join(append(errs, ctx.Err())...)
}

// limits are what a Budget comes to for one model.
type limits struct {
	Budget
	scheme int // index into the engine's schemes
	cap    int // most token-blocks; 0: no cap
}

// limits checks a call's budgets, of which there may be one.
func (c *Classifier) limits(budgets []Budget) (l limits, err error) {
	switch {
	case c == nil || c.pixels == nil:
		return l, usage.Errorf("this Classifier was not made by NewClassifier")
	case len(budgets) > 1:
		return l, usage.Errorf("%d budgets for one call, want at most one", len(budgets))
	case len(budgets) == 1:
		l.Budget = budgets[0]
		l.scheme, l.cap, err = l.Limits(c.model)
	}
	return l, err
}

// inFlight is how many images are being prepared or wait for their pass at most: enough that passes are full, and a
// bound on memory whatever the number of callers.
func (c *Classifier) inFlight() int { return c.pool.Threads() * (2*c.packed.PassSize() + 1) }

// apply turns a picture into the model's input. seen, if not nil, gets the bytes that were normalised, [C, H, W].
func (c *Classifier) apply(dst []float32, img image.Image, seen *[]byte) error {
	if img == nil {
		return errors.New("no image given")
	}
	p, m := c.model.Preprocessor, c.config
	if seen == nil {
		return p.Apply(dst, img, m.Channels, m.Height, m.Width)
	}
	pixels := make([]byte, len(dst))
	if err := p.Bytes(pixels, img, m.Channels, m.Height, m.Width); err != nil {
		return err
	}
	p.Normalize(dst, pixels, m.Channels, m.Height, m.Width)
	*seen = pixels
	return nil
}

// classify prepares an image by load, which writes it as the model wants it, and waits for its result. took is the time
// that this took, of a pass the image's share. A load that panics, in the methods of a caller's picture or reader,
// gives an error: one bad image is nobody else's concern.
func (c *Classifier) classify(ctx context.Context, l limits, load func(dst []float32) error) (
	result Result, took time.Duration, err error) {
	if c.closed.Load() {
		return Result{}, 0, errClosed
	}
	var pixels []float32
	select {
	case pixels = <-c.pixels:
	case <-ctx.Done():
		return Result{}, 0, ctx.Err()
	}
	queued := false
	defer func() {
		if !queued {
			c.pixels <- pixels
		}
	}()
	if pixels == nil {
		pixels = make([]float32, c.config.ImageLen())
	}
	select {
	case c.prepare <- struct{}{}:
	case <-ctx.Done():
		return Result{}, 0, ctx.Err()
	}
	begin := time.Now()
	err = func() (err error) {
		defer func() {
			<-c.prepare
			if p := recover(); p != nil {
				err = fmt.Errorf("reading the image panicked: %v", p)
			}
		}()
		return load(pixels)
	}()
	if err != nil {
		return Result{}, 0, err
	}
	took = time.Since(begin)
	j := &pool.Job{Context: ctx, Pixels: pixels, Release: func() { c.pixels <- pixels }, Scheme: l.scheme, Cap: l.cap}
	queued = true
	switch c.packed.Run(j); {
	case errors.Is(j.Err, pool.ErrClosed):
		return Result{}, 0, errClosed
	case j.Err != nil:
		return Result{}, 0, j.Err
	}
	result, err = newResult(&c.config, j)
	result.Budget = l.Budget
	return result, took + j.Ran/time.Duration(j.Batch), err
}
