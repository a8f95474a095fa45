package infer

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
	"pgregory.net/rapid"
)

// onThreads makes engines with 1, 2 and more threads than the batch has images, so that a team shares each.
func onThreads(t *testing.T, p *vit.Params, o Options, test func(t *testing.T, e *Engine)) {
	w, err := Pack(p, F32)
	if err != nil {
		t.Fatal(err)
	}
	for _, o.Threads = range []int{1, 2, 9} {
		e, err := New(w, o)
		if err != nil {
			t.Fatal(err)
		}
		test(t, e)
		e.Close()
	}
}

// sameImage fails unless image i of got is image j of want.
func sameImage(t fataler, c *vit.Config, got *Output, i int, want *Output, j int) {
	t.Helper()
	k, n, l := c.Classes, c.Tokens(), c.Layers
	sameBits(t, "logits", got.Logits[i*k:(i+1)*k], want.Logits[j*k:(j+1)*k])
	if !slices.Equal(got.Depth[i*n:(i+1)*n], want.Depth[j*n:(j+1)*n]) ||
		!slices.Equal(got.Active[i*l:(i+1)*l], want.Active[j*l:(j+1)*l]) || got.Stopped[i] != want.Stopped[j] {
		t.Fatalf("image %d: depth or active tokens are not those of image %d", i, j)
	}
}

// TestStop: an image that nobody wants leaves after the block in which that is said, is asked for once a block, and the
// others do not feel it.
func TestStop(t *testing.T) {
	for _, name := range schemeNames() {
		p := makeModel(schemeConfig(name, 4), 5, gatesMixed)
		c := &p.Config
		images := drawImages(*c, 4, 6)
		want := run(t, p, options{}, images)
		onThreads(t, p, Options{}, func(t *testing.T, e *Engine) {
			for after := range c.Layers { // blocks that image 2 runs
				var asked [4]atomic.Int32
				stop := func(image int) bool {
					return asked[image].Add(1) > int32(after) && image == 2
				}
				var out Output
				if err := e.Run(background, Batch{Images: images, Stop: stop}, &out); err != nil {
					t.Fatal(err)
				}
				for i := range 4 {
					if n := int(asked[i].Load()); n > c.Layers {
						t.Fatalf("%s: asked %d times for image %d", name, n, i)
					}
					if i != 2 || int(asked[2].Load()) <= after { // or it was done before
						sameImage(t, c, &out, i, want, i)
						continue
					}
					if n := c.Layers - after; !out.Stopped[2] || slices.Max(out.Active[3*c.Layers-n:3*c.Layers]) > 0 {
						t.Fatalf("%s, stopped after block %d: %v, active %v", name, after, out.Stopped, out.Active)
					}
				}
			}
		})
	}
}

// spy is a scheme that calls a function at every step.
type spy struct {
	halting.Scheme
	step func(layer int)
}

func (s spy) Step(state *halting.State, r halting.Rows) {
	s.step(r.Layer)
	s.Scheme.Step(state, r)
}

// TestCancelled: when ctx ends Run returns its error, no image having gone on beyond the block that it was in, and the
// next Run is right.
func TestCancelled(t *testing.T) {
	p := makeModel(smallConfig(4), 5, gatesNoneHalt)
	images := drawImages(p.Config, 4, 6)
	want := run(t, p, options{}, images)
	scheme, err := halting.New(p.Config.Halting)
	if err != nil {
		t.Fatal(err)
	}
	var cancel context.CancelFunc
	var at, beyond atomic.Int32
	step := func(layer int) {
		if layer == int(at.Load()) {
			cancel()
		} else if at.Load() > 0 && layer > int(at.Load()) {
			beyond.Add(1)
		}
	}
	onThreads(t, p, Options{Schemes: []halting.Scheme{spy{scheme, step}}}, func(t *testing.T, e *Engine) {
		e.limit = 2
		var out Output
		var ctx context.Context
		for l := 1; l < p.Config.Layers; l++ {
			ctx, cancel = context.WithCancel(background)
			at.Store(int32(l))
			if err := e.Run(ctx, Batch{Images: images}, &out); !errors.Is(err, context.Canceled) || beyond.Load() > 0 {
				t.Fatalf("cancelled in block %d: error %v, %d steps beyond", l, err, beyond.Load())
			}
			if err := e.Run(ctx, Batch{Images: images}, &out); !errors.Is(err, context.Canceled) {
				t.Fatalf("cancelled before: error %v", err)
			}
			at.Store(0)
			if err := e.Run(background, Batch{Images: images}, &out); err != nil {
				t.Fatal(err)
			}
			for i := range 4 {
				sameImage(t, &p.Config, &out, i, want, i)
			}
		}
		ctx, cancel = context.WithCancel(background)
		at.Store(int32(p.Config.Layers)) // too late: all is done
		if err := e.Run(ctx, Batch{Images: images[:len(images)/4]}, &out); err != nil {
			t.Fatalf("cancelled in the last block: %v", err)
		}
		at.Store(0)
	})
}

// TestCancelledInTheQueue: a Run whose turn does not come returns when its ctx ends.
func TestCancelledInTheQueue(t *testing.T) {
	p := makeModel(smallConfig(3), 5, gatesMixed)
	images := drawImages(p.Config, 1, 6)
	entered, leave := make(chan struct{}), make(chan struct{})
	e := newEngine(t, p, options{Scheme: spy{halting.None{}, func(layer int) {
		if layer == 1 {
			entered <- struct{}{}
			<-leave
		}
	}}})
	first := make(chan error)
	go func() { first <- e.Run(background, Batch{Images: images}, &Output{}) }()
	<-entered
	ctx, cancel := context.WithCancel(background)
	second := make(chan error)
	go func() { second <- e.Run(ctx, Batch{Images: images}, &Output{}) }()
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("the run that waits returns %v", err)
	}
	close(leave)
	if err := <-first; err != nil {
		t.Error(err)
	}
	e.Close()
}

