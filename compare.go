package adavit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// CompareOptions say what Compare does.
type CompareOptions struct {
	Model   string   // the dense model that all schemes start from, as Open names it
	Data    string   // a data set as data.Open names it
	Dir     string   // folder of the runs and of the results
	Schemes []string // policies, or policy:key=value:… with values of the recipe or constants of the policy; nil for all policies
	Recipe  string   // what all schemes train by, a bundled name or a file; "" for the usual one
	Set     []string // overrides of the recipe, KEY=VALUE
	Epochs  int      // 0 for the recipe's
	Seeds   []uint64 // every scheme is trained once with each; nil for 1
	Depth   float64  // mean depth to which the schemes are brought; 0 for what the token scheme reaches, or half of the blocks without it
	Limit   int      // training images, and as many test images; 0 for all
	Batch   int      // images in a batch, where speed in batches is measured; 0 for 32
	Seconds float64  // of each turn of a timing; 0 for 0.5

	Threads   int    // 0 for the CPUs that the process may use
	Precision string // for testing and timing; "" for f32
	Log       *slog.Logger
	Progress  func(CompareProgress) // may be nil
}

// CompareProgress is where a comparison stands.
type CompareProgress struct {
	Phase       string // training, matching, testing, timing
	Scheme      string // "" while timing: all of them
	Seed        uint64
	Run, Runs   int             // from 1
	Done, Total int             // steps of training, images, or turns
	Train       *train.Progress // while training
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
	Dialled *Dialled       `json:"dialled,omitempty"` // nil for a dense model and for one that is the measure of the others
	Trained Reached        `json:"trained"`           // as the training left it; of a scheme without training, with its usual constants
	Matched Reached        `json:"matched"`
	Seconds float64        `json:"training_seconds"`
	Speed
}

// Reached is what a model comes to on the test images.
type Reached struct {
	Top1      float64 `json:"top1"`
	MeanDepth float64 `json:"mean_depth"`
	MACs      float64 `json:"macs_per_image"`
	DenseMACs float64 `json:"dense_macs_per_image"`
}

// Compare trains a list of halting schemes from one dense model, with equal epochs, seeds and data, brings them to the same mean depth by their own
// constants, and measures them: accuracy on the test images, and speed in turns with each other and with the dense model, which is trained
// on equally. Schemes that only remove a fixed count of tokens (topk, tome) use the dense model's weights.
//
// It leaves a folder for each run with its report and log, compare.json, table.md, compare.svg and compare.html. What is finished in the folder is not
// done again, so that the same call goes on with a comparison that was interrupted.
func Compare(ctx context.Context, o CompareOptions) (Comparison, error) {
	c, err := newComparer(ctx, o)
	if err != nil {
		return Comparison{}, err
	}
	for i, seed := range c.o.Seeds {
		if err := c.seed(ctx, i, seed); err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("the comparison was interrupted; what is finished is in %s, and the same command goes on from there: %w", c.o.Dir, context.Cause(ctx))
			}
			return Comparison{}, err
		}
	}
	return c.finish()
}

// comparer is a comparison that is under way.
type comparer struct {
	o       CompareOptions
	schemes []scheme
	recipes [][]train.Recipe // [scheme][seed]
	start   *vit.Model
	result  Comparison
	runs    int // done
}

