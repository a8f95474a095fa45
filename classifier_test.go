package adavit

import (
	"context"
	"errors"
	"image"
	"image/color"
	"math"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/vit"
)

func newTestClassifier(t testing.TB, m *Model, threads int) *Classifier {
	t.Helper()
	c, err := NewClassifier(m, Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestClassify compares single images on one thread with many at once on several, and grey with the same picture in
// colour.
func TestClassify(t *testing.T) {
	m, d := modeltest.Small(t, true), modeltest.Fashion(t)
	config, single := m.Params.Config, newTestClassifier(t, m, 1)
	var images []image.Image
	var want []Result
	halted := 0
	for i := range 70 {
		images = append(images, modeltest.Image(t, d, i))
		r, err := single.Classify(t.Context(), images[i])
		if err != nil {
			t.Fatal(err)
		}
		checkResult(t, config, r)
		if r.Tokens < config.Tokens()*config.Layers {
			halted++
		}
		want = append(want, r)
	}
	if halted == 0 {
		t.Fatal("no token halted anywhere: the test sees nothing")
	}
	for _, threads := range []int{1, 2, 5} {
		c := newTestClassifier(t, m, threads)
		got, err := c.ClassifyAll(t.Context(), images)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("all at once on %d threads: other results (%v)", threads, err)
		}
		if r, err := c.Classify(t.Context(), images[3]); err != nil || !reflect.DeepEqual(r, want[3]) {
			t.Errorf("alone on %d threads: %+v (%v), want %+v", threads, r, err, want[3])
		}
	}
	rgb := image.NewRGBA(images[0].Bounds())
	for y := range 28 {
		for x := range 28 {
			rgb.Set(x, y, images[0].At(x, y).(color.Gray))
		}
	}
	if coloured, err := single.Classify(t.Context(), rgb); err != nil || !reflect.DeepEqual(coloured, want[0]) {
		t.Errorf("in colour: %+v, %v; in grey %+v", coloured, err, want[0])
	}
	if got, err := single.ClassifyAll(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("no images: %v, %v", got, err)
	}
}

// TestClassifyWithExit: an image that ends early because its prediction is sure says so, in its blocks, its depths and
// its work, with the heads that were asked on the way.
func TestClassifyWithExit(t *testing.T) {
	m, d := modeltest.Small(t, true), modeltest.Fashion(t)
	config := &m.Params.Config
	config.Halting = config.Halting.With("exit", 0.5)
	for i := range m.Params.HeadWeight { // a model of random weights is not often sure
		m.Params.HeadWeight[i] *= 2
	}
	c, ends := newTestClassifier(t, m, 2), map[int]int{}
	for i := range 70 {
		r, err := c.Classify(t.Context(), modeltest.Image(t, d, i))
		if err != nil {
			t.Fatal(err)
		}
		checkResult(t, *config, r)
		active := make([]int32, config.Layers)
		for _, depth := range r.Depth {
			for l := range depth {
				active[l]++
			}
		}
		dense := *config
		dense.Halting = halting.Dense()
		asked := int64(min(r.Blocks, config.Layers-1) * config.Embed * config.Classes)
		if slices.Max(r.Depth) != r.Blocks || r.MACs != dense.MACs(active)+asked {
			t.Errorf("image %d: %d blocks, depths %v, %d MACs, want %d + %d", i, r.Blocks, r.Depth, r.MACs,
				dense.MACs(active), asked)
		}
		if r.Blocks < config.Layers && r.Top[0].Probability < 0.5-1e-6 {
			t.Errorf("image %d ends after block %d with a probability of %v", i, r.Blocks, r.Top[0].Probability)
		}
		ends[r.Blocks]++
	}
	if len(ends) < 2 {
		t.Errorf("images end in blocks %v: the test shows little", ends)
	}
}

// checkResult requires the parts of a result to fit together.
func checkResult(t *testing.T, c vit.Config, r Result) {
	t.Helper()
	sum := 0
	for _, d := range r.Depth {
		sum += d
	}
	share := float64(sum) / float64(c.Tokens()*c.Layers)
	if sum != r.Tokens || len(r.Depth) != c.Tokens() || r.Blocks != r.Depth[0] || len(r.Top) != 5 ||
		math.Abs(r.TokenShare-share) > 1e-12 || math.Abs(r.MeanDepth-share*float64(c.Layers)) > 1e-9 ||
		sum < c.Tokens()*c.Layers && r.MACs >= c.MACs(nil) {
		t.Errorf("%+v does not fit together", r)
	}
	for j := 1; j < len(r.Top); j++ {
		if r.Top[j].Probability > r.Top[j-1].Probability {
			t.Errorf("top %+v is not in order", r.Top)
		}
	}
}

// TestBadImages: a bad image has an error of its own, the others have their results.
func TestBadImages(t *testing.T) {
	c, d := newTestClassifier(t, modeltest.Small(t, true), 2), modeltest.Fashion(t)
	images := []image.Image{modeltest.Image(t, d, 0), nil, modeltest.Image(t, d, 1), image.NewGray(image.Rect(0, 0, 0, 5)),
		(*image.RGBA)(nil), &image.RGBA{Rect: image.Rect(0, 0, 9, 9)}, struct{ image.Image }{}} // whose methods panic
	got, err := c.ClassifyAll(t.Context(), images)
	var bad *ImageError
	if !errors.As(err, &bad) || bad.Index != 1 || len(err.(interface{ Unwrap() []error }).Unwrap()) != 5 {
		t.Errorf("error %v, want one about images 1 and 3 to 6", err)
	}
	for i := range images {
		if has := got[i].Top != nil; has != (i == 0 || i == 2) {
			t.Errorf("image %d: %+v", i, got[i])
		}
	}
	if _, err := c.Classify(t.Context(), nil); err == nil {
		t.Error("no image: no error")
	}
	if _, err := new(Classifier).Classify(t.Context(), images[0]); err == nil {
		t.Error("no classifier: no error")
	}
}

// TestConcurrent: many goroutines with one image each get the bits of single calls, calls that are cancelled return at
// once, and nothing is left over.
func TestConcurrent(t *testing.T) {
	m, d := modeltest.Small(t, true), modeltest.Fashion(t)
	before := runtime.NumGoroutine()
	c, err := NewClassifier(m, Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	const images, callers, rounds = 16, 64, 20
	want := make([]Result, images)
	pictures := make([]image.Image, images)
	for i := range want {
		pictures[i] = modeltest.Image(t, d, i)
		if want[i], err = c.Classify(t.Context(), pictures[i]); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for round := range rounds {
				i := (caller + round) % images
				ctx, cancel := context.WithCancel(context.Background())
				hangsUp := (caller+round)%5 == 0
				if hangsUp {
					time.AfterFunc(time.Duration(caller)*20*time.Microsecond, cancel)
				}
				got, err := c.Classify(ctx, pictures[i])
				switch {
				case hangsUp && errors.Is(err, context.Canceled):
				case err != nil:
					t.Errorf("caller %d: %v", caller, err)
				case !reflect.DeepEqual(got, want[i]):
					t.Errorf("caller %d, image %d: other bits", caller, i)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	c.Close()
	c.Close()
	if _, err := c.Classify(t.Context(), pictures[0]); err == nil {
		t.Error("a closed classifier answers")
	}
	for range 100 { // goroutines that have been told to end may take a moment
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}

func TestCancelled(t *testing.T) {
	c, d := newTestClassifier(t, modeltest.Small(t, true), 2), modeltest.Fashion(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Classify(ctx, modeltest.Image(t, d, 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("one image: %v", err)
	}
	images := []image.Image{modeltest.Image(t, d, 0), modeltest.Image(t, d, 1)}
	if _, err := c.ClassifyAll(ctx, images); !errors.Is(err, context.Canceled) {
		t.Errorf("all: %v", err)
	}
	if _, err := c.ClassifyAll(t.Context(), images); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestBudgets: a cap holds for every image, a mean wants a ladder and takes its rungs.
func TestBudgets(t *testing.T) {
	d := modeltest.Fashion(t)
	for _, adaptive := range []bool{false, true} {
		m := modeltest.Small(t, adaptive)
		c := newTestClassifier(t, m, 2)
		for _, most := range []float64{0.01, 0.1, 0.34, 0.5, 0.9, 1} {
			for i := range 10 {
				r, err := c.Classify(t.Context(), modeltest.Image(t, d, i), Budget{Max: most})
				if err != nil || r.TokenShare > most || r.Budget.Max != most {
					t.Errorf("cap %v: share %v, %v", most, r.TokenShare, err)
				}
			}
		}
		img := modeltest.Image(t, d, 0)
		free, _ := c.Classify(t.Context(), img)
		if loose, err := c.Classify(t.Context(), img, Budget{Max: 1}); err != nil || !reflect.DeepEqual(loose.Top, free.Top) {
			t.Errorf("a cap of 1 changes %+v to %+v (%v)", free.Top, loose.Top, err)
		}
		if _, err := c.Classify(t.Context(), img, Budget{Mean: 0.5}); err == nil || errors.Is(err, ErrUsage) {
			t.Errorf("a mean without a ladder: %v", err)
		}
		for _, b := range [][]Budget{{{Max: -1}}, {{Max: 2}}, {{Mean: math.NaN()}}, {{Max: 1e-9}}, {{}, {}}} {
			if _, err := c.Classify(t.Context(), img, b...); !errors.Is(err, ErrUsage) {
				t.Errorf("budget %v: %v, want an error of usage", b, err)
			}
		}
	}
	m := modeltest.Small(t, true)
	m.Ladder = []vit.Rung{{Mean: 0.4, Constants: map[string]float64{"gate_center": -50}},
		{Mean: 0.9, Constants: map[string]float64{"gate_center": 50}}}
	c := newTestClassifier(t, m, 2)
	shares := map[float64]float64{}
	for _, mean := range []float64{0.1, 0.5, 0.95} {
		r, err := c.Classify(t.Context(), modeltest.Image(t, d, 0), Budget{Mean: mean})
		if err != nil {
			t.Fatal(err)
		}
		shares[mean] = r.TokenShare
	}
	if shares[0.1] != shares[0.5] || shares[0.95] != 1 || shares[0.5] >= 0.5 {
		t.Errorf("shares %v by mean, want the lower rung's twice, then the upper one's", shares)
	}
}
