// Package tools does what the commands do besides classifying, evaluating and comparing: it opens data sets and models
// by their names and runs the packages below on them. Each command has a function here, which takes what the flags said
// and returns what --json prints: Bench, Convert, Demo, Inspect, LoadTest, PredictFile, Preprocess, Train and
// WriteAugmented.
package tools

import (
	"context"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/internal/turns"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/vit"
)

// BenchOptions say what Bench measures.
type BenchOptions struct {
	Model     string // as adavit.Open names it
	Random    bool   // Model is an architecture, run with random weights
	Threads   int    // 0 for the CPUs that the process may use
	Batch     int    // images in a batch
	Precision infer.Precision
	Active    []float64 // share of patches in each block, the last one for all further ones; nil: the model's scheme
	Seconds   float64   // how long to measure
	Profile   bool      // tell where the time goes
}

// BenchResult is what Bench measured.
type BenchResult struct {
	Model           string      `json:"model"`   // the variant's name where weights are random
	Variant         string      `json:"variant"` // "" for a model
	Images          int         `json:"images"`  // that were run
	Batch           int         `json:"batch"`
	MeanDepth       float64     `json:"mean_depth"`
	MACs            float64     `json:"macs_per_image"`       // as vit.Config.MACs counts them, from the tokens that ran
	DenseMACs       float64     `json:"dense_macs_per_image"` // the same had no token halted
	ImagesPerSecond float64     `json:"images_per_second"`
	P50             float64     `json:"p50_ms"` // of the time that a batch takes
	P99             float64     `json:"p99_ms"`
	GFLOPS          float64     `json:"gflops"`      // 2 × the multiply-adds performed (infer.Engine.MACs) a second, 10⁹
	PeakGFLOPS      float64     `json:"peak_gflops"` // of the FMA rate of as many cores as threads, in the same run
	Threads         int         `json:"threads"`
	Precision       string      `json:"precision"`
	BytesHeld       int64       `json:"bytes_held"` // by the engine: packed weights and all workers' memory
	Active          []float64   `json:"active,omitempty"`
	Profile         []BlockTime `json:"profile,omitempty"` // block 0 being what is outside of all blocks

	// With Active, a dense run of the same model takes turns with the measured one.
	DenseImagesPerSecond float64 `json:"dense_images_per_second,omitempty"`
	Speedup              float64 `json:"speedup,omitempty"`      // images a second against the dense run
	MACsSpeedup          float64 `json:"macs_speedup,omitempty"` // what the nominal MACs promise: dense against active
}

// BlockTime is the time that one block takes, by activity (infer.Activity's names), in milliseconds an image.
type BlockTime struct {
	Block        int                `json:"block"`
	Milliseconds map[string]float64 `json:"ms"`
}

// Limits of a benchmark; more is a slip of the finger.
const maxBatch, maxSeconds = 1 << 16, 3600

// open checks the options, resolves threads and precision, and returns the parameters to run.
func (o *BenchOptions) open(ctx context.Context) (p *vit.Params, err error) {
	if o.Threads, err = parallel.Threads(o.Threads); err != nil {
		return nil, err
	}
	if o.Batch < 1 || o.Batch > maxBatch {
		return nil, usage.Errorf("a batch of %d images, want 1 to %d", o.Batch, maxBatch)
	}
	if !(o.Seconds > 0 && o.Seconds <= maxSeconds) {
		return nil, usage.Errorf("--seconds is %v, want more than 0 and at most %d", o.Seconds, maxSeconds)
	}
	var m *vit.Model
	if !o.Random {
		if m, err = adavit.OpenContext(ctx, o.Model, adavit.OpenOptions{}); err != nil {
			return nil, err
		}
		p = m.Params
	} else if c, err := vit.Variant(o.Model); err != nil {
		return nil, usage.Wrap(err)
	} else {
		p = vit.Initialize(c, 1, 0)
	}
	o.Precision, err = infer.Resolve(o.Precision, m)
	if n := p.Config.ImageLen(); err == nil && float64(o.Batch)*float64(n) > 1<<30 {
		err = usage.Errorf("a batch of %d images of %d numbers is too large", o.Batch, n)
	}
	return p, err
}

