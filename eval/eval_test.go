package eval

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/vit"
)

// TestEvaluate compares an evaluation with a sum over single classifications.
func TestEvaluate(t *testing.T) {
	const images = 40
	m, d := modeltest.Small(t, true), modeltest.Fashion(t)
	e, c := modeltest.Engine(t, m.Params, infer.F32, infer.Options{}), m.Params.Config
	var want Result
	for i := range images {
		out := runImage(t, e, m, d, i)
		top, err := infer.Top(&c, out.Logits, 5)
		if err != nil {
			t.Fatal(err)
		}
		place := slices.IndexFunc(top, func(p infer.Prediction) bool { return p.Class == d.Label(i) })
		if place == 0 {
			want.Top1 += 100.0 / images
		}
		if place >= 0 {
			want.Top5 += 100.0 / images
		}
		for _, d := range out.Depth {
			want.MeanDepth += float64(d) / float64(c.Tokens()) / images
		}
		want.MACs += float64(c.MACs(out.Active)) / images
	}
	for _, threads := range []int{1, 3} {
		calls := 0
		got, err := Run(t.Context(), m, d, Options{Name: "m", Limit: images, Threads: threads,
			Progress: func(done, total int) {
				if calls++; total != images || done > total {
					t.Errorf("progress %d of %d", done, total)
				}
			}})
		if err != nil {
			t.Fatal(err)
		}
		near := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
		if !near(got.Top1, want.Top1) || !near(got.Top5, want.Top5) || !near(got.MeanDepth, want.MeanDepth) ||
			math.Abs(got.MACs-want.MACs) > 0.5 {
			t.Errorf("%d threads: %+v, want %+v", threads, got, want)
		}
		if got.Model != "m" || got.Images != images || got.Threads != threads || got.Precision != "f32" ||
			got.ImagesPerSecond <= 0 || calls == 0 ||
			got.DenseMACs != float64(m.Params.Config.MACs(nil)) || got.MACs >= got.DenseMACs {
			t.Errorf("%d threads, %d calls of progress: %+v", threads, calls, got)
		}
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(done, m, d, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestEvaluateDamaged requires the figures of a data set with damaged images to be those of its other images, at every
// number of threads.
func TestEvaluateDamaged(t *testing.T) {
	const images = 40
	m := modeltest.Small(t, true)
	bad := func(i int) bool { return i < 2 || i == 17 || i == images-1 }
	var all, whole []int
	for i := range images {
		if all = append(all, i); !bad(i) {
			whole = append(whole, i)
		}
	}
	d, err := data.Subset(modeltest.Fashion(t), all)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := data.Subset(d, whole)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Run(t.Context(), m, rest, Options{})
	if err != nil {
		t.Fatal(err)
	}
	// A report and a calibration look at a part of what they are given.
	tolerant := func() data.Dataset { return data.Tolerant(modeltest.Torn{Dataset: d, Bad: bad}, 0.1, nil) }
	part, err := data.Subset(tolerant(), all)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range []data.Dataset{tolerant(), tolerant(), part} {
		got, err := Run(t.Context(), m, d, Options{Threads: 1 + 2*(i%2)})
		if err != nil {
			t.Fatal(err)
		}
		if got.Images != len(whole) || got.Top1 != want.Top1 || got.Top5 != want.Top5 || got.MeanDepth != want.MeanDepth ||
			got.MACs != want.MACs {
			t.Errorf("data set %d: %+v, want %+v", i, got, want)
		}
	}
	_, c, err := Collect(t.Context(), part, Options{Threads: 2, Precision: infer.F32}, m)
	if err != nil {
		t.Fatal(err)
	}
	if n := c.Tally.Images(); n != len(whole) {
		t.Errorf("a report counts the tokens of %d images, want %d", n, len(whole))
	}
	if _, err := Run(t.Context(), m, modeltest.Torn{Dataset: d, Bad: bad}, Options{}); err == nil ||
		!strings.Contains(err.Error(), "torn") {
		t.Errorf("without tolerance: %v", err)
	}
	if _, err := Run(t.Context(), m, data.Tolerant(modeltest.Torn{Dataset: d, Bad: bad}, 1, nil),
		Options{Limit: 2}); err == nil || !strings.Contains(err.Error(), "all of the 2") {
		t.Errorf("nothing but damage: %v", err)
	}
}

// TestEvaluateOverflow makes sure that logits which are not finite do not count as anything.
func TestEvaluateOverflow(t *testing.T) {
	m := modeltest.Small(t, false)
	for i := range m.Params.HeadWeight {
		m.Params.HeadWeight[i] = math.MaxFloat32
	}
	if ev, err := Run(t.Context(), m, modeltest.Fashion(t), Options{Limit: 3}); err == nil {
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

// runImage runs one image of a data set alone.
func runImage(t *testing.T, e *infer.Engine, m *vit.Model, d data.Dataset, i int) infer.Output {
	t.Helper()
	c := m.Params.Config
	pixels, image := make([]byte, c.ImageLen()), make([]float32, c.ImageLen())
	if err := d.Pixels(pixels, i); err != nil {
		t.Fatal(err)
	}
	m.Preprocessor.Normalize(image, pixels, c.Channels, c.Height, c.Width)
	var out infer.Output
	if err := e.Run(t.Context(), infer.Batch{Images: image}, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
