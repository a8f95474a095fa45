package pool

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/vit"
)

// is reads what the pool's lock guards.
func (b *bench) is(v *bool) bool {
	b.Pool.mu.Lock()
	defer b.Pool.mu.Unlock()
	return *v
}

// TestClose: what waits runs, Close returns after it, and what comes later is refused.
func TestClose(t *testing.T) {
	b := newBench(t, Options{Threads: 2})
	other := b.add(infer.F32)
	release := b.hold(2)
	jobs, more := b.jobs(0, 30), b.jobs(30, 30)
	waits := []func() error{b.queue(b.model, jobs...), b.queue(other, more...)}
	var closing sync.WaitGroup
	for range 3 {
		closing.Go(b.Close)
	}
	late := b.job(5)
	given := counted(late)
	b.until("the pool is closed", func() bool { return b.is(&b.closed) })
	if err := b.model.Run(late); err != ErrClosed || late.Err != ErrClosed || given.Load() != 1 {
		t.Errorf("late: %v, pixels given back %d times", late.Err, given.Load())
	}
	if n := b.Waiting(); n != 60 {
		t.Errorf("%d images wait, want 60", n)
	}
	release()
	release()
	closing.Wait()
	if b.Waiting() != 0 || b.Busy() != 0 || b.model.Bytes() != 0 || other.Bytes() != 0 {
		t.Errorf("closed: %d wait, %d at work, %d bytes", b.Waiting(), b.Busy(), b.model.Bytes()+other.Bytes())
	}
	for _, wait := range waits {
		if err := wait(); err != nil {
			t.Error(err)
		}
	}
	b.check(infer.F32, append(jobs, more...)...)
	if _, err := b.Add(&vit.Model{Params: b.params}, infer.F32); !errors.Is(err, ErrClosed) {
		t.Errorf("a model for a closed pool: %v", err)
	}
	other.Close()
	b.Close()
}

// TestCloseModel: a model that closes runs the jobs that it has and takes no others, which a second model does.
func TestCloseModel(t *testing.T) {
	b := newBench(t, Options{Threads: 2})
	other := b.add(infer.F32)
	empty := other.Bytes()
	release := b.hold(2)
	jobs := b.jobs(0, 10)
	wait := b.queue(other, jobs...)
	closed := make(chan struct{})
	go func() { other.Close(); close(closed) }()
	late := b.jobs(10, 2)
	given := counted(late[1])
	b.until("the model is closed", func() bool { return b.is(&other.closed) })
	if err := other.Run(late...); err != ErrClosed || late[0].Err != ErrClosed || given.Load() != 1 {
		t.Errorf("late: %v, pixels given back %d times", late[0].Err, given.Load())
	}
	select {
	case <-closed:
		t.Error("Close does not wait for jobs")
	case <-time.After(10 * time.Millisecond):
	}
	if n := other.Bytes(); n != empty || n == 0 {
		t.Errorf("%d bytes while jobs wait, %d before", n, empty)
	}
	release()
	release()
	if err := wait(); err != nil {
		t.Error(err)
	}
	<-closed
	b.check(infer.F32, jobs...)
	if n := other.Bytes(); n != 0 {
		t.Errorf("a closed model has %d bytes", n)
	}
	if other.Close(); !errors.Is(other.Run(late...), ErrClosed) {
		t.Error("closed twice, it runs")
	}
	jobs = b.jobs(0, 10)
	before := b.model.Bytes()
	if err := b.model.Run(jobs...); err != nil || before <= empty {
		t.Errorf("the other model: %v, %d bytes with engines, %d without", err, before, empty)
	}
	b.check(infer.F32, jobs...)
}