// Bench measures the throughput of a model on random images.
//
// The engine spreads a batch's images over its threads; with fewer images than threads, all threads share each image.
func Bench(ctx context.Context, o BenchOptions) (BenchResult, error) {
	p, err := o.open(ctx)
	if err != nil {
		return BenchResult{}, err
	}
	c := p.Config
	schemes := [][]halting.Scheme{nil} // of each side: the model's own
	if o.Active != nil {
		if len(o.Active) > c.Layers {
			return BenchResult{}, usage.Errorf("%d shares of active tokens for the %d blocks of %s", len(o.Active),
				c.Layers, o.Model)
		}
		shares, err := halting.NewFixedShares(o.Active)
		if err != nil {
			return BenchResult{}, usage.Wrap(err)
		}
		schemes = [][]halting.Scheme{{shares}, {halting.None{}}}
		c.Halting = halting.Dense() // the model's own scheme does not run, nor what it costs to decide
	}
	weights, err := infer.PackOptions{Precision: o.Precision, Threads: o.Threads}.Pack(p)
	if err != nil {
		return BenchResult{}, err
	}
	images := make([]float32, o.Batch*c.ImageLen())
	rng := data.Rand(0, 0, 0)
	for i := range images {
		images[i] = float32(rng.NormFloat64())
	}
	var sides []*benchRun
	for _, s := range schemes {
		engine, err := infer.New(weights, infer.Options{Threads: o.Threads, Profile: o.Profile, Schemes: s})
		if err != nil {
			return BenchResult{}, err
		}
		defer engine.Close()
		sides = append(sides, &benchRun{engine: engine, size: o.Batch, images: images, times: make([]float64, 0, 1<<16)})
	}
	peak := peakGFLOPS(o.Threads, o.Precision)
	if err := measure(ctx, sides, time.Duration(o.Seconds*float64(time.Second))); err != nil {
		return BenchResult{}, err
	}
	r := sides[0].result(c)
	if r.Model, r.Active = o.Model, o.Active; o.Random {
		r.Variant = o.Model
	}
	r.Threads, r.Precision = o.Threads, string(o.Precision)
	r.PeakGFLOPS = max(peak, peakGFLOPS(o.Threads, o.Precision))
	r.BytesHeld = weights.Bytes() + sides[0].engine.Bytes()
	if len(sides) > 1 {
		r.DenseImagesPerSecond = sides[1].result(c).ImagesPerSecond
		r.Speedup, r.MACsSpeedup = r.ImagesPerSecond/r.DenseImagesPerSecond, r.DenseMACs/r.MACs
	}
	return r, nil
}

// benchRun is one side of a measurement.
type benchRun struct {
	engine *infer.Engine
	size   int       // images in a batch
	images []float32 // [size, C, H, W]
	out    infer.Output
	times  []float64     // milliseconds of each batch
	took   time.Duration // of all of them
}

// measure warms each side up and lets it run for d; sides take turns.
func measure(ctx context.Context, sides []*benchRun, d time.Duration) error {
	const least = 3 // batches in a turn, so that the median is one
	rounds := 1
	if len(sides) > 1 {
		rounds = 8
	}
	for _, r := range sides {
		if err := r.batch(ctx); err != nil {
			return err
		}
		r.times, r.took = r.times[:0], 0
	}
	return turns.Play(ctx, rounds, len(sides), func(_, i int) error {
		r := sides[i]
		before := r.took
		for n := 0; n < least || r.took-before < d/time.Duration(rounds); n++ {
			if err := r.batch(ctx); err != nil {
				return err
			}
		}
		return nil
	}, nil)
}

// batch runs the images once and books the time.
func (r *benchRun) batch(ctx context.Context) error {
	begin := time.Now()
	if err := r.engine.Run(ctx, infer.Batch{Images: r.images}, &r.out); err != nil {
		return err
	}
	took := time.Since(begin)
	r.times, r.took = append(r.times, float64(took)/1e6), r.took+took
	return nil
}

// result is what a side measured; c says what the scheme that ran costs to decide.
func (r *benchRun) result(c vit.Config) BenchResult {
	var depth, nominal, performed float64 // of a batch
	for _, d := range r.out.Depth {
		depth += float64(d)
	}
	for ran := range slices.Chunk(r.out.Active, c.Layers) {
		nominal += float64(c.MACs(ran))
		performed += float64(r.engine.MACs(ran))
	}
	size, rate := float64(r.size), float64(len(r.times))/r.took.Seconds()
	return BenchResult{
		Images: len(r.times) * r.size, Batch: r.size, MeanDepth: depth / (size * float64(c.Tokens())),
		MACs: math.Round(nominal / size), DenseMACs: float64(c.MACs(nil)), ImagesPerSecond: size * rate,
		P50: turns.Percentile(r.times, 50), P99: turns.Percentile(r.times, 99),
		GFLOPS: 2 * performed * rate / 1e9, Profile: r.profile(),
	}
}

// profile is where an image's time went; nil where nobody asked.
func (r *benchRun) profile() (blocks []BlockTime) {
	images := float64(r.size * (len(r.times) + 1)) // with the batch that warmed up
	for l, times := range r.engine.Profile() {
		block := BlockTime{l, make(map[string]float64)}
		for a, t := range times {
			if t > 0 {
				block.Milliseconds[infer.Activity(a).String()] = t.Seconds() * 1000 / images
			}
		}
		blocks = append(blocks, block)
	}
	return blocks
}

// peakGFLOPS measures the rate of multiply-adds of the cores that so many threads have, all at once, in one precision,
// since cores that run together may be slower than one alone.
func peakGFLOPS(threads int, p infer.Precision) (sum float64) {
	peak := map[infer.Precision]func(time.Duration) float64{
		infer.F32: kernels.PeakFLOPS, infer.BF16: kernels.PeakBF16, infer.Int8: kernels.PeakInt8}[p]
	threads = min(threads, runtime.GOMAXPROCS(0))
	rates := make([]float64, threads)
	parallel.For(threads, threads, func(_, i int) { rates[i] = peak(100 * time.Millisecond) })
	for _, r := range rates {
		sum += r / 1e9
	}
	return sum
}
