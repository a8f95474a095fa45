package eval

import (
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/filetest"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/models"
	"github.com/adavit/adavit/vit"
)

// some returns images first … end−1 of Fashion-MNIST's test images.
func some(t *testing.T, first, end int) data.Dataset {
	t.Helper()
	var index []int
	for i := first; i < end; i++ {
		index = append(index, i)
	}
	d, err := data.Subset(modeltest.Fashion(t), index)
	filetest.Check(t, err)
	return d
}

// asRungs fails unless a model with a rung's constants comes to its figures on the images that it was measured on.
func asRungs(t *testing.T, m *vit.Model, d data.Dataset, l Ladder) {
	t.Helper()
	for i, r := range l.Rungs {
		got, err := Run(t.Context(), m.WithHalting(r.Apply(m.Params.Config.Halting)), d, Options{Precision: infer.F32})
		filetest.Check(t, err)
		mean := got.MeanDepth / float64(m.Params.Config.Layers)
		if math.Abs(mean-r.Mean) > 1e-6 || math.Abs(r.TokenBlocks-mean*float64(l.DenseTokenBlocks)) > 0.01 ||
			math.Abs(got.MACs-r.MACs) > 1 || r.Top1 != nil && math.Abs(*r.Top1-got.Top1) > 0.01 {
			t.Errorf("rung %d, %+v, comes to %+v", i, r, got)
		}
		if r.Percentile95 < r.TokenBlocks*0.9 || r.Percentile95 > float64(l.DenseTokenBlocks) || r.NLL <= 0 ||
			r.Milliseconds <= 0 || r.Agreement > 100 || i > 0 && r.Mean <= l.Rungs[i-1].Mean {
			t.Errorf("rung %d is %+v", i, r)
		}
	}
}

// TestCalibrate: every budget is reached within a hundredth, rungs are what they say, and a mean between them is hit
// within three hundredths.
func TestCalibrate(t *testing.T) {
	m, err := vit.LoadFS(models.FS, "fashion-adaptive")
	filetest.Check(t, err)
	const images = 40
	d := some(t, 0, images)
	o := CalibrateOptions{Budgets: []float64{1, 0.35, 0.6, 0.35}, Threads: 1, Precision: infer.F32}
	calls := 0
	o.Progress = func(done, total int) {
		if calls++; done < 0 || done > total || total < images {
			t.Errorf("progress %d of %d", done, total)
		}
	}
	l, err := Calibrate(t.Context(), m, d, o)
	filetest.Check(t, err)
	asRungs(t, m, d, l)
	if c := l.Calibration; c.Images != images || c.Precision != "f32" || c.Threads != 1 || c.DenseTokenBlocks != 600 ||
		c.DenseMACs != m.Params.Config.MACs(nil) || c.Machine == "" || len(c.Date) != 10 || calls == 0 {
		t.Errorf("measured by %+v, %d calls", c, calls)
	}
	if own, err := Run(t.Context(), m, d, Options{Precision: infer.F32}); err != nil ||
		math.Abs(own.MeanDepth/float64(m.Params.Config.Layers)-l.Calibration.Mean) > 1e-6 {
		t.Errorf("the model's own constants cost %v blocks, calibration says %v: %v", own.MeanDepth, l.Calibration.Mean, err)
	}
	if len(l.Missed) != 0 || len(l.Rungs) < 3 || len(l.Rungs) > 20 {
		t.Errorf("%d rungs, missed %v", len(l.Rungs), l.Missed)
	}
	for _, budget := range []float64{0.35, 0.6, 1} {
		off := math.Inf(1)
		for _, r := range l.Rungs {
			off = min(off, math.Abs(r.Mean-budget)/budget)
		}
		if off > 0.01 {
			t.Errorf("nothing is nearer to %v than by %v of it", budget, off)
		}
	}
	gates := o
	gates.NoExit, gates.Budgets, gates.Progress = true, []float64{0.35}, nil
	alone, err := Calibrate(t.Context(), m, d, gates)
	filetest.Check(t, err)
	if first := l.Rungs[0]; first.NLL > alone.Rungs[0].NLL+0.02 || first.Agreement < 70 {
		t.Errorf("at %v gates alone have %v, gates with any exit %+v", first.Mean, alone.Rungs[0].NLL, first)
	}
	m.Ladder = l.Rungs
	for mean := 0.35; mean < 1; mean += 0.07 {
		got, err := Run(t.Context(), m, d, Options{Precision: infer.F32, Budget: infer.Budget{Mean: mean}})
		filetest.Check(t, err)
		if share := got.MeanDepth / float64(m.Params.Config.Layers); math.Abs(share-mean) > 0.03*mean {
			t.Errorf("a mean of %v costs %v", mean, share)
		}
	}
}

