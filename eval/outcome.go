package eval

import (
	"context"
	"math"
	"time"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/turns"
)

// outcome is what a model came to on the first of a calibration's images.
type outcome struct {
	config halting.Config
	mean   float64 // token-blocks of an image, as a share of the dense model's
	blocks float64 // token-blocks of an image, mean
	most   float64 // token-blocks that 95 of 100 images do not exceed
	macs   float64 // multiply-adds of an image, mean
	nll    float64 // mean of −log p of the right class
	class  []int   // [n] that is said
	right  []bool  // [n] whether it is the right one
}

// top1 is the percentage of images that are right.
func (o *outcome) top1() float64 {
	n := 0
	for _, right := range o.right {
		if right {
			n++
		}
	}
	return 100 * float64(n) / float64(len(o.right))
}

// agreement is the percentage of images that get these classes [n].
func (o *outcome) agreement(classes []int) float64 {
	n := 0
	for i, class := range o.class {
		if class == classes[i] {
			n++
		}
	}
	return 100 * float64(n) / float64(len(o.class))
}

// dearer is the share by which multiply-adds have to differ at the same token-blocks to count.
const dearer = 0.1

// better reports whether o is worth more than another outcome of the same token-blocks on the same images: if more of
// them are right, beyond what chance makes of those in which the two differ (one standard deviation). Within that it is
// the one that takes clearly fewer multiply-adds, for a token that halts may still be attended to (sact), which an
// image that ends saves; and if neither does, the one with less −log p.
func (o *outcome) better(other *outcome) bool {
	won, lost := 0, 0
	for i, right := range o.right {
		switch {
		case right && !other.right[i]:
			won++
		case !right && other.right[i]:
			lost++
		}
	}
	if d := won - lost; d*d > won+lost {
		return d > 0
	}
	if d := o.macs - other.macs; math.Abs(d) > dearer*max(o.macs, other.macs) {
		return d < 0
	}
	return o.nll < other.nll
}

// Timing takes images one after the other, each with all rungs in turns and thrice, until there are so many, or the
// time is up.
const (
	timedImages = 100
	timingLasts = 10 * time.Second
	repeats     = 3
)

// time returns how many milliseconds an image takes with each of the outcomes' constants when it runs alone: the mean
// over images of the fastest of their repeats.
func (c *calibration) time(ctx context.Context, list []*outcome) ([]float64, error) {
	var schemes []halting.Scheme
	for _, o := range list {
		s, err := halting.New(o.config)
		if err != nil {
			return nil, err
		}
		schemes = append(schemes, s)
	}
	e, err := infer.New(c.weights, infer.Options{Threads: c.Threads, Schemes: schemes})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	config, size := c.model.Params.Config, c.model.Params.Config.ImageLen()
	image, sums, timed := make([]float32, size), make([]float64, len(list)), 0
	var out infer.Output
	begin := time.Now()
	for i := -1; i < min(c.images.Len(), timedImages); i++ { // the first one twice: to warm up
		if timed > 0 && time.Since(begin) > timingLasts {
			break
		}
		pixels := c.images.pixels[max(i, 0)*size:][:size]
		c.model.Preprocessor.Normalize(image, pixels, config.Channels, config.Height, config.Width)
		fastest := make([]float64, len(list))
		err := turns.Play(ctx, repeats, len(list), func(round, r int) error {
			start := time.Now()
			err := e.Run(ctx, infer.Batch{Images: image, Scheme: []int{r}}, &out)
			if took := time.Since(start).Seconds(); round == 0 || took < fastest[r] {
				fastest[r] = took
			}
			return err
		}, nil)
		if err != nil {
			return nil, err
		}
		if i < 0 {
			continue
		}
		timed++
		for r, v := range fastest {
			sums[r] += v
		}
	}
	for r := range sums {
		sums[r] *= 1000 / float64(timed)
	}
	return sums, nil
}
