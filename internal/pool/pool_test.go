package pool

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/vit"
)

// TestBits: results have the bits of an engine alone, in every precision, on any number of threads, beside images with
// other schemes and caps, and in jobs that are used again.
func TestBits(t *testing.T) {
	for _, threads := range []int{1, 2, 5} {
		b := newBench(t, Options{Threads: threads})
		for _, precision := range []infer.Precision{infer.F32, infer.BF16, infer.Int8} {
			m := b.add(precision)
			jobs := b.jobs(0, 40)
			for i, j := range jobs {
				j.Scheme, j.Cap = []int{plain, plain, late}[i%3], []int{0, 100, 0, 7}[i%4]
			}
			for range 2 {
				if err := m.Run(jobs...); err != nil {
					t.Fatal(err)
				}
				b.check(precision, jobs...)
			}
			logits := &jobs[3].Logits[0]
			m.Run(jobs[3])
			b.check(precision, jobs[3])
			if logits != &jobs[3].Logits[0] {
				t.Error("a job that is used again has new memory")
			}
		}
	}
}

// TestNotFinite: in f32 an image that is not finite is nobody else's concern, and no error.
func TestNotFinite(t *testing.T) {
	b := newBench(t, Options{Threads: 1})
	jobs := b.jobs(0, 3)
	jobs[1].Pixels = make([]float32, 784)
	jobs[1].Pixels[0] = float32(math.NaN())
	b.model.Run(jobs...)
	b.check(infer.F32, jobs[0], jobs[2])
	if x := float64(jobs[1].Logits[0]); jobs[1].Err != nil || !math.IsNaN(x) {
		t.Errorf("logit %v, %v", x, jobs[1].Err)
	}
}

