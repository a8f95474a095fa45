package infer

import (
	"runtime"
	"sync/atomic"
	"time"
)

// With fewer images than threads, all workers share each image: worker 0 leads and owns the image's rows, and in every stage each member computes
// a part of them. Rows of a product, of a norm and of attention's queries do not depend on each other, so the bits are those of one worker. A
// block has two or three stages, with the scheme's decision, which one thread makes, before the last.

// stage is a piece of work that members do on their own rows.
type stage int

const (
	stageEmbed  stage = iota // patch embedding
	stageQKV                 // norm1 and q, k, v
	stageTokens              // attention, proj, MLP: all of the block's second half
	stageGate                // attention, proj, fc1, and the gate's share of fc2
	stageRest                // what stageGate left out, for the tokens that go on
	stageKeys                // keys and values of the block that asks for readouts alone
	stageEnd                 // no more images
)

// team is what the leader and its members have in common. The leader writes the fields above sequence before it raises that.
type team struct {
	members []*worker // the leader first; nil in a worker that works alone
	stage   stage
	block   *block
	rows    int
	first   int // the image's place in the batch

	sequence atomic.Uint32 // stages begun
	left     atomic.Int32  // members that have not finished the stage
}

// runTogether runs the job's images one after the other on all workers.
func (e *Engine) runTogether() {
	e.job.together = true
	leader, helpers := e.workers[0], e.workers[1:]
	e.pending.Add(len(helpers))
	leader.team.sequence.Store(0)
	leader.team.members = e.workers
	for _, m := range helpers {
		m.wake <- struct{}{}
	}
	leader.work()
	leader.team.stage = stageEnd
	leader.team.sequence.Add(1)
	leader.team.members = nil
	e.finish()
}

// follow does a member's part of every stage that the leader begins.
func (w *worker) follow(leader *worker) {
	w.grow(1)
	spent := w.spent
	w.spent = nil // the leader books the time
	defer func() { w.spent = spent }()
	t := &leader.team
	i := 1
	for w.engine.workers[i] != w {
		i++
	}
	for seen := uint32(1); ; seen++ {
		spin(func() bool { return t.sequence.Load() >= seen })
		if t.stage == stageEnd {
			return
		}
		w.part(leader, i)
		t.left.Add(-1)
	}
}

// share begins a stage on the leader's rows 0 … rows−1 and returns when all members have done their part.
func (w *worker) share(s stage, b *block, rows int) {
	t := &w.team
	t.stage, t.block, t.rows = s, b, rows
	t.left.Store(int32(len(t.members) - 1))
	t.sequence.Add(1)
	defer spin(func() bool { return t.left.Load() == 0 }) // also where the leader's own part panics
	w.part(w, 0)
	if w.engine.broken.Load() != nil {
		panic("a member of the team failed")
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
	n := len(t.members)
	lo, hi := t.rows*i/n, t.rows*(i+1)/n
	if lo == hi {
		w.kept = 0
		return
	}
	switch t.stage {
	case stageEmbed:
		leader.embedPart(lo, hi)
	case stageQKV:
		e := leader.engine.config.Embed
		x := leader.rounded.from(lo).ofNorm(&t.block.norm1, leader.y[lo*e:], leader.x[lo*e:], hi-lo)
		t.block.qkv.to(leader.qkv[lo*3*e:], 3*e, x, hi-lo)
	case stageTokens, stageGate:
		w.tokens(leader, lo, hi)
	case stageRest:
		w.rest(leader, lo, hi)
	case stageKeys:
		leader.keys(t.block, lo, hi)
	}
}

// tokens takes rows of the leader from attention to the end of the block, or in stageGate as far as the gate needs it. The hidden layer is the
// member's own.
func (w *worker) tokens(leader *worker, lo, hi int) {
	c, b, n := &w.engine.config, leader.team.block, hi-lo
	e, stride := c.Embed, hiddenStride(c.Hidden)
	x, y, rounded := leader.x[lo*e:], leader.y[lo*e:], leader.rounded.from(lo)
	w.attention(lo, leader.biasOf(leader.slots[0]), y, leader.qkv, leader.team.rows, n, w.scratch)
	b.proj.addAll(x, e, y, e, n, rounded)
	if leader.team.stage == stageTokens {
		w.mlp(b, x, y, n)
		return
	}
	b.fc1.gelu(w.hidden, stride, rounded.ofNorm(&b.norm2, y, x, n), n)
	b.fc2.addGate(x, e, w.hidden, stride, n)
}

// rest keeps those of the leader's rows that go on, at the beginning of the member's part, and completes them.
func (w *worker) rest(leader *worker, lo, hi int) {
	c := &w.engine.config
	w.kept = leader.compact(w.hidden, leader.slots[0].image, lo, hi, lo, lo, lo) - lo
	leader.team.block.fc2.addRest(leader.x[lo*c.Embed:], c.Embed, w.hidden, hiddenStride(c.Hidden), w.kept, w.roundedH)
}

// teamBlock runs block l (1-based) of the one image in w's slots on the whole team.
func (w *worker) teamBlock(b *block, first, l int) {
	s := w.slots[0]
	w.share(stageQKV, b, s.rows)
	w.spentOn(QKV)
	if !w.engine.gated {
		w.share(stageTokens, b, s.rows)
		w.spentOn(FC2)
		w.step(first, l)
		w.spentOn(Halt)
		return
	}
	w.share(stageGate, b, s.rows)
	w.spentOn(FC1)
	w.halt(first, l, s)
	w.spentOn(Halt)
	w.share(stageRest, b, s.rows)
	w.spentOn(FC2)
	e, n, at := w.engine.config.Embed, len(w.team.members), 0
	for i, m := range w.team.members { // the parts close up
		lo := s.rows * i / n
		copy(w.x[at*e:], w.x[lo*e:(lo+m.kept)*e])
		copy(w.token[at:], w.token[lo:lo+m.kept])
		at += m.kept
	}
	s = w.takeReadouts(slot{s.image, 0, at})
	w.slots = w.slots[:0]
	if w.read(s.image) {
		return // the readouts' halt ends the image
	}
	if s.first != 0 {
		copy(w.x, w.x[s.first*e:(s.first+s.rows)*e])
		copy(w.token, w.token[s.first:s.first+s.rows])
	}
	w.slots = append(w.slots, slot{s.image, 0, s.rows})
}

// spin waits for something that other threads bring about, usually within microseconds. At first it keeps the core, letting other goroutines
// through; if that takes long, the machine is busy and the core is better left to those who hold the work up.
func spin(done func() bool) {
	const patience = 200 * time.Microsecond
	var begin time.Time
	for i := 0; !done(); i++ {
		if i%64 != 63 {
			continue
		}
		runtime.Gosched()
		if begin.IsZero() {
			begin = time.Now()
		} else if time.Since(begin) > patience {
			time.Sleep(20 * time.Microsecond)
		}
	}
}
