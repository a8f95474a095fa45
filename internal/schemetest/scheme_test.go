// Package schemetest holds a test alone: that a halting scheme is its own file and nothing else. It makes one that the
// program has never heard of and takes it through all that a scheme goes through.
package schemetest

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/adavit/adavit/compare"
	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/filetest"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// All of the scheme, from here …

var _ = halting.Register(halting.Descriptor{
	Name: "level", Summary: "a token halts when its gate opens wide enough",
	Note: "This scheme is made up.",
	Keys: []halting.Key{{Name: "open_level", Text: "from level", Default: 0.9, Max: 1}},
	Tune: "open_level",
	New:  func(c halting.Config) halting.Scheme { return level(c.Number("open_level")) },
})

// level is the gate's sigmoid from which on a token halts.
type level float32

func (v level) Step(s *halting.State, r halting.Rows) {
	r.Fill(0, 0)
	for i, k := range r.Token {
		r.Score[i] = halting.Sigmoid(r.X[i*r.Stride])
		s.Cumulative[k] = r.Score[i]
		if r.Layer == r.Layers || r.Score[i] >= float32(v) {
			r.Halt(s, i)
		}
	}
}

func (level) Needs(layer, layers int) halting.Needs { return halting.Needs{Halts: layer < layers} }

// … to here.

// small returns a small model whose tokens halt by the new scheme here and there.
func small(t *testing.T) *vit.Model {
	m := modeltest.Small(t, false)
	m.Params.Config.Halting = halting.Config{Scheme: "level"}.With("open_level", 0.53)
	return m
}

// TestIsRun: the engine takes out what the scheme halts, and a hard cap holds.
func TestIsRun(t *testing.T) {
	m := small(t)
	c, x := m.Params.Config, modeltest.Tensor(t, m, modeltest.Fashion(t), 4)
	e := modeltest.Engine(t, m.Params, infer.F32, infer.Options{Threads: 2})
	var out infer.Output
	if err := e.Run(t.Context(), infer.Batch{Images: x, Caps: []int{0, 0, 70, 20}}, &out); err != nil {
		t.Fatal(err)
	}
	first := out.Active[:c.Layers]
	if lo, hi := slices.Min(first), slices.Max(first); lo == hi || int(hi) != c.Tokens() {
		t.Errorf("%v tokens run in the blocks", first)
	}
	for i, limit := range []int32{3 * 50, 3 * 50, 70, 20} {
		cost := int32(0)
		for _, n := range out.Active[i*c.Layers : (i+1)*c.Layers] {
			cost += n
		}
		if cost > limit || cost == 0 {
			t.Errorf("image %d costs %d token-blocks of %d", i, cost, limit)
		}
	}
}

// TestIsWritten: a model's directory keeps the scheme and its constant, and what people read names them.
func TestIsWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	if err := vit.Save(dir, small(t), weights.F32); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil || !bytes.Contains(config, []byte("\"policy\": \"level\",\n    \"open_level\": 0.53")) {
		t.Errorf("config.json: %s, %v", config, err)
	}
	m, err := vit.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Params.Config.Halting.String(); got != "level, from level 0.53" {
		t.Errorf("halting is called %q", got)
	}
	_, err = halting.Parse("level,open_level=2")
	filetest.WantError(t, err, "open_level is 2, want 0 to 1")
}

// TestIsTrained: a step of training runs it forward and back, with the depths of inference.
func TestIsTrained(t *testing.T) {
	const images = 6
	m := small(t)
	p, x := m.Params, modeltest.Tensor(t, m, modeltest.Fashion(t), images)
	net, err := train.NewNetwork(p, 2)
	if err != nil {
		t.Fatal(err)
	}
	load := func(i int, dst []float32) error { copy(dst, x[i*28*28:]); return nil }
	grad := vit.NewParams(p.Config)
	stats, err := net.Step(train.Batch{Size: images, Labels: make([]int32, images), Load: load}, train.Loss{}, grad)
	if err != nil {
		t.Fatal(err)
	}
	var out infer.Output
	e := modeltest.Engine(t, p, infer.F32, infer.Options{})
	if err := e.Run(t.Context(), infer.Batch{Images: x}, &out); err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, d := range out.Depth {
		sum += int(d)
	}
	if want := float64(sum) / float64(len(out.Depth)); stats.MeanDepth != want || grad.PatchWeight[0] == 0 {
		t.Errorf("mean depth %v in training, %v at inference; gradient %v", stats.MeanDepth, want, grad.PatchWeight[0])
	}
}

// TestIsCompared: a comparison trains it, tunes its constant to a depth, measures it and says what a reader must know.
func TestIsCompared(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	if err := vit.Save(file("dense"), modeltest.Small(t, false), weights.F32); err != nil {
		t.Fatal(err)
	}
	modeltest.WriteIDX(t, file("set"))
	filetest.Write(t, []byte(`{"batch": 8, "lr": 1e-4, "halting": {"policy": "level"}}`), file("recipe"))
	got, err := compare.Run(t.Context(), compare.Options{
		Model: file("dense"), Data: file("set"), Dir: file("out"), Recipe: file("recipe"), Epochs: 1, Depth: 2,
		Schemes: []string{"level", "level:open_level=0.6"}, Batch: 4, Seconds: 0.001, Threads: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Schemes) != 3 {
		t.Fatalf("%d schemes were compared", len(got.Schemes))
	}
	page, err := os.ReadFile(filepath.Join(got.Schemes[1].Runs[0].Run, "report.html"))
	if err != nil || !bytes.Contains(page, []byte("This scheme is made up.")) {
		t.Errorf("the run's report lacks the scheme's note (%v)", err)
	}
	for i, started := range []float64{0.9, 0.6} {
		run := got.Schemes[1+i].Runs[0]
		d := run.Tuned
		if d == nil || d.Constant != "open_level" || d.From != started || !d.Reached || run.Matched.MeanDepth == 3 {
			t.Errorf("%s: tuned %+v, reached %+v", got.Schemes[1+i].Name, d, run.Matched)
		}
	}
}

// TestIsCalibrated: budgets are measured along its constant, and a mean between two of them is aimed at.
func TestIsCalibrated(t *testing.T) {
	m := small(t)
	d, err := data.Subset(modeltest.Fashion(t), []int{0, 1, 2, 3, 4, 5, 6, 7})
	if err != nil {
		t.Fatal(err)
	}
	l, err := eval.Calibrate(t.Context(), m, d, eval.CalibrateOptions{Budgets: []float64{0.5, 0.8}, Precision: infer.F32})
	if err != nil {
		t.Fatal(err)
	}
	first := l.Rungs[0]
	if level, ok := first.Constants["open_level"]; !ok || level >= 0.9 || len(first.Constants) != 1 || first.Top1 == nil {
		t.Errorf("the first rung is %+v", first)
	}
	m.Ladder = l.Rungs
	got, err := eval.Run(t.Context(), m, d, eval.Options{Budget: infer.Budget{Mean: 0.65}, Precision: infer.F32})
	if share := got.MeanDepth / 3; err != nil || share < 0.62 || share > 0.68 {
		t.Errorf("a mean of 0.65 costs %v, %v", share, err)
	}
}
