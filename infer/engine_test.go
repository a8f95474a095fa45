package infer

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/vit"
	"github.com/google/go-cmp/cmp"
)

// TestNothingAllocated is invariant 4: once memory has grown to a batch, runs allocate nothing, ragged or not, on one
// thread or more.
func TestNothingAllocated(t *testing.T) {
	p := makeModel(smallConfig(5), 3, gatesMixed)
	images := drawImages(p.Config, 7, 4)
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	stop := func(image int) bool { return image == 3 }
	batches := []Batch{
		{Images: images},
		{Images: images, Caps: []int{0, 60, 30, 0, 1, 90, 70}, Scheme: make([]int, 7), Stop: stop},
	}
	for _, o := range []options{
		{}, {Group: 3}, {Threads: 3}, {Threads: 2, Group: 2}, {Full: true}, {Full: true, Threads: 2}, {Precision: BF16},
		{Precision: Int8, Group: 3}, {Threads: 9}, {Threads: 8, Precision: Int8},
	} {
		e := newEngine(t, p, o)
		out := &Output{}
		if o.Full {
			out.Trace = &Trace{}
		}
		once := func() {
			for _, b := range batches {
				if err := e.Run(ctx, b, out); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 20 {
			once() // every worker has then had a pass of each size
		}
		if n := testing.AllocsPerRun(20, once); n != 0 {
			t.Errorf("%+v: %v allocations in a run", o, n)
		}
		e.Close()
	}
}

func TestBadOptions(t *testing.T) {
	p := makeModel(smallConfig(2), 1, gatesMixed)
	bad := *p
	bad.Config.Heads = 5
	other := *p
	other.Config.Layers++
	for name, c := range map[string]struct {
		p    *vit.Params
		o    options
		want string
	}{
		"no model":  {nil, options{}, "no model"},
		"config":    {&bad, options{}, "heads"},
		"mismatch":  {&other, options{}, "do not belong to a configuration"},
		"threads":   {p, options{Threads: -1}, "threads is -1"},
		"many":      {p, options{Threads: 1 << 20}, "threads is 1048576"},
		"precision": {p, options{Precision: "f8"}, `precision "f8"`},
	} {
		e, err := makeEngine(c.p, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v does not say %q", name, err, c.want)
		}
		if e != nil {
			t.Errorf("%s: an engine besides the error", name)
		}
	}
}

func TestBadInput(t *testing.T) {
	p := makeModel(smallConfig(2), 1, gatesMixed)
	e := newEngine(t, p, options{Threads: 2})
	images := drawImages(p.Config, 2, 1)
	for name, c := range map[string]struct {
		batch Batch
		out   *Output
		want  string
	}{
		"nothing":    {Batch{}, &Output{}, "no images"},
		"too short":  {Batch{Images: images[:len(images)-1]}, &Output{}, "[2, 6, 6] = 72 numbers"},
		"no output":  {Batch{Images: images}, nil, "no output"},
		"trace":      {Batch{Images: images}, &Output{Trace: &Trace{}}, "Options.Full"},
		"caps":       {Batch{Images: images, Caps: []int{1}}, &Output{}, "1 caps and 0 schemes for 2 images"},
		"cap":        {Batch{Images: images, Caps: []int{1, -1}}, &Output{}, "image 1 may cost -1 token-blocks"},
		"schemes":    {Batch{Images: images, Scheme: []int{0, 0, 0}}, &Output{}, "3 schemes for 2 images"},
		"scheme":     {Batch{Images: images, Scheme: []int{0, 1}}, &Output{}, "image 1 wants scheme 1 of 1"},
		"not scheme": {Batch{Images: images, Scheme: []int{-1, 0}}, &Output{}, "image 0 wants scheme -1"},
	} {
		err := e.Run(background, c.batch, c.out)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v does not say %q", name, err, c.want)
		}
	}
	if err := e.Run(background, Batch{Images: images}, &Output{}); err != nil {
		t.Errorf("a good run after bad ones: %v", err)
	}
	e.Close()
	e.Close()
	err := e.Run(background, Batch{Images: images}, &Output{})
	if err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("run after Close: %v", err)
	}
}

