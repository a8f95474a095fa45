package infer

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/vit"
)

// schemeNames lists the schemes, and those that can have an exit with one.
func schemeNames() []string { return append(halting.Names(), "token exit", "sact exit") }

// schemeConfig returns a small model's configuration for a scheme, with constants at which tokens halt here and there.
func schemeConfig(name string, grid int) vit.Config {
	c := smallConfig(grid)
	name, exits := strings.CutSuffix(name, " exit")
	constants := map[string]any{
		"gate_scale": 2.0, "gate_center": 1.0, "threshold": 0.5, "keep": 0.6, "layers": []int{1, 3},
		"fuse": true, "merge": 2.5, "similarity": 0.6, "importance": 0.8, "rate": 0.3,
	}
	switch name {
	case "similarity":
		constants["threshold"] = 0.9
	case "act", "ponder": // the class token alone decides, and its gate is low in these models
		constants["gate_center"], constants["epsilon"] = -4.0, 0.3
	}
	if exits {
		constants["exit"] = 0.5
	}
	c.Halting = withKnown(name, constants)
	return c
}

// TestSchemesHalt: with these constants every scheme halts some tokens of a model early and not all of them, so that
// the tests that use them say something.
func TestSchemesHalt(t *testing.T) {
	for _, name := range schemeNames()[1:] {
		p := makeModel(schemeConfig(name, 5), 3, gatesMixed)
		images := drawImages(p.Config, 12, 4)
		out := run(t, p, options{Full: true}, images)
		lo, hi := slices.Min(out.Trace.Depth), slices.Max(out.Trace.Depth)
		if lo == hi || lo < 1 || int(hi) > p.Config.Layers {
			t.Errorf("%s: depths from %d to %d", name, lo, hi)
		}
		checkAgainstMasked(t, p, images)
	}
}

// TestSchemesAllocateNothing is invariant 4 for every scheme, on one thread or more, in passes of several images or
// teams on one.
func TestSchemesAllocateNothing(t *testing.T) {
	for _, name := range schemeNames() {
		p := makeModel(schemeConfig(name, 5), 3, gatesMixed)
		images := drawImages(p.Config, 4, 4)
		for _, o := range []options{
			{Group: 2}, {Full: true, Group: 4}, {Threads: 2, Group: 2}, {Threads: 6}, {Precision: Int8},
		} {
			e := newEngine(t, p, o)
			out := &Output{}
			if o.Full {
				out.Trace = &Trace{}
			}
			once := func() {
				if err := e.Run(background, Batch{Images: images}, out); err != nil {
					t.Fatal(err)
				}
			}
			for range 20 {
				once()
			}
			n := 1.0
			for try := 0; try < 3 && n != 0; try++ { // the runtime allocates now and then, an engine that does always
				n = testing.AllocsPerRun(10, once)
			}
			if n != 0 {
				t.Errorf("%s, %+v: %v allocations in a run", name, o, n)
			}
			e.Close()
		}
	}
}

// TestSchemesMeetNaN: pixels that are no numbers end no engine, and do not touch the image beside them.
func TestSchemesMeetNaN(t *testing.T) {
	for _, name := range schemeNames() {
		p := makeModel(schemeConfig(name, 4), 5, gatesMixed)
		images := drawImages(p.Config, 2, 6)
		for _, full := range []bool{false, true} {
			clean := run(t, p, options{Group: 2, Full: full}, images)
			bad := slices.Clone(images)
			for i := range len(bad) / 4 { // half of the first image
				bad[i] = float32(math.NaN())
			}
			out := run(t, p, options{Group: 2, Full: full}, bad)
			sameImage(t, &p.Config, out, 1, clean, 1)
		}
	}
}

// TestSchemesManyRows: passes of more rows than one chunk of the MLP give what single images give, for every scheme and
// precision.
func TestSchemesManyRows(t *testing.T) {
	const b = 6
	for _, name := range schemeNames()[1:] {
		p := makeModel(schemeConfig(name, 9), 3, gatesMixed)
		images := drawImages(p.Config, b, 4)
		if rows := b * p.Config.Tokens(); rows <= chunkRows {
			t.Fatalf("%d rows: the test misses its point", rows)
		}
		for _, precision := range precisions {
			single := run(t, p, options{Group: 1, Precision: precision}, images)
			sameBits(t, name, run(t, p, options{Group: b, Precision: precision}, images).Logits, single.Logits)
			full := run(t, p, options{Group: b, Full: true, Precision: precision}, images)
			sameBits(t, name+", full", full.Logits, single.Logits)
		}
	}
}

// TestLots: by lot an image's patches have the same depths in every precision and on every kernel path, those of
// another image others, and no special token halts.
func TestLots(t *testing.T) {
	c := schemeConfig("random", 7)
	c.Distillation = vit.DistillToken
	p := makeModel(c, 3, gatesMixed)
	const b = 5
	images, n := drawImages(c, b, 4), c.Tokens()
	want := run(t, p, options{}, images).Depth
	onEveryPath(t, func(t *testing.T) {
		for _, precision := range precisions {
			if got := run(t, p, options{Precision: precision}, images).Depth; !slices.Equal(got, want) {
				t.Errorf("depths in %s are %v, want %v", precision, got, want)
			}
		}
	})
	for i := range b {
		depth := want[i*n : (i+1)*n]
		if slices.Min(depth[:2]) != int32(c.Layers) {
			t.Errorf("image %d: depths %v", i, depth)
		}
		if i > 0 && slices.Equal(depth, want[:n]) {
			t.Errorf("images 0 and %d have the same depths %v", i, depth)
		}
	}
}

