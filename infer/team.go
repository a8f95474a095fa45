package infer

import (
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/adavit/adavit/internal/kernels"
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
	stageFC1                 // that block's MLP, by columns: there are fewer readouts than members
	stageFC2
	stageEnd // no more images
)

// team is what the leader and its members have in common. The leader writes the fields above sequence before it raises that.
type team struct {
	members []*worker // the leader first; nil in a worker that works alone
	stage   stage
	block   *block
	rows    int
	first   int     // the image's place in the batch
	bounds  []int   // [members+1] member i's part is the rows, or columns, bounds[i] … bounds[i+1]−1
	input   operand // of a stage by columns
	going   []int   // the rows that go on to the next block, where some have left

	sequence atomic.Uint32 // stages begun
	left     atomic.Int32  // members that have not finished the stage
}

// runTogether runs the job's images one after the other on all workers.
func (e *Engine) runTogether() {
	e.job.together = true
	leader, helpers := e.workers[0], e.workers[1:]
	t := &leader.team
	t.sequence.Store(0)
	t.members = e.workers
	t.bounds = slices.Grow(t.bounds[:0], len(e.workers)+1)[:len(e.workers)+1]
	t.going = slices.Grow(t.going[:0], e.start)
	for _, m := range helpers {
		m.wake <- struct{}{}
	}
	leader.work()
	t.begin(stageEnd)
	t.wait()
	t.members = nil
	e.finish()
}

// begin lets the members do their parts of a stage.
func (t *team) begin(s stage) {
	t.stage = s
	t.left.Store(int32(len(t.members) - 1))
	t.sequence.Add(1)
}

// wait returns when all members have done theirs.
func (t *team) wait() {
	t.members[0].engine.spin(func() bool { return t.left.Load() == 0 })
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
		w.engine.spin(func() bool { return t.sequence.Load() >= seen })
		if t.stage == stageEnd {
			t.left.Add(-1)
			return
		}
		w.part(leader, i)
		t.left.Add(-1)
	}
}

// share begins a stage on the leader's rows 0 … rows−1, in equal parts, and returns when all members have done theirs.
func (w *worker) share(s stage, b *block, rows int) {
	t := &w.team
	for i := range t.bounds {
		t.bounds[i] = rows * i / len(t.members)
	}
	w.shareParts(s, b, rows)
}

// shareColumns is share with parts of whole panels of a map's outputs, for the few rows of the team's input.
func (w *worker) shareColumns(s stage, b *block, l *linear, rows int) {
	kernels.SplitColumns(w.team.bounds, len(l.bias))
	w.shareParts(s, b, rows)
}

// shareParts is share with the parts that the team's bounds have.
func (w *worker) shareParts(s stage, b *block, rows int) {
	t := &w.team
	t.block, t.rows = b, rows
	t.begin(s)
	defer t.wait() // also where the leader's own part panics
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
	lo, hi := t.bounds[i], t.bounds[i+1]
	if lo == hi {
		return
	}
	switch t.stage {
	case stageEmbed:
		leader.embedPart(lo, hi)
	case stageQKV:
		e := leader.engine.config.Embed
		x := leader.rounded.from(lo).ofNorm(&t.block.norm1, leader.y[lo*e:], leader.x[lo*e:], hi-lo)
		leader.project(t.block, leader.qkv[lo*3*e:], x, hi-lo, min(hi, leader.rows())-lo)
	case stageTokens, stageGate:
		w.tokens(leader, lo, hi)
	case stageRest:
		w.rest(leader, lo, hi)
	case stageKeys:
		leader.keys(t.block, lo, hi)
	case stageFC1:
		fc1 := t.block.fc1.columns(lo, hi)
		fc1.gelu(leader.hidden[lo:], hiddenStride(leader.engine.config.Hidden), t.input, t.rows)
	case stageFC2:
		fc2 := t.block.fc2.columns(lo, hi)
		fc2.add(leader.readout[lo:], leader.engine.config.Embed, t.input, t.rows)
	}
}

