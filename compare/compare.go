package compare

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/trainer"
	"github.com/adavit/adavit/vit"
)

// Options say what Compare does.
type Options struct {
	Model string // the dense model that all schemes start from, as Open names it
	Data  string // a data set as data.Open names it
	Dir   string // folder of the runs and of the results
	// names, or NAME:key=value:… with values of the recipe or constants of the scheme; nil for all
	Schemes []string
	Recipe  string   // what all schemes train by, a bundled name or a file; "" for the usual one
	Set     []string // overrides of the recipe, KEY=VALUE
	Epochs  int      // 0 for the recipe's
	Seeds   []uint64 // every scheme is trained once with each; nil for 1
	// mean depth to which the schemes are brought; 0 for what the token scheme reaches, or half of the blocks without
	// it
	Depth   float64
	Sweep   []float64 // further mean depths to bring every scheme to, so that accuracy can be compared at equal time
	Limit   int       // training images, and as many test images; 0 for all
	Batch   int       // images in a batch, where speed in batches is measured; 0 for 32
	Seconds float64   // of each turn of a timing; 0 for 0.5

	Threads   int             // 0 for the CPUs that the process may use
	Precision infer.Precision // for testing and timing; infer.Auto stands for F32
	Log       *slog.Logger
	Progress  func(Progress) // may be nil
}

// Progress is where a comparison stands.
type Progress struct {
	Phase       string // training, matching, testing, control, timing
	Scheme      string // "" while timing: all of them
	Seed        uint64
	Run, Runs   int               // from 1
	Done, Total int               // steps of training, images, or turns
	Train       *trainer.Progress // while training
}

// Comparison is what Compare found.
type Comparison struct {
	Model     string         `json:"model"`
	StartTop1 float64        `json:"start_top1"` // of the model before any training
	Data      string         `json:"data"`
	Recipe    string         `json:"recipe"`
	Epochs    int            `json:"epochs"`
	Seeds     []uint64       `json:"seeds"`
	Layers    int            `json:"layers"`
	Images    int            `json:"images"` // that were tested on
	Batch     int            `json:"batch"`  // n of images_per_second_n
	Sweep     []float64      `json:"sweep,omitempty"`
	Threads   int            `json:"threads"`
	Precision string         `json:"precision"`
	Schemes   []SchemeResult `json:"schemes"` // the dense one first
	Report    string         `json:"report"`
	Table     string         `json:"table"`
	Plot      string         `json:"plot"`
}

// SchemeResult is one scheme of a comparison.
type SchemeResult struct {
	Name   string      `json:"name"`
	Policy string      `json:"policy"`
	Top1   Mean        `json:"top1"` // of the runs, brought to the target depth
	Depth  Mean        `json:"mean_depth"`
	MACs   Mean        `json:"macs_per_image"`
	Single Mean        `json:"images_per_second_1"`
	Batch  Mean        `json:"images_per_second_n"`
	Runs   []SchemeRun `json:"runs"` // one a seed
}

// adaptive reports whether tokens can halt.
func (s *SchemeResult) adaptive() bool { return halting.Config{Policy: s.Policy}.Adaptive() }

// Mean is a mean over seeds with the standard deviation of a sample; 0 of a single one.
type Mean struct {
	Mean   float64 `json:"mean"`
	Spread float64 `json:"spread"`
}

// SchemeRun is a scheme with one seed.
type SchemeRun struct {
	Seed    uint64         `json:"seed"`
	Run     string         `json:"run"`   // folder of the training run whose weights it has
	Model   string         `json:"model"` // model directory, with the halting that was matched
	Halting halting.Config `json:"halting"`
	// nil for a dense model and for one that is the measure of the others
	Tuned *Tuned `json:"dialled,omitempty"`
	// as the training left it; of a scheme without training, with its usual constants
	Trained Reached       `json:"trained"`
	Matched Reached       `json:"matched"`
	Control *eval.Control `json:"control,omitempty"` // of the matched model; nil of a dense one
	Sweep   []SweepPoint  `json:"sweep,omitempty"`   // at further depths
	Seconds float64       `json:"training_seconds"`
	Speed
}

// Reached is what a model comes to on the test images.
type Reached struct {
	Top1      float64 `json:"top1"`
	MeanDepth float64 `json:"mean_depth"`
	MACs      float64 `json:"macs_per_image"`
	DenseMACs float64 `json:"dense_macs_per_image"`
}

