package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// TestParseSchemes reads lists as people write them.
func TestParseSchemes(t *testing.T) {
	list, err := parseSchemes(SplitSchemes("token, token:alpha_prior=0,topk:layers=[2,5]:keep=0.5,topk:train=true,tome:merge=3,ponder:ponder_beta=0.1:epsilon=0.2"))
	if err != nil {
		t.Fatal(err)
	}
	type short struct {
		name     string
		trains   bool
		settings string
	}
	var got []short
	for _, s := range list {
		got = append(got, short{s.name, s.trains, strings.Join(s.settings, " ")})
	}
	want := []short{{"none", true, ""}, {"token", true, ""}, {"token:alpha_prior=0", true, "alpha_prior=0"},
		{"topk:layers=[2,5]:keep=0.5", false, "halting.layers=[2,5] halting.keep=0.5"},
		{"topk:train=true", true, ""}, {"tome:merge=3", false, "halting.merge=3"},
		{"ponder:ponder_beta=0.1:epsilon=0.2", true, "ponder_beta=0.1 halting.epsilon=0.2"}}
	if !slices.Equal(got, want) {
		t.Errorf("schemes\n%v\nwant\n%v", got, want)
	}
	if list[3].folder() != "topk-layers=-2-5--keep=0.5" {
		t.Errorf("folder %q", list[3].folder())
	}
	all, err := parseSchemes(nil)
	if err != nil || len(all) != len(halting.Names()) {
		t.Errorf("%d schemes of themselves, want all %d (%v)", len(all), len(halting.Names()), err)
	}
	for _, bad := range []string{"", "nothing", "token:", "token:alpha_prior", "token:epochs=3", "token:halting={}",
		"tome:lr=1", "topk:train=maybe", "tome:train=true", "token,token", "act:x=1,act:x-1=1,act:x=1"} {
		if _, err := parseSchemes(SplitSchemes(bad)); !errors.Is(err, usage.Err) {
			t.Errorf("%q: %v, want an error of usage", bad, err)
		}
	}
}

// TestCompareRecipes looks at what each scheme of a comparison would train by.
func TestCompareRecipes(t *testing.T) {
	o := Options{Epochs: 3, Limit: 100, Set: []string{"batch=16", "keep=best"}}
	gate := func(name string, center float64) halting.Config {
		return halting.Config{Policy: name}.With("gate_scale", 4).With("gate_center", center)
	}
	for entry, want := range map[string]halting.Config{
		"none": halting.Dense(), "token": gate("token", 12), // the recipe's own
		"act:gate_center=5": gate("act", 5), "sact": gate("sact", 12),
		"confidence:threshold=0.7": halting.Config{Policy: "confidence"}.With("threshold", 0.7),
		"topk:keep=0.5:fuse=true":  halting.Config{Policy: "topk"}.With("keep", 0.5).With("fuse", true),
	} {
		s, err := parseScheme(entry)
		if err != nil {
			t.Fatal(err)
		}
		r, err := o.recipe(s, 7, 12)
		if err != nil {
			t.Errorf("%s: %v", entry, err)
			continue
		}
		a, _ := json.Marshal(r.Halting)
		b, _ := json.Marshal(want)
		if !bytes.Equal(a, b) {
			t.Errorf("%s: halting %s, want %s", entry, a, b)
		}
		if r.Epochs != 3 || r.Limit != 100 || r.Batch != 16 || r.Seed != 7 || r.Keep != "best" {
			t.Errorf("%s: %+v", entry, r)
		}
	}
	o.Set = []string{"target_layer=0"}
	for entry, want := range map[string][2]float64{"ponder": {0.2, 1.0 / 6},
		"ponder:ponder_beta=0.3:ponder_lambda=0.4": {0.3, 0.4}} {
		s, err := parseScheme(entry)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := o.recipe(s, 1, 12); err != nil || r.PonderBeta != want[0] || math.Abs(r.PonderLambda-want[1]) > 1e-5 {
			t.Errorf("%s: β %v, λ %v, want %v (%v)", entry, r.PonderBeta, r.PonderLambda, want, err)
		}
	}
	for _, entry := range []string{"token:nonsense=1", "confidence:threshold=2", "topk:layers=[3,2]"} {
		s, err := parseScheme(entry)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.recipe(s, 1, 12); err == nil || !strings.Contains(err.Error(), s.base) {
			t.Errorf("%s: %v", entry, err)
		}
	}
}