func newComparer(ctx context.Context, o CompareOptions) (*comparer, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if len(o.Seeds) == 0 {
		o.Seeds = []uint64{1}
	}
	for i, seed := range o.Seeds {
		if slices.Contains(o.Seeds[:i], seed) {
			return nil, fmt.Errorf("%w: seed %d appears twice", ErrUsage, seed)
		}
	}
	if o.Batch == 0 {
		o.Batch = 32
	}
	if o.Seconds == 0 {
		o.Seconds = 0.5
	}
	if o.Epochs < 0 || o.Limit < 0 || o.Batch < 1 || o.Batch > maxBatch || !(o.Seconds > 0 && o.Seconds <= maxSeconds) {
		return nil, fmt.Errorf("%w: %d epochs, a limit of %d images, a batch of %d images, turns of %v seconds", ErrUsage, o.Epochs, o.Limit, o.Batch, o.Seconds)
	}
	var err error
	if o.Threads, err = threads(o.Threads); err != nil {
		return nil, err
	}
	if o.Precision == "" {
		o.Precision = string(infer.F32)
	}
	if o.Precision == PrecisionAuto {
		return nil, fmt.Errorf("%w: a comparison needs one precision for all, not %s", ErrUsage, PrecisionAuto)
	}
	if _, err := precision(o.Precision, nil); err != nil {
		return nil, err
	}
	c := &comparer{o: o}
	if c.schemes, err = parseSchemes(o.Schemes); err != nil {
		return nil, err
	}
	if c.start, err = OpenContext(ctx, o.Model, nil); err != nil {
		return nil, err
	}
	config := c.start.Params.Config
	if config.Halting.Adaptive() {
		return nil, fmt.Errorf("%w: model %s halts tokens already (%v); a comparison starts from a dense one", ErrUsage, o.Model, config.Halting)
	}
	for _, s := range c.schemes { // whatever is wrong with any is said before hours of training
		of := make([]train.Recipe, len(o.Seeds))
		for i, seed := range o.Seeds {
			if of[i], err = o.recipe(s, seed, config.Layers); err != nil {
				return nil, err
			}
		}
		c.recipes = append(c.recipes, of)
	}
	if o.Depth != 0 && !(o.Depth >= 1 && o.Depth <= float64(config.Layers)) {
		return nil, fmt.Errorf("%w: a mean depth of %v, want 1 to the model's %d blocks", ErrUsage, o.Depth, config.Layers)
	}
	if err := writable(o.Dir); err != nil {
		return nil, err
	}
	r := c.recipes[0][0]
	c.result = Comparison{Model: o.Model, Data: o.Data, Recipe: o.recipeName(), Epochs: r.Epochs, Seeds: o.Seeds, Layers: config.Layers, Batch: o.Batch,
		Threads: o.Threads, Precision: o.Precision, Schemes: make([]SchemeResult, len(c.schemes))}
	for i, s := range c.schemes {
		c.result.Schemes[i] = SchemeResult{Name: s.name, Policy: s.policy}
	}
	return c, nil
}

// seed trains, matches, tests and times all schemes with one seed.
func (c *comparer) seed(ctx context.Context, index int, seed uint64) error {
	models := make([]*vit.Model, len(c.schemes)) // as trained
	seconds := make([]float64, len(c.schemes))
	folders := make([]string, len(c.schemes))
	for i, s := range c.schemes {
		c.runs++
		folders[i] = s.run(c.o.Dir, seed)
		r := c.recipes[i][index]
		if !s.trains {
			models[i], folders[i] = withHalting(models[0], *r.Halting), folders[0]
			continue
		}
		card, err := c.train(ctx, s, r, folders[i])
		if err != nil {
			return fmt.Errorf("scheme %s, seed %d: %w", s.name, seed, err)
		}
		seconds[i] = card.Seconds
		if models[i], err = vit.Load(folders[i]); err != nil {
			return err
		}
	}
	parts, err := c.openParts(index)
	if err != nil {
		return err
	}
	if index == 0 {
		ev, err := c.test(ctx, c.start, parts.test, "the model to start from", seed)
		if err != nil {
			return err
		}
		c.result.StartTop1, c.result.Images = ev.Top1, parts.images
	}
	target, measure, err := c.target(ctx, models, parts, seed)
	if err != nil {
		return err
	}
	for i, s := range c.schemes {
		run := SchemeRun{Seed: seed, Run: folders[i], Model: filepath.Join(s.run(c.o.Dir, seed), matchedFolder), Seconds: seconds[i]}
		if err := c.reach(ctx, s, models[i], parts, target, i == measure, &run); err != nil {
			return fmt.Errorf("scheme %s, seed %d: %w", s.name, seed, err)
		}
		models[i] = withHalting(models[i], run.Halting)
		c.result.Schemes[i].Runs = append(c.result.Schemes[i].Runs, run)
	}
	speeds, err := c.time(ctx, models, parts, seed)
	if err != nil {
		return err
	}
	for i := range c.schemes {
		c.result.Schemes[i].Runs[index].Speed = speeds[i]
	}
	return nil
}

