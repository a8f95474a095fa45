package adavit

import (
	"context"
	"slices"
	"time"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/vit"
)

// Speed is how fast a model ran beside others, in images a second: medians over the rounds.
type Speed struct {
	Single        float64 `json:"images_per_second_1"` // images one by one
	Batch         float64 `json:"images_per_second_n"` // in batches
	SingleSpeedup float64 `json:"speedup_1"`           // the median of the rounds' ratios to the dense model
	BatchSpeedup  float64 `json:"speedup_n"`
}

// contestant is a model that is timed beside others.
type contestant struct {
	engine        *infer.Engine
	out           infer.Output
	single, batch []float64 // images a second in each round
}

// timeRounds is how often each model has its turn. It is odd, so that a median is one of the rounds.
const timeRounds = 7

// timeTogether times models on the same real images, since how much of a model runs depends on what it sees. Models take turns, and the turns
// another order each round, so that whatever else the machine does slows all of them alike. The first model is what the speed-ups are against.
// A turn takes about so many seconds for that one; images is a whole number of images of the models' size.
func timeTogether(ctx context.Context, models []*vit.Model, o EvaluateOptions, images []float32, batch int, seconds float64, progress func(done, total int)) ([]Speed, error) {
	size := imageSize(models[0].Params.Config)
	count := len(images) / size
	batch = min(batch, count)
	list := make([]*contestant, len(models))
	for i, m := range models {
		p, err := precision(o.Precision, m)
		if err != nil {
			return nil, err
		}
		e, err := newEngine(m.Params, p, infer.Options{Threads: o.Threads})
		if err != nil {
			return nil, err
		}
		defer e.Close()
		list[i] = &contestant{engine: e}
	}
	run := func(c *contestant, at, n int) error {
		return c.engine.Run(ctx, infer.Batch{Images: images[at*size : (at+n)*size]}, &c.out)
	}
	turn := func(c *contestant, most, n int) (rate float64, err error) {
		begin := time.Now()
		ran := 0
		for ; ran+n <= most && err == nil; ran += n {
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			err = run(c, ran, n)
		}
		return float64(ran) / time.Since(begin).Seconds(), err
	}
	// Warm all up, and see how many images a turn of the first takes.
	for _, c := range list {
		if err := run(c, 0, batch); err != nil {
			return nil, err
		}
		if err := run(c, 0, 1); err != nil {
			return nil, err
		}
	}
	most := [2]int{}
	for mode, n := range []int{1, batch} {
		rate, err := turn(list[0], max(n, min(count, 8)), n)
		if err != nil {
			return nil, err
		}
		most[mode] = min(count, max(n, int(rate*seconds)))
	}
	for round := range timeRounds {
		for i := range list {
			c := list[(i+round)%len(list)]
			rate, err := turn(c, most[0], 1)
			if err != nil {
				return nil, err
			}
			c.single = append(c.single, rate)
			if rate, err = turn(c, most[1], batch); err != nil {
				return nil, err
			}
			c.batch = append(c.batch, rate)
			if progress != nil {
				progress(round*len(list)+i+1, timeRounds*len(list))
			}
		}
	}
	speeds := make([]Speed, len(list))
	for i, c := range list {
		speeds[i] = Speed{Single: median(c.single), Batch: median(c.batch), SingleSpeedup: medianRatio(c.single, list[0].single), BatchSpeedup: medianRatio(c.batch, list[0].batch)}
	}
	return speeds, nil
}

// median of an odd number of values.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// medianRatio is the median of a[i] / b[i].
func medianRatio(a, b []float64) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return median(ratios)
}

// time measures the models' speed on test images.
func (c *comparer) time(ctx context.Context, models []*vit.Model, p parts, seed uint64) ([]Speed, error) {
	m := models[0]
	config, size := m.Params.Config, imageSize(m.Params.Config)
	d, err := data.Fit(p.test, m.Preprocessor, config.Channels, config.Height, config.Width)
	if err != nil {
		return nil, err
	}
	order := data.Order(seed, 0, p.images)
	order = order[:min(len(order), max(c.o.Batch, min(1024, sliceFloats/size)))]
	images, pixels := make([]float32, len(order)*size), make([]byte, size)
	for i, k := range order {
		if err := d.Pixels(pixels, k); err != nil {
			return nil, err
		}
		m.Preprocessor.Normalize(images[i*size:(i+1)*size], pixels, config.Channels, config.Height, config.Width)
	}
	return timeTogether(ctx, models, EvaluateOptions{Threads: c.o.Threads, Precision: c.o.Precision}, images, c.o.Batch, c.o.Seconds, func(done, total int) {
		c.report(CompareProgress{Phase: "timing", Seed: seed, Done: done, Total: total})
	})
}
