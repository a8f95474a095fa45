package adavit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/adavit/adavit/infer"
)

// request is an image that waits for its result.
type request struct {
	ctx context.Context
	limits
	pixels []float32 // [C, H, W]; whoever runs the request gives them back

	took   time.Duration // so far
	result Result
	err    error
	done   chan struct{} // closed when result and err are there
}

// queue holds the images that wait, and decides who runs them. A worker takes its share of them for a pass of its own.
// Where there are fewer than threads and nobody is at work, one worker takes them all to the team, whose threads share
// each image, and the others rest meanwhile.
type queue struct {
	mu      sync.Mutex
	wake    *sync.Cond
	waiting []*request
	workers int
	busy    int  // workers with a pass
	shared  bool // the team is at work
	closed  bool
}

var errClosed = errors.New("the classifier is closed")

// isClosed reports whether close was called.
func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// put adds a request.
func (q *queue) put(r *request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errClosed
	}
	q.waiting = append(q.waiting, r)
	if !q.shared {
		q.wake.Signal()
	}
	return nil
}

// take waits for work and returns some of it, at most most images: for the team if shared, else for the worker itself.
// It returns nothing once the queue is closed and empty.
func (q *queue) take(most int) (requests []*request, shared bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.shared || len(q.waiting) == 0 {
		if q.closed && len(q.waiting) == 0 {
			return nil, false
		}
		q.wake.Wait()
	}
	n := len(q.waiting)
	if q.workers > 1 && n < q.workers && q.busy == 0 {
		q.shared = true
	} else {
		n = min((n+q.workers-1)/q.workers, most)
		q.busy++
	}
	requests = slices.Clone(q.waiting[:n])
	q.waiting = slices.Delete(q.waiting, 0, n)
	return requests, q.shared
}

// finished says that what take returned has run.
func (q *queue) finished(shared bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !shared {
		q.busy--
		return
	}
	q.shared = false
	q.wake.Broadcast()
}

// close lets no more requests in, and reports whether it was the first to do so.
func (q *queue) close() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := !q.closed
	q.closed = true
	q.wake.Broadcast()
	return first
}

// work runs what the queue has for one worker until it is closed.
func (c *Classifier) work(own *infer.Engine) {
	p := pass{classifier: c}
	p.batch.Stop = func(i int) bool { return p.requests[i].ctx.Err() != nil }
	for {
		requests, shared := c.queue.take(c.pass)
		if requests == nil {
			return
		}
		engine := own
		if shared {
			engine = c.team
		}
		p.run(engine, requests)
		c.queue.finished(shared)
	}
}

// pass is a worker's memory for what it gives the engine.
type pass struct {
	classifier *Classifier
	requests   []*request // [B]
	batch      infer.Batch
	out        infer.Output
}

// run gives the requests their results. Those that nobody waits for any more are left out, or leave the engine.
func (p *pass) run(engine *infer.Engine, requests []*request) {
	c, b := p.classifier, &p.batch
	p.requests, b.Images, b.Caps, b.Scheme = p.requests[:0], b.Images[:0], b.Caps[:0], b.Scheme[:0]
	for _, r := range requests {
		if err := r.ctx.Err(); err != nil {
			r.finish(Result{}, err)
		} else {
			p.requests = append(p.requests, r)
			b.Images = append(b.Images, r.pixels...)
			b.Caps, b.Scheme = append(b.Caps, r.cap), append(b.Scheme, r.scheme)
		}
		c.pixels <- r.pixels
		r.pixels = nil
	}
	if len(p.requests) == 0 {
		return
	}
	begin := time.Now()
	err := runSafely(engine, *b, &p.out)
	each := time.Since(begin) / time.Duration(len(p.requests))
	for i, r := range p.requests {
		r.took += each
		switch {
		case err != nil:
			r.finish(Result{}, err)
		case p.out.Stopped[i]:
			r.finish(Result{}, r.ctx.Err())
		default:
			result, err := newResult(&c.config, &p.out, i)
			result.Budget = r.Budget
			r.finish(result, err)
		}
	}
	clear(p.requests)
}

// finish hands a result to whoever waits for it.
func (r *request) finish(result Result, err error) {
	r.result, r.err = result, err
	close(r.done)
}

// runSafely turns a panic of the engine, which would end a program that could not recover from it here, into an error.
func runSafely(engine *infer.Engine, b infer.Batch, out *infer.Output) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: %v", p)
		}
	}()
	return engine.Run(context.Background(), b, out)
}