// report hands progress on.
func (c *comparer) report(p CompareProgress) {
	if c.o.Progress != nil {
		p.Run, p.Runs = min(max(c.runs, 1), len(c.schemes)*len(c.o.Seeds)), len(c.schemes)*len(c.o.Seeds)
		c.o.Progress(p)
	}
}

// askedFile lies in the folder of a run and says what it was started with.
const askedFile = "asked.json"

// asked is what a run was started with.
type asked struct {
	Recipe train.Recipe `json:"recipe"`
	Model  string       `json:"model"`
	Data   string       `json:"data"`
}

// train runs one scheme's training, goes on with it, or finds it done.
func (c *comparer) train(ctx context.Context, s scheme, r train.Recipe, dir string) (train.Card, error) {
	want, err := json.MarshalIndent(asked{r, c.o.Model, c.o.Data}, "", "  ")
	if err != nil {
		return train.Card{}, err
	}
	want = append(want, '\n')
	path := filepath.Join(dir, askedFile)
	switch before, err := readSmall(path, maxRecipe); {
	case errors.Is(err, os.ErrNotExist):
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return train.Card{}, err
		}
		if err := weights.WriteFile(path, want); err != nil {
			return train.Card{}, err
		}
	case err != nil:
		return train.Card{}, err
	case !bytes.Equal(before, want):
		return train.Card{}, fmt.Errorf("%s holds a run with other settings (see %s); give another folder, or remove it", dir, path)
	}
	// The report is what a run writes last of all, after its card.
	if _, err := os.Stat(filepath.Join(dir, "report.html")); err == nil {
		c.o.Log.Info("already trained", "scheme", s.name, "folder", dir)
		return readCard(dir)
	}
	c.o.Log.Info("training", "scheme", s.name, "seed", r.Seed, "epochs", r.Epochs, "folder", dir)
	_, err = Train(ctx, TrainOptions{Recipe: r, Data: c.o.Data, Dir: dir, Init: c.o.Model, Resume: true, Threads: c.o.Threads, Log: c.o.Log,
		Progress: func(p train.Progress) {
			c.report(CompareProgress{Phase: "training", Scheme: s.name, Seed: r.Seed, Done: p.Step, Total: p.Steps, Train: &p})
		}})
	if err != nil {
		return train.Card{}, err
	}
	return readCard(dir)
}

// readCard reads a finished run's training.json.
func readCard(dir string) (card train.Card, err error) {
	path := filepath.Join(dir, vit.CardFile)
	text, err := readSmall(path, maxCard)
	if err != nil {
		return card, err
	}
	if err := json.Unmarshal(text, &card); err != nil {
		return card, fmt.Errorf("%s: %w", path, err)
	}
	return card, nil
}

// maxCard bounds a training.json, which has a line for each epoch.
const maxCard = 64 << 20

// parts are the images of a comparison.
type parts struct {
	calibration, test data.Dataset
	images            int // of test that are used
}

// openParts opens the data as the runs with the seed of this index had it.
func (c *comparer) openParts(index int) (p parts, err error) {
	r := c.recipes[0][index]
	var run train.Options
	if p.test, err = (TrainOptions{Recipe: r, Data: c.o.Data, Log: c.o.Log}).pictures(&run); err != nil {
		return p, err
	}
	p.images = p.test.Len()
	if r.Limit > 0 {
		p.images = min(p.images, r.Limit)
	}
	p.calibration, err = calibration(run.Data, r.Limit, r.Seed)
	return p, err
}

// test measures a model on the test images.
func (c *comparer) test(ctx context.Context, m *vit.Model, d data.Dataset, name string, seed uint64) (Evaluation, error) {
	return Evaluate(ctx, m, d, EvaluateOptions{Name: name, Limit: c.recipes[0][0].Limit, Threads: c.o.Threads, Precision: c.o.Precision, Progress: func(done, total int) {
		c.report(CompareProgress{Phase: "testing", Scheme: name, Seed: seed, Done: done, Total: total})
	}})
}

// depth measures a model's mean depth on the training images that depths are matched on.
func (c *comparer) depth(ctx context.Context, m *vit.Model, p parts, name string, seed uint64) (float64, error) {
	ev, err := Evaluate(ctx, m, p.calibration, EvaluateOptions{Threads: c.o.Threads, Precision: c.o.Precision, Progress: func(done, total int) {
		c.report(CompareProgress{Phase: "matching", Scheme: name, Seed: seed, Done: done, Total: total})
	}})
	return ev.MeanDepth, err
}

