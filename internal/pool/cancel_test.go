package pool

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/adavit/adavit/infer"
)

// counted counts how often a job's pixels are given back.
func counted(j *Job) *atomic.Int32 {
	n := &atomic.Int32{}
	j.Release = func() { n.Add(1) }
	return n
}

// TestCancelQueued: a job whose context ends while it waits leaves the queue at once, its pixels given back; the others
// of the same Run go on.
func TestCancelQueued(t *testing.T) {
	b := newBench(t, Options{Threads: 1})
	release := b.hold(1)
	ctx, cancel := context.WithCancel(t.Context())
	j, behind := b.job(1), b.job(2)
	j.Context, j.Deadline = ctx, time.Now().Add(time.Hour)
	given := counted(j)
	wait, waitBehind := b.queue(b.model, j), b.queue(b.model, behind)
	cancel()
	if err := wait(); err != nil || !errors.Is(j.Err, context.Canceled) || given.Load() != 1 || b.Waiting() != 1 {
		t.Errorf("%v, %v, pixels given back %d times, %d wait", err, j.Err, given.Load(), b.Waiting())
	}

	ctx, cancel = context.WithCancel(t.Context())
	jobs := b.jobs(3, 4) // of one Run, whose first lives on
	jobs[2].Context = ctx
	given = counted(jobs[2])
	waitJobs := b.queue(b.model, jobs...)
	cancel()
	release()
	waitJobs()
	waitBehind()
	if !errors.Is(jobs[2].Err, context.Canceled) || given.Load() != 1 {
		t.Errorf("one of several: %v, pixels given back %d times", jobs[2].Err, given.Load())
	}
	b.check(infer.F32, behind, jobs[0], jobs[1], jobs[3])
	for _, r := range b.ran() {
		for _, v := range r.values {
			if v == 1 || v == 5 {
				t.Errorf("image %v ran", v)
			}
		}
	}

	j = b.job(7) // whose context has ended before
	j.Context = ctx
	given = counted(j)
	if err := b.model.Run(j); err != nil || !errors.Is(j.Err, context.Canceled) || given.Load() != 1 {
		t.Errorf("ended before: %v, %v, pixels given back %d times", err, j.Err, given.Load())
	}
}

// TestCancelRunning: Run returns at once where the context ends in the middle of a pass, and the job is the caller's
// alone; in the pass its image costs nothing more, and its neighbour nothing at all.
func TestCancelRunning(t *testing.T) {
	for _, threads := range []int{1, 2} { // on two it is the team's
		b := newBench(t, Options{Threads: threads})
		ctx, cancel := context.WithCancel(t.Context())
		j, jobs := b.job(1), []*Job{}
		j.Context, j.Scheme, j.Value = ctx, gated, "abandoned"
		j.Pixels = slices.Clone(j.Pixels)
		given := counted(j)
		var wait, waitOthers func() error
		if threads == 1 {
			release := b.hold(1)
			jobs = b.jobs(2, 2)
			wait, waitOthers = b.queue(b.model, j), b.queue(b.model, jobs...)
			release()
		} else {
			wait, waitOthers = b.start(b.model, j), func() error { return nil }
		}
		<-b.gate.in
		cancel()
		err := wait()
		if err != nil || !errors.Is(j.Err, context.Canceled) || given.Load() != 1 || j.task != nil || len(b.ran()) > 0 {
			t.Errorf("%v, %v, pixels given back %d times, %+v", err, j.Err, given.Load(), b.ran())
		}
		*j = Job{Value: j.Pixels}
		clear(j.Value.([]float32))
		b.gate.out <- struct{}{}
		waitOthers()
		b.check(infer.F32, jobs...)
		b.until("all tasks can be used again", func() bool {
			b.Pool.mu.Lock()
			defer b.Pool.mu.Unlock()
			return len(b.free) == 1+len(jobs)+2-threads // the last: of the job that was held
		})
		all := b.ran()
		if len(all) != 1 {
			t.Fatalf("passes %+v", all)
		}
		r := all[0]
		if r.Images != len(jobs)+1 || len(r.Jobs) != len(jobs) || r.Blocks != sum(jobs)+50 || r.Shared != (threads > 1) {
			t.Errorf("the pass %+v, want %d token-blocks, 50 of the abandoned image in block 1", r, sum(jobs)+50)
		}
	}
}

