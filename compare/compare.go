// Package compare trains halting schemes from one dense model, brings them to the same mean depth, and measures them
// beside each other: top-1, multiply-adds, images a second, and what their choice of tokens is worth. Depths are mean
// numbers of blocks, 1..L, over all tokens.
package compare

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/trainer"
	"github.com/adavit/adavit/vit"
)

// Options say what Run does.
type Options struct {
	Model   string    // the dense model that all schemes start from, as Open names it
	Data    string    // a data set as data.Open names it
	Dir     string    // folder of the runs and of the results
	Schemes []string  // names, or NAME:key=value:… with values of the recipe or constants; LABEL= before it; nil for all
	Recipe  string    // what all schemes train by, a bundled name or a file; "" for the usual one
	Set     []string  // overrides of the recipe, KEY=VALUE
	Epochs  int       // 0 for the recipe's
	Seeds   []uint64  // every scheme is trained once with each; nil for 1
	Depth   float64   // to bring the schemes to; 0 for what the token scheme reaches, or half of the blocks without it
	Sweep   []float64 // further depths to bring every scheme to, so that accuracy can be compared at equal time
	Limit   int       // training images, and as many test images; 0 for all
	Batch   int       // images in a batch, where speed in batches is measured; 0 for 32
	Seconds float64   // of each turn of a timing; 0 for 0.5

	Threads   int             // 0 for the CPUs that the process may use
	Precision infer.Precision // for testing and timing; infer.Auto stands for F32
	Log       *slog.Logger
	Progress  func(Progress) // may be nil

	Unknown  eval.Unknown          // what becomes of pictures of classes that the model does not know
	Contents func([]data.Contents) // told what the data are before the first run; may be nil
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

// Comparison is what Run found.
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
	Name   string      `json:"name"`            // as it was given, or its label
	Entry  string      `json:"entry,omitempty"` // what the label stands for
	Scheme string      `json:"policy"`          // the halting scheme's own name
	Top1   Mean        `json:"top1"`            // of the runs, brought to the target depth
	Depth  Mean        `json:"mean_depth"`
	MACs   Mean        `json:"macs_per_image"`
	Single Mean        `json:"images_per_second_1"`
	Batch  Mean        `json:"images_per_second_n"`
	Runs   []SchemeRun `json:"runs"` // one a seed
}

// adaptive reports whether tokens can halt.
func (s SchemeResult) adaptive() bool { return halting.Config{Scheme: s.Scheme}.Adaptive() }

// Mean is a mean over seeds with the standard deviation of a sample; 0 of a single one.
type Mean struct {
	Mean   float64 `json:"mean"`
	Spread float64 `json:"spread"`
}

// SchemeRun is a scheme with one seed.
type SchemeRun struct {
	Seed  uint64 `json:"seed"`
	Run   string `json:"run"`   // folder of the training run whose weights it has
	Model string `json:"model"` // model directory, with the halting that was matched
	Match
	Sweep   []SweepPoint `json:"sweep,omitempty"` // at further depths
	Seconds float64      `json:"training_seconds"`
	Speed
}

// Match is a trained model before and after it was brought to a depth.
type Match struct {
	Halting halting.Config `json:"halting"`           // after it
	Tuned   *Tuned         `json:"dialled,omitempty"` // nil of a dense model and of the measure of the others
	Trained Reached        `json:"trained"`           // as trained; without training, with the scheme's usual constants
	Matched Reached        `json:"matched"`
	Control *eval.Control  `json:"control,omitempty"` // of the matched model; nil of a dense one
}

// Reached is what a model comes to on the test images.
type Reached struct {
	Top1      float64 `json:"top1"`
	MeanDepth float64 `json:"mean_depth"`
	MACs      float64 `json:"macs_per_image"`
	DenseMACs float64 `json:"dense_macs_per_image"`
}

