package compare

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
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

// target is the mean depth that all schemes are brought to, and which of them is the measure of it, or −1.
func (r *round) target(ctx context.Context) (depth float64, measure int, err error) {
	if r.o.Depth > 0 {
		return r.o.Depth, -1, nil
	}
	measure = slices.IndexFunc(r.schemes, func(s scheme) bool { return s.base.Reference && s.name == s.base.Name })
	if measure < 0 {
		measure = slices.IndexFunc(r.schemes, func(s scheme) bool { return s.base.Reference })
	}
	if measure < 0 {
		return float64(r.result.Layers) / 2, -1, nil
	}
	reached, err := r.measure(ctx, "matching", r.schemes[measure].name, r.models[measure])
	return reached.MeanDepth, measure, err
}

const maxFile = 1 << 20 // bytes of the small files of a run

// found is the content of a file that keeps what was found, so that a comparison that goes on need not find it again.
type found struct {
	Key string `json:"key"` // of all that the rest follows from
	Match
}

// kept returns what a file beside a scheme's model keeps of it at a target, or else finds that and stores it there.
func (r *round) kept(file string, i int, target float64, isMeasure bool, find func(*Match) error) (Match, error) {
	m := r.models[i]
	key, err := r.key(m, r.runs[i].Run, target, isMeasure)
	if err != nil {
		return Match{}, err
	}
	path := filepath.Join(r.runs[i].Model, file)
	var f found
	if text, err := regular.Read(path, maxFile); err == nil && json.Unmarshal(text, &f) == nil && f.Key == key &&
		(f.Tuned != nil) == (m.Params.Config.Halting.Adaptive() && !isMeasure) {
		return f.Match, nil
	}
	f = found{Key: key}
	if err := find(&f.Match); err != nil {
		return Match{}, err
	}
	return f.Match, store(path, f)
}

// key tells results apart that may differ: by the weights, the constants, the images, the target and the precision.
func (r *round) key(m *vit.Model, run string, target float64, isMeasure bool) (string, error) {
	f, err := os.Open(filepath.Join(run, vit.WeightsFile))
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	constants, err := json.Marshal(m.Params.Config.Halting)
	fmt.Fprintf(h, "control %s %s %d %d %v %v %s", constants, r.o.Data, r.images, r.calibration.Len(), target, isMeasure,
		r.o.Precision)
	return hex.EncodeToString(h.Sum(nil)), err
}

// reach brings a scheme's model to the target depth, tests it before and after, and stores it.
func (r *round) reach(ctx context.Context, i int, target float64, isMeasure bool) (err error) {
	name, m, run := r.schemes[i].name, r.models[i], &r.runs[i]
	run.Match, err = r.kept("matched.json", i, target, isMeasure, func(f *Match) (err error) {
		if f.Trained, err = r.measure(ctx, "testing", name, m); err != nil {
			return err
		}
		f.Halting, f.Matched = m.Params.Config.Halting, f.Trained
		adaptive := f.Halting.Adaptive()
		if adaptive && !isMeasure {
			if err := r.match(ctx, i, target, f); err != nil {
				return err
			}
		}
		matched := m.WithHalting(f.Halting)
		if adaptive {
			found, err := eval.MeasureControl(ctx, matched, r.test, r.measuring("control", name))
			if err != nil {
				return err
			}
			f.Control = &found
		}
		if err := os.MkdirAll(run.Model, 0o777); err != nil {
			return err
		}
		return vit.Save(run.Model, matched, weights.DType(r.recipes[0].Store))
	})
	return err
}

// match brings a scheme's model to a depth and tests it there.
func (r *round) match(ctx context.Context, i int, target float64, f *Match) error {
	name, m := r.schemes[i].name, r.models[i]
	constants, d, err := r.tune(ctx, name, m, target)
	if err != nil {
		return err
	}
	f.Halting, f.Tuned = constants, &d
	f.Matched, err = r.measure(ctx, "testing", name, m.WithHalting(constants))
	return err
}

// tune finds the constants that bring a model to a depth.
func (r *round) tune(ctx context.Context, name string, m *vit.Model, target float64) (halting.Config, Tuned, error) {
	if m.Params.Config.Halting.Exit() > 0 && r.parts.Validation != nil {
		if h, d, err := r.tuneExit(ctx, name, m, target); !errors.Is(err, eval.ErrOutOfReach) {
			return h, d, err
		} // the nearest depth will have to do
	}
	constants, d, err := matchDepth(ctx, m.Params.Config.Halting, target, func(h halting.Config) (float64, error) {
		reached, err := r.measure(ctx, "matching", name, m.WithHalting(h))
		return reached.MeanDepth, err
	})
	if err == nil {
		rounded := func(v float64) float64 { return math.Round(v*100) / 100 }
		r.o.Log.Info("matched", "scheme", name, "seed", r.seed, "constant", d.Constant, "value", rounded(d.To), "depth",
			rounded(d.Depth), "target", rounded(target))
	}
	return constants, d, err
}

// tuneExit is tune where two constants go together: of those that give the depth, the most accurate on the validation
// images.
func (r *round) tuneExit(ctx context.Context, name string, m *vit.Model, target float64) (h halting.Config, d Tuned,
	err error) {
	h, layers := m.Params.Config.Halting, float64(m.Params.Config.Layers)
	d = Tuned{Constant: h.Tuning().Key, From: h.Tuning().Value, Target: target}
	before, err := r.measure(ctx, "matching", name, m)
	if err != nil {
		return h, d, err
	}
	d.Before = before.MeanDepth
	l, err := eval.Calibrate(ctx, m, r.parts.Validation, eval.CalibrateOptions{Budgets: []float64{target / layers},
		Threads: r.o.Threads, Precision: r.o.Precision, Progress: func(done, total int) {
			r.report("matching", name, done, total, nil)
		}})
	if err != nil {
		return h, d, err
	}
	h = l.Rungs[0].Apply(h)
	d.To, d.Depth = h.Number(d.Constant), l.Rungs[0].Mean*layers
	d.Reached = math.Abs(d.Depth-target) <= depthSlack
	return h, d, nil
}

// indented is the JSON of a file.
func indented(v any) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	return append(text, '\n'), err
}

func store(path string, v any) error {
	text, err := indented(v)
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(path, text)
}
