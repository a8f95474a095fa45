package compare

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// comparison is a small one: two seeds of a model of some blocks on a few images.
func comparison(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	model, set := filepath.Join(dir, "dense"), filepath.Join(dir, "set")
	if err := vit.Save(model, modeltest.Small(t, false), weights.F32); err != nil {
		t.Fatal(err)
	}
	modeltest.WriteIDX(t, set)
	recipe := filepath.Join(dir, "recipe.json")
	if err := os.WriteFile(recipe, []byte(`{"epochs": 9, "batch": 8, "lr": 1e-3, "alpha_ponder": 1e-3,
		"halting": {"policy": "token", "gate_scale": 4, "gate_center": 2}}`), 0o666); err != nil {
		t.Fatal(err)
	}
	return Options{Model: model, Data: set, Dir: filepath.Join(dir, "compared"), Recipe: recipe, Epochs: 1, Seconds: 0.001,
		Batch: 4, Threads: 2}
}

// TestCompareSchemes runs a comparison, once more, and with other settings.
func TestCompareSchemes(t *testing.T) {
	o := comparison(t)
	o.Schemes, o.Seeds = []string{"token", "act", "topk", "tome", "token:alpha_ponder=0"}, []uint64{1, 2}
	phases := map[string]int{}
	o.Progress = func(p Progress) {
		phases[p.Phase]++
		if p.Done < 1 || p.Done > p.Total || p.Run < 1 || p.Run > p.Runs || p.Runs != 12 ||
			(p.Phase == "training") != (p.Train != nil) {
			t.Errorf("progress %+v", p)
		}
	}
	first, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if phases["training"] != 4*2*3 || phases["matching"] == 0 || phases["testing"] == 0 ||
		phases["timing"] != 2*timeRounds*6 {
		t.Errorf("phases %v", phases)
	}
	if len(first.Schemes) != 6 || first.Schemes[0].Name != "none" || first.Images != 10 || first.Epochs != 1 {
		t.Fatalf("%+v", first)
	}
	for i, s := range first.Schemes {
		if len(s.Runs) != 2 {
			t.Fatalf("%s has %d runs", s.Name, len(s.Runs))
		}
		for j, r := range s.Runs {
			m, err := adavit.Open(r.Model)
			if err != nil {
				t.Fatal(err)
			}
			if m.Params.Config.Halting.Scheme != s.Scheme {
				t.Errorf("%s holds %v", r.Model, m.Params.Config.Halting)
			}
			if r.Single <= 0 || r.Batch <= 0 || i == 0 && (r.SingleSpeedup != 1 || r.BatchSpeedup != 1) {
				t.Errorf("%s: speed %+v", s.Name, r.Speed)
			}
			// The stored model is the one that was tested, and the test images are all of them.
			d, err := datasets.Open(o.Data, data.Test, nil)
			if err != nil {
				t.Fatal(err)
			}
			ev, err := eval.Run(t.Context(), m, d, eval.Options{Threads: 1, Precision: "f32"})
			if err != nil {
				t.Fatal(err)
			}
			if ev.Top1 != r.Matched.Top1 || ev.MeanDepth != r.Matched.MeanDepth || ev.MACs != r.Matched.MACs {
				t.Errorf("%s, seed %d: the stored model gives %+v, not %+v", s.Name, r.Seed, ev, r.Matched)
			}
			// Matching is to what token of the same seed reaches.
			if r.Tuned != nil && r.Tuned.Reached && math.Abs(r.Tuned.Depth-r.Tuned.Target) > depthSlack {
				t.Errorf("%s: %+v", s.Name, r.Tuned)
			}
			if (r.Tuned == nil) != (s.Name == "none" || s.Name == "token") {
				t.Errorf("%s: tuned %+v", s.Name, r.Tuned)
			}
			if base := first.Schemes[0].Runs[j].Run; (r.Run == base) != (i == 0 || s.Scheme == "topk" || s.Scheme == "tome") {
				t.Errorf("%s uses the weights of %s", s.Name, r.Run)
			}
			if _, err := os.Stat(filepath.Join(r.Run, "report.html")); err != nil {
				t.Error(err)
			}
			if (r.Control == nil) != (s.Scheme == "none") {
				t.Errorf("%s: control %+v", s.Name, r.Control)
			}
		}
	}
	for _, path := range []string{first.Report, first.Table, first.Plot} {
		b, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(b), "topk") || path != first.Plot &&
			!strings.Contains(string(b), "in random order") {
			t.Errorf("%s: %v", path, err)
		}
	}
	page, err := os.ReadFile(first.Report)
	if err != nil || !strings.Contains(string(page), `href="token-seed2/report.html"`) ||
		!strings.Contains(string(page), `href="none-seed1/log.jsonl"`) || strings.Contains(string(page), "ZgotmplZ") {
		t.Errorf("the page does not lead to the runs (%v)", err)
	}
	var stored Comparison
	if text, err := os.ReadFile(filepath.Join(o.Dir, "compare.json")); err != nil ||
		json.Unmarshal(text, &stored) != nil || len(stored.Schemes) != 6 || stored.Schemes[1].Top1 != first.Schemes[1].Top1 {
		t.Errorf("compare.json: %v, %+v", err, stored)
	}

	// Again, and with a scheme more: nothing is trained or matched that was before.
	clear(phases)
	o.Schemes = o.Schemes[:4]
	again, err := Run(t.Context(), func() Options {
		o := o
		o.Progress = func(p Progress) { phases[p.Phase]++ }
		return o
	}())
	if err != nil {
		t.Fatal(err)
	}
	if phases["training"] != 0 || phases["matching"] > 2*2 { // the target itself is measured anew
		t.Errorf("phases %v of a comparison that was done", phases)
	}
	for i, s := range again.Schemes {
		if s.Top1 != first.Schemes[i].Top1 || s.Depth != first.Schemes[i].Depth {
			t.Errorf("%s: %+v, was %+v", s.Name, s.Top1, first.Schemes[i].Top1)
		}
	}
	o.Epochs, o.Progress = 2, nil
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "other settings") {
		t.Errorf("other settings in the same folder: %v", err)
	}
}