// TestCalibratePasses: a ladder takes about as many passes over the images as is foreseen, few for each budget.
func TestCalibratePasses(t *testing.T) {
	m, err := vit.LoadFS(models.FS, "fashion-adaptive")
	filetest.Check(t, err)
	images := 100
	if testing.Short() {
		images = 30
	}
	c, err := newCalibration(t.Context(), m, some(t, 0, images), CalibrateOptions{Threads: 1, Precision: infer.F32})
	filetest.Check(t, err)
	list, _, err := c.search(t.Context())
	filetest.Check(t, err)
	list, err = c.fill(t.Context(), list)
	filetest.Check(t, err)
	t.Logf("%d rungs after %d images, %d foreseen", len(list), c.done, c.planned)
	if most := 6 * images * len(c.Budgets); len(list) < len(c.Budgets) || c.done > most || c.done > 2*c.planned {
		t.Errorf("%d rungs take %d images, want %d at most, and foreseen were %d", len(list), c.done, most, c.planned)
	}
}

// TestCalibrateThreads: threads change nothing but the time, and a ladder that the model has is not looked at.
func TestCalibrateThreads(t *testing.T) {
	m, d := modeltest.Small(t, true), some(t, 0, 12)
	var want []vit.Rung
	for _, threads := range []int{1, 3} {
		l, err := Calibrate(t.Context(), m, d, CalibrateOptions{Budgets: []float64{0.5, 0.9}, Threads: threads,
			Precision: infer.F32})
		filetest.Check(t, err)
		asRungs(t, m, d, l)
		for i := range l.Rungs {
			l.Rungs[i].Milliseconds = 0
		}
		if want == nil {
			want = l.Rungs
		}
		if !reflect.DeepEqual(l.Rungs, want) {
			t.Errorf("on %d threads\n%+v\non one\n%+v", threads, l.Rungs, want)
		}
		m.Ladder = []vit.Rung{{Mean: 0.2, Constants: map[string]float64{"gate_center": 1}}}
	}
}

// TestCalibrateUnlabelled: where the classes of the data are not the model's, its own word is what counts. Damaged
// images do not.
func TestCalibrateUnlabelled(t *testing.T) {
	m := modeltest.Small(t, true)
	whole := some(t, 0, 30)
	bad := func(i int) bool { return i == 3 || i == 17 }
	d := data.Tolerant(modeltest.Torn{Dataset: unlabelled{whole}, Bad: bad}, 0.1, nil)
	h := m.Params.Config.Halting
	l, err := Calibrate(t.Context(), m, d, CalibrateOptions{Budgets: []float64{0.5, 0.7}, Precision: infer.F32})
	filetest.Check(t, err)
	if l.Images != 28 || len(l.Rungs) < 2 {
		t.Fatalf("%+v", l)
	}
	usual, err := Run(t.Context(), m, whole, Options{Precision: infer.F32})
	filetest.Check(t, err)
	for _, r := range l.Rungs {
		if r.Top1 != nil || r.Agreement == 0 || r.NLL == 0 {
			t.Errorf("%+v", r)
		}
	}
	asRungs(t, m, rest(t, whole, bad), l)
	own := usual.MeanDepth / float64(m.Params.Config.Layers)
	l, err = Calibrate(t.Context(), m, d, CalibrateOptions{Budgets: []float64{own}, Precision: infer.F32})
	filetest.Check(t, err)
	if r := l.Rungs[0]; r.Agreement < 80 {
		t.Errorf("at its own cost of %v, by %v, the model agrees with itself in %v %%", own, h, r.Agreement)
	}
}

// unlabelled is a data set of three classes that are not Fashion-MNIST's.
type unlabelled struct{ data.Dataset }

