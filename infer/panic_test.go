package infer

import (
	"sync/atomic"
	"testing"

	"github.com/adavit/adavit/halting"
)

// faulty is a scheme that panics once, in its call number left.
type faulty struct {
	halting.Scheme
	left *atomic.Int64
}

func (f faulty) Step(s *halting.State, r halting.Rows) {
	if f.left.Add(-1) == 0 {
		panic("a fault")
	}
	f.Scheme.Step(s, r)
}

// TestPanicComesOut: a panic in any of the engine's goroutines comes out of Run, and the next Run is right.
func TestPanicComesOut(t *testing.T) {
	p := makeModel(smallConfig(3), 5, gatesMixed)
	images := drawImages(p.Config, 6, 6)
	scheme, err := halting.New(p.Config.Halting)
	if err != nil {
		t.Fatal(err)
	}
	want := run(t, p, options{Group: 1, Full: true}, images)
	for _, threads := range []int{1, 2, 4, 8} { // with 8, more than images, they share each image
		left := &atomic.Int64{}
		e := newEngine(t, p, options{Threads: threads, Group: 1, Full: true, Scheme: faulty{scheme, left}})
		defer e.Close()
		out := &Output{Trace: &Trace{}}
		for call := 1; call <= 6*p.Config.Layers; call++ {
			left.Store(int64(call))
			got := func() (got any) {
				defer func() { got = recover() }()
				return e.Run(background, Batch{Images: images}, out)
			}()
			if got != nil && got != "a fault" {
				t.Fatalf("%d threads, call %d: Run panicked with %v", threads, call, got)
			}
			if got == nil && left.Load() <= 0 {
				t.Fatalf("%d threads: the panic in call %d was lost", threads, call)
			}
			left.Store(0)
			if err := e.Run(background, Batch{Images: images}, out); err != nil {
				t.Fatal(err)
			}
			sameBits(t, "logits after a panic", out.Logits, want.Logits)
		}
	}
}
