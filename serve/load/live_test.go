package load

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// livePool is a pool of goroutines as small as it can be: it calls the controller as internal/pool does.
type livePool struct {
	control *Controller
	workers int
	mu      sync.Mutex
	wake    *sync.Cond
	queue   []*liveJob
	closed  bool
}

type liveJob struct {
	Item
	done chan struct{} // closed when it has run, or Shed is set
}

func (p *livePool) put(j *liveJob) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k, _ := slices.BinarySearchFunc(p.queue, j, func(a, b *liveJob) int { return a.Deadline.Compare(b.Deadline) })
	p.queue = slices.Insert(p.queue, k, j)
	p.wake.Signal()
}

func (p *livePool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.wake.Broadcast()
}

// take waits for work.
func (p *livePool) take(items []*Item) (pass []*liveJob) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(pass) == 0 {
		for len(p.queue) == 0 {
			if p.closed {
				return nil
			}
			p.wake.Wait()
		}
		items = items[:0]
		for _, j := range p.queue {
			items = append(items, &j.Item)
		}
		p.control.Plan(time.Now(), items)
		p.queue = slices.DeleteFunc(p.queue, func(j *liveJob) bool {
			if j.Shed {
				close(j.done)
			}
			return j.Shed
		})
		n := min((len(p.queue)+p.workers-1)/p.workers, 8)
		pass = slices.Clone(p.queue[:n])
		p.queue = slices.Delete(p.queue, 0, n)
	}
	return pass
}

// TestLive drives a controller by goroutines with the clock of a bubble: two workers, dense images of 10 ms, twice the
// load of 0.6, and some clients that hang up. Nothing is left behind, and 99 of 100 are in time.
func TestLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control, err := New(Options{Workers: 2, Objective: 300 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		p := &livePool{control: control, workers: 2}
		p.wake = sync.NewCond(&p.mu)
		class := control.NewClass(8, 0)
		var workers, clients sync.WaitGroup
		for range p.workers {
			workers.Go(func() {
				for {
					pass := p.take(nil)
					if pass == nil {
						return
					}
					begin, seconds := time.Now(), 0.0
					var items []*Item
					for _, j := range pass {
						seconds += 0.01 * (j.Share + 0.05)
						items = append(items, &j.Item)
					}
					time.Sleep(time.Duration(seconds * 1e9))
					control.Ran(time.Now(), time.Since(begin), false, items)
					for _, j := range pass {
						close(j.done)
					}
				}
			})
		}
		r := rand.New(rand.NewPCG(8, 9))
		var mu sync.Mutex
		offered, answered, late := 0, 0, 0
		for begin := time.Now(); time.Since(begin) < 5*time.Second; {
			time.Sleep(time.Duration(r.ExpFloat64() / 240 * 1e9))
			decode, gone := time.Duration(r.Int64N(5e6)), r.IntN(20) == 0
			offered += b2i(!gone)
			clients.Go(func() {
				j := &liveJob{Item: Item{Class: class, Dense: 600, Ask: 1, Least: 0.25}, done: make(chan struct{})}
				if _, ok := control.Admit(time.Now(), 0, &j.Item); !ok {
					return
				}
				defer control.Drop(&j.Item)
				if time.Sleep(decode); gone {
					return
				}
				p.put(j)
				<-j.done
				mu.Lock()
				defer mu.Unlock()
				answered += b2i(!j.Shed)
				late += b2i(j.Shed || time.Now().After(j.Deadline))
				if f := control.Figures(time.Now()); f.P50 > f.P99 {
					t.Errorf("%+v", f)
				}
			})
		}
		clients.Wait()
		p.close()
		workers.Wait()
		f := control.Figures(time.Now())
		if answered < offered*999/1000 || late > offered/100 || f.Backlog != 0 || f.Degraded == 0 ||
			f.Answered != uint64(answered) {
			t.Errorf("%d of %d answered, %d late: %+v", answered, offered, late, f)
		}
	})
}