func (unlabelled) Classes() []string { return []string{"x", "y", "z"} }
func (unlabelled) Label(i int) int   { return i % 3 }

// rest is a data set without some images.
func rest(t *testing.T, d data.Dataset, without func(i int) bool) data.Dataset {
	t.Helper()
	var index []int
	for i := range d.Len() {
		if !without(i) {
			index = append(index, i)
		}
	}
	d, err := data.Subset(d, index)
	filetest.Check(t, err)
	return d
}

// TestCalibrateMisses: budgets that no constants come near to are named, and those that counts alone can give are as
// they come.
func TestCalibrateMisses(t *testing.T) {
	m := modeltest.Small(t, false)
	m.Params.Config.Halting = halting.Config{Scheme: "topk"}.With("layers", []int{2}) // the first two blocks run whole
	d := some(t, 0, 12)
	l, err := Calibrate(t.Context(), m, d, CalibrateOptions{Precision: infer.F32})
	filetest.Check(t, err)
	asRungs(t, m, d, l)
	least := (2*50.0 + 1) / 150 // then the class token alone
	if len(l.Missed) != 6 || l.Missed[0].Budget != 0.25 || math.Abs(l.Missed[0].Nearest-least) > 1e-9 ||
		math.Abs(l.Rungs[0].Mean-0.7) > 0.01 {
		t.Errorf("%+v", l)
	}
	_, err = Calibrate(t.Context(), m, d, CalibrateOptions{Budgets: []float64{0.1, 0.2}, Precision: infer.F32})
	filetest.WantError(t, err, "none of the budgets", "keep")
}

func TestCalibrateRefuses(t *testing.T) {
	m, d := modeltest.Small(t, true), some(t, 0, 5)
	for _, o := range []CalibrateOptions{{Budgets: []float64{0}}, {Budgets: []float64{0.5, 1.1}}, {Limit: -1},
		{Budgets: []float64{math.NaN()}}, {Threads: -1}} {
		if _, err := Calibrate(t.Context(), m, d, o); !errors.Is(err, usage.Err) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	_, err := Calibrate(t.Context(), modeltest.Small(t, false), d, CalibrateOptions{})
	filetest.WantError(t, err, `scheme "none" has no constant`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Calibrate(ctx, m, d, CalibrateOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	_, err = Calibrate(ctx, m, d, CalibrateOptions{Progress: func(done, _ int) {
		if done > 20 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "calibration stopped") {
		t.Errorf("cancelled meanwhile: %v", err)
	}
	torn := modeltest.Torn{Dataset: d, Bad: func(i int) bool { return i == 2 }}
	_, err = Calibrate(t.Context(), m, torn, CalibrateOptions{})
	filetest.WantError(t, err, "torn")
	m.Preprocessor.Std = nil
	m.Preprocessor.DoNormalize = true
	_, err = Calibrate(t.Context(), m, d, CalibrateOptions{})
	filetest.WantError(t, err, vit.PreprocessorFile)
}

// TestBetter: more that are right is better beyond chance, within it what is clearly cheaper, or else the surer.
func TestBetter(t *testing.T) {
	of := func(right string, nll, macs float64) *outcome {
		o := &outcome{nll: nll, macs: macs}
		for _, r := range right {
			o.right = append(o.right, r == '+')
		}
		return o
	}
	for _, v := range []struct {
		a, b *outcome
		want bool
	}{
		{of("++++", 2, 100), of("++--", 1, 90), true},  // 2 of 2 won
		{of("+++-", 1, 100), of("---+", 2, 100), true}, // 3 to 1 are chance: by nll
		{of("+++-", 2, 100), of("---+", 1, 100), false},
		{of("+---", 2, 100), of("----", 1, 100), false}, // 1 of 1 is chance
		{of("+-", 1, 100), of("+-", 1.5, 92), true},     // 8 % are not clearly cheaper
		{of("+-", 1, 100), of("+-", 1.5, 85), false},
		{of("+-", 1.5, 85), of("+-", 1, 100), true},
		{of("+-", 1, 100), of("+-", 1, 100), false},
	} {
		if got := v.a.better(v.b); got != v.want {
			t.Errorf("%+v against %+v: %t", v.a, v.b, got)
		}
	}
}
