package pool

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"
)

// urgency orders tasks: the earliest deadline first, then the first to come.
func urgency(a, b *task) int {
	x, y := a.deadline, b.deadline
	if x.IsZero() != y.IsZero() {
		if x.IsZero() {
			return 1
		}
		return -1
	}
	return cmp.Or(x.Compare(y), cmp.Compare(a.number, b.number))
}

// put queues those jobs that have no error yet.
func (p *Pool) put(m *Model, jobs []*Job) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || m.closed {
		return ErrClosed
	}
	now := time.Now()
	for _, j := range jobs {
		if j.Err != nil {
			continue
		}
		t := p.newTask()
		p.arrived++
		t.ctx, t.model, t.job, t.state = j.Context, m, j, waiting
		t.deadline, t.arrived, t.number = j.Deadline, now, p.arrived
		if t.ctx == nil {
			t.ctx = context.Background()
		}
		j.task = t
		i, _ := slices.BinarySearchFunc(p.waiting, t, urgency)
		p.waiting = slices.Insert(p.waiting, i, t)
		m.pending++
		if !p.shared {
			p.wake.Signal()
		}
	}
	return nil
}

func (p *Pool) newTask() *task {
	if n := len(p.free); n > 0 {
		t := p.free[n-1]
		p.free = p.free[:n-1]
		return t
	}
	return &task{done: make(chan struct{}, 1)}
}

// take waits for work and gives some to a worker: w.tasks, images of one model for a pass, and w.over, those that end
// without one. It returns false once the pool is closed and nothing waits.
func (p *Pool) take(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.shared || len(p.waiting) == 0 {
		if p.closed && len(p.waiting) == 0 {
			return false
		}
		p.wake.Wait()
	}
	p.drop(w, func(t *task) error { return t.ctx.Err() })
	if p.options.Plan != nil && len(p.waiting) > 0 {
		now := time.Now()
		for _, t := range p.waiting {
			t.job.Queued = now.Sub(t.arrived)
			p.planned = append(p.planned, t.job)
		}
		p.options.Plan(p.planned)
		clear(p.planned)
		p.planned = p.planned[:0]
		p.drop(w, func(t *task) error {
			if t.job.Err != nil {
				return t.job.Err
			}
			return t.model.checkLimits(t.job)
		})
	}
	if len(p.waiting) > 0 {
		p.choose(w)
	}
	return true
}

// drop takes tasks out of the queue that end with the error that fault has for them.
func (p *Pool) drop(w *worker, fault func(*task) error) {
	p.waiting = slices.DeleteFunc(p.waiting, func(t *task) bool {
		err := fault(t)
		if err != nil {
			t.job.Err, t.state = err, ending
			t.model.left(1)
			w.over = append(w.over, t)
		}
		return err != nil
	})
}

// choose takes the tasks of the next pass out of the queue.
func (p *Pool) choose(w *worker) {
	w.model = p.waiting[0].model
	share, most := math.Inf(1), len(p.waiting)
	if w.shared = p.threads > 1 && len(p.waiting) < p.team() && p.busy == 0; w.shared {
		p.shared = true
	} else {
		p.busy++
		share, most = p.share(), w.model.pass
	}
	if rest := w.model.rest(w.shared); len(*rest) > 0 {
		last := len(*rest) - 1
		w.seat, *rest = (*rest)[last], (*rest)[:last]
	}
	now, work := time.Now(), 0.0
	p.waiting = slices.DeleteFunc(p.waiting, func(t *task) bool {
		if t.model != w.model || len(w.tasks) == most || work >= share {
			return false
		}
		work += t.work()
		t.state, t.job.Queued = loading, now.Sub(t.arrived)
		w.tasks = append(w.tasks, t)
		return true
	})
}

// share returns the work that a worker takes at least, if there is so much of its model.
func (p *Pool) share() float64 {
	all := 0.0
	for _, t := range p.waiting {
		all += t.work()
	}
	return all / float64(p.threads) * (1 - 1e-12) // sums of equal works need not be equal
}

// work returns the task's predicted work in MACs, which compare across models.
func (t *task) work() float64 {
	w := t.job.Work
	if !(w > 0 && w <= math.MaxFloat64) {
		w = t.model.dense()
	}
	return w * t.model.macs
}

// started says that a worker's tasks are loaded: from now on their callers may leave.
func (p *Pool) started(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range w.tasks {
		t.state = running
	}
	p.moved.Broadcast()
}

// claim says that the pass has run, and collects the jobs whose callers have not left: now they stay for the result.
func (p *Pool) claim(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range w.tasks {
		if t.job != nil {
			t.state = ending
			w.jobs = append(w.jobs, t.job)
		}
	}
}

// finished says that a worker is through with its pass. It leaves it the tasks whose callers are to be told.
func (p *Pool) finished(w *worker, seatBytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, rest := w.model, w.model.rest(w.shared)
	m.seats += seatBytes - w.seat.bytes
	w.seat.bytes = seatBytes
	*rest = append(*rest, w.seat)
	m.left(len(w.tasks))
	w.tasks = slices.DeleteFunc(w.tasks, func(t *task) bool {
		abandoned := t.job == nil
		if abandoned {
			p.reuse(t)
		}
		return abandoned
	})
	if !w.shared {
		p.busy--
		return
	}
	p.shared = false
	p.wake.Broadcast()
}
