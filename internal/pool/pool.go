// Package pool runs the images of many callers, of one model or of several, on a fixed number of threads.
//
// Images wait in one queue, the most urgent first: by deadline, then by arrival. A free worker takes the first and goes
// on with others of its model until it has its share of the work that waits, ⌈all predicted work / threads⌉, or a full
// pass; nobody waits for a pass to fill. Where fewer images wait than there are threads (or infer.MaxTeam, if that is
// less), and nobody is at work, one worker takes those of the first one's model to the model's team, whose threads
// share each image, and the others rest meanwhile.
//
// A model has its weights once, and engines for as many workers as ever ran it at the same time, made when first
// needed. An image's result has the same bits alone and in any pass, and what is wrong with one image is nobody else's
// concern; only an engine that panics costs all images of that pass their results. In steady state nothing is allocated
// for an image whose Job is used again.
package pool

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/parallel"
)

// Options say how a Pool runs. The zero value uses all CPUs and plans nothing.
type Options struct {
	Threads int // that compute, for all models together; 0 for the CPUs that the process may use

	Embed bool // Job.Embedding is wanted

	// Plan is called before each pass with all images that wait, the most urgent first; Queued says how long. It may
	// change Scheme, Cap and Work of each, and an image whose Err it sets ends with that error. The queue is locked
	// meanwhile, so Plan is quick, keeps nothing, and calls nothing that wants the lock: Run, Waiting, Busy, Bytes, Close.
	Plan func(waiting []*Job)

	// Ran is told of each pass before the callers of its images are. Several workers may call it at once.
	Ran func(Pass)
}

// Pass is a pass that has run. Its Jobs belong to their callers again once Options.Ran has returned.
type Pass struct {
	Model  *Model
	Jobs   []*Job // with their results; those that were abandoned meanwhile are left out
	Images int    // in the pass, the abandoned ones too
	Blocks int    // token-blocks that really ran
	Took   time.Duration
	Shared bool  // each image ran on all threads
	Err    error // of the engine, for all images
}

// Pool is a queue and the workers that empty it. It is safe for concurrent use.
type Pool struct {
	options Options
	threads int
	running sync.WaitGroup // workers

	mu      sync.Mutex
	wake    *sync.Cond // workers: there is something to take, or to end
	moved   *sync.Cond // callers: tasks have got into a pass, or out of it
	waiting []*task    // the most urgent first
	arrived uint64     // tasks so far
	planned []*Job     // [waiting] room for what Plan sees
	free    []*task    // for reuse
	busy    int        // workers with a pass of their own
	shared  bool       // a team is at work
	models  map[*Model]struct{}
	closed  bool
}

// ErrClosed is the error of what a pool, or a model, does not take any more.
var ErrClosed = errors.New("closed: no more images are taken")

// ErrInput is wrapped by errors about a job that cannot run: its pixels, its cap, its scheme.
var ErrInput = errors.New("bad input")

// New starts the workers.
func New(o Options) (*Pool, error) {
	n, err := parallel.Threads(o.Threads)
	if err != nil {
		return nil, err
	}
	p := &Pool{options: o, threads: n, models: map[*Model]struct{}{}}
	p.wake, p.moved = sync.NewCond(&p.mu), sync.NewCond(&p.mu)
	for range n {
		w := newWorker(p)
		p.running.Go(w.work)
	}
	return p, nil
}

// Close runs what waits, ends the workers, and closes all models. Jobs that come later fail.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.wake.Broadcast()
	p.mu.Unlock()
	p.running.Wait()
	p.mu.Lock()
	models := slices.Collect(maps.Keys(p.models))
	p.mu.Unlock()
	for _, m := range models {
		m.Close()
	}
}

// Threads returns how many threads compute.
func (p *Pool) Threads() int { return p.threads }

// Waiting returns how many images wait.
func (p *Pool) Waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)
}

// team returns how many threads share an image.
func (p *Pool) team() int { return min(p.threads, infer.MaxTeam) }

// Busy returns how many threads are at work, a team's all.
func (p *Pool) Busy() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shared {
		return p.team()
	}
	return p.busy
}
