// Package infer is the ragged inference engine: it runs a vision transformer and takes halted tokens out of the
// computation. METHOD.md (1)–(9) are its equations.
//
// A pass works on a group of G images. Their tokens are the rows of one packed matrix X [T, E]; each image owns a range
// of rows, its special tokens first. A block is a list of stages on the rows that exist, chunk by chunk, a chunk being
// some hundred rows of whole images:
//
//	queries, keys, values of norm1(X)                one product each for all rows
//	X = X + proj(attention)                          attention image by image, one product for proj
//	X = X + fc2(gelu(fc1(norm2(X))))                 two products
//	the halting scheme looks at each image's rows    mean field o = o + p[k,l]·t[k,l] of a token k that is read
//	rows of halted tokens go, the others close up
//
// No mask exists, so a halted token costs nothing from the next block on. A stage is run by one worker, or by a team
// that shares its rows where there are fewer images than threads. A scheme may merge rows before some of them go, and
// may want the last values of halted tokens as keys: such frozen rows stay in X behind the image's active ones.
//
// Three things are left out because they cannot change the logits head(norm(o)): all blocks of an image after the
// tokens that are read have halted; in block L, everything but keys and values for every other token; and, in a block
// where tokens halt by their gates alone, what fc2 would add to them beyond that. Options.Full brings all back. Where
// the patches' mean is read (pool.go), patches are such tokens, so that only the first of the three is left.
//
// Every number of a result is summed in an order that depends on the image alone, so results are the same, bit for bit,
// whatever the batch, the group, and the number of threads. In steady state nothing is allocated.
package infer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// Options say how an Engine runs.
type Options struct {
	Threads int  // images run on so many cores at once; 0 means 1
	Full    bool // run every token to its own depth, leave nothing out and stop no image before
	Fields  bool // Output.Fields is wanted
	Embed   bool // Output.Embeddings are wanted
	Profile bool // measure where the time goes (see Engine.Profile)

	// Schemes decide which tokens go on; nil: the model's own. An image picks one by Batch.Scheme. All threads call
	// them at once. Those that freeze halted tokens do not go with those that do not. A method Start(patches int) int
	// says how many patch tokens enter block 1.
	Schemes []halting.Scheme
}

// maxThreads bounds Options.Threads: more is a slip, and each thread owns scratch memory.
const maxThreads = 1024

// Engine runs one model: threads, which Close frees, and their memory. Runs of several goroutines take turns.
type Engine struct {
	weights  *Weights
	config   vit.Config
	readouts halting.Readouts
	options  Options
	schemes  []scheme
	needs    []halting.Needs // [L] what is wanted after each block in the Run that is under way
	needsAny halting.Needs   // all that one of the schemes wants after some block
	start    int             // tokens that run in block 1, special ones counted, at most
	limit    int             // most images in a pass
	alone    time.Duration   // how long a worker waits without letting other goroutines through

	turn    chan struct{} // holds something while a Run, or Close, is under way
	closed  bool
	workers []*worker // workers[0] runs in the caller's goroutine
	pending sync.WaitGroup
	next    atomic.Int64 // the next pass that nobody has taken
	broken  atomic.Pointer[any]
	job     job
}

// job is what one call of Run shares with the workers.
type job struct {
	Batch
	ctx      context.Context
	out      *Output
	plan     plan
	together bool        // workers share each image (see team)
	ended    atomic.Bool // ctx did, before some image was done
}

// New starts Options.Threads − 1 goroutines. Engines that share weights run at the same time.
func New(w *Weights, o Options) (*Engine, error) {
	switch {
	case w == nil:
		return nil, errors.New("infer: no weights given")
	case o.Threads < 0 || o.Threads > maxThreads:
		return nil, fmt.Errorf("infer: threads is %d, want 1 to %d (0 means 1)", o.Threads, maxThreads)
	}
	o.Threads = max(o.Threads, 1)
	if len(o.Schemes) == 0 {
		s, err := halting.New(w.config.Halting)
		if err != nil {
			return nil, fmt.Errorf("infer: %w", err)
		}
		o.Schemes = []halting.Scheme{s}
	}
	e := &Engine{weights: w, config: w.config, readouts: w.config.Readouts(), options: o, turn: make(chan struct{}, 1)}
	if err := e.addSchemes(); err != nil {
		return nil, err
	}
	e.limit = groupLimit(e.start, e.config.Embed, e.needsAny.Halts)
	if o.Threads <= runtime.GOMAXPROCS(0) { // else the others may be those that it waits for
		e.alone = alone
	}
	for i := range o.Threads {
		w := &worker{engine: e, wake: make(chan struct{}, 1)}
		if o.Profile {
			w.spent = make([][Activities]time.Duration, e.config.Layers+1)
		}
		e.workers = append(e.workers, w)
		if i > 0 {
			go w.serve()
		}
	}
	return e, nil
}

// Config returns the model's configuration.
func (e *Engine) Config() vit.Config { return e.config }

// PassSize returns the most images that the engine puts into one pass by itself.
func (e *Engine) PassSize() int { return e.limit }

// Weights returns the model's packed weights, for other engines.
func (e *Engine) Weights() *Weights { return e.weights }

