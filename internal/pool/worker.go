package pool

import (
	"context"
	"fmt"
	"time"
)

// worker is one of the pool's goroutines, with its next pass.
type worker struct {
	pool   *Pool
	stop   func(image int) bool
	over   []*task // that end without a pass
	tasks  []*task // [B] of the pass
	jobs   []*Job  // those of tasks that were not abandoned
	model  *Model
	seat   *seat // nil: there is none at rest
	shared bool  // for the team
}

func newWorker(p *Pool) *worker {
	w := &worker{pool: p}
	w.stop = func(i int) bool { return w.tasks[i].ctx.Err() != nil }
	return w
}

// work runs what the pool has for one worker until it is closed.
func (w *worker) work() {
	for w.pool.take(w) {
		for _, t := range w.over {
			t.job.release()
			t.done <- struct{}{}
		}
		if len(w.tasks) > 0 {
			w.pass()
		}
		clear(w.jobs) // are the callers'
		w.over, w.tasks, w.jobs, w.model, w.seat = w.over[:0], w.tasks[:0], w.jobs[:0], nil, nil
	}
}

// pass gives the tasks their results, and tells their callers.
func (w *worker) pass() {
	p, pass := w.pool, Pass{Model: w.model, Images: len(w.tasks), Shared: w.shared}
	w.load()
	p.started(w)
	begin := time.Now()
	pass.Err = w.run()
	pass.Took = time.Since(begin)
	p.claim(w)
	for i, t := range w.tasks {
		if t.job != nil {
			w.result(i, &pass)
		}
	}
	if pass.Err == nil {
		for _, d := range w.seat.out.Depth {
			pass.Blocks += int(d)
		}
	}
	if pass.Jobs = w.jobs; p.options.Ran != nil {
		p.options.Ran(pass)
	}
	p.finished(w, w.seat.size())
	for _, t := range w.tasks {
		t.done <- struct{}{}
	}
}

// load copies the tasks' pixels and limits into the seat's batch.
func (w *worker) load() {
	if w.seat == nil {
		w.seat = &seat{}
	}
	b := &w.seat.batch
	b.Images, b.Caps, b.Scheme, b.Stop = b.Images[:0], b.Caps[:0], b.Scheme[:0], w.stop
	for _, t := range w.tasks {
		b.Images = append(b.Images, t.job.Pixels...)
		b.Caps, b.Scheme = append(b.Caps, t.job.Cap), append(b.Scheme, t.job.Scheme)
		t.job.release()
	}
}

// run runs the batch. A panic of the engine, which would end a program that cannot recover from it here, is an error;
// the engine can run again.
func (w *worker) run() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: %v", p)
		}
	}()
	s := w.seat
	if s.engine == nil {
		if s.engine, err = w.model.newEngine(w.shared); err != nil {
			return err
		}
	}
	return s.engine.Run(context.Background(), s.batch, &s.out)
}

// result writes the result of image i, whose caller waits for it.
func (w *worker) result(i int, pass *Pass) {
	t, out := w.tasks[i], &w.seat.out
	j, c := t.job, &w.model.config
	j.Ran, j.Batch = pass.Took, pass.Images
	switch n, l := c.Tokens(), c.Layers; {
	case pass.Err != nil:
		j.Err = pass.Err
	case out.Stopped[i]:
		j.Err = t.ctx.Err()
	default:
		copy(j.Logits, out.Logits[i*c.Classes:(i+1)*c.Classes])
		size := len(j.Embedding)
		copy(j.Embedding, out.Embeddings[i*size:])
		copy(j.Depth, out.Depth[i*n:(i+1)*n])
		copy(j.Active, out.Active[i*l:(i+1)*l])
	}
}
