package adavit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// BenchOptions say what Bench measures.
type BenchOptions struct {
	Variant   string    // architecture, run with random weights
	Model     string    // or a model, as Open names it
	Threads   int       // 0 for the CPUs that the process may use
	Batch     int       // images in a batch; 0 means 1
	Precision string    // "" for PrecisionAuto
	Active    []float64 // share of patch tokens that run in each block, the last one for all further blocks; nil: the model's own halting
	Seconds   float64   // how long to measure; 0 means 3
}

// BenchResult is what Bench measured.
type BenchResult struct {
	Model           string    `json:"model"`   // the variant's name where weights are random
	Variant         string    `json:"variant"` // "" for a model
	Images          int       `json:"images"`  // that were run
	Batch           int       `json:"batch"`
	MeanDepth       float64   `json:"mean_depth"`
	MACs            float64   `json:"macs_per_image"`       // as vit.Config.MACs counts them, from the tokens that ran
	DenseMACs       float64   `json:"dense_macs_per_image"` // the same had no token halted
	ImagesPerSecond float64   `json:"images_per_second"`
	P50             float64   `json:"p50_ms"` // of the time that a batch takes
	P99             float64   `json:"p99_ms"`
	GFLOPS          float64   `json:"gflops"`      // 2 × the multiply-adds that the engine performed (see infer.Engine.MACs), a second, in 10⁹
	PeakGFLOPS      float64   `json:"peak_gflops"` // the FMA rate of as many cores as threads, measured in the same run
	Threads         int       `json:"threads"`
	Precision       string    `json:"precision"`
	Active          []float64 `json:"active,omitempty"`

	// With Active, a dense run of the same model takes turns with the measured one.
	DenseImagesPerSecond float64 `json:"dense_images_per_second,omitempty"`
	Speedup              float64 `json:"speedup,omitempty"`      // images a second against the dense run
	MACsSpeedup          float64 `json:"macs_speedup,omitempty"` // what the nominal MACs promise: dense against active
}

// Limits of a benchmark; more is a slip of the finger.
const (
	maxBatch   = 1 << 16
	maxSeconds = 3600
)

// prepare fills in defaults and returns the parameters to run.
func (o *BenchOptions) prepare(ctx context.Context) (*vit.Params, infer.Precision, error) {
	var err error
	if o.Threads, err = threads(o.Threads); err != nil {
		return nil, "", err
	}
	if o.Batch == 0 {
		o.Batch = 1
	}
	if o.Batch < 0 || o.Batch > maxBatch {
		return nil, "", fmt.Errorf("%w: a batch of %d images, want 1 to %d", ErrUsage, o.Batch, maxBatch)
	}
	if o.Seconds == 0 {
		o.Seconds = 3
	}
	if math.IsNaN(o.Seconds) || o.Seconds < 0 || o.Seconds > maxSeconds {
		return nil, "", fmt.Errorf("%w: %v seconds, want more than 0 and at most %d", ErrUsage, o.Seconds, maxSeconds)
	}
	if o.Variant != "" && o.Model != "" {
		return nil, "", fmt.Errorf("%w: a variant and a model at once", ErrUsage)
	}
	if o.Model != "" {
		m, err := OpenContext(ctx, o.Model, nil)
		if err != nil {
			return nil, "", err
		}
		p, err := precision(o.Precision, m)
		return m.Params, p, err
	}
	c, err := vit.Variant(o.Variant)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrUsage, err)
	}
	o.Model = o.Variant
	p, err := precision(o.Precision, nil)
	if err != nil {
		return nil, "", err
	}
	return vit.Initialize(c, 1, 0), p, nil
}

// Bench measures the throughput of a model on random images.
//
// An engine spreads a batch's images over its threads and cannot split an image. So with fewer images in a batch than threads, each thread
// works on batches of its own, at the same time as the others: throughput is that of all, a batch's time that of one.
func Bench(ctx context.Context, o BenchOptions) (BenchResult, error) {
	p, precision, err := o.prepare(ctx)
	if err != nil {
		return BenchResult{}, err
	}
	o.Precision = string(precision)
	c := p.Config
	if memory := float64(o.Batch) * float64(imageSize(c)); memory > 1<<30 {
		return BenchResult{}, fmt.Errorf("%w: a batch of %d images of %d numbers is too large", ErrUsage, o.Batch, imageSize(c))
	}
	e := infer.Options{Threads: o.Threads, Precision: precision}
	callers := 1
	if o.Batch < o.Threads {
		e.Threads, callers = 1, o.Threads
	}
	if o.Active != nil {
		if len(o.Active) > c.Layers {
			return BenchResult{}, fmt.Errorf("%w: %d shares of active tokens for %d blocks", ErrUsage, len(o.Active), c.Layers)
		}
		profile, err := halting.NewProfile(o.Active)
		if err != nil {
			return BenchResult{}, fmt.Errorf("%w: %w", ErrUsage, err)
		}
		e.Scheme = profile
	}
	runs, err := newBenchRuns(p, e, o.Batch, callers)
	if err != nil {
		return BenchResult{}, err
	}
	defer closeRuns(runs)
	sides := [][]*benchRun{runs}
	if o.Active != nil {
		e.Scheme = halting.None{}
		dense, err := newBenchRuns(p, e, o.Batch, callers)
		if err != nil {
			return BenchResult{}, err
		}
		defer closeRuns(dense)
		sides = append(sides, dense)
	}
	peak := peakGFLOPS(o.Threads, precision)
	if err := measure(ctx, sides, time.Duration(o.Seconds*float64(time.Second))); err != nil {
		return BenchResult{}, err
	}
	peak = max(peak, peakGFLOPS(o.Threads, precision))
	r := o.result(c, runs, peak)
	if o.Active != nil {
		r.DenseImagesPerSecond = o.result(c, sides[1], peak).ImagesPerSecond
		r.Speedup, r.MACsSpeedup = r.ImagesPerSecond/r.DenseImagesPerSecond, r.DenseMACs/r.MACs
	}
	return r, nil
}

