package eval

import (
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/internal/tokentest"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
)

// controlled is an untrained model of a scheme whose tokens, or images, differ in depth.
func controlled(scheme string, kind tokentest.Kind) *vit.Model {
	c := vit.Config{Embed: 24, Heads: 2, Layers: 6, Hidden: 40, Height: 28, Width: 28, Patch: 7, Channels: 1, Classes: 10,
		Eps: 1e-6, Halting: map[string]halting.Config{
			"token":      halting.Config{Scheme: "token"}.With("gate_scale", 3).With("gate_center", 0.8),
			"exit":       halting.Config{Scheme: "token"}.With("gate_scale", 3).With("gate_center", 0.8).With("exit", 0.45),
			"sact exit":  halting.Config{Scheme: "sact"}.With("gate_scale", 3).With("gate_center", 0.8).With("exit", 0.45),
			"act":        halting.Config{Scheme: "act"}.With("gate_scale", 3).With("gate_center", 0.6),
			"sact":       halting.Config{Scheme: "sact"}.With("gate_scale", 3).With("gate_center", 0.8),
			"similarity": halting.Config{Scheme: "similarity"}.With("threshold", 0.8),
			"topk":       halting.Config{Scheme: "topk"}.With("keep", 0.6).With("layers", []int{2, 4}),
			"fused":      halting.Config{Scheme: "topk"}.With("keep", 0.6).With("layers", []int{2, 4}).With("fuse", true),
			"tome":       halting.Config{Scheme: "tome"}.With("merge", 2),
			"ltmp":       halting.Config{Scheme: "ltmp"}.With("similarity", 0.9).With("importance", 0.7),
			"confidence": halting.Config{Scheme: "confidence"}.With("threshold", 0.45),
			"random":     halting.Config{Scheme: "random"}.With("rate", 0.2),
		}[scheme]}
	kind.Set(&c)
	return &vit.Model{Params: vit.Initialize(c, 1, 0.25), Preprocessor: picture.DefaultPreprocessor(28, 28, 1)}
}

// TestPlanned: halting by a plan that is what the scheme did changes nothing, to the bit; by another plan, tokens halt
// where that says. Where the image ends is the scheme's to say, now here and now there.
func TestPlanned(t *testing.T) {
	for _, kind := range tokentest.Kinds {
		for _, name := range []string{"token", "sact", "similarity", "topk", "random", "exit", "sact exit"} {
			t.Run(kind.Name+", "+name, func(t *testing.T) { checkPlanned(t, name, kind) })
		}
	}
}

func checkPlanned(t *testing.T, name string, kind tokentest.Kind) {
	m, d := controlled(name, kind), modeltest.Fashion(t)
	c := m.Params.Config
	scheme, err := halting.New(c.Halting)
	if err != nil {
		t.Fatal(err)
	}
	natural := modeltest.Engine(t, m.Params, infer.F32, infer.Options{})
	depth := make([]int32, c.Tokens())
	planned := modeltest.Engine(t, m.Params, infer.F32, infer.Options{Schemes: []halting.Scheme{halting.Planned(scheme,
		depth)}})
	pixels, image := make([]byte, c.ImageLen()), make([]float32, c.ImageLen())
	var want, got infer.Output
	differ, moved := false, 0
	for i := range 80 {
		if err := d.Pixels(pixels, i); err != nil {
			t.Fatal(err)
		}
		m.Preprocessor.Normalize(image, pixels, c.Channels, c.Height, c.Width)
		if err := natural.Run(t.Context(), infer.Batch{Images: image}, &want); err != nil {
			t.Fatal(err)
		}
		copy(depth, want.Depth)
		for range 2 { // as they ran, then as they would have gone on
			if err := planned.Run(t.Context(), infer.Batch{Images: image}, &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%s, image %d: %+v by the plan, %+v without", name, i, got, want)
			}
			plan(&c, depth)
		}
		slices.Reverse(depth[c.Special():])
		if err := planned.Run(t.Context(), infer.Batch{Images: image}, &got); err != nil {
			t.Fatal(err)
		}
		end := halting.End(c.Readouts(), got.Depth)
		for k := c.Special(); k < len(depth); k++ {
			if got.Depth[k] != min(depth[k], end) {
				t.Fatalf("%s, image %d: depths %v, planned %v", name, i, got.Depth, depth)
			}
		}
		differ = differ || !slices.Equal(got.Depth, want.Depth)
		if end != halting.End(c.Readouts(), want.Depth) {
			moved++
		}
	}
	if !differ {
		t.Errorf("%s: all patches have the same depth, which tests nothing", name)
	}
	if name == "exit" && kind == tokentest.Kinds[0] && moved < 2 {
		t.Errorf("%d images end elsewhere by another plan: the exit does not decide", moved)
	}
}

// TestControl compares the deviations with those of single classifications, and requires depths to be shuffled where
// they can be, the same ones on any number of threads.
func TestControl(t *testing.T) {
	const images = 60
	for _, scheme := range []string{"token", "exit", "act", "sact", "fused", "tome", "ltmp", "random"} {
		m := controlled(scheme, tokentest.Kinds[0])
		d := modeltest.Torn{Dataset: modeltest.Fashion(t), Bad: func(i int) bool { return i == 7 }}
		e := modeltest.Engine(t, m.Params, infer.F32, infer.Options{})
		var means []float64
		within := 0.0
		for i := range images {
			if d.Bad(i) {
				continue
			}
			patches := runImage(t, e, m, d, i).Depth[1:]
			mean := 0.0
			for _, depth := range patches {
				mean += float64(depth) / float64(len(patches))
			}
			for _, depth := range patches {
				within += math.Pow(float64(depth)-mean, 2) / float64(len(patches))
			}
			means = append(means, mean)
		}
		mean, between := 0.0, 0.0
		for _, v := range means {
			mean += v / float64(len(means))
		}
		for _, v := range means {
			between += (v - mean) * (v - mean) / float64(len(means))
		}
		var first Control
		for threads := 1; threads <= 3; threads++ {
			got, err := MeasureControl(t.Context(), m, data.Tolerant(d, 0.01, nil),
				Options{Threads: threads, Precision: "f32", Limit: images})
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(got.Images-math.Sqrt(between)) > 1e-9 ||
				math.Abs(got.Tokens-math.Sqrt(within/float64(len(means)))) > 1e-9 {
				t.Errorf("%s: %+v, want deviations %v and %v", scheme, got, math.Sqrt(between),
					math.Sqrt(within/float64(len(means))))
			}
			if (got.Random != nil) != (scheme == "token" || scheme == "exit" || scheme == "sact" ||
				scheme == "random") {
				t.Errorf("%s: top-1 in random order %v", scheme, got.Random)
			}
			if threads == 1 {
				first = got
			} else if got.Random != nil && *got.Random != *first.Random {
				t.Errorf("%s: %v in random order on %d threads, %v on one", scheme, *got.Random, threads, *first.Random)
			}
		}
		if between == 0 && scheme != "tome" && scheme != "fused" || (within == 0) != (scheme == "act") {
			t.Errorf("%s: deviations %v and %v, which test nothing", scheme, between, within)
		}
	}
}
