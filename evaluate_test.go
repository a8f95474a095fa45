package adavit

import (
	"context"
	"errors"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/vit"
)

// TestEvaluate compares an evaluation with a sum over single classifications.
func TestEvaluate(t *testing.T) {
	const images = 40
	m, d := small(t, true), fashionTest(t)
	c, err := New(m, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var want Evaluation
	for i := range images {
		results, err := c.Classify(t.Context(), drawn(t, d, i))
		if err != nil {
			t.Fatal(err)
		}
		r := results[0]
		place := slices.IndexFunc(r.Top, func(p Prediction) bool { return p.Class == d.Label(i) })
		if place == 0 {
			want.Top1 += 100.0 / images
		}
		if place >= 0 {
			want.Top5 += 100.0 / images
		}
		want.MeanDepth += r.MeanDepth / images
		want.MACs += float64(r.MACs) / images
	}
	for _, threads := range []int{1, 3} {
		calls := 0
		got, err := Evaluate(t.Context(), m, d, EvaluateOptions{Name: "m", Limit: images, Threads: threads, Progress: func(done, total int) {
			if calls++; total != images || done > total {
				t.Errorf("progress %d of %d", done, total)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		near := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
		if !near(got.Top1, want.Top1) || !near(got.Top5, want.Top5) || !near(got.MeanDepth, want.MeanDepth) || math.Abs(got.MACs-want.MACs) > 0.5 {
			t.Errorf("%d threads: %+v, want %+v", threads, got, want)
		}
		if got.Model != "m" || got.Images != images || got.Threads != threads || got.Precision != "f32" || got.ImagesPerSecond <= 0 || calls == 0 ||
			got.DenseMACs != float64(m.Params.Config.MACs(nil)) || got.MACs >= got.DenseMACs {
			t.Errorf("%d threads, %d calls of progress: %+v", threads, calls, got)
		}
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Evaluate(done, m, d, EvaluateOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// torn is a data set in which some images cannot be read.
type torn struct {
	data.Dataset
	bad func(i int) bool
}

func (d torn) Pixels(dst []byte, i int) error {
	if d.bad(i) {
		return errors.New("torn")
	}
	return d.Dataset.Pixels(dst, i)
}

// TestEvaluateDamaged requires the figures of a data set with damaged images to be those of its other images, at every number of threads.
func TestEvaluateDamaged(t *testing.T) {
	const images = 40
	m := small(t, true)
	bad := func(i int) bool { return i < 2 || i == 17 || i == images-1 }
	var all, whole []int
	for i := range images {
		if all = append(all, i); !bad(i) {
			whole = append(whole, i)
		}
	}
	d, err := data.Subset(fashionTest(t), all)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := data.Subset(d, whole)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Evaluate(t.Context(), m, rest, EvaluateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// A report and a calibration look at a part of what they are given.
	part, err := data.Subset(data.Tolerant(torn{d, bad}, 0.1, nil), all)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range []data.Dataset{data.Tolerant(torn{d, bad}, 0.1, nil), data.Tolerant(torn{d, bad}, 0.1, nil), part} {
		got, err := Evaluate(t.Context(), m, d, EvaluateOptions{Threads: 1 + 2*(i%2)})
		if err != nil {
			t.Fatal(err)
		}
		if got.Images != len(whole) || got.Top1 != want.Top1 || got.Top5 != want.Top5 || got.MeanDepth != want.MeanDepth || got.MACs != want.MACs {
			t.Errorf("data set %d: %+v, want %+v", i, got, want)
		}
	}
	c, err := collect(t.Context(), m, part, 2)
	if err != nil {
		t.Fatal(err)
	}
	if n := c.tally.Images(); n != len(whole) {
		t.Errorf("a report counts the tokens of %d images, want %d", n, len(whole))
	}
	if _, err := Evaluate(t.Context(), m, torn{d, bad}, EvaluateOptions{}); err == nil || !strings.Contains(err.Error(), "torn") {
		t.Errorf("without tolerance: %v", err)
	}
	if _, err := Evaluate(t.Context(), m, data.Tolerant(torn{d, bad}, 1, nil), EvaluateOptions{Limit: 2}); err == nil || !strings.Contains(err.Error(), "all of the 2") {
		t.Errorf("nothing but damage: %v", err)
	}
}

// TestEvaluateOverflow makes sure that logits which are not finite do not count as anything.
func TestEvaluateOverflow(t *testing.T) {
	m := small(t, false)
	for i := range m.Params.HeadWeight {
		m.Params.HeadWeight[i] = math.MaxFloat32
	}
	if ev, err := Evaluate(t.Context(), m, fashionTest(t), EvaluateOptions{Limit: 3}); err == nil {
		t.Errorf("%+v, want an error", ev)
	}
}

func TestRankOf(t *testing.T) {
	logits := []float32{1, 3, 3, 2}
	for label, want := range []int{3, 0, 1, 2} {
		if got, err := rankOf(logits, label); got != want || err != nil {
			t.Errorf("label %d: rank %d, %v; want %d", label, got, err, want)
		}
	}
	if _, err := rankOf([]float32{0, float32(math.Inf(-1))}, 0); err == nil {
		t.Error("an infinite logit: no error")
	}
}

func TestMatchClasses(t *testing.T) {
	named := vit.Config{Classes: 3, Labels: []string{"cat", "dog", "owl"}}
	for _, c := range []struct {
		config vit.Config
		names  []string
		want   []int // nil: an error
	}{
		{named, []string{"cat", "dog", "owl"}, []int{0, 1, 2}},
		{named, []string{"owl", "cat"}, []int{2, 0}},
		{named, []string{"x", "y", "z"}, []int{0, 1, 2}}, // other names for as many classes
		{named, []string{"0", "1"}, []int{0, 1}},         // numbers, of which the last has no image
		{named, []string{"x", "y"}, nil},
		{named, []string{"0", "1", "2", "3"}, nil},
		{vit.Config{Classes: 2}, []string{"a", "b"}, []int{0, 1}},
	} {
		got, err := matchClasses(c.config, c.names)
		if (err == nil) != (c.want != nil) || err == nil && !slices.Equal(got, c.want) {
			t.Errorf("%v against %v: %v, %v; want %v", c.names, c.config.Labels, got, err, c.want)
		}
	}
}

// TestCompare is the demo on two untrained models: its figures are those of Evaluate, and its files are there.
func TestCompare(t *testing.T) {
	dense, adaptive, d := small(t, false), small(t, true), fashionTest(t)
	dir := filepath.Join(t.TempDir(), "new", "folder")
	calls := 0
	r, err := compare(t.Context(), "a", dense, "b", adaptive, d, DemoOptions{Dir: dir, Limit: 1100, Threads: 2, Progress: func(int, int) { calls++ }})
	if err != nil {
		t.Fatal(err)
	}
	if calls != 3 {
		t.Errorf("%d slices, want 3", calls)
	}
	for i, m := range []*vit.Model{dense, adaptive} {
		want, err := Evaluate(t.Context(), m, d, EvaluateOptions{Name: r.Models[i].Model, Limit: 1100, Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		got := r.Models[i]
		got.ImagesPerSecond = want.ImagesPerSecond
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if r.Models[0].MeanDepth != 3 || r.Models[1].MeanDepth >= 3 || r.Speedup != r.Models[1].ImagesPerSecond/r.Models[0].ImagesPerSecond || len(r.Rows) != 2 {
		t.Errorf("%+v", r)
	}
	page, err := os.ReadFile(r.Report)
	if err != nil {
		t.Fatal(err)
	}
	for _, label := range fashionTest(t).Classes() {
		if !strings.Contains(string(page), label) {
			t.Errorf("the report does not show class %s", label)
		}
	}
	if len(r.Pictures) != 11 {
		t.Errorf("%d pictures, want one of each class and one of all: %v", len(r.Pictures), r.Pictures)
	}
	for _, path := range r.Pictures {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if c, err := png.DecodeConfig(f); err != nil || c.Width < 100 || c.Height < 50 {
			t.Errorf("%s: %d×%d, %v", path, c.Width, c.Height, err)
		}
	}
}