// target is the mean depth that all schemes are brought to, and which of them is the measure of it, or −1.
func (c *comparer) target(ctx context.Context, models []*vit.Model, p parts, seed uint64) (depth float64, measure int, err error) {
	if c.o.Depth > 0 {
		return c.o.Depth, -1, nil
	}
	measure = slices.IndexFunc(c.schemes, func(s scheme) bool { return s.name == halting.PolicyToken })
	if measure < 0 {
		measure = slices.IndexFunc(c.schemes, func(s scheme) bool { return s.policy == halting.PolicyToken })
	}
	if measure < 0 {
		return float64(c.result.Layers) / 2, -1, nil
	}
	depth, err = c.depth(ctx, models[measure], p, c.schemes[measure].name, seed)
	return depth, measure, err
}

// matchedFolder is the folder inside a run's that holds its model at the target depth.
const matchedFolder = "matched"

// matchedFile keeps, beside that model, what was found, so that a comparison that goes on need not find it again.
const matchedFile = "matched.json"

// found is the content of matchedFile.
type found struct {
	Key     string         `json:"key"` // of all that the rest follows from
	Halting halting.Config `json:"halting"`
	Dialled *Dialled       `json:"dialled,omitempty"`
	Trained Reached        `json:"trained"`
	Matched Reached        `json:"matched"`
}

// reach brings a scheme's model to the target depth, tests it before and after, and stores it.
func (c *comparer) reach(ctx context.Context, s scheme, m *vit.Model, p parts, target float64, isMeasure bool, run *SchemeRun) error {
	key, err := c.key(m, run.Run, p, target, isMeasure)
	if err != nil {
		return err
	}
	path := filepath.Join(run.Model, matchedFile)
	var f found
	if text, err := readSmall(path, maxRecipe); err == nil && json.Unmarshal(text, &f) == nil && f.Key == key {
		run.Halting, run.Dialled, run.Trained, run.Matched = f.Halting, f.Dialled, f.Trained, f.Matched
		return nil
	}
	test := func(m *vit.Model) (Reached, error) {
		ev, err := c.test(ctx, m, p.test, s.name, run.Seed)
		return Reached{ev.Top1, ev.MeanDepth, ev.MACs, ev.DenseMACs}, err
	}
	constants := m.Params.Config.Halting
	run.Halting, run.Dialled = constants, nil
	if run.Trained, err = test(m); err != nil {
		return err
	}
	run.Matched = run.Trained
	if !isMeasure && constants.Adaptive() {
		var d Dialled
		run.Halting, d, err = matchDepth(ctx, constants, target, func(h halting.Config) (float64, error) {
			return c.depth(ctx, withHalting(m, h), p, s.name, run.Seed)
		})
		if err != nil {
			return err
		}
		run.Dialled = &d
		c.o.Log.Info("matched", "scheme", s.name, "seed", run.Seed, "constant", d.Constant, "value", rounded(d.To), "depth", rounded(d.Depth), "target", rounded(target))
		if run.Matched, err = test(withHalting(m, run.Halting)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(run.Model, 0o777); err != nil {
		return err
	}
	if err := vit.Save(run.Model, withHalting(m, run.Halting), weights.DType(c.recipes[0][0].Store)); err != nil {
		return err
	}
	text, err := json.MarshalIndent(found{key, run.Halting, run.Dialled, run.Trained, run.Matched}, "", "  ")
	if err != nil {
		return err
	}
	return weights.WriteFile(path, append(text, '\n'))
}

// key tells results apart that may differ: by the weights, the constants, the images, the target and the precision.
func (c *comparer) key(m *vit.Model, run string, p parts, target float64, isMeasure bool) (string, error) {
	h := sha256.New()
	f, err := os.Open(filepath.Join(run, vit.WeightsFile))
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	constants, err := json.Marshal(m.Params.Config.Halting)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(h, "%s %s %d %d %v %v %s", constants, c.o.Data, p.images, p.calibration.Len(), target, isMeasure, c.o.Precision)
	return hex.EncodeToString(h.Sum(nil)), nil
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