// TestSeveralSchemes: in a batch whose images go by different schemes each has the bits that it has with its scheme
// alone.
func TestSeveralSchemes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawModel(t)
		c := &p.Config
		frozen := rapid.Bool().Draw(t, "frozen")
		var all []halting.Scheme
		for range rapid.IntRange(1, 3).Draw(t, "schemes") {
			name := "sact"
			if !frozen {
				names := slices.DeleteFunc(halting.Names(), func(n string) bool { return n == "sact" })
				name = rapid.SampledFrom(names).Draw(t, "scheme")
			}
			s, err := halting.New(drawConstants(t, name, c.Layers))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
		}
		b := rapid.IntRange(1, 5).Draw(t, "images")
		batch := Batch{Images: drawImages(*c, b, rapid.Uint64().Draw(t, "pixels"))}
		for range b {
			batch.Scheme = append(batch.Scheme, rapid.IntRange(0, len(all)-1).Draw(t, "index"))
		}
		w, err := Pack(p, rapid.SampledFrom(precisions).Draw(t, "precision"))
		if err != nil {
			t.Fatal(err)
		}
		var got Output
		o := Options{Threads: rapid.IntRange(1, 7).Draw(t, "threads"), Full: rapid.Bool().Draw(t, "full"), Schemes: all}
		e, err := New(w, o)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		if err := e.Run(background, batch, &got); err != nil {
			t.Fatal(err)
		}
		size := e.config.ImageLen()
		for i, s := range batch.Scheme {
			alone, err := New(w, Options{Full: o.Full, Schemes: all[s : s+1]})
			if err != nil {
				t.Fatal(err)
			}
			var want Output
			if err := alone.Run(background, Batch{Images: batch.Images[i*size : (i+1)*size]}, &want); err != nil {
				t.Fatal(err)
			}
			alone.Close()
			sameImage(t, c, &got, i, &want, 0)
		}
	})
}

// TestCaps: whatever the scheme, no image costs more than its cap (one token-block for each token that is read at
// least), with gates that are all shut above all; the logits are finite; an image without a cap, or with one that it
// does not reach, does not feel those of the others; and threads and groups change no bit.
func TestCaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawModel(t)
		c := &p.Config
		if rapid.Bool().Draw(t, "gates shut") {
			p = makeModel(*c, rapid.Uint64().Draw(t, "other weights"), gatesNoneHalt)
		}
		b, dense := rapid.IntRange(1, 6).Draw(t, "images"), c.Tokens()*c.Layers
		batch := Batch{Images: drawImages(*c, b, rapid.Uint64().Draw(t, "pixels")), Caps: make([]int, b)}
		for i := range batch.Caps {
			batch.Caps[i] = rapid.OneOf(rapid.Just(0), rapid.Just(dense), rapid.IntRange(1, dense+1)).Draw(t, "cap")
		}
		w, err := Pack(p, rapid.SampledFrom(precisions).Draw(t, "precision"))
		if err != nil {
			t.Fatal(err)
		}
		run := func(o Options, limit int, batch Batch) *Output {
			e, err := New(w, o)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			e.limit = min(e.limit, limit)
			out := &Output{}
			if o.Full {
				out.Trace = &Trace{}
			}
			if err := e.Run(background, batch, out); err != nil {
				t.Fatal(err)
			}
			return out
		}
		full := rapid.Bool().Draw(t, "full")
		one, free := run(Options{Full: full}, 1, batch), run(Options{Full: full}, 99, Batch{Images: batch.Images})
		out := run(Options{Full: full, Threads: rapid.IntRange(1, 8).Draw(t, "threads")}, 99, batch)
		for i, most := range batch.Caps {
			cost, uncapped := 0, 0
			for k := range c.Tokens() {
				cost += int(out.Depth[i*c.Tokens()+k])
				uncapped += int(free.Depth[i*c.Tokens()+k])
			}
			if most > 0 && cost > max(most, c.Readouts().Least()) {
				t.Fatalf("image %d costs %d token-blocks, its cap is %d", i, cost, most)
			}
			if most == 0 || most >= dense {
				sameImage(t, c, out, i, free, i)
			}
			sameImage(t, c, out, i, one, i)
		}
		if at := kernels.FirstNotFinite(out.Logits); at >= 0 {
			t.Fatalf("logit %d is %v", at, out.Logits[at])
		}
	})
}

// TestCapIsHalting: tokens that a cap ends after a block have halted there like any other.
func TestCapIsHalting(t *testing.T) {
	p := makeModel(schemeConfig("none", 5), 5, gatesMixed)
	n := p.Config.Tokens()
	plan := make([]int32, n)
	capped := newEngine(t, p, options{})
	planned := newEngine(t, p, options{Scheme: halting.Planned(halting.None{}, plan)})
	defer capped.Close()
	defer planned.Close()
	var got, want Output
	batch := Batch{Images: drawImages(p.Config, 1, 6), Caps: []int{n * p.Config.Layers * 6 / 10}}
	if err := capped.Run(background, batch, &got); err != nil {
		t.Fatal(err)
	}
	copy(plan, got.Depth)
	if slices.Min(plan) < 1 || slices.Min(plan) == slices.Max(plan) {
		t.Fatalf("depths %v: the test misses its point", plan)
	}
	if err := planned.Run(background, Batch{Images: batch.Images}, &want); err != nil {
		t.Fatal(err)
	}
	sameImage(t, &p.Config, &got, 0, &want, 0)
}
