package infer

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/adavit/adavit/vit"
)

// TestTeamIsSmall: on a machine of many cores a team shares one image, and as many images as that has members are run
// side by side, with the same bits.
func TestTeamIsSmall(t *testing.T) {
	c, err := vit.Variant("micro")
	if err != nil {
		t.Fatal(err)
	}
	p := vit.Initialize(c, 1, 0)
	images := drawImages(c, MaxTeam, 1)
	alone := run(t, p, options{}, images)
	o := options{}
	o.Threads = MaxTeam + 24
	e := newEngine(t, p, o)
	defer e.Close()
	for _, n := range []int{1, MaxTeam - 1, MaxTeam} {
		var out Output
		if err := e.Run(background, Batch{Images: images[:n*c.ImageLen()]}, &out); err != nil {
			t.Fatal(err)
		}
		if want := n < MaxTeam; e.job.together != want {
			t.Errorf("%d images on %d threads: together is %t, want %t", n, o.Threads, e.job.together, want)
		}
		sameBits(t, "logits", out.Logits, alone.Logits[:n*c.Classes])
		if n > 1 {
			continue
		}
		members := 0
		for _, w := range e.workers {
			if w.scratch != nil {
				members++
			}
		}
		if members != MaxTeam {
			t.Errorf("%d workers shared an image, want %d", members, MaxTeam)
		}
	}
}

// TestTeam: an image that several workers share has the bits that one worker gives it, with depths and scores.
func TestTeam(t *testing.T) {
	onEveryPath(t, func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			p := drawModel(t)
			images := drawImages(p.Config, rapid.IntRange(1, 2).Draw(t, "images"), rapid.Uint64().Draw(t, "pixels"))
			o := options{Full: rapid.Bool().Draw(t, "full")}
			o.Precision = rapid.SampledFrom(precisions).Draw(t, "precision")
			alone := run(t, p, o, images)
			o.Threads = rapid.IntRange(3, 7).Draw(t, "threads")
			e := newEngine(t, p, o)
			defer e.Close()
			together := &Output{}
			if o.Full {
				together.Trace = &Trace{}
			}
			for range 2 { // memory is used again
				if err := e.Run(background, Batch{Images: images}, together); err != nil {
					t.Fatal(err)
				}
				sameBits(t, "logits", together.Logits, alone.Logits)
				if o.Full {
					sameBits(t, "scores", together.Trace.Score, alone.Trace.Score)
					sameBits(t, "rho", together.Trace.Rho, alone.Trace.Rho)
				}
				for i, d := range alone.Depth {
					if together.Depth[i] != d {
						t.Fatalf("token %d ran in %d blocks, alone in %d", i, together.Depth[i], d)
					}
				}
			}
		})
	})
}

// TestTake: each part of a stage is taken once, whoever asks, and nobody takes one of a stage that is over.
func TestTake(t *testing.T) {
	const members, stages, askers = 3, 300, 4
	team := &team{taken: make([]taken, members)}
	var won [members][stages + 1]atomic.Int32
	var all sync.WaitGroup
	for asker := range askers {
		all.Go(func() {
			for stage := uint32(1); stage <= stages; stage++ {
				for i := range members {
					if (asker+i+int(stage))%5 == 0 {
						continue // somebody comes to it later, or nobody
					}
					if team.take(i, stage) {
						won[i][stage].Add(1)
					}
				}
			}
		})
	}
	all.Wait()
	for i := range members {
		for stage := range won[i] {
			if n := won[i][stage].Load(); n > 1 {
				t.Errorf("part %d of stage %d was taken %d times", i, stage, n)
			}
		}
		if team.take(i, stages-1) || !team.take(i, stages+1) || team.take(i, stages+1) {
			t.Errorf("part %d: a stage that is over was taken, or the next one not once", i)
		}
	}
}

// TestTeamOfOneCore: where members do not come to their parts, the leader does them, with the same bits.
func TestTeamOfOneCore(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	c, err := vit.Variant("micro")
	if err != nil {
		t.Fatal(err)
	}
	p := vit.Initialize(c, 1, 0)
	images := drawImages(c, 1, 1)
	alone := run(t, p, options{}, images)
	o := options{}
	o.Threads = 4
	e := newEngine(t, p, o)
	defer e.Close()
	for range 20 {
		var out Output
		if err := e.Run(background, Batch{Images: images}, &out); err != nil {
			t.Fatal(err)
		}
		sameBits(t, "logits", out.Logits, alone.Logits)
	}
}