// tokens takes rows of the leader from attention to the end of the block, or in stageGate as far as the gate needs it, with the hidden layer left
// in the leader's memory.
func (w *worker) tokens(leader *worker, lo, hi int) {
	c, b, n := &w.engine.config, leader.team.block, hi-lo
	e, stride := c.Embed, hiddenStride(c.Hidden)
	x, y, rounded := leader.x[lo*e:], leader.y[lo*e:], leader.rounded.from(lo)
	w.attention(lo, leader.biasOf(leader.slots[0]), y, leader.qkv, leader.team.rows+leader.ice.rows, n, w.scratch)
	b.proj.addAll(x, e, y, e, n, rounded)
	if leader.team.stage == stageTokens {
		w.mlp(b, x, y, n)
		return
	}
	hidden := leader.hidden[lo*stride:]
	b.fc1.gelu(hidden, stride, rounded.ofNorm(&b.norm2, y, x, n), n)
	b.fc2.addGate(x, e, hidden, stride, n)
}

// rest completes the rows going[lo:hi] of the leader. Where some rows have left, the others close up: the tokens on their way into the leader's y, to
// their places lo … hi−1, and the hidden layer inside the member's part of it.
func (w *worker) rest(leader *worker, lo, hi int) {
	c, t := &w.engine.config, &leader.team
	e, stride := c.Embed, hiddenStride(c.Hidden)
	to, from := leader.y, t.going[lo]
	for j, r := range t.going[lo:hi] {
		copy(to[(lo+j)*e:(lo+j+1)*e], leader.x[r*e:])
		if r != from+j {
			copy(leader.hidden[(from+j)*stride:(from+j+1)*stride], leader.hidden[r*stride:])
		}
	}
	t.block.fc2.addRest(to[lo*e:], e, leader.hidden[from*stride:], stride, hi-lo, w.roundedH)
}

// teamReadouts is mlp for the readout rows of the last block.
func (w *worker) teamReadouts(b *block, rows int) {
	c, t := &w.engine.config, &w.team
	stride := hiddenStride(c.Hidden)
	t.input = w.rounded.ofNorm(&b.norm2, w.readoutY, w.readout, rows)
	w.spentOn(Norm)
	w.shareColumns(stageFC1, b, &b.fc1, rows)
	w.spentOn(FC1)
	if b.fc2.precision != F32 {
		b.fc2.addGate(w.readout, c.Embed, w.hidden, stride, rows)
	}
	t.input = w.roundedH.of(w.hidden, stride, rows, c.Hidden)
	w.shareColumns(stageFC2, b, &b.fc2.linear, rows)
	w.spentOn(FC2)
}

// teamBlock runs block l (1-based) of the one image in w's slots on the whole team.
func (w *worker) teamBlock(b *block, first, l int) {
	s := w.slots[0]
	w.share(stageQKV, b, s.rows+w.ice.rows)
	w.spentOn(QKV)
	if !w.engine.gated {
		w.share(stageTokens, b, s.rows)
		w.spentOn(FC2)
		if w.engine.freezes {
			w.stepFrozen(first, l)
		} else {
			w.step(first, l)
		}
		w.spentOn(Halt)
		return
	}
	w.share(stageGate, b, s.rows)
	w.halt(first, l, s)
	w.spentOn(Halt)
	w.team.going = w.team.going[:0]
	for r := range s.rows {
		if w.goesOn(s.image, r) {
			w.token[len(w.team.going)] = w.token[r]
			w.team.going = append(w.team.going, r)
		}
	}
	s.rows = len(w.team.going)
	w.share(stageRest, b, s.rows)
	w.x, w.y = w.y, w.x
	w.spentOn(FC2)
	s = w.takeReadouts(s)
	w.slots = w.slots[:0]
	if w.read(s.image) {
		return // the readouts' halt ends the image
	}
	if s.first != 0 {
		e := w.engine.config.Embed
		copy(w.x, w.x[s.first*e:(s.first+s.rows)*e])
		copy(w.token, w.token[s.first:s.first+s.rows])
	}
	w.slots = append(w.slots, slot{s.image, 0, s.rows})
}

// How long a worker keeps its core while it waits: at first without letting other goroutines through, for those may change places with it and find
// the wrong core's caches.
const (
	alone    = 100 * time.Microsecond
	patience = 200 * time.Microsecond
)

// spin waits for something that other workers bring about, usually within microseconds. At first it keeps the core, after a while letting other
// goroutines through; if that takes long, the machine is busy and the core is better left to those who hold the work up.
func (e *Engine) spin(done func() bool) {
	var begin time.Time
	for i := 0; !done(); i++ {
		if i%64 != 63 {
			continue
		}
		if begin.IsZero() {
			begin = time.Now()
			continue
		}
		switch waited := time.Since(begin); {
		case waited > patience:
			time.Sleep(20 * time.Microsecond)
		case waited > e.alone:
			runtime.Gosched()
		}
	}
}
