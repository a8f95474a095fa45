package compare

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// depth measures a model's mean depth on the training images that depths are matched on.
func (c *comparer) depth(ctx context.Context, m *vit.Model, p parts, name string, seed uint64) (float64, error) {
	ev, err := eval.Run(ctx, m, p.calibration, c.testing("matching", name, seed))
	return ev.MeanDepth, err
}

// target is the mean depth that all schemes are brought to, and which of them is the measure of it, or −1.
func (c *comparer) target(ctx context.Context, models []*vit.Model, p parts, seed uint64) (depth float64, measure int,
	err error) {
	if c.o.Depth > 0 {
		return c.o.Depth, -1, nil
	}
	reference := func(s scheme) bool {
		d, err := halting.Describe(s.base)
		return err == nil && d.Reference
	}
	measure = slices.IndexFunc(c.schemes, func(s scheme) bool { return s.name == s.base && reference(s) })
	if measure < 0 {
		measure = slices.IndexFunc(c.schemes, reference)
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
	Tuned   *Tuned         `json:"dialled,omitempty"`
	Trained Reached        `json:"trained"`
	Matched Reached        `json:"matched"`
	Control *eval.Control  `json:"control,omitempty"`
}

// reach brings a scheme's model to the target depth, tests it before and after, and stores it.
func (c *comparer) reach(ctx context.Context, s scheme, m *vit.Model, p parts, target float64, isMeasure bool,
	run *SchemeRun) error {
	key, err := c.key(m, run.Run, p, target, isMeasure)
	if err != nil {
		return err
	}
	path := filepath.Join(run.Model, matchedFile)
	var f found
	if text, err := regular.Read(path, maxRecipe); err == nil && json.Unmarshal(text, &f) == nil && f.Key == key {
		run.Halting, run.Tuned, run.Trained, run.Matched, run.Control = f.Halting, f.Tuned, f.Trained, f.Matched,
			f.Control
		return nil
	}
	run.Halting, run.Tuned = m.Params.Config.Halting, nil
	if run.Trained, err = c.reached(ctx, s, m, p, run.Seed); err != nil {
		return err
	}
	run.Matched = run.Trained
	if !isMeasure && run.Halting.Adaptive() {
		var d Tuned
		if run.Halting, d, err = c.tune(ctx, s, m, p, target, run.Seed); err != nil {
			return err
		}
		run.Tuned = &d
		if run.Matched, err = c.reached(ctx, s, withHalting(m, run.Halting), p, run.Seed); err != nil {
			return err
		}
	}
	if run.Halting.Adaptive() {
		if run.Control, err = c.control(ctx, s, withHalting(m, run.Halting), p, run.Seed); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(run.Model, 0o777); err != nil {
		return err
	}
	if err := vit.Save(run.Model, withHalting(m, run.Halting), weights.DType(c.recipes[0][0].Store)); err != nil {
		return err
	}
	text, err := json.MarshalIndent(found{key, run.Halting, run.Tuned, run.Trained, run.Matched, run.Control}, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(path, append(text, '\n'))
}

// tune brings a model to a depth by its own constant.
func (c *comparer) tune(ctx context.Context, s scheme, m *vit.Model, p parts, target float64,
	seed uint64) (halting.Config, Tuned, error) {
	constants, d, err := matchDepth(ctx, m.Params.Config.Halting, target, func(h halting.Config) (float64, error) {
		return c.depth(ctx, withHalting(m, h), p, s.name, seed)
	})
	if err == nil {
		c.o.Log.Info("matched", "scheme", s.name, "seed", seed, "constant", d.Constant, "value", rounded(d.To), "depth",
			rounded(d.Depth), "target", rounded(target))
	}
	return constants, d, err
}

// reached tests a model.
func (c *comparer) reached(ctx context.Context, s scheme, m *vit.Model, p parts, seed uint64) (Reached, error) {
	ev, err := c.test(ctx, m, p.test, s.name, seed)
	return Reached{ev.Top1, ev.MeanDepth, ev.MACs, ev.DenseMACs}, err
}

// control finds what a model's choice of tokens is worth.
func (c *comparer) control(ctx context.Context, s scheme, m *vit.Model, p parts, seed uint64) (*eval.Control, error) {
	result, err := eval.MeasureControl(ctx, m, p.test, c.testing("control", s.name, seed))
	return &result, err
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
	fmt.Fprintf(h, "control %s %s %d %d %v %v %s", constants, c.o.Data, p.images, p.calibration.Len(), target, isMeasure,
		c.o.Precision)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// maxRecipe bounds the small files of a run.
const maxRecipe = 1 << 20

// rounded is a figure for a line of log.
func rounded(v float64) float64 { return math.Round(v*100) / 100 }
