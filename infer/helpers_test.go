package infer

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/internal/tokentest"
	"github.com/adavit/adavit/vit"
	"pgregory.net/rapid"
)

// onEveryPath runs a test on every kernel path of this machine.
func onEveryPath(t *testing.T, test func(t *testing.T)) {
	for _, path := range kernels.Paths() {
		t.Run(path, func(t *testing.T) {
			restore, err := kernels.Use(path)
			if err != nil {
				t.Fatal(err)
			}
			defer restore()
			test(t)
		})
	}
}

// How the gates of a drawn model lean.
const (
	gatesMixed     = iota // tokens halt here and there
	gatesPatchHalt        // all patch tokens halt in block 1, the class token goes on
	gatesAllHalt          // all tokens halt in block 1
	gatesClassHalt        // the class token halts in block 1, patch tokens go on
	gatesNoneHalt         // no token halts before block L
	gatesDense            // a dense model
	gateKinds
)

// drawModel draws a model of random shape, weights and gate constants.
func drawModel(t *rapid.T) *vit.Params {
	heads := rapid.IntRange(1, 3).Draw(t, "heads")
	c := vit.Config{
		Heads: heads, Embed: heads * rapid.SampledFrom([]int{4, 8, 12, 16, 24}).Draw(t, "headDim"),
		Layers: rapid.IntRange(1, 5).Draw(t, "layers"), Hidden: rapid.IntRange(1, 70).Draw(t, "hidden"),
		Patch: rapid.IntRange(1, 4).Draw(t, "patch"), Channels: rapid.IntRange(1, 3).Draw(t, "channels"),
		Classes: rapid.IntRange(1, 5).Draw(t, "classes"), Eps: 1e-6,
	}
	tokentest.Draw(t, &c)
	c.Height = c.Patch * rapid.IntRange(1, 5).Draw(t, "gridH")
	c.Width = c.Patch * rapid.IntRange(1, 5).Draw(t, "gridW")
	kind := rapid.IntRange(0, gateKinds-1).Draw(t, "gates")
	c.Halting = drawHalting(t, c.Layers)
	if kind == gatesDense {
		c.Halting = halting.Dense()
	}
	return makeModel(c, rapid.Uint64().Draw(t, "seed"), kind)
}

// drawHalting draws a scheme other than none and its constants.
func drawHalting(t *rapid.T, layers int) halting.Config {
	return drawConstants(t, rapid.SampledFrom(halting.Names()[1:]).Draw(t, "scheme"), layers)
}

// drawConstants draws the constants of a scheme.
func drawConstants(t *rapid.T, name string, layers int) halting.Config {
	constants := map[string]any{
		"gate_scale":  rapid.Float64Range(0.1, 8).Draw(t, "scale"),
		"gate_center": rapid.Float64Range(-1, 6).Draw(t, "center"),
		"epsilon":     rapid.Float64Range(0.001, 0.2).Draw(t, "epsilon"),
		"threshold":   1 - rapid.Float64Range(0, 0.6).Draw(t, "below one"),
		"keep":        rapid.Float64Range(0, 1).Draw(t, "keep"),
		"fuse":        rapid.Bool().Draw(t, "fuse"),
		"merge":       rapid.Float64Range(0, 4).Draw(t, "merge"),
		"exit":        rapid.SampledFrom([]float64{0, 0.3, 0.5, 0.6, 0.8, 1}).Draw(t, "exit"),
		"similarity":  rapid.Float64Range(-1, 1).Draw(t, "similarity"),
		"importance":  rapid.Float64Range(0, 2).Draw(t, "importance"),
		"rate":        rapid.Float64Range(0, 1).Draw(t, "rate"),

		"registers_halt": rapid.Bool().Draw(t, "registers halt"),
	}
	if rapid.Bool().Draw(t, "chosen layers") {
		constants["layers"] = []int{rapid.IntRange(1, layers).Draw(t, "layer")}
	}
	return withKnown(name, constants)
}

// withKnown is a scheme with those of the constants that it has.
func withKnown(name string, constants map[string]any) halting.Config {
	c := halting.Config{Scheme: name}
	d, _ := c.Descriptor()
	for _, k := range d.Keys {
		if v, ok := constants[k.Name]; ok {
			c = c.With(k.Name, v)
		}
	}
	return c
}

// makeModel returns a model of random weights whose gates lean as kind says.
func makeModel(c vit.Config, seed uint64, kind int) *vit.Params {
	p := vit.Initialize(c, seed, 0)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range p.Data {
		p.Data[i] += 0.05 * float32(r.NormFloat64()) // biases and norms are 0 and 1 after Initialize
	}
	const far = 300 // a gate that no block brings back
	lean := func(k int) float32 {
		switch {
		case kind == gatesAllHalt, kind == gatesPatchHalt && k > 0, kind == gatesClassHalt && k == 0:
			return far
		case kind == gatesNoneHalt, kind == gatesPatchHalt, kind == gatesClassHalt:
			return -far
		}
		return float32(r.NormFloat64())
	}
	tokentest.Lean(p, lean)
	return p
}

// drawImages returns b images of random pixels.
func drawImages(c vit.Config, b int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 2))
	x := make([]float32, b*c.Channels*c.Height*c.Width)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
	Fatal(...any)
}

// background is the context of runs that nobody cancels.
var background = context.Background()

// options are those of an engine, and the precision of weights that are packed for it alone.
type options struct {
	Threads, Group int // Group is the most images in a pass, 0 as the engine chooses
	Full           bool
	Scheme         halting.Scheme
	Precision      Precision
}

// newEngine makes an engine with weights of its own; the caller closes it.
func newEngine(t fataler, p *vit.Params, o options) *Engine {
	t.Helper()
	e, err := makeEngine(p, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func makeEngine(p *vit.Params, o options) (*Engine, error) {
	w, err := Pack(p, o.Precision)
	if err != nil {
		return nil, err
	}
	all := Options{Threads: o.Threads, Full: o.Full}
	if o.Scheme != nil {
		all.Schemes = []halting.Scheme{o.Scheme}
	}
	e, err := New(w, all)
	if o.Group > 0 && err == nil {
		e.limit = o.Group
	}
	return e, err
}

// run makes an engine, runs it once and closes it.
func run(t fataler, p *vit.Params, o options, images []float32) *Output {
	t.Helper()
	e := newEngine(t, p, o)
	defer e.Close()
	out := &Output{}
	if o.Full {
		out.Trace = &Trace{}
	}
	if err := e.Run(background, Batch{Images: images}, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// sameBits fails unless a and b are equal bit for bit.
func sameBits(t fataler, what string, a, b []float32) {
	t.Helper()
	if len(a) != len(b) {
		t.Fatalf("%s: %d numbers against %d", what, len(a), len(b))
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			t.Fatalf("%s[%d]: %v against %v", what, i, a[i], b[i])
		}
	}
}
