package compare

import (
	"context"
	"time"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/turns"
	"github.com/adavit/adavit/vit"
)

// Speed is how fast a model ran beside others, in images a second: medians over the rounds.
type Speed struct {
	Single        float64 `json:"images_per_second_1"` // images one by one
	Batch         float64 `json:"images_per_second_n"` // in batches
	SingleSpeedup float64 `json:"speedup_1"`           // the median of the rounds' ratios to the dense model
	BatchSpeedup  float64 `json:"speedup_n"`
}

// timeRounds is how often each model has its turn. It is odd, so that a median is one of the rounds.
const timeRounds = 7

// contestant is a model that is timed beside others.
type contestant struct {
	engine *infer.Engine
	out    infer.Output
	images []float32    // [n, C, H, W] that all contestants run
	size   int          // of one of them
	rates  [2][]float64 // images a second in each round: one by one, in batches
}

// turn runs at most most images, n at a time, and returns how many a second.
func (c *contestant) turn(ctx context.Context, most, n int) (rate float64, err error) {
	begin := time.Now()
	ran := 0
	for ; ran+n <= most; ran += n {
		if err := c.engine.Run(ctx, infer.Batch{Images: c.images[ran*c.size : (ran+n)*c.size]}, &c.out); err != nil {
			return 0, err
		}
	}
	return float64(ran) / time.Since(begin).Seconds(), nil
}

// time measures the models' speed on real images, since how much of a model runs depends on what it sees. The first
// model is what the speed-ups are against; a turn takes about so many seconds for that one.
func (r *round) time(ctx context.Context, models []*vit.Model) ([]Speed, error) {
	images, err := r.timingImages(models[0])
	if err != nil {
		return nil, err
	}
	size := models[0].Params.Config.ImageLen()
	count := len(images) / size
	modes := [2]int{1, min(r.o.Batch, count)} // images at a time
	list := make([]*contestant, len(models))
	for i, m := range models {
		weights, err := infer.Pack(m.Params, r.o.Precision)
		if err != nil {
			return nil, err
		}
		e, err := infer.New(weights, infer.Options{Threads: r.o.Threads})
		if err != nil {
			return nil, err
		}
		defer e.Close()
		list[i] = &contestant{engine: e, images: images, size: size}
		for _, n := range []int{modes[1], modes[0]} { // a warm-up
			if _, err := list[i].turn(ctx, n, n); err != nil {
				return nil, err
			}
		}
	}
	var most [2]int // images of a turn
	for mode, n := range modes {
		rate, err := list[0].turn(ctx, max(n, min(count, 8)), n)
		if err != nil {
			return nil, err
		}
		most[mode] = min(count, max(n, int(rate*r.o.Seconds)))
	}
	err = turns.Play(ctx, timeRounds, len(list), func(_, i int) error {
		for mode, n := range modes {
			rate, err := list[i].turn(ctx, most[mode], n)
			if err != nil {
				return err
			}
			list[i].rates[mode] = append(list[i].rates[mode], rate)
		}
		return nil
	}, func(done int) { r.report("timing", "", done, timeRounds*len(list), nil) })
	if err != nil {
		return nil, err
	}
	speeds, dense := make([]Speed, len(list)), list[0].rates
	for i, c := range list {
		speeds[i] = Speed{turns.Median(c.rates[0]), turns.Median(c.rates[1]),
			turns.MedianRatio(c.rates[0], dense[0]), turns.MedianRatio(c.rates[1], dense[1])}
	}
	return speeds, nil
}

// timingImages picks test images, as a model takes them: [n, C, H, W].
func (r *round) timingImages(m *vit.Model) ([]float32, error) {
	const mostFloats = 16 << 20 // 64 MiB
	config, size := m.Params.Config, m.Params.Config.ImageLen()
	d, err := data.Fit(r.test, m.Preprocessor, config.Channels, config.Height, config.Width)
	if err != nil {
		return nil, err
	}
	order := data.Order(r.seed, 0, r.images)
	order = order[:min(len(order), max(r.o.Batch, min(1024, mostFloats/size)))]
	images, pixels := make([]float32, len(order)*size), make([]byte, size)
	for i, k := range order {
		if err := d.Pixels(pixels, k); err != nil {
			return nil, err
		}
		m.Preprocessor.Normalize(images[i*size:(i+1)*size], pixels, config.Channels, config.Height, config.Width)
	}
	return images, nil
}
