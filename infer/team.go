package infer

import (
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/adavit/adavit/internal/kernels"
)

// MaxTeam is how many workers share an image at most. Of a DeiT each has a dozen rows then, and a stage takes some ten
// microseconds, of which waiting for each other is a part; more of them are better off with images of their own.
const MaxTeam = 16

// team is what workers have in common that share each image, where there are fewer than threads: worker 0 leads and
// owns the image's rows, and in every stage each member computes a part of them. Rows of a product, of a norm and of
// attention's queries do not depend on each other, so the bits are those of one worker. The leader writes the fields
// above sequence before it raises that.
//
// Nobody waits for a member that has not come to its part: the leader then does it, too. So on a machine that is busy
// with other things, where threads lose their cores for milliseconds, a team is about as fast as its leader.
type team struct {
	members []*worker // the leader first; nil in a worker that works alone
	stage   stage     // nil: no more images
	bounds  []int     // [members+1] member i's part is the rows, or columns, bounds[i] … bounds[i+1]−1

	sequence atomic.Uint32 // stages begun
	_        [64]byte      // members look at sequence while others count down
	left     atomic.Int32  // parts of the stage, but for the leader's own, that are not done
	taken    []taken       // [members]
}

// taken is the last stage whose part for a member has been taken by somebody, in a cache line of its own.
type taken struct {
	atomic.Uint32
	_ [60]byte
}

// take reports whether member i's part of a stage falls to the caller, which it does to one only. A stage that is over
// has been taken.
func (t *team) take(i int, stage uint32) bool {
	last := t.taken[i].Load()
	return last < stage && t.taken[i].CompareAndSwap(last, stage)
}

// runTogether runs the job's images one after the other on all workers, or as many as a team has.
func (e *Engine) runTogether() {
	t := &e.workers[0].team
	t.sequence.Store(0)
	t.members = e.workers[:min(len(e.workers), MaxTeam)]
	zeros(&t.bounds, len(t.members)+1)
	zeros(&t.taken, len(t.members))
	for _, m := range t.members[1:] {
		m.wake <- struct{}{}
	}
	e.workers[0].work()
	t.begin(nil)
	t.wait()
	t.members = nil
}

// begin lets the members do their parts of a stage; the last one, nil, each has to see for itself.
func (t *team) begin(s stage) {
	t.stage = s
	t.left.Store(int32(len(t.members) - 1))
	t.sequence.Add(1)
}

// wait returns when all parts are done.
func (t *team) wait() {
	t.members[0].engine.spin(func() bool { return t.left.Load() == 0 })
}

// follow does a member's part of every stage that the leader begins, but for those that it comes to too late.
func (w *worker) follow(leader *worker) {
	w.growScratch()
	spent := w.spent
	w.spent = nil // the leader books the time
	defer func() { w.spent = spent }()
	t, i := &leader.team, slices.Index(w.engine.workers, w)
	for seen := uint32(0); ; {
		w.engine.spin(func() bool { return t.sequence.Load() != seen })
		if seen = t.sequence.Load(); !t.take(i, seen) {
			continue
		}
		if t.stage == nil {
			t.left.Add(-1)
			return
		}
		w.part(leader, i)
		t.left.Add(-1)
	}
}

// run does a stage on rows 0 … n−1 of the chunk: alone, or with the team, in equal parts.
func (w *worker) run(s stage, n int) {
	if w.team.members == nil {
		s(w, w, 0, n)
		return
	}
	b := w.team.bounds
	for i := range b {
		b[i] = n * i / (len(b) - 1)
	}
	w.share(s)
}

// runColumns does a stage with the team in parts of whole panels of a product's n outputs.
func (w *worker) runColumns(s stage, n int) {
	kernels.SplitColumns(w.team.bounds, n)
	w.share(s)
}

// share begins a stage and returns when all of its parts are done.
func (w *worker) share(s stage) {
	t := &w.team
	t.begin(s)
	defer t.wait() // also where the leader's own part panics
	w.part(w, 0)
	for i := range t.members {
		w.help(i)
	}
	if w.engine.broken.Load() != nil {
		panic("a member of the team failed")
	}
}

// help has the leader do member i's part of the stage, if that has not begun.
func (w *worker) help(i int) {
	t := &w.team
	if i > 0 && t.take(i, t.sequence.Load()) {
		defer t.left.Add(-1)
		w.part(w, i)
	}
}

// part does member i's part of the stage. A panic of a member is kept for Run.
func (w *worker) part(leader *worker, i int) {
	if w != leader {
		defer func() {
			if p := recover(); p != nil {
				w.engine.fail(p)
			}
		}()
	}
	t := &leader.team
	if lo, hi := t.bounds[i], t.bounds[i+1]; lo < hi {
		t.stage(leader, w, lo, hi)
	}
}

// How long a worker keeps its core while it waits: at first without letting other goroutines through, for those may
// change places with it and find the wrong core's caches.
const (
	alone    = 100 * time.Microsecond
	patience = 200 * time.Microsecond
)

// spin waits for something that other workers bring about, usually within microseconds. If it takes long, the machine
// is busy and the core is better left to those who hold the work up.
func (e *Engine) spin(done func() bool) {
	var begin time.Time
	for i := 0; !done(); i++ {
		if i%64 != 63 {
			continue
		}
		if begin.IsZero() {
			begin = time.Now()
		}
		switch waited := time.Since(begin); {
		case waited > patience:
			time.Sleep(20 * time.Microsecond)
		case waited > e.alone:
			runtime.Gosched()
		}
	}
}
