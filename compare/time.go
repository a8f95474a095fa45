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
	engine        *infer.Engine
	out           infer.Output
	images        []float32 // [n, C, H, W] that all contestants run
	size          int       // of one of them
	single, batch []float64 // images a second in each round
}

// run runs n images from image at on.
func (c *contestant) run(ctx context.Context, at, n int) error {
	return c.engine.Run(ctx, infer.Batch{Images: c.images[at*c.size : (at+n)*c.size]}, &c.out)
}

// turn runs at most most images, n at a time, and returns how many a second.
func (c *contestant) turn(ctx context.Context, most, n int) (rate float64, err error) {
	begin := time.Now()
	ran := 0
	for ; ran+n <= most; ran += n {
		if err := c.run(ctx, ran, n); err != nil {
			return 0, err
		}
	}
	return float64(ran) / time.Since(begin).Seconds(), nil
}

// time measures the models' speed on real images, since how much of a model runs depends on what it sees. The first
// model is what the speed-ups are against; a turn takes about so many seconds for that one.
func (c *comparer) time(ctx context.Context, models []*vit.Model, p parts, seed uint64) ([]Speed, error) {
	images, err := c.timingImages(models[0], p, seed)
	if err != nil {
		return nil, err
	}
	size := models[0].Params.Config.ImageLen()
	count := len(images) / size
	batch := min(c.o.Batch, count)
	list := make([]*contestant, len(models))
	for i, m := range models {
		weights, err := infer.Pack(m.Params, c.o.Precision)
		if err != nil {
			return nil, err
		}
		e, err := infer.New(weights, infer.Options{Threads: c.o.Threads})
		if err != nil {
			return nil, err
		}
		defer e.Close()
		list[i] = &contestant{engine: e, images: images, size: size}
		for _, n := range []int{batch, 1} { // a warm-up
			if err := list[i].run(ctx, 0, n); err != nil {
				return nil, err
			}
		}
	}
	var most [2]int // images of a turn, one by one and in batches
	for mode, n := range []int{1, batch} {
		rate, err := list[0].turn(ctx, max(n, min(count, 8)), n)
		if err != nil {
			return nil, err
		}
		most[mode] = min(count, max(n, int(rate*c.o.Seconds)))
	}
	err = turns.Play(ctx, timeRounds, len(list), func(_, i int) error {
		single, err := list[i].turn(ctx, most[0], 1)
		if err != nil {
			return err
		}
		many, err := list[i].turn(ctx, most[1], batch)
		list[i].single, list[i].batch = append(list[i].single, single), append(list[i].batch, many)
		return err
	}, func(done int) {
		c.report(Progress{Phase: "timing", Seed: seed, Done: done, Total: timeRounds * len(list)})
	})
	if err != nil {
		return nil, err
	}
	speeds := make([]Speed, len(list))
	for i, c := range list {
		speeds[i] = Speed{Single: turns.Median(c.single), Batch: turns.Median(c.batch),
			SingleSpeedup: turns.MedianRatio(c.single, list[0].single), BatchSpeedup: turns.MedianRatio(c.batch, list[0].batch)}
	}
	return speeds, nil
}

// timingImages picks test images, as a model takes them: [n, C, H, W].
func (c *comparer) timingImages(m *vit.Model, p parts, seed uint64) ([]float32, error) {
	const mostFloats = 16 << 20 // 64 MiB
	config, size := m.Params.Config, m.Params.Config.ImageLen()
	d, err := data.Fit(p.test, m.Preprocessor, config.Channels, config.Height, config.Width)
	if err != nil {
		return nil, err
	}
	order := data.Order(seed, 0, p.images)
	order = order[:min(len(order), max(c.o.Batch, min(1024, mostFloats/size)))]
	images, pixels := make([]float32, len(order)*size), make([]byte, size)
	for i, k := range order {
		if err := d.Pixels(pixels, k); err != nil {
			return nil, err
		}
		m.Preprocessor.Normalize(images[i*size:(i+1)*size], pixels, config.Channels, config.Height, config.Width)
	}
	return images, nil
}