// Run trains a list of halting schemes from one dense model, with equal epochs, seeds and data, brings them to the same
// mean depth by their own constants, and measures them: accuracy on the test images, and speed in turns with each other
// and with the dense model, which is trained on equally. Schemes that need no training (halting.Descriptor) use the
// dense model's weights.
//
// It leaves a folder for each run with its report and log, compare.json, table.md, compare.svg and compare.html. What
// is finished in the folder is not done again, so that the same call goes on with a comparison that was interrupted.
func Run(ctx context.Context, o Options) (Comparison, error) {
	c, err := newComparer(ctx, o)
	if err != nil {
		return Comparison{}, err
	}
	for _, seed := range c.o.Seeds {
		if err := c.round(ctx, seed); err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("the comparison was interrupted; what is finished is in %s, and the same command goes on from "+
					"there: %w", c.o.Dir, context.Cause(ctx))
			}
			return Comparison{}, err
		}
	}
	err = c.finish()
	return c.result, err
}

// comparer is a comparison that is under way.
type comparer struct {
	o       Options
	schemes []scheme
	recipes []trainer.Recipe // of each scheme, with the first seed
	start   *vit.Model
	result  Comparison
	begun   int // runs
}

func newComparer(ctx context.Context, o Options) (*comparer, error) {
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	o.Batch, o.Seconds = cmp.Or(o.Batch, 32), cmp.Or(o.Seconds, 0.5)
	if len(o.Seeds) == 0 {
		o.Seeds = []uint64{1}
	}
	for i, seed := range o.Seeds {
		if slices.Contains(o.Seeds[:i], seed) {
			return nil, usage.Errorf("seed %d appears twice", seed)
		}
	}
	const maxBatch, maxSeconds = 1 << 16, 3600
	if o.Epochs < 0 || o.Limit < 0 || o.Batch < 1 || o.Batch > maxBatch {
		return nil, usage.Errorf("%d epochs, a limit of %d images, a batch of %d images, want 1 or more, and at most %d "+
			"images in a batch", o.Epochs, o.Limit, o.Batch, maxBatch)
	}
	if !(o.Seconds > 0 && o.Seconds <= maxSeconds) {
		return nil, usage.Errorf("turns of %v seconds, want more than 0 and at most %d", o.Seconds, maxSeconds)
	}
	var err error
	if o.Precision, err = infer.Resolve(o.Precision, nil); err != nil {
		return nil, err
	}
	if o.Threads, err = parallel.Threads(o.Threads); err != nil {
		return nil, err
	}
	c := &comparer{}
	if c.schemes, err = parseSchemes(o.Schemes); err != nil {
		return nil, err
	}
	if c.start, err = adavit.OpenContext(ctx, o.Model, adavit.OpenOptions{}); err != nil {
		return nil, err
	}
	layers, own := c.start.Params.Config.Layers, c.start.Params.Config.Halting
	if own.Adaptive() {
		return nil, usage.Errorf("model %s halts tokens already (%v); a comparison starts from a dense one", o.Model, own)
	}
	for _, s := range c.schemes { // whatever is wrong with any is said before hours of training
		recipe, err := o.recipe(s, o.Seeds[0], layers)
		if err != nil {
			return nil, err
		}
		c.recipes = append(c.recipes, recipe)
	}
	possible := func(depth float64) bool { return depth >= 1 && depth <= float64(layers) }
	for i, depth := range o.Sweep {
		if !possible(depth) || slices.Contains(o.Sweep[:i], depth) {
			return nil, usage.Errorf("a sweep over depths %v, want different ones of 1 to the model's %d blocks", o.Sweep,
				layers)
		}
	}
	if o.Depth != 0 && !possible(o.Depth) {
		return nil, usage.Errorf("a mean depth of %v, want 1 to the model's %d blocks", o.Depth, layers)
	}
	if err := atomicfile.Writable(o.Dir); err != nil {
		return nil, err
	}
	c.o, c.result = o, Comparison{Model: o.Model, Data: o.Data, Recipe: o.recipeName(), Epochs: c.recipes[0].Epochs,
		Seeds: o.Seeds, Layers: layers, Batch: o.Batch, Sweep: o.Sweep, Threads: o.Threads, Precision: string(o.Precision)}
	for _, s := range c.schemes {
		result := SchemeResult{Name: s.name, Scheme: s.base.Name}
		if s.entry != s.name {
			result.Entry = s.entry
		}
		c.result.Schemes = append(c.result.Schemes, result)
	}
	return c, nil
}