// TestCancelLoading: a context that ends while the job's pixels are being copied ends the job as soon as they are, and
// not only with the pass.
func TestCancelLoading(t *testing.T) {
	b := newBench(t, Options{Threads: 1})
	ctx, cancel := context.WithCancel(t.Context())
	j, loading, loaded := b.job(1), make(chan struct{}), make(chan struct{})
	j.Context, j.Scheme = ctx, gated
	j.Release = func() { close(loading); <-loaded }
	jobs := b.jobs(2, 2) // in the same pass
	jobs[0].Scheme = gated
	release := b.hold(1)
	wait, waitOthers := b.queue(b.model, j), b.queue(b.model, jobs...)
	release()
	<-loading
	cancel()
	time.Sleep(20 * time.Millisecond) // Run sees the end of ctx
	close(loaded)
	<-b.gate.in
	if err := wait(); err != nil || !errors.Is(j.Err, context.Canceled) {
		t.Errorf("%v, %v", err, j.Err)
	}
	b.gate.out <- struct{}{}
	waitOthers()
	b.check(infer.F32, jobs...)
}

// TestPanic: a panic of the engine is an error of the pass, on one thread and in the team, and of no other.
func TestPanic(t *testing.T) {
	for _, threads := range []int{1, 3} {
		b := newBench(t, Options{Threads: threads})
		for range 3 {
			bad, good := b.job(1), b.job(2)
			bad.Scheme = faulty
			if err := b.model.Run(bad); err != nil || bad.Err == nil ||
				!strings.Contains(bad.Err.Error(), "a fault") || errors.Is(bad.Err, ErrInput) {
				t.Errorf("%v, %v, want the panic's", err, bad.Err)
			}
			b.model.Run(good)
			b.check(infer.F32, good)
			all := b.ran()
			r := all[len(all)-2]
			if !errors.Is(r.Err, bad.Err) || r.Blocks != 0 || r.Jobs[0] != bad || r.Shared != (threads > 1) {
				t.Errorf("%d threads: the pass %+v", threads, r)
			}
		}
	}
}

// TestBadJobs: what is wrong with a job is its own error, before it gets near others; its pixels are given back.
func TestBadJobs(t *testing.T) {
	b := newBench(t, Options{Threads: 1})
	rounded := b.add(infer.Int8)
	for name, c := range map[string]struct {
		m    *Model
		bad  func(*Job)
		want string
	}{
		"few pixels": {b.model, func(j *Job) { j.Pixels = j.Pixels[:5] }, "5 numbers, want an image of [1, 28, 28] = 784"},
		"no pixels":  {b.model, func(j *Job) { j.Pixels = nil }, "0 numbers"},
		"scheme":     {b.model, func(j *Job) { j.Scheme = 4 }, "scheme 4 of a model with 4"},
		"no scheme":  {b.model, func(j *Job) { j.Scheme = -1 }, "scheme -1"},
		"cap":        {b.model, func(j *Job) { j.Cap = -3 }, "a cap of -3"},
		"NaN":        {rounded, func(j *Job) { j.Pixels[9] = float32(math.NaN()) }, "pixel 9 is NaN"},
		"infinite":   {rounded, func(j *Job) { j.Pixels[783] = float32(math.Inf(1)) }, "pixel 783 is +Inf"},
	} {
		jobs := b.jobs(0, 3)
		jobs[1].Pixels = slices.Clone(jobs[1].Pixels)
		c.bad(jobs[1])
		given := counted(jobs[1])
		err := c.m.Run(jobs...)
		if bad := jobs[1].Err; err != nil || !errors.Is(bad, ErrInput) || !strings.Contains(bad.Error(), c.want) ||
			given.Load() != 1 {
			t.Errorf("%s: %v, %v, want %q; pixels given back %d times", name, err, bad, c.want, given.Load())
		}
		b.check(c.m.Precision(), jobs[0], jobs[2])
	}
	if err := b.model.Run(); err != nil {
		t.Errorf("no jobs: %v", err)
	}
}