// TestMatchDepth turns dials of all kinds against depths that are known functions of them.
func TestMatchDepth(t *testing.T) {
	c := func(name string) halting.Config { return halting.Config{Policy: name} }
	for _, test := range []struct {
		name    string
		c       halting.Config
		target  float64
		depth   func(halting.Config) float64
		reached bool
	}{
		{"gate", c("token"), 6, func(c halting.Config) float64 { return 12 / (1 + math.Exp(-(c.Number("gate_center")-3)/2)) },
			true},
		{"gate from above", c("act"), 2, func(c halting.Config) float64 {
			return 12 / (1 +
				math.Exp(-(c.Number("gate_center")-70)/2))
		}, true},
		{"threshold near one", c("confidence"), 11,
			func(c halting.Config) float64 { return 12 * math.Pow(c.Number("threshold"), 1000) }, true},
		{"epsilon falls", c("ponder"), 9, func(c halting.Config) float64 { return 12 * (1 - c.Number("epsilon")) }, true},
		{"counts", c("tome"), 7, func(c halting.Config) float64 { return max(1, 12-math.Floor(c.Number("merge"))/3) }, true},
		{"coarse counts", c("topk"), 7, func(c halting.Config) float64 { return 2 + math.Floor(5*c.Number("keep"))*2 },
			false},
		{"out of reach below", c("topk"), 2, func(c halting.Config) float64 { return 4 + 8*c.Number("keep") }, false},
		{"out of reach above", c("tome"), 12, func(c halting.Config) float64 { return 11 - c.Number("merge")/300 }, false},
		{"there already", c("similarity"), 5, func(c halting.Config) float64 { return 5.01 }, true},
	} {
		tries, best := 0, math.Inf(1)
		got, d, err := matchDepth(t.Context(), test.c, test.target, func(c halting.Config) (float64, error) {
			tries++
			if err := c.Validate(); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			best = min(best, math.Abs(test.depth(c)-test.target))
			return test.depth(c), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		off := math.Abs(test.depth(got) - test.target)
		if d.Reached != test.reached || test.reached && off > depthSlack || off != best || d.Depth != test.depth(got) ||
			d.Before != test.depth(test.c) {
			t.Errorf("%s: depth %v off target %v by %v (best tried %v), %+v", test.name, test.depth(got), test.target, off, best,
				d)
		}
		if tries > 26 {
			t.Errorf("%s: %d tries", test.name, tries)
		}
	}
	broken := errors.New("broken")
	if _, _, err := matchDepth(t.Context(), c("token"), 5, func(halting.Config) (float64, error) {
		return 0,
			broken
	}); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := matchDepth(ctx, c("token"), 5, func(halting.Config) (float64, error) {
		return 9,
			nil
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if got, d, err := matchDepth(t.Context(), halting.Dense(), 5, nil); err != nil || got.Adaptive() || d != (Tuned{}) {
		t.Errorf("a dense model: %v, %+v, %v", got, d, err)
	}
}

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
	if err := os.WriteFile(recipe,
		[]byte(`{"epochs": 9, "batch": 8, "lr": 1e-3, "halting": {"policy": "token", "gate_scale": 4, "gate_center": 2}, "alpha_ponder": 1e-3}`), 0o666); err != nil {
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
			if m.Params.Config.Halting.Policy != s.Policy {
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
			if base := first.Schemes[0].Runs[j].Run; (r.Run == base) != (i == 0 || s.Policy == "topk" || s.Policy == "tome") {
				t.Errorf("%s uses the weights of %s", s.Name, r.Run)
			}
			if _, err := os.Stat(filepath.Join(r.Run, "report.html")); err != nil {
				t.Error(err)
			}
			if (r.Control == nil) != (s.Policy == "none") {
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
	if table := deeper.SpeedTable(); len(table.Rows) != 1 || len(table.Rows[0]) != len(equalTimes)+1 {
		t.Errorf("%+v", table)
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
		"precision": func(o *Options) { o.Precision = "auto" }, "unknown precision": func(o *Options) { o.Precision = "f8" },
		"batch": func(o *Options) { o.Batch = -1 }, "seconds": func(o *Options) { o.Seconds = math.NaN() },
		"sweep": func(o *Options) { o.Sweep = []float64{2, 9} }, "sweep twice": func(o *Options) {
			o.Sweep = []float64{2,
				2}
		},
		"threads": func(o *Options) { o.Threads = -1 }, "scheme": func(o *Options) { o.Schemes = []string{"tokens"} },
		"untrainable": func(o *Options) { o.Schemes = []string{"tome:train=true"} },
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

// TestEqualTime reads curves by hand-worked cases.
func TestEqualTime(t *testing.T) {
	at := func(speed, top1 float64, reached bool) SweepPoint {
		return SweepPoint{Tuned: Tuned{Reached: reached}, Reached: Reached{Top1: top1},
			Speed: Speed{Batch: speed * 100, BatchSpeedup: speed}}
	}
	run := func(add float64) SchemeRun {
		return SchemeRun{Matched: Reached{Top1: 90 + add}, Speed: Speed{Batch: 200, BatchSpeedup: 2},
			Sweep: []SweepPoint{at(4, 80+add, true), at(1.25, 92+add, true), at(1, 99, false)}}
	}
	r := Comparison{Sweep: []float64{1}, Schemes: []SchemeResult{{Name: "none", Policy: "none"},
		{Name: "a", Policy: "act", Runs: []SchemeRun{run(0), run(1)}}}}
	got := r.SpeedTable().Rows[0]
	// Between shares of time 0.25 (80.5), 0.5 (90.5) and 0.8 (92.5); 1.5× is 2/3 of the way from 0.5 to 0.8 less 1/9 of
	// it.
	for i, want := range []string{"a", "92.50", "91.61", "90.50", "86.50", "83.83", "80.50"} {
		if got[i].Text != want {
			t.Errorf("column %d: %s, want %s", i, got[i].Text, want)
		}
	}
	if v := top1At(r.Schemes[1].curve(), 0.9); !math.IsNaN(v) {
		t.Errorf("beyond the curve: %v", v)
	}
}

func TestSpreads(t *testing.T) {
	s := SchemeResult{Runs: []SchemeRun{{Seconds: 1}, {Seconds: 2}, {Seconds: 6}}}
	if m := s.meanOf(func(r SchemeRun) float64 { return r.Seconds }); m.Mean != 3 ||
		math.Abs(m.Spread-math.Sqrt(7)) > 1e-12 {
		t.Errorf("%+v, want 3 ± √7", m)
	}
	s.Runs = s.Runs[2:]
	if m := s.meanOf(func(r SchemeRun) float64 { return r.Seconds }); m != (Mean{6, 0}) {
		t.Errorf("%+v, want 6", m)
	}
}