// TestFreezingKeepsKeys: spatial ACT and A-ViT halt the same tokens in block 1, and from then on their images differ,
// for the one has more keys.
func TestFreezingKeepsKeys(t *testing.T) {
	c := schemeConfig("sact", 4)
	frozen := makeModel(c, 5, gatesPatchHalt)
	images := drawImages(c, 2, 6)
	gone := *frozen
	gone.Config.Halting.Scheme = "token"
	a, b := run(t, frozen, options{}, images), run(t, &gone, options{}, images)
	if want := []int32{17, 1, 1, 1}; !slices.Equal(a.Active[:4], want) || !slices.Equal(b.Active[:4], want) {
		t.Fatalf("active tokens %v and %v, want %v", a.Active[:4], b.Active[:4], want)
	}
	for i := range a.Logits {
		if a.Logits[i] == b.Logits[i] {
			t.Errorf("logit %d is %v whether halted tokens stay keys or not", i, a.Logits[i])
		}
	}
	checkAgainstMasked(t, frozen, images)
}

// TestSchemeMACs counts by hand what schemes cost beyond the blocks, in the engine and in the model's nominal count.
func TestSchemeMACs(t *testing.T) {
	active := []int32{10, 6, 6, 2}
	for name, extra := range map[string]func(e, n, l int64) int64{ // l from 1
		// keys and values of frozen tokens, and attention to them
		"sact":       func(e, n, l int64) int64 { return (10 - n) * (2*e*e + 2*n*e) },
		"similarity": func(e, n, l int64) int64 { return 3 * n * e },
		"topk": func(e, n, l int64) int64 {
			if l == 1 || l == 3 {
				return n * e
			}
			return 0
		},
		"tome":       func(e, n, l int64) int64 { return n*e/2 + n/2*(n/2)*e/2 }, // heads are e/2 wide
		"ltmp":       func(e, n, l int64) int64 { return n*n*e + n*e/2 + n/2*(n/2)*e/2 },
		"confidence": func(e, n, l int64) int64 { return 4 * e },
		"act":        func(e, n, l int64) int64 { return 0 },
		"token exit": func(e, n, l int64) int64 { return 4 * e },
		"random":     func(e, n, l int64) int64 { return 0 }, // lots are no scalar products
	} {
		c := schemeConfig(name, 3) // 10 tokens
		e := int64(c.Embed)
		var want, last int64
		for l := int64(1); l <= 4; l++ {
			last = extra(e, int64(active[l-1]), l)
			if l == 4 && name != "sact" {
				last = 0 // in block L nothing is left to decide
			}
			want += last
		}
		dense := c
		dense.Halting = halting.Dense()
		if got := c.MACs(active) - dense.MACs(active); got != want {
			t.Errorf("%s: the model counts %d MACs beyond the dense rules, want %d", name, got, want)
		}
		if got := c.MACs(nil); got != dense.MACs(nil) {
			t.Errorf("%s: %d MACs when no token halts, want the dense model's %d", name, got, dense.MACs(nil))
		}
		full := newEngine(t, makeModel(c, 1, gatesMixed), options{Full: true})
		if got := full.MACs(active); got != c.MACs(active) {
			t.Errorf("%s: a full engine counts %d MACs, the model %d", name, got, c.MACs(active))
		}
		full.Close()
		if finished := []int32{10, 6, 0, 0}; name == "sact" {
			quick := newEngine(t, makeModel(c, 1, gatesMixed), options{})
			frozen := 4 * (2*e*e + 2*6*e) // of the second block; a finished image costs nothing for them
			got := quick.MACs(finished)
			for l := range quick.schemes[0].needs {
				quick.schemes[0].needs[l].Frozen = false
			}
			got -= quick.MACs(finished)
			if got != frozen {
				t.Errorf("sact, finished after two blocks: %d MACs for frozen tokens, want %d", got, frozen)
			}
			quick.Close()
		}
	}
}

// TestNeedsOfTheBatch: what a scheme wants to see is computed in the runs that it decides in, not in others.
func TestNeedsOfTheBatch(t *testing.T) {
	p := makeModel(smallConfig(4), 5, gatesMixed)
	w, err := Pack(p, F32)
	if err != nil {
		t.Fatal(err)
	}
	schemes := []halting.Scheme{halting.None{}}
	for _, exit := range []float64{0, 0.9} {
		s, err := halting.New(halting.Config{Scheme: "token"}.With("exit", exit))
		if err != nil {
			t.Fatal(err)
		}
		schemes = append(schemes, s)
	}
	e, err := New(w, Options{Schemes: schemes})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, v := range []struct {
		schemes []int
		want    halting.Needs // after block 1
	}{
		{nil, halting.Needs{}}, {[]int{0, 0, 0}, halting.Needs{}}, {[]int{1, 0, 1}, halting.Needs{Halts: true}},
		{[]int{0, 1, 2}, halting.Needs{Halts: true, Logits: true}}, {[]int{1, 1, 1}, halting.Needs{Halts: true}},
	} {
		if err := e.Run(background, Batch{Images: drawImages(p.Config, 3, 6), Scheme: v.schemes}, &Output{}); err != nil {
			t.Fatal(err)
		}
		if e.needs[0] != v.want {
			t.Errorf("schemes %v: %+v, want %+v", v.schemes, e.needs[0], v.want)
		}
	}
}
