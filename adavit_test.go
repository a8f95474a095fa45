package adavit

import (
	"context"
	"errors"
	"image"
	"image/color"
	"io/fs"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// small makes a model of 28×28 grey images in ten classes with random weights: 50 tokens, three blocks. As adaptive model it halts tokens at
// many depths, by a gate whose scale is large.
func small(t testing.TB, adaptive bool) *vit.Model {
	t.Helper()
	c, err := vit.Variant("fashion-small")
	if err != nil {
		t.Fatal(err)
	}
	c.Layers, c.Labels = 3, fashionTest(t).Classes()
	if adaptive {
		c.Halting = halting.Config{Policy: "token"}.With("gate_scale", 4).With("gate_center", 0.5)
	}
	return &vit.Model{Params: vit.Initialize(c, 3, 0), Preprocessor: picture.DefaultPreprocessor(28, 28, 1)}
}

func fashionTest(t testing.TB) data.Dataset {
	t.Helper()
	d, err := datasets.FashionMNISTTest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// picture returns image i of a data set of grey images.
func drawn(t testing.TB, d data.Dataset, i int) image.Image {
	t.Helper()
	_, h, w := d.Size()
	img := image.NewGray(image.Rect(0, 0, w, h))
	if err := d.Pixels(img.Pix, i); err != nil {
		t.Fatal(err)
	}
	return img
}

func TestOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "m")
	if err := vit.Save(dir, small(t, true), weights.F32); err != nil {
		t.Fatal(err)
	}
	m, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := small(t, true); !reflect.DeepEqual(m, want) {
		t.Error("the model that was read differs from the one that was saved")
	}
	for _, name := range append(BundledModels(), "nowhere", "") {
		_, err := Open(name)
		if isBundled := name != "nowhere" && name != ""; isBundled != (err == nil) {
			t.Errorf("Open(%q): %v", name, err)
		} else if err != nil && !strings.Contains(err.Error(), bundled()) {
			t.Errorf("Open(%q): %v; want it to say %q", name, err, bundled())
		}
	}
	// A directory that lacks a file is not mistaken for a missing model.
	if _, err := Open(t.TempDir()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("empty directory: %v", err)
	}
}

func TestThreadsAndPrecision(t *testing.T) {
	for _, c := range []struct{ n, want int }{{0, 1}, {1, 1}, {7, 7}, {-1, 0}, {maxThreads + 1, 0}} {
		got, err := threads(c.n)
		switch {
		case c.want == 0:
			if !errors.Is(err, ErrUsage) {
				t.Errorf("threads(%d): %d, %v; want ErrUsage", c.n, got, err)
			}
		case err != nil || got < c.want || c.n > 0 && got != c.n:
			t.Errorf("threads(%d): %d, %v", c.n, got, err)
		}
	}
	costly := &vit.Model{PrecisionLoss: map[string]float64{"bf16": 0.09, "int8": 0.2}}
	cheap := &vit.Model{PrecisionLoss: map[string]float64{"bf16": 0, "int8": -0.02}}
	reduced := func(p infer.Precision) infer.Precision { // plain Go gains nothing from it
		if kernels.Path() == "portable" {
			return infer.F32
		}
		return p
	}
	for _, v := range []struct {
		name  string
		model *vit.Model
		want  infer.Precision
	}{
		{"", nil, infer.F32}, {"auto", nil, infer.F32}, {"auto", &vit.Model{}, infer.F32}, {"f32", cheap, infer.F32}, {"int8", costly, infer.Int8}, {"bf16", nil, infer.BF16},
		{"auto", costly, reduced(infer.BF16)}, {"", cheap, reduced(infer.Int8)},
	} {
		if got, err := precision(v.name, v.model); got != v.want || err != nil {
			t.Errorf("precision(%q): %q, %v; want %q", v.name, got, err, v.want)
		}
	}
	if _, err := precision("f64", nil); !errors.Is(err, ErrUsage) {
		t.Errorf("precision f64: %v; want ErrUsage", err)
	}
}

// TestClassify compares batches with single images, and grey with the same picture in colour.
func TestClassify(t *testing.T) {
	m, d := small(t, true), fashionTest(t)
	c, err := New(m, Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var images []image.Image
	for i := range 9 {
		images = append(images, drawn(t, d, i))
	}
	together, err := c.Classify(t.Context(), images...)
	if err != nil {
		t.Fatal(err)
	}
	config, halted := m.Params.Config, 0
	for i, img := range images {
		alone, err := c.Classify(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		r := together[i]
		if !reflect.DeepEqual(alone[0], r) {
			t.Errorf("image %d: alone %+v, with others %+v", i, alone[0], r)
		}
		sum := 0
		for _, d := range r.Depth {
			sum += d
		}
		if sum != r.Tokens || len(r.Depth) != config.Tokens() || r.Blocks != r.Depth[0] || len(r.Top) != 5 {
			t.Errorf("image %d: %+v does not fit together", i, r)
		}
		if want := float64(sum) / float64(config.Tokens()*config.Layers); math.Abs(r.TokenShare-want) > 1e-12 || math.Abs(r.MeanDepth-want*3) > 1e-9 {
			t.Errorf("image %d: share %v, mean depth %v, want %v and %v", i, r.TokenShare, r.MeanDepth, want, want*3)
		}
		for j := 1; j < len(r.Top); j++ {
			if r.Top[j].Probability > r.Top[j-1].Probability {
				t.Errorf("image %d: top %+v is not in order", i, r.Top)
			}
		}
		if r.Tokens < config.Tokens()*config.Layers {
			halted++
			if r.MACs >= config.MACs(nil) {
				t.Errorf("image %d: tokens halted, but MACs are %d of %d", i, r.MACs, config.MACs(nil))
			}
		}
	}
	if halted == 0 {
		t.Fatal("no token halted anywhere: the test sees nothing")
	}
	rgb := image.NewRGBA(images[0].Bounds())
	for y := range 28 {
		for x := range 28 {
			rgb.Set(x, y, images[0].At(x, y).(color.Gray))
		}
	}
	coloured, err := c.Classify(t.Context(), rgb)
	if err != nil || !reflect.DeepEqual(coloured[0], together[0]) {
		t.Errorf("in colour: %+v, %v; in grey %+v", coloured, err, together[0])
	}
	if _, err := c.Classify(t.Context()); err == nil {
		t.Error("no images: no error")
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Classify(done, images...); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestTopOf(t *testing.T) {
	c := vit.Config{Classes: 3, Labels: []string{"a", "b", "c"}}
	top, err := topOf(c, []float32{0, float32(math.Log(2)), 0}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(top) != 2 || top[0].Label != "b" || top[1].Label != "a" || math.Abs(top[0].Probability-0.5) > 1e-7 || math.Abs(top[1].Probability-0.25) > 1e-7 {
		t.Errorf("%+v", top)
	}
	if _, err := topOf(c, []float32{0, float32(math.NaN()), 0}, 2); err == nil {
		t.Error("NaN: no error")
	}
	huge, err := topOf(c, []float32{3e38, -3e38, 0}, 5)
	if err != nil || len(huge) != 3 || huge[0].Probability != 1 {
		t.Errorf("huge logits: %+v, %v", huge, err)
	}
}

// TestSpreadPanics makes sure that a panic in a goroutine can be recovered from by the caller.
func TestSpreadPanics(t *testing.T) {
	defer func() {
		if p := recover(); p != "a bug" {
			t.Errorf("recovered %v", p)
		}
	}()
	spread(4, 100, func(i int) {
		if i == 50 {
			panic("a bug")
		}
	})
	t.Error("no panic came out")
}