// TestNotFinite: pixels that are no numbers must not crash the engine, nor touch the image beside them.
func TestNotFinite(t *testing.T) {
	onEveryPath(t, func(t *testing.T) {
		p := makeModel(smallConfig(3), 5, gatesMixed)
		images := drawImages(p.Config, 2, 6)
		clean := run(t, p, options{Group: 2}, images)
		for _, v := range []float64{math.NaN(), math.Inf(1), 3e38} {
			size := len(images) / 2
			for i := range size {
				images[i] = float32(v)
			}
			for _, full := range []bool{false, true} {
				out := run(t, p, options{Group: 2, Full: full}, images)
				sameBits(t, "the other image's logits", out.Logits[p.Config.Classes:], clean.Logits[p.Config.Classes:])
				if math.IsNaN(v) && !math.IsNaN(float64(out.Logits[0])) {
					t.Errorf("an image of NaN has logit %v", out.Logits[0])
				}
			}
		}
	})
}

// TestRunsTakeTurns: callers may share an engine, each with its own output, and reuse that with batches of other sizes.
func TestRunsTakeTurns(t *testing.T) {
	p := makeModel(smallConfig(3), 5, gatesMixed)
	images := drawImages(p.Config, 6, 6)
	size := len(images) / 6
	want := run(t, p, options{}, images)
	e := newEngine(t, p, options{Threads: 3})
	defer e.Close()
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			var out Output
			for _, b := range []int{6, 1 + i, 3} {
				if err := e.Run(background, Batch{Images: images[:b*size]}, &out); err != nil {
					t.Error(err)
					return
				}
				c := &p.Config
				if len(out.Logits) != b*c.Classes || len(out.Depth) != b*c.Tokens() || len(out.Active) != b*c.Layers {
					t.Errorf("%d images: lengths %d, %d, %d", b, len(out.Logits), len(out.Depth), len(out.Active))
				}
				for j, v := range out.Logits {
					if v != want.Logits[j] {
						t.Errorf("%d images: logit %d is %v, want %v", b, j, v, want.Logits[j])
						return
					}
				}
			}
		})
	}
	group.Wait()
}

// TestSharedWeights: engines that share weights run at the same time and give the bits of one that has them alone, on
// any number of threads.
func TestSharedWeights(t *testing.T) {
	p := makeModel(smallConfig(3), 5, gatesMixed)
	images := drawImages(p.Config, 6, 6)
	for _, precision := range precisions {
		want := run(t, p, options{Precision: precision}, images)
		w, err := Pack(p, precision)
		if err != nil {
			t.Fatal(err)
		}
		if w.Precision() != precision || w.Bytes() < int64(len(p.Data)) {
			t.Errorf("%s: %d bytes of weights in %s", precision, w.Bytes(), w.Precision())
		}
		var group sync.WaitGroup
		for threads := range 3 {
			e, err := New(w, Options{Threads: threads + 1})
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range []int{6, 1} { // a team on one image where there are threads enough
				group.Go(func() {
					for range 3 {
						var out Output
						n := b * len(images) / 6
						if err := e.Run(background, Batch{Images: images[:n]}, &out); err != nil {
							t.Error(err)
							return
						}
						if !slices.Equal(out.Logits, want.Logits[:b*p.Config.Classes]) {
							t.Errorf("%d threads: logits are %v, want %v", threads+1, out.Logits, want.Logits)
						}
					}
				})
			}
			defer e.Close()
		}
		group.Wait()
	}
}

