// Package infer is the ragged inference engine: it runs a vision transformer and takes halted tokens out of the computation.
//
// A pass works on a group of G images. Their tokens are the rows of one packed matrix X [T, E]; image i owns the rows
// first_i .. first_i+rows_i, its class token first. A block does to all rows that exist
//
//	X = X + proj(attention(norm1(X)))        one GEMM over T rows for q|k|v, attention image by image, one GEMM for proj
//	X = X + fc2(gelu(fc1(norm2(X))))         two GEMMs over T rows
//
// and then the halting scheme looks at each image's rows: o = o + p[cls,l]·t[cls,l] (the class token's mean field), and rows of halted
// tokens are taken out by moving the others up. No mask exists, so a halted token costs nothing from the next block on. (A scheme may merge rows
// before some of them go, see look.go, and may want the last values of halted tokens as keys, see frozen.go.)
//
// Three things are left out because they cannot change the logits head(norm(o)): all blocks of an image after its class token has halted;
// in block L, everything but keys and values for every token that is not the class token; and, in the block where a token halts by its gate alone, what
// fc2 would add to it beyond that. Options.Full brings all back, for those who want each token's own depth.
//
// Every number of a result is summed in an order that depends on the image alone. So results are the same, bit for bit, whatever the batch,
// the group, and the number of threads. In steady state nothing is allocated.
package infer

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/vit"
)

// Options say how an Engine runs.
type Options struct {
	Threads   int            // images run on so many cores at once; 0 means 1
	Group     int            // images that share a pass; 0 lets the engine choose
	Full      bool           // run every token to its own depth: no stop at the class token's halt, no class-only last block
	Scheme    halting.Scheme // nil: the model's own. All threads call it at once; a method Start says how many patch tokens enter block 1
	Precision Precision      // of the large products; "" means f32
	Profile   bool           // measure where the time goes (see Engine.Profile)
}

// maxThreads bounds Options.Threads: more is a slip, and each thread owns scratch memory.
const maxThreads = 1024

// starter is implemented by schemes that keep some patch tokens out of the first block.
type starter interface {
	Start(patches int) int // the patch tokens at places 1..Start run in block 1
}

// Engine runs one model. It may be used by several goroutines; their Runs take turns. Close frees its threads.
type Engine struct {
	config  vit.Config
	options Options
	weights *packed
	scheme  halting.Scheme
	start   int           // tokens that run in block 1, the class token counted: 1..N
	limit   int           // most images in a pass when the engine chooses
	gated   bool          // halted tokens go before fc2 is complete
	alone   time.Duration // workers that wait let no other goroutine through before; 0 where these may be their own fellows
	freezes bool          // halted tokens stay keys

	needs    []halting.Needs // [L] what the scheme looks at after each block
	needsAny halting.Needs   // all of that

	mu      sync.Mutex // held by Run and Close
	closed  bool
	workers []*worker // workers[0] runs in the caller's goroutine
	pending sync.WaitGroup
	next    atomic.Int64 // the next pass that nobody has taken
	broken  atomic.Pointer[any]
	job     job
}

// job is what one call of Run shares with the workers.
type job struct {
	images []float32
	out    *Output
	plan   plan

	together bool // all workers share each image (see team)
}

// New packs the weights and starts Options.Threads − 1 goroutines. The engine keeps copies: later changes to p do not reach it.
func New(p *vit.Params, o Options) (*Engine, error) {
	if p == nil {
		return nil, errors.New("infer: no model given")
	}
	if err := p.Config.Validate(); err != nil {
		return nil, fmt.Errorf("infer: %w", err)
	}
	switch {
	case len(p.Data) != p.Config.ParamCount() || len(p.Blocks) != p.Config.Layers:
		return nil, fmt.Errorf("infer: %d parameters in %d blocks do not belong to this configuration, which has %d in %d", len(p.Data), len(p.Blocks), p.Config.ParamCount(), p.Config.Layers)
	case o.Threads < 0 || o.Threads > maxThreads:
		return nil, fmt.Errorf("infer: threads is %d, want 1 to %d (0 means 1)", o.Threads, maxThreads)
	case o.Group < 0:
		return nil, fmt.Errorf("infer: group is %d, want 1 or more images (0 lets the engine choose)", o.Group)
	}
	precision, err := ParsePrecision(string(o.Precision))
	if err != nil {
		return nil, fmt.Errorf("infer: %w", err)
	}
	o.Precision = precision
	o.Threads = max(o.Threads, 1)
	e := &Engine{config: p.Config, options: o, scheme: o.Scheme, start: p.Config.Tokens()}
	if e.scheme == nil {
		s, err := halting.New(p.Config.Halting)
		if err != nil {
			return nil, fmt.Errorf("infer: %w", err)
		}
		e.scheme = s
	}
	if s, ok := e.scheme.(starter); ok {
		e.start = p.Config.Special() + min(max(s.Start(p.Config.Patches()), 0), p.Config.Patches())
	}
	e.limit = groupLimit(e.start, e.config.Embed, e.scheme)
	e.needs, e.needsAny = needs(e.scheme, p.Config.Layers)
	e.freezes = e.needsAny.Frozen
	e.gated = e.needsAny.Halts && !e.needsAny.Output && !o.Full
	e.weights = pack(p, o.Precision, !o.Full, e.freezes)
	e.launch()
	return e, nil
}