// TestCompareExit: a scheme with an exit is an entry like any other. It is brought to the depth by its gate and its
// exit together, on validation images, tested with its patches in random order, timed, and swept.
func TestCompareExit(t *testing.T) {
	o := comparison(t)
	o.Schemes, o.Depth, o.Sweep = []string{"token:exit=0.3"}, 1.5, []float64{1.8}
	got, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s := got.Schemes[1]
	r := s.Runs[0]
	m, err := adavit.Open(r.Model)
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "token:exit=0.3" || m.Params.Config.Halting.String() != r.Halting.String() ||
		r.Tuned == nil || !r.Tuned.Reached || r.Tuned.Constant != "gate_center" {
		t.Errorf("%s: %v, tuned %+v", s.Name, m.Params.Config.Halting, r.Tuned)
	}
	if r.Control == nil || r.Control.Random == nil || r.Single <= 0 || r.Batch <= 0 || len(r.Sweep) != 1 ||
		!r.Sweep[0].Tuned.Reached || r.Sweep[0].Halting.String() == r.Halting.String() {
		t.Errorf("%s: %+v, control %+v", s.Name, r, r.Control)
	}
	c := m.Params.Config
	d, err := datasets.Open(o.Data, data.Test, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out infer.Output
	e := modeltest.Engine(t, m.Params, infer.F32, infer.Options{})
	if err := e.Run(t.Context(), infer.Batch{Images: modeltest.Tensor(t, m, d, d.Len())}, &out); err != nil {
		t.Fatal(err)
	}
	macs := 0.0
	for i := range d.Len() {
		macs += float64(c.MACs(out.Active[i*c.Layers:(i+1)*c.Layers])) / float64(d.Len())
	}
	if math.Abs(macs-r.Matched.MACs) > 1 {
		t.Errorf("%v MACs, not %v", macs, r.Matched.MACs)
	}
}

// TestCompareInterrupted stops a comparison in the middle of a run and goes on.
func TestCompareInterrupted(t *testing.T) {
	o := comparison(t)
	o.Schemes = []string{"similarity"}
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(p Progress) {
		if p.Phase == "training" && p.Scheme == "similarity" && p.Done == 2 {
			cancel()
		}
	}
	if _, err := Run(ctx, o); err == nil || !strings.Contains(err.Error(), "same command goes on") {
		t.Fatalf("error %v", err)
	}
	steps := 0
	o.Progress = func(p Progress) {
		if p.Phase == "training" {
			steps++
		}
	}
	stopped, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if steps != 1 {
		t.Errorf("%d steps were left, want 1", steps)
	}
	o.Dir, o.Progress = o.Dir+"-whole", nil
	whole, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := stopped.Schemes[1].Runs[0], whole.Schemes[1].Runs[0]; a.Trained != b.Trained || a.Matched != b.Matched ||
		*a.Tuned != *b.Tuned {
		t.Errorf("interrupted %+v, in one go %+v", a, b)
	}
	// Another depth needs no training.
	o.Depth, o.Sweep = 2.5, []float64{1.5, 2}
	o.Progress = func(p Progress) {
		if p.Phase == "training" {
			t.Errorf("%s is trained again for another depth", p.Scheme)
		}
	}
	deeper, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r := deeper.Schemes[1].Runs[0]; r.Trained != whole.Schemes[1].Runs[0].Trained || r.Tuned.Target != 2.5 ||
		!(r.Tuned.Depth > whole.Schemes[1].Runs[0].Tuned.Depth) {
		t.Errorf("at depth 2.5: %+v", r)
	}
	sweep := deeper.Schemes[1].Runs[0].Sweep
	if len(sweep) != 2 || len(deeper.Schemes[0].Runs[0].Sweep) != 0 {
		t.Fatalf("sweep %+v", sweep)
	}
	for i, p := range sweep {
		if p.Tuned.Target != o.Sweep[i] || p.Single <= 0 || p.MACs <= 0 || p.Tuned.Reached &&
			math.Abs(p.Tuned.Depth-o.Sweep[i]) > depthSlack {
			t.Errorf("sweep to %v: %+v", o.Sweep[i], p)
		}
	}
	for _, table := range deeper.SpeedTables() {
		if len(table.Rows) != 1 || len(table.Rows[0]) != len(equalTimes)+1 {
			t.Errorf("%+v", table)
		}
	}
	if page, err := os.ReadFile(deeper.Report); err != nil || !strings.Contains(string(page), "Top-1 at equal time") {
		t.Errorf("the page has no sweep (%v)", err)
	}
	if target := stopped.Schemes[1].Runs[0].Tuned.Target; target != float64(stopped.Layers)/2 {
		t.Errorf("target %v without a token scheme", target)
	}
}

func TestCompareRefuses(t *testing.T) {
	good := comparison(t)
	adaptive := filepath.Join(t.TempDir(), "adaptive")
	if err := vit.Save(adaptive, modeltest.Small(t, true), weights.F32); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(o *Options){
		"adaptive": func(o *Options) { o.Model = adaptive }, "seed twice": func(o *Options) { o.Seeds = []uint64{1, 2, 1} },
		"depth": func(o *Options) { o.Depth = 100 }, "not a depth": func(o *Options) { o.Depth = math.NaN() },
		"precision": func(o *Options) { o.Precision = "f8" },
		"batch":     func(o *Options) { o.Batch = -1 }, "seconds": func(o *Options) { o.Seconds = math.NaN() },
		"sweep":       func(o *Options) { o.Sweep = []float64{2, 9} },
		"sweep twice": func(o *Options) { o.Sweep = []float64{2, 2} },
		"threads":     func(o *Options) { o.Threads = -1 }, "scheme": func(o *Options) { o.Schemes = []string{"tokens"} },
	} {
		o := good
		change(&o)
		if _, err := Run(t.Context(), o); !errors.Is(err, usage.Err) {
			t.Errorf("%s: %v, want an error of usage", name, err)
		}
	}
	for name, change := range map[string]func(o *Options){
		"recipe": func(o *Options) { o.Recipe = "nowhere" }, "model": func(o *Options) { o.Model = "nowhere" },
		"override": func(o *Options) { o.Set = []string{"nonsense=1"} }, "folder": func(o *Options) { o.Dir = o.Recipe },
		"data": func(o *Options) { o.Data = "nowhere" },
	} {
		o := good
		change(&o)
		if _, err := Run(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