// benchRun is one caller of one engine.
type benchRun struct {
	engine *infer.Engine
	images []float32 // [batch, C, H, W]
	out    infer.Output
	times  []time.Duration // of each batch
	took   time.Duration   // from the common start of each turn to the end of its last batch, summed over turns
}

// newBenchRuns makes an engine and as many callers, each of a fork of its own.
func newBenchRuns(p *vit.Params, o infer.Options, batch, callers int) ([]*benchRun, error) {
	engine, err := infer.New(p, o)
	if err != nil {
		return nil, err
	}
	var runs []*benchRun
	for i := range callers {
		if i > 0 {
			engine = engine.Fork()
		}
		r := &benchRun{engine: engine, images: make([]float32, batch*imageSize(p.Config)), times: make([]time.Duration, 0, 1<<16)}
		rng := data.Rand(uint64(i), 0, 0)
		for i := range r.images {
			r.images[i] = float32(rng.NormFloat64())
		}
		runs = append(runs, r)
	}
	return runs, nil
}

func closeRuns(runs []*benchRun) {
	for _, r := range runs {
		r.engine.Close()
	}
}

// measure warms all callers up and lets each side run for d; sides take turns, so that whatever else the machine does slows them alike.
func measure(ctx context.Context, sides [][]*benchRun, d time.Duration) error {
	together := func(runs []*benchRun, task func(r *benchRun) error) error {
		errs := make([]error, len(runs))
		spread(len(runs), len(runs), func(i int) { errs[i] = task(runs[i]) })
		return errors.Join(errs...)
	}
	turns := 1
	if len(sides) > 1 {
		turns = 8
	}
	for turn := range turns + 1 { // turn 0 warms up
		for _, runs := range sides {
			begin := time.Now()
			err := together(runs, func(r *benchRun) error {
				if turn == 0 {
					return r.engine.Run(r.images, &r.out)
				}
				const least = 3 // batches, so that the median is one
				before := r.took
				for n := 0; n < least || r.took-before < d/time.Duration(turns); n++ {
					if err := ctx.Err(); err != nil {
						return err
					}
					start := time.Now()
					if err := r.engine.Run(r.images, &r.out); err != nil {
						return err
					}
					r.times = append(r.times, time.Since(start))
					r.took = before + time.Since(begin)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// result sums up all callers. Their rates are added: each is taken over the caller's own time, since they do not end at the same moment.
func (o *BenchOptions) result(c vit.Config, runs []*benchRun, peak float64) BenchResult {
	var times []time.Duration
	var depth, nominal, images, imageRate, macRate float64
	active := make([]int, c.Layers)
	for _, r := range runs {
		batches := float64(len(r.times)) // all of the same images, so of the same work
		times = append(times, r.times...)
		images += batches * float64(o.Batch)
		imageRate += batches * float64(o.Batch) / r.took.Seconds()
		for _, d := range r.out.Depth {
			depth += batches * float64(d)
		}
		for i := range o.Batch {
			ran := r.out.Active[i*c.Layers : (i+1)*c.Layers]
			for l, n := range ran {
				active[l] = int(n)
			}
			nominal += batches * float64(c.MACs(active))
			macRate += batches * float64(r.engine.MACs(ran)) / r.took.Seconds()
		}
	}
	slices.Sort(times)
	return BenchResult{
		Model: o.Model, Variant: o.Variant, Images: int(images), Batch: o.Batch, MeanDepth: depth / (images * float64(c.Tokens())),
		MACs: math.Round(nominal / images), DenseMACs: float64(c.MACs(nil)), ImagesPerSecond: imageRate,
		P50: percentile(times, 50), P99: percentile(times, 99),
		GFLOPS: 2 * macRate / 1e9, PeakGFLOPS: peak, Threads: o.Threads, Precision: o.Precision, Active: o.Active,
	}
}

// percentile returns the smallest time, in milliseconds, that at least p percent of the sorted times do not exceed.
func percentile(sorted []time.Duration, p int) float64 {
	i := (len(sorted)*p+99)/100 - 1
	return sorted[max(i, 0)].Seconds() * 1000
}

// peakGFLOPS measures the rate of multiply-adds of so many cores at once, in one precision, since cores that run together may be slower than one
// alone.
func peakGFLOPS(threads int, p infer.Precision) float64 {
	peak := kernels.PeakFLOPS
	switch p {
	case infer.BF16:
		peak = kernels.PeakBF16
	case infer.Int8:
		peak = kernels.PeakInt8
	}
	rates := make([]float64, threads)
	spread(threads, threads, func(i int) { rates[i] = peak(100 * time.Millisecond) })
	sum := 0.0
	for _, r := range rates {
		sum += r
	}
	return sum / 1e9
}