// Fork returns another engine with the same model and options, which shares the packed weights with e and has threads and memory of its own:
// the two can run at the same time. Each is closed by itself.
func (e *Engine) Fork() *Engine {
	f := &Engine{config: e.config, options: e.options, weights: e.weights, scheme: e.scheme, start: e.start, limit: e.limit, gated: e.gated, freezes: e.freezes, needs: e.needs, needsAny: e.needsAny}
	f.launch()
	return f
}

// launch makes the workers and starts those that have a goroutine of their own.
func (e *Engine) launch() {
	if e.options.Threads <= runtime.GOMAXPROCS(0) {
		e.alone = alone
	}
	for i := range e.options.Threads {
		w := &worker{engine: e, wake: make(chan struct{}, 1)}
		e.workers = append(e.workers, w)
		if i > 0 {
			go w.serve()
		}
	}
}

// Config returns the model's configuration.
func (e *Engine) Config() vit.Config { return e.config }

// Close ends the engine's goroutines. The engine cannot run afterwards; closing twice does nothing.
func (e *Engine) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	e.closed = true
	for _, w := range e.workers[1:] {
		close(w.wake)
	}
}

// Run classifies images [B, C, H, W], which must be normalised as the model wants them. It fills out, whose slices it reuses when they are
// large enough. Pixels that are not finite give logits that are not in f32, where other images of the batch do not feel it, and are an error in the
// other precisions, where rounding would hide them. A panic in any of the engine's
// goroutines, of a scheme for example, comes out of Run, where it can be recovered from; the engine can run again.
func (e *Engine) Run(images []float32, out *Output) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := &e.config
	size := c.Channels * c.Height * c.Width
	switch {
	case e.closed:
		return errors.New("infer: the engine is closed")
	case out == nil:
		return errors.New("infer: no output given")
	case len(images) == 0:
		return errors.New("infer: no images given")
	case len(images)%size != 0:
		return fmt.Errorf("infer: %d numbers are not a whole number of images of [%d, %d, %d] = %d numbers", len(images), c.Channels, c.Height, c.Width, size)
	case out.Trace != nil && !e.options.Full:
		return errors.New("infer: a trace needs an engine with Options.Full: without it tokens stop with their image's class token")
	}
	if e.options.Precision != F32 {
		for i, v := range images {
			if v-v != 0 {
				return fmt.Errorf("infer: image %d holds %v", i/size, v)
			}
		}
	}
	b := len(images) / size
	out.resize(b, c)
	e.job = job{images: images, out: out, plan: newPlan(b, e.options.Group, e.limit, e.options.Threads)}
	e.next.Store(0)
	if e.job.plan.passes < len(e.workers) && e.job.plan.largest() == 1 {
		e.runTogether()
		return nil
	}
	helpers := e.workers[1:min(e.job.plan.passes, len(e.workers))]
	e.pending.Add(len(helpers))
	for _, w := range helpers {
		w.wake <- struct{}{}
	}
	e.workers[0].work()
	e.finish()
	return nil
}

// finish waits for the helpers of a Run.
func (e *Engine) finish() {
	e.pending.Wait()
	e.job = job{} // the caller's slices are not kept
	if p := e.broken.Swap(nil); p != nil {
		panic(*p)
	}
}

// serve runs the passes of one Run each time the worker is woken, until Close.
func (w *worker) serve() {
	for w.woken() {
		if w.engine.job.together {
			w.follow(w.engine.workers[0])
		} else {
			w.work()
			w.engine.pending.Done()
		}
	}
}

// woken waits for the next Run and reports whether there is one. Where Runs follow closely on each other the goroutine is still awake for the next: a thread
// that sleeps takes some hundred microseconds to come back, which is much beside an image on many threads.
func (w *worker) woken() bool {
	for begin := time.Now(); time.Since(begin) < patience; {
		select {
		case _, ok := <-w.wake:
			return ok
		default:
		}
		if time.Since(begin) > w.engine.alone {
			runtime.Gosched()
		}
	}
	_, ok := <-w.wake
	return ok
}

// work takes passes until none is left.
func (w *worker) work() {
	e := w.engine
	defer func() {
		if p := recover(); p != nil {
			e.fail(p)
		}
	}()
	w.grow(e.job.plan.largest()) // at once, so that memory does not depend on who happens to get which pass
	for {
		i := int(e.next.Add(1)) - 1
		if i >= e.job.plan.passes {
			return
		}
		first, end := e.job.plan.bounds(i)
		w.pass(first, end)
	}
}

// fail keeps the first panic of a Run.
func (e *Engine) fail(p any) { e.broken.CompareAndSwap(nil, &p) }
