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

// time measures the models' speed on real images, since how much of a model runs depends on what it sees. The first
// model is what the speed-ups are against; a turn takes about so many seconds for that one.
func (r *round) time(ctx context.Context, models []*vit.Model) ([]Speed, error) {
	images, err := r.timingImages(models[0])
	if err != nil {
		return nil, err
	}
	size := models[0].Params.Config.ImageLen()
	count := len(images) / size
	engines, outputs := make([]*infer.Engine, len(models)), make([]infer.Output, len(models))
	for i, m := range models {
		weights, err := infer.PackOptions{Precision: r.o.Precision, Threads: r.o.Threads}.Pack(m.Params)
		if err != nil {
			return nil, err
		}
		if engines[i], err = infer.New(weights, infer.Options{Threads: r.o.Threads}); err != nil {
			return nil, err
		}
		defer engines[i].Close()
	}
	// turn has model i run at most most images, n at a time, and returns how many a second.
	turn := func(i, most, n int) (float64, error) {
		begin, ran := time.Now(), 0
		for ; ran+n <= most; ran += n {
			if err := engines[i].Run(ctx, infer.Batch{Images: images[ran*size : (ran+n)*size]}, &outputs[i]); err != nil {
				return 0, err
			}
		}
		return float64(ran) / time.Since(begin).Seconds(), nil
	}
	modes := [2]int{1, min(r.o.Batch, count)} // images at a time
	var most [2]int                           // of a turn
	for mode, n := range modes {
		for i := range models { // a warm-up
			if _, err := turn(i, n, n); err != nil {
				return nil, err
			}
		}
		rate, err := turn(0, max(n, min(count, 8)), n)
		if err != nil {
			return nil, err
		}
		most[mode] = min(count, max(n, int(rate*r.o.Seconds)))
	}
	rates := make([][2][]float64, len(models)) // images a second of each model in each mode and round
	err = turns.Play(ctx, timeRounds, len(models), func(_, i int) error {
		for mode, n := range modes {
			rate, err := turn(i, most[mode], n)
			if err != nil {
				return err
			}
			rates[i][mode] = append(rates[i][mode], rate)
		}
		return nil
	}, func(done int) { r.report("timing", "", done, timeRounds*len(models), nil) })
	if err != nil {
		return nil, err
	}
	speeds := make([]Speed, len(models))
	for i, of := range rates {
		speeds[i] = Speed{turns.Median(of[0]), turns.Median(of[1]),
			turns.MedianRatio(of[0], rates[0][0]), turns.MedianRatio(of[1], rates[0][1])}
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
