package tools

import (
	"context"
	"math"
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
	Variant   string // architecture, run with random weights
	Model     string // or a model, as Open names it
	Threads   int    // 0 for the CPUs that the process may use
	Batch     int    // images in a batch; 0 means 1
	Precision infer.Precision
	// share of patch tokens that run in each block, the last one for all further blocks; nil: the model's own halting
	Active  []float64
	Seconds float64 // how long to measure; 0 means 3
	Profile bool    // tell where the time goes
}

// BenchResult is what Bench measured.
type BenchResult struct {
	Model           string  `json:"model"`   // the variant's name where weights are random
	Variant         string  `json:"variant"` // "" for a model
	Images          int     `json:"images"`  // that were run
	Batch           int     `json:"batch"`
	MeanDepth       float64 `json:"mean_depth"`
	MACs            float64 `json:"macs_per_image"`       // as vit.Config.MACs counts them, from the tokens that ran
	DenseMACs       float64 `json:"dense_macs_per_image"` // the same had no token halted
	ImagesPerSecond float64 `json:"images_per_second"`
	P50             float64 `json:"p50_ms"` // of the time that a batch takes
	P99             float64 `json:"p99_ms"`
	// 2 × the multiply-adds that the engine performed (see infer.Engine.MACs), a second, in 10⁹
	GFLOPS     float64   `json:"gflops"`
	PeakGFLOPS float64   `json:"peak_gflops"` // the FMA rate of as many cores as threads, measured in the same run
	Threads    int       `json:"threads"`
	Precision  string    `json:"precision"`
	BytesHeld  int64     `json:"bytes_held"` // by the engine: packed weights and all workers' memory
	Active     []float64 `json:"active,omitempty"`

	// where the time of an image goes, block 0 being what is outside of all blocks
	Profile []BlockTime `json:"profile,omitempty"`

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
const (
	maxBatch   = 1 << 16
	maxSeconds = 3600
)

// prepare fills in defaults and returns the parameters to run.
func (o *BenchOptions) prepare(ctx context.Context) (*vit.Params, infer.Precision, error) {
	var err error
	if o.Threads, err = parallel.Threads(o.Threads); err != nil {
		return nil, "", err
	}
	if o.Batch == 0 {
		o.Batch = 1
	}
	if o.Batch < 0 || o.Batch > maxBatch {
		return nil, "", usage.Errorf("a batch of %d images, want 1 to %d", o.Batch, maxBatch)
	}
	if o.Seconds == 0 {
		o.Seconds = 3
	}
	if math.IsNaN(o.Seconds) || o.Seconds < 0 || o.Seconds > maxSeconds {
		return nil, "", usage.Errorf("%v seconds, want more than 0 and at most %d", o.Seconds, maxSeconds)
	}
	if o.Variant != "" && o.Model != "" {
		return nil, "", usage.Errorf("a variant and a model at once")
	}
	if o.Model != "" {
		m, err := adavit.OpenContext(ctx, o.Model, adavit.OpenOptions{})
		if err != nil {
			return nil, "", err
		}
		p, err := infer.Resolve(o.Precision, m)
		return m.Params, p, err
	}
	c, err := vit.Variant(o.Variant)
	if err != nil {
		return nil, "", usage.Wrap(err)
	}
	o.Model = o.Variant
	p, err := infer.Resolve(o.Precision, nil)
	if err != nil {
		return nil, "", err
	}
	return vit.Initialize(c, 1, 0), p, nil
}

// Bench measures the throughput of a model on random images.
//
// The engine spreads a batch's images over its threads; with fewer images than threads, all threads share each image.
func Bench(ctx context.Context, o BenchOptions) (BenchResult, error) {
	p, precision, err := o.prepare(ctx)
	if err != nil {
		return BenchResult{}, err
	}
	o.Precision = precision
	c := p.Config
	if memory := float64(o.Batch) * float64(c.ImageLen()); memory > 1<<30 {
		return BenchResult{}, usage.Errorf("a batch of %d images of %d numbers is too large", o.Batch, c.ImageLen())
	}
	e := infer.Options{Threads: o.Threads, Profile: o.Profile}
	if o.Active != nil {
		if len(o.Active) > c.Layers {
			return BenchResult{}, usage.Errorf("%d shares of active tokens for %d blocks", len(o.Active), c.Layers)
		}
		shares, err := halting.NewFixedShares(o.Active)
		if err != nil {
			return BenchResult{}, usage.Wrap(err)
		}
		e.Schemes = []halting.Scheme{shares}
	}
	weights, err := infer.Pack(p, precision)
	if err != nil {
		return BenchResult{}, err
	}
	run, err := newBenchRun(weights, e, o.Batch)
	if err != nil {
		return BenchResult{}, err
	}
	defer run.engine.Close()
	sides := []*benchRun{run}
	if o.Active != nil {
		e.Schemes = []halting.Scheme{halting.None{}}
		dense, err := newBenchRun(weights, e, o.Batch)
		if err != nil {
			return BenchResult{}, err
		}
		defer dense.engine.Close()
		sides = append(sides, dense)
	}
	peak := peakGFLOPS(o.Threads, precision)
	if err := measure(ctx, sides, time.Duration(o.Seconds*float64(time.Second))); err != nil {
		return BenchResult{}, err
	}
	peak = max(peak, peakGFLOPS(o.Threads, precision))
	r := o.result(c, run, peak)
	r.BytesHeld = weights.Bytes() + run.engine.Bytes()
	if profile := run.engine.Profile(); profile != nil {
		images := float64(o.Batch * (len(run.times) + 1)) // with the one that warmed up
		for l, times := range profile {
			block := BlockTime{l, make(map[string]float64)}
			for a, t := range times {
				if t > 0 {
					block.Milliseconds[infer.Activity(a).String()] = t.Seconds() * 1000 / images
				}
			}
			r.Profile = append(r.Profile, block)
		}
	}
	if o.Active != nil {
		r.DenseImagesPerSecond = o.result(c, sides[1], peak).ImagesPerSecond
		r.Speedup, r.MACsSpeedup = r.ImagesPerSecond/r.DenseImagesPerSecond, r.DenseMACs/r.MACs
	}
	return r, nil
}

// benchRun is one side of a measurement.
type benchRun struct {
	engine *infer.Engine
	images []float32 // [batch, C, H, W]
	out    infer.Output
	times  []float64     // milliseconds of each batch
	took   time.Duration // of all of them
}

func newBenchRun(w *infer.Weights, o infer.Options, batch int) (*benchRun, error) {
	engine, err := infer.New(w, o)
	if err != nil {
		return nil, err
	}
	config := engine.Config()
	r := &benchRun{engine: engine, images: make([]float32, batch*config.ImageLen()), times: make([]float64, 0, 1<<16)}
	rng := data.Rand(0, 0, 0)
	for i := range r.images {
		r.images[i] = float32(rng.NormFloat64())
	}
	return r, nil
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

// result sums a side up.
func (o *BenchOptions) result(c vit.Config, r *benchRun, peak float64) BenchResult {
	if o.Active != nil {
		c.Halting = halting.Dense() // the model's own scheme does not run, nor what it costs to decide
	}
	var depth, nominal, performed float64 // of a batch
	for _, d := range r.out.Depth {
		depth += float64(d)
	}
	active := make([]int, c.Layers)
	for i := range o.Batch {
		ran := r.out.Active[i*c.Layers : (i+1)*c.Layers]
		for l, n := range ran {
			active[l] = int(n)
		}
		nominal += float64(c.MACs(active))
		performed += float64(r.engine.MACs(ran))
	}
	batch, batches := float64(o.Batch), float64(len(r.times))
	rate := batches / r.took.Seconds()
	return BenchResult{
		Model: o.Model, Variant: o.Variant, Images: len(r.times) * o.Batch, Batch: o.Batch,
		MeanDepth: depth / (batch * float64(c.Tokens())),
		MACs:      math.Round(nominal / batch), DenseMACs: float64(c.MACs(nil)), ImagesPerSecond: batch * rate,
		P50: turns.Percentile(r.times, 50), P99: turns.Percentile(r.times, 99),
		GFLOPS: 2 * performed * rate / 1e9, PeakGFLOPS: peak, Threads: o.Threads, Precision: string(o.Precision),
		Active: o.Active,
	}
}

// peakGFLOPS measures the rate of multiply-adds of so many cores at once, in one precision, since cores that run
// together may be slower than one alone.
func peakGFLOPS(threads int, p infer.Precision) float64 {
	peak := kernels.PeakFLOPS
	switch p {
	case infer.BF16:
		peak = kernels.PeakBF16
	case infer.Int8:
		peak = kernels.PeakInt8
	}
	rates := make([]float64, threads)
	parallel.For(threads, threads, func(_, i int) { rates[i] = peak(100 * time.Millisecond) })
	sum := 0.0
	for _, r := range rates {
		sum += r
	}
	return sum / 1e9
}