// Close ends the engine's goroutines. The engine cannot run afterwards; closing twice does nothing.
func (e *Engine) Close() {
	e.turn <- struct{}{}
	defer e.release()
	if e.closed {
		return
	}
	e.closed = true
	for _, w := range e.workers[1:] {
		close(w.wake)
	}
}

// Bytes returns the memory that the engine's workers have grown to; that of its weights is Weights.Bytes.
func (e *Engine) Bytes() int64 {
	e.turn <- struct{}{}
	defer e.release()
	n := int64(0)
	for _, w := range e.workers {
		n += w.held + w.observation.scratch.Bytes()
		for i := range w.states {
			n += w.states[i].Bytes()
		}
	}
	return n
}

func (e *Engine) release() { <-e.turn }

// Batch is what Run is to do.
type Batch struct {
	Images []float32 // [B, C, H, W], normalised as the model wants them
	Caps   []int     // [B] most token-blocks that an image may cost, 0: any number (see halting.State.Enforce); nil: 0
	Scheme []int     // [B] index into Options.Schemes; nil: 0

	// Stop is asked for each image that goes on, before block 1 and after every block, from any goroutine; true: nobody
	// wants it any more, and it leaves the pass. nil: nobody asks.
	Stop func(image int) bool
}

// Run classifies a batch of images. It fills out, whose slices it reuses when they are large enough. When ctx ends Run
// returns its error within one block's time, or before its turn comes.
//
// Pixels that are not finite give logits that are not in F32, where other images of the batch do not feel it, and are
// an error in the other precisions, where rounding would hide them. A panic in any of the engine's goroutines, of a
// scheme for example, comes out of Run, where it can be recovered from; the engine can run again.
func (e *Engine) Run(ctx context.Context, batch Batch, out *Output) error {
	select {
	case e.turn <- struct{}{}:
	default:
		select {
		case e.turn <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer e.release()
	if err := e.check(batch, out); err != nil {
		return fmt.Errorf("infer: %w", err)
	}
	j, b := &e.job, len(batch.Images)/e.config.ImageLen()
	out.resize(b, &e.config, &e.options)
	j.Batch, j.ctx, j.out, j.plan = batch, ctx, out, newPlan(b, e.limit, e.options.Threads)
	j.together = j.plan.passes < min(len(e.workers), MaxTeam) && j.plan.largest() == 1
	j.ended.Store(false)
	e.lookAhead(batch.Scheme)
	e.next.Store(0)
	if j.together {
		e.runTogether()
	} else {
		helpers := e.workers[1:min(j.plan.passes, len(e.workers))]
		e.pending.Add(len(helpers))
		for _, w := range helpers {
			w.wake <- struct{}{}
		}
		e.workers[0].work()
	}
	e.pending.Wait()
	j.Batch, j.ctx, j.out = Batch{}, nil, nil // the caller's things are not kept
	if p := e.broken.Swap(nil); p != nil {
		panic(*p)
	}
	if j.ended.Load() {
		return ctx.Err()
	}
	return nil
}

// check returns what is wrong with a batch.
func (e *Engine) check(batch Batch, out *Output) error {
	c, size := &e.config, e.config.ImageLen()
	b := len(batch.Images) / size
	switch {
	case e.closed:
		return errors.New("the engine is closed")
	case out == nil:
		return errors.New("no output given")
	case len(batch.Images) == 0:
		return errors.New("no images given")
	case len(batch.Images)%size != 0:
		return fmt.Errorf("%d numbers are not a whole number of images of [%d, %d, %d] = %d numbers",
			len(batch.Images), c.Channels, c.Height, c.Width, size)
	case out.Trace != nil && !e.options.Full:
		return errors.New("a trace needs an engine with Options.Full, which runs every token to its own depth")
	case batch.Caps != nil && len(batch.Caps) != b || batch.Scheme != nil && len(batch.Scheme) != b:
		return fmt.Errorf("%d caps and %d schemes for %d images", len(batch.Caps), len(batch.Scheme), b)
	}
	if i := slices.IndexFunc(batch.Caps, func(n int) bool { return n < 0 }); i >= 0 {
		return fmt.Errorf("image %d may cost %d token-blocks, want 1 or more, or 0 for no cap", i, batch.Caps[i])
	}
	if i := slices.IndexFunc(batch.Scheme, func(s int) bool { return s < 0 || s >= len(e.schemes) }); i >= 0 {
		return fmt.Errorf("image %d wants scheme %d of %d", i, batch.Scheme[i], len(e.schemes))
	}
	if e.weights.precision != F32 {
		if i := kernels.FirstNotFinite(batch.Images); i >= 0 {
			return fmt.Errorf("image %d holds %v", i/size, batch.Images[i])
		}
	}
	return nil
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

// woken waits for the next Run and reports whether there is one. For a while it stays awake: a thread that sleeps takes
// some hundred microseconds to come back, which is much beside an image on many threads.
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
	take := func() int { return int(e.next.Add(1)) - 1 }
	for i := take(); i < e.job.plan.passes; i = take() {
		w.pass(e.job.plan.bounds(i))
	}
}

// fail keeps the first panic of a Run.
func (e *Engine) fail(p any) { e.broken.CompareAndSwap(nil, &p) }
