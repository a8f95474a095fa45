package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/machine"
	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/vit"
)

// CalibrateOptions say how a ladder is measured. The zero value measures the usual one, on all CPUs.
type CalibrateOptions struct {
	Budgets   []float64       // shares of the dense token-blocks to be reached; nil: DefaultBudgets
	Limit     int             // images at most, spread over the data; 0: CalibrationImages. They are held in memory
	NoExit    bool            // leave the constant that ends an image as it is
	Threads   int             // 0 for the CPUs that the process may use
	Precision infer.Precision // the zero value is infer.Auto
	Progress  func(done, total int)
}

// DefaultBudgets are the shares of the dense token-blocks that a ladder has where nobody asks for others.
func DefaultBudgets() []float64 { return []float64{0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1} }

// CalibrationImages is how many images a ladder is measured on where nobody asks for another number: the mean cost of
// all images lies within some thousandths of theirs.
const CalibrationImages = 2000

// Ladder is what Calibrate found.
type Ladder struct {
	vit.Calibration // but for the data's name and part
	Rungs           []vit.Rung
	Missed          []Missed
}

// Caution says what is doubtful about a ladder that few images decided on; "" of others.
func (l Ladder) Caution() string {
	const few = 100
	if l.Images >= few {
		return ""
	}
	return fmt.Sprintf("budgets measured on %d images alone: which constants are best, and what they cost, is chance; "+
		"%d or more tell", l.Images, few)
}

// Missed is a budget that the scheme cannot reach.
type Missed struct {
	Budget  float64 `json:"budget"`
	Nearest float64 `json:"nearest"` // of the means that it can
}

// Calibrate measures a model's ladder on d: for every budget the constants by which an image costs that much on the
// average. They are found by search along the constant that is tuned, and where the scheme can exit, along the exit for
// several values of the tuned one (halting.Descriptor.Tune and Exit), of which the most accurate is kept. Between rungs
// that are too far apart for interpolation (infer.Schemes) others are put. d should be none of the images that a model
// is tested on.
//
// A prediction is right if it is the image's label; where the data's classes are not the model's, if it is what the
// model says as it stands. Damaged images that d bears (data.Tolerated) are left out.
//
// METHOD.md says more.
func Calibrate(ctx context.Context, m *vit.Model, d data.Dataset, o CalibrateOptions) (Ladder, error) {
	c, err := newCalibration(ctx, m, d, o)
	if err != nil {
		return Ladder{}, err
	}
	list, missed, err := c.search(ctx)
	if err != nil {
		return Ladder{}, c.stopped(ctx, err)
	}
	if list, err = c.fill(ctx, list); err != nil {
		return Ladder{}, c.stopped(ctx, err)
	}
	milliseconds, err := c.time(ctx, list)
	if err != nil {
		return Ladder{}, c.stopped(ctx, err)
	}
	c.report(c.planned)
	config := c.model.Params.Config
	l := Ladder{Missed: missed, Calibration: vit.Calibration{Images: c.images.Len(), Precision: string(c.Precision),
		Threads: c.Threads, Machine: machine.Describe(c.Threads), Date: time.Now().Format(time.DateOnly),
		DenseTokenBlocks: config.Tokens() * config.Layers, DenseMACs: config.MACs(nil), Mean: rounded(c.mean, 6)}}
	for i, o := range list {
		l.Rungs = append(l.Rungs, c.rung(o, milliseconds[i]))
	}
	return l, nil
}

// calibration is a Calibrate at work.
type calibration struct {
	CalibrateOptions
	model    *vit.Model // without a ladder
	images   *held
	labelled bool    // by the data
	usual    []int   // [n] classes that the model says as it stands
	mean     float64 // what it then costs, as a share of the dense model's token-blocks
	tune     string  // key of the constant that is tuned
	exit     string  // key of the constant that ends an image; "" for none

	weights *infer.Weights
	passes  map[passKey]pass
	gates   map[int][]float64 // by the number of images: values of the tuned constant that passes have
	curves  map[curveKey]*curve

	planned, done int // images to be run, about, and run
}

// newCalibration checks what is asked for, reads the images, and runs the model as it stands.
func newCalibration(ctx context.Context, m *vit.Model, d data.Dataset, o CalibrateOptions) (*calibration, error) {
	about, err := m.Params.Config.Halting.Descriptor()
	switch {
	case err != nil:
		return nil, err
	case about.Tune == "":
		return nil, fmt.Errorf("scheme %q has no constant that trades work for accuracy, so there is but one budget",
			about.Name)
	case o.Limit < 0:
		return nil, usage.Errorf("a limit of %d images", o.Limit)
	}
	if o.Budgets == nil {
		o.Budgets = DefaultBudgets()
	}
	for _, b := range o.Budgets {
		if !(b > 0 && b <= 1) {
			return nil, usage.Errorf("a budget of %v, want shares of the dense model's work, above 0 and at most 1", b)
		}
	}
	o.Budgets = slices.Compact(slices.Sorted(slices.Values(o.Budgets)))
	if o.Threads, err = parallel.Threads(o.Threads); err != nil {
		return nil, err
	}
	if o.Precision, err = infer.Resolve(o.Precision, m); err != nil {
		return nil, err
	}
	if o.Limit == 0 {
		o.Limit = CalibrationImages
	}
	bare := *m
	bare.Ladder = nil
	c := &calibration{CalibrateOptions: o, model: &bare, tune: about.Tune, exit: about.Exit,
		passes: map[passKey]pass{}, gates: map[int][]float64{}, curves: map[curveKey]*curve{}}
	if o.NoExit {
		c.exit = ""
	}
	if c.images, c.labelled, err = hold(ctx, m, d, o.Limit, o.Threads); err != nil {
		return nil, err
	}
	c.plan()
	pack := infer.PackOptions{Precision: o.Precision, Threads: o.Threads}
	if c.weights, err = pack.Pack(bare.Params); err != nil {
		return nil, err
	}
	usual, err := c.measure(ctx, m.Params.Config.Halting, c.images.Len())
	if err != nil {
		return nil, c.stopped(ctx, err)
	}
	if c.usual, c.mean = usual.class, usual.mean; !c.labelled {
		c.images.labels = usual.class
		clear(c.passes) // they were held against no labels
		clear(c.gates)
	}
	return c, nil
}

// stopped says where a calibration was when ctx ended.
func (c *calibration) stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return fmt.Errorf("calibration stopped: %w", err)
	}
	return err
}

// report tells how far the work has come; how much there is to do is known about.
func (c *calibration) report(done int) {
	if c.Progress != nil {
		c.Progress(min(done, c.planned), c.planned)
	}
}

// rung is an outcome as the ladder has it.
func (c *calibration) rung(o *outcome, milliseconds float64) vit.Rung {
	r := vit.Rung{Mean: rounded(o.mean, 6), Constants: map[string]float64{c.tune: o.config.Number(c.tune)},
		Figures: vit.Figures{TokenBlocks: rounded(o.blocks, 2), Percentile95: o.most, MACs: math.Round(o.macs),
			Agreement: rounded(o.agreement(c.usual), 2), NLL: rounded(o.nll, 4), Milliseconds: rounded(milliseconds, 4)}}
	if c.exit != "" {
		r.Constants[c.exit] = o.config.Number(c.exit)
	}
	if c.labelled {
		top1 := rounded(o.top1(), 2)
		r.Top1 = &top1
	}
	return r
}

// rounded is v to so many decimal places.
func rounded(v float64, places float64) float64 {
	unit := math.Pow(10, places)
	return math.Round(v*unit) / unit
}