// TestOutputReused: what a run leaves in an output does not show in the next one.
func TestOutputReused(t *testing.T) {
	p := makeModel(smallConfig(4), 9, gatesMixed)
	p.Config.Halting = p.Config.Halting.With("gate_center", 0) // so that tokens halt early and leave much untouched
	images := drawImages(p.Config, 3, 6)
	few, err := halting.NewFixedShares([]float64{0.5, 0.25})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []options{{}, {Full: true}, {Scheme: few}, {Full: true, Scheme: few}} {
		want := run(t, p, o, images)
		e := newEngine(t, p, o)
		got := &Output{}
		if o.Full {
			got.Trace = &Trace{}
		}
		for range 2 {
			if err := e.Run(background, Batch{Images: images}, got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%+v: -fresh +reused\n%s", o, diff)
			}
			for _, s := range [][]int32{got.Depth, got.Active} {
				for i := range s {
					s[i] = 99
				}
			}
			if tr := got.Trace; tr != nil {
				for i := range tr.Depth {
					tr.Depth[i], tr.Rho[i] = 99, 99
				}
				for i := range tr.Score {
					tr.Score[i], tr.Active[i] = 99, 99
				}
			}
		}
		e.Close()
	}
}

// TestProfile: a benchmark's profile runs exactly the shares that it asks for, the first block included.
func TestProfile(t *testing.T) {
	c := smallConfig(4) // 16 patches
	p := makeModel(c, 5, gatesMixed)
	profile, err := halting.NewFixedShares([]float64{0.75, 0.5, 0.25, 0})
	if err != nil {
		t.Fatal(err)
	}
	for _, full := range []bool{false, true} {
		out := run(t, p, options{Scheme: profile, Full: full}, drawImages(c, 2, 1))
		for i, want := range []int32{13, 9, 5, 1, 13, 9, 5, 1} {
			if out.Active[i] != want {
				t.Errorf("full %v: active %v, want 13, 9, 5, 1 for each image", full, out.Active)
				break
			}
		}
		// The class token, then four patches to each depth; the last four never start.
		for k, want := range []int32{4, 3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0} {
			if out.Depth[k] != want {
				t.Errorf("full %v: token %d ran in %d blocks, want %d", full, k, out.Depth[k], want)
			}
		}
	}
}

// TestMACs: with every token through every block the engine's own count is the model's nominal one; the class-only
// block L costs less.
func TestMACs(t *testing.T) {
	c, err := vit.Variant("deit-small")
	if err != nil {
		t.Fatal(err)
	}
	full := newEngine(t, vit.NewParams(c), options{Full: true})
	defer full.Close()
	if got, want := full.MACs(nil), c.MACs(nil); got != want {
		t.Errorf("dense and full: %d, the model says %d", got, want)
	}
	quick := newEngine(t, vit.NewParams(c), options{})
	defer quick.Close()
	e, n := int64(c.Embed), int64(c.Tokens())
	saved := (n - 1) * (2*e*e + 2*e*int64(c.Hidden) + 2*n*e)
	if got := full.MACs(nil) - quick.MACs(nil); got != saved {
		t.Errorf("class-only block saves %d, want %d", got, saved)
	}
}

// TestPlan: passes cover the batch without gaps, stay within the group, and feed every thread where there are images
// enough.
func TestPlan(t *testing.T) {
	for b := 1; b <= 40; b++ {
		for limit := 1; limit <= 9; limit++ {
			for threads := 1; threads <= 5; threads++ {
				p := newPlan(b, limit, threads)
				at := 0
				for i := range p.passes {
					first, end := p.bounds(i)
					if first != at || end <= first || end-first > limit {
						t.Fatalf("%+v: pass %d is %d..%d after %d", p, i, first, end, at)
					}
					if end-first > p.largest() {
						t.Fatalf("%+v: pass %d has more than %d images", p, i, p.largest())
					}
					at = end
				}
				if at != b {
					t.Fatalf("%+v covers %d images of %d", p, at, b)
				}
				if p.passes < min(threads, b) {
					t.Fatalf("%+v leaves some of %d threads idle", p, threads)
				}
			}
		}
	}
}
