package pool

import (
	"context"
	"slices"
	"time"
)

// Job is an image that is to be classified, and its result. A Job can be used again, in one Run at a time: its slices
// of results are then written over if they are large enough.
type Job struct {
	// What is to be done. Run keeps none of it.
	Context  context.Context // its end ends the job, from the next block on; nil: never
	Pixels   []float32       // [C, H, W], normalised as the model wants them; not read any more once Release is called
	Release  func()          // called once, when Pixels have been copied or never will be, before Run returns; may be nil
	Scheme   int             // as in infer.Batch
	Cap      int             // most token-blocks that the image may cost, 0: any number
	Work     float64         // token-blocks that it is predicted to cost; 0: N·L, what a dense model spends
	Deadline time.Time       // the most urgent goes first; zero: after all that have one
	Value    any             // the caller's

	// What became of it. Where Err is set, the slices are void.
	Logits    []float32     // [classes]
	Embedding []float32     // [inputs·E] as infer.Output.Embeddings; with Options.Embed
	Depth     []int32       // [N] blocks that each token ran in
	Active    []int32       // [L] tokens that ran in each block
	Queued    time.Duration // from Run to the pass
	Ran       time.Duration // the whole pass
	Batch     int           // images in the pass
	Err       error         // the Context's, Plan's, one that wraps ErrInput, ErrClosed, or the engine's

	task *task // while Run has it
}

// Model returns the model that Run has the job for, nil outside of Run.
func (j *Job) Model() *Model {
	if j.task == nil {
		return nil
	}
	return j.task.model
}

// task is what the pool keeps of a job while it has it. The caller of Run may leave before the job's pass has run, so a
// worker looks at the job only where the state says that it may.
type task struct {
	ctx      context.Context
	model    *Model
	deadline time.Time // Job.Deadline as it was
	arrived  time.Time
	number   uint64 // in order of arrival
	state    state
	job      *Job          // nil: abandoned in state running
	done     chan struct{} // with room for one; the job has its result
}

// state says whose a task is. The pool's lock guards it.
type state int

const (
	waiting state = iota // the queue's
	loading              // a worker's, who copies its pixels: for a moment
	running              // in a pass; its job may leave
	ending               // a worker's, who writes its result: for a moment
)

// Run queues jobs all at once and returns when each is done, or its Context has ended: all that is the caller's is the
// caller's alone again. Each job has its own Err; Run's error is ErrClosed, which the jobs then have too.
func (m *Model) Run(jobs ...*Job) error {
	for _, j := range jobs {
		m.prepare(j)
	}
	err := m.pool.put(m, jobs)
	for _, j := range jobs {
		switch {
		case j.task != nil:
			m.pool.await(j)
		case j.Err == nil:
			j.Err = err
			j.release()
		default:
			j.release()
		}
	}
	m.pool.recycle(jobs)
	return err
}

// prepare checks a job and makes room for its result.
func (m *Model) prepare(j *Job) {
	j.Queued, j.Ran, j.Batch = 0, 0, 0
	if j.Err = m.check(j); j.Err != nil {
		return
	}
	if j.Context != nil {
		if j.Err = j.Context.Err(); j.Err != nil {
			return
		}
	}
	n, l := m.config.Tokens(), m.config.Layers
	if cap(j.Depth) < n || cap(j.Active) < l {
		both := make([]int32, n+l)
		j.Depth, j.Active = both[:n:n], both[n:]
	}
	if m.pool.options.Embed {
		size := m.config.Readouts().Inputs() * m.config.Embed
		j.Embedding = slices.Grow(j.Embedding[:0], size)[:size]
	}
	j.Logits = slices.Grow(j.Logits[:0], m.config.Classes)[:m.config.Classes]
	j.Depth, j.Active = j.Depth[:n], j.Active[:l]
}

func (j *Job) release() {
	if j.Release != nil {
		j.Release()
	}
}

// await returns when a job is done or its context has ended.
func (p *Pool) await(j *Job) {
	t := j.task
	select {
	case <-t.done:
		return
	case <-t.ctx.Done():
	}
	switch p.abandon(t) {
	case waiting:
		j.Err = j.Context.Err()
		j.release()
	case running:
		j.Err = j.Context.Err()
		j.task = nil // the worker's
	default:
		<-t.done
	}
}

// abandon takes a task out of the queue, or its job out of the pass, and returns the state that it was in. Where that
// is ending, the job is as good as done.
func (p *Pool) abandon(t *task) state {
	p.mu.Lock()
	defer p.mu.Unlock()
	for t.state == loading {
		p.moved.Wait()
	}
	switch t.state {
	case waiting:
		i, _ := slices.BinarySearchFunc(p.waiting, t, urgency)
		p.waiting = slices.Delete(p.waiting, i, i+1)
		t.model.left(1)
	case running:
		t.job = nil
	}
	return t.state
}

// left says that so many of the model's tasks are over.
func (m *Model) left(tasks int) {
	if m.pending -= tasks; m.pending == 0 && m.closed {
		m.pool.moved.Broadcast()
	}
}

// recycle keeps the tasks of jobs that are done for others.
func (p *Pool) recycle(jobs []*Job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, j := range jobs {
		if j.task != nil {
			p.reuse(j.task)
			j.task = nil
		}
	}
}

// reuse keeps a task that nobody else has any more.
func (p *Pool) reuse(t *task) {
	t.ctx, t.model, t.job = nil, nil, nil
	p.free = append(p.free, t)
}