// TestNothingAllocated: once its memory has grown, the pool allocates nothing for jobs that are used again, with Plan
// and Ran, contexts, deadlines and pixels to give back, on one thread and on several.
func TestNothingAllocated(t *testing.T) {
	var planned, ran atomic.Int64
	o := Options{
		Plan: func(waiting []*Job) { planned.Add(int64(len(waiting))) },
		Ran:  func(p Pass) { ran.Add(int64(len(p.Jobs))) },
	}
	for _, threads := range []int{1, 2} {
		o.Threads = threads
		b := newBench(t, o)
		b.grow()
		planned.Store(0)
		ran.Store(0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		ctx.Done() // is made when first asked for
		var released atomic.Int64
		release := func() { released.Add(1) }
		for _, n := range []int{1, 30} {
			jobs := b.jobs(0, n)
			for i, j := range jobs {
				j.Context, j.Release, j.Cap = ctx, release, i%2*100
				j.Deadline = time.Now().Add(time.Duration(i%5) * time.Hour)
			}
			run := func() {
				if err := b.model.Run(jobs...); err != nil {
					t.Fatal(err)
				}
			}
			run() // each job has its memory then
			run()
			if a := testing.AllocsPerRun(20, run); a != 0 {
				t.Errorf("%d jobs on %d threads: %v allocations", n, threads, a)
			}
			for _, j := range jobs {
				if j.Err != nil {
					t.Error(j.Err)
				}
			}
		}
		if planned.Load() < ran.Load() || ran.Load() != released.Load() {
			t.Errorf("%d images planned, %d ran, %d pixels given back", planned.Load(), ran.Load(), released.Load())
		}
	}
}

// TestStress has many callers run jobs of two models whose contexts end, whose engines panic, which Plan refuses, while
// models come and go. A job is its caller's alone when Run returns, whatever became of it: the race detector sees to
// that. Nothing is left over.
func TestStress(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	refused := errors.New("refused")
	b := newBench(t, Options{Threads: 3, Plan: func(waiting []*Job) {
		for _, j := range waiting {
			if j.Value.(int)%13 == 5 {
				j.Err = refused
			}
		}
	}})
	models := []*Model{b.model, b.add(infer.BF16)}
	var want [50]*infer.Output
	for i := range want {
		want[i] = b.want(b.job(i), infer.F32)
	}
	const callers, rounds, most = 12, 40, 6
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(caller), 1))
			jobs := make([]*Job, most)
			var released [most]atomic.Int32
			for i := range jobs {
				jobs[i] = &Job{Pixels: make([]float32, 784), Release: func() { released[i].Add(1) }}
			}
			for range rounds {
				ctx, cancel := context.WithCancel(t.Context())
				some := jobs[:1+r.IntN(most)]
				for i, j := range some {
					n := r.IntN(50)
					copy(j.Pixels, b.pixels[n])
					j.Value, j.Context, j.Scheme = n, t.Context(), plain
					j.Work, j.Deadline = r.Float64()*200, time.Now().Add(time.Duration(r.IntN(1000))*time.Microsecond)
					if r.IntN(3) == 0 {
						j.Context = ctx
					}
					if r.IntN(10) == 0 {
						j.Scheme = faulty
					}
					released[i].Store(0)
				}
				time.AfterFunc(time.Duration(r.IntN(3000))*time.Microsecond, cancel)
				at := r.IntN(2)
				if err := models[at].Run(some...); err != nil {
					t.Error(err)
				}
				for i, j := range some {
					if n := released[i].Load(); n != 1 {
						t.Errorf("pixels given back %d times", n)
					}
					if j.Err == nil && at == 0 {
						for k, v := range want[j.Value.(int)].Logits {
							if j.Logits[k] != v {
								t.Errorf("image %v: other bits", j.Value)
								break
							}
						}
					}
					if errors.Is(j.Err, refused) != (j.Value.(int)%13 == 5) && !errors.Is(j.Err, context.Canceled) {
						t.Errorf("image %v: %v", j.Value, j.Err)
					}
					clear(j.Pixels) // would be a race if anybody read them still
					clear(j.Logits)
					clear(j.Depth)
				}
				cancel()
			}
		})
	}
	wg.Go(func() { // models come and go
		for i := range 20 {
			m := b.add(infer.F32)
			j := b.job(i - i%13)
			wait := b.start(m, j)
			for range i % 3 {
				time.Sleep(time.Millisecond)
			}
			m.Close()
			wait()
			if j.Err == nil {
				b.check(infer.F32, j)
			} else if !errors.Is(j.Err, ErrClosed) {
				t.Error(j.Err)
			}
			if n := m.Bytes(); n != 0 {
				t.Errorf("a closed model has %d bytes", n)
			}
		}
	})
	wg.Wait()
	b.until("nobody is at work", func() bool { return b.Busy() == 0 })
	b.Pool.mu.Lock()
	for _, m := range models {
		bytes := int64(0)
		for _, s := range append(m.alone, m.team...) {
			bytes += s.size()
		}
		if len(m.alone) > 3 || len(m.team) > 1 || m.pending != 0 || m.seats != bytes {
			t.Errorf("%d engines and %d teams, %d tasks, %d bytes of %d", len(m.alone), len(m.team), m.pending, m.seats,
				bytes)
		}
	}
	if len(b.waiting) > 0 || len(b.models) != 2 || len(b.free) > callers*most+20 {
		t.Errorf("%d tasks wait, %d models, %d tasks to be used again", len(b.waiting), len(b.models), len(b.free))
	}
	b.Pool.mu.Unlock()
	b.Close()
	b.until("all goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
}

// TestAdd: a model that is none, and threads that are none.
func TestAdd(t *testing.T) {
	if _, err := New(Options{Threads: -1}); !errors.Is(err, usage.Err) {
		t.Errorf("−1 threads: %v", err)
	}
	p, err := New(Options{})
	if err != nil || p.Threads() != runtime.GOMAXPROCS(0) {
		t.Fatalf("%v, %d threads", err, p.Threads())
	}
	defer p.Close()
	if _, err := p.Add(nil, infer.F32); err == nil {
		t.Error("no model: no error")
	}
	m := &vit.Model{Params: parameters(t)}
	if _, err := p.Add(m, "f8"); !errors.Is(err, usage.Err) {
		t.Errorf("precision f8: %v", err)
	}
	m.Precision = "int8"
	added, err := p.Add(m, infer.Auto)
	if err != nil {
		t.Fatal(err)
	}
	c := added.Config()
	if added.Precision() != infer.Int8 || added.PassSize() < 2 || c.Layers != 3 || added.Bytes() <= 0 {
		t.Errorf("%s, %d images, %d blocks, %d bytes", added.Precision(), added.PassSize(), c.Layers, added.Bytes())
	}
}