// Compare trains a list of halting schemes from one dense model, with equal epochs, seeds and data, brings them to the
// same mean depth by their own constants, and measures them: accuracy on the test images, and speed in turns with each
// other and with the dense model, which is trained on equally. Schemes that need no training (halting.Descriptor) use
// the dense model's weights.
//
// It leaves a folder for each run with its report and log, compare.json, table.md, compare.svg and compare.html. What
// is finished in the folder is not done again, so that the same call goes on with a comparison that was interrupted.
func Run(ctx context.Context, o Options) (Comparison, error) {
	c, err := newComparer(ctx, o)
	if err != nil {
		return Comparison{}, err
	}
	for i, seed := range c.o.Seeds {
		if err := c.seed(ctx, i, seed); err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("the comparison was interrupted; what is finished is in %s, and the same command goes on from "+
					"there: %w", c.o.Dir, context.Cause(ctx))
			}
			return Comparison{}, err
		}
	}
	return c.finish()
}

// comparer is a comparison that is under way.
type comparer struct {
	o       Options
	schemes []scheme
	recipes [][]trainer.Recipe // [scheme][seed]
	start   *vit.Model
	result  Comparison
	runs    int // done
}

func newComparer(ctx context.Context, o Options) (*comparer, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if len(o.Seeds) == 0 {
		o.Seeds = []uint64{1}
	}
	for i, seed := range o.Seeds {
		if slices.Contains(o.Seeds[:i], seed) {
			return nil, usage.Errorf("seed %d appears twice", seed)
		}
	}
	if o.Batch == 0 {
		o.Batch = 32
	}
	if o.Seconds == 0 {
		o.Seconds = 0.5
	}
	const maxBatch, maxSeconds = 1 << 16, 3600
	if o.Epochs < 0 || o.Limit < 0 || o.Batch < 1 || o.Batch > maxBatch || !(o.Seconds > 0 && o.Seconds <= maxSeconds) {
		return nil, usage.Errorf("%d epochs, a limit of %d images, a batch of %d images, turns of %v seconds", o.Epochs,
			o.Limit, o.Batch, o.Seconds)
	}
	var err error
	if o.Threads, err = parallel.Threads(o.Threads); err != nil {
		return nil, err
	}
	switch o.Precision {
	case infer.Auto:
		o.Precision = infer.F32
	case "auto":
		return nil, usage.Errorf("a comparison needs one precision for all, not auto")
	}
	if _, err := infer.Resolve(o.Precision, nil); err != nil {
		return nil, err
	}
	c := &comparer{o: o}
	if c.schemes, err = parseSchemes(o.Schemes); err != nil {
		return nil, err
	}
	if c.start, err = adavit.OpenContext(ctx, o.Model, adavit.OpenOptions{}); err != nil {
		return nil, err
	}
	config := c.start.Params.Config
	if config.Halting.Adaptive() {
		return nil, usage.Errorf("model %s halts tokens already (%v); a comparison starts from a dense one", o.Model,
			config.Halting)
	}
	for _, s := range c.schemes { // whatever is wrong with any is said before hours of training
		of := make([]trainer.Recipe, len(o.Seeds))
		for i, seed := range o.Seeds {
			if of[i], err = o.recipe(s, seed, config.Layers); err != nil {
				return nil, err
			}
		}
		c.recipes = append(c.recipes, of)
	}
	for i, depth := range o.Sweep {
		if !(depth >= 1 && depth <= float64(config.Layers)) || slices.Contains(o.Sweep[:i], depth) {
			return nil, usage.Errorf("a sweep over depths %v, want different ones of 1 to the model's %d blocks", o.Sweep,
				config.Layers)
		}
	}
	if o.Depth != 0 && !(o.Depth >= 1 && o.Depth <= float64(config.Layers)) {
		return nil, usage.Errorf("a mean depth of %v, want 1 to the model's %d blocks", o.Depth, config.Layers)
	}
	if err := atomicfile.Writable(o.Dir); err != nil {
		return nil, err
	}
	r := c.recipes[0][0]
	c.result = Comparison{Model: o.Model, Data: o.Data, Recipe: o.recipeName(), Epochs: r.Epochs, Seeds: o.Seeds,
		Layers: config.Layers, Batch: o.Batch, Sweep: o.Sweep,
		Threads: o.Threads, Precision: string(o.Precision), Schemes: make([]SchemeResult, len(c.schemes))}
	for i, s := range c.schemes {
		c.result.Schemes[i] = SchemeResult{Name: s.name, Policy: s.base}
	}
	return c, nil
}
