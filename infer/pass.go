package infer

import (
	"time"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
)

// worker runs one pass at a time and owns all memory that a pass needs. Sizes are for G images of at most N tokens each, T = G·N rows. The tokens
// k < Q are the readouts, whose mean fields the heads look at: the class token, and the distillation token where it has a head.
type worker struct {
	engine *Engine
	wake   chan struct{}

	team team // where several workers share an image

	spent [][activities]time.Duration // [L+1] with Options.Profile
	layer int                         // the block that is running, 1-based, for which time is booked; 0 outside the blocks
	clock time.Time                   // when that was last done

	capacity int             // G that the slices below are made for
	x        []float32       // [T, E] the tokens
	y        []float32       // [T, E] normalised tokens, then attention's output
	qkv      []float32       // [T, 3E]
	hidden   []float32       // [T, C·P·P] patches before block 1, then [chunk, hiddenStride] for the MLP
	scratch  []float32       // attention's own
	rounded  operand         // [T, E] tokens, normalised or attended, in the precision of the products
	roundedH operand         // [chunk, F] the MLP's hidden layer
	token    []int32         // [T] original place of each row
	scores   []float32       // [N] of one image
	weights  []float32       // [N]
	slots    []slot          // the images that still run
	states   []halting.State // [G]
	field    []float32       // [G, Q, E] o, the readouts' mean fields
	readout  []float32       // [G·Q, E] readout rows of block L
	readoutY []float32       // [G·Q, E]
	logits   []float32       // [G, classes] of the second head

	sight sight // what the scheme looks at
	ice   ice   // what the scheme has frozen

	readoutWeight []float32 // [G, Q] p[k,l] of the block that is being finished
}

// slot is an image that still runs: image is its place in the pass, its tokens are the rows first..first+rows−1.
type slot struct{ image, first, rows int }

// chunkRows is the number of rows that go through fc1 and fc2 together, so that the hidden layer between them, the widest of all, stays small.
const chunkRows = 384

// hiddenStride returns the row stride for the MLP's hidden layer: rows that are a multiple of 4 KiB apart would all fall into the same
// few cache sets.
func hiddenStride(hidden int) int {
	if hidden%1024 == 0 {
		return hidden + 16
	}
	return hidden
}

// grow makes the worker's memory large enough for g images.
func (w *worker) grow(g int) {
	if g <= w.capacity {
		return
	}
	c := &w.engine.config
	n, e := c.Tokens(), c.Embed
	t := g * w.engine.start
	w.capacity = g
	w.x = make([]float32, t*e)
	w.y = make([]float32, t*e)
	w.qkv = make([]float32, t*3*e)
	q, precision := c.Readouts().Heads, w.engine.options.Precision
	chunk := max(min(t, max(chunkRows, n)), g*q)
	w.hidden = make([]float32, max(t*c.PatchLen(), chunk*hiddenStride(c.Hidden)))
	w.rounded, w.roundedH = newOperand(precision, max(t, g*q), e), newOperand(precision, chunk, c.Hidden)
	w.scratch = make([]float32, max(kernels.AttentionScratch(w.engine.start, c.HeadDim()), kernels.AttentionReducedScratch(w.engine.start, c.HeadDim())))
	w.token = make([]int32, t)
	w.scores = make([]float32, n)
	w.weights = make([]float32, n)
	w.slots = make([]slot, 0, g)
	w.states = make([]halting.State, g)
	w.field = make([]float32, g*q*e)
	w.readout = make([]float32, g*q*e)
	w.readoutY = make([]float32, g*q*e)
	w.logits = make([]float32, g*(q-1)*c.Classes)
	w.readoutWeight = make([]float32, g*q)
	w.growSight(g)
	w.growIce(g)
}

// pass classifies the images first..end−1 of the job.
func (w *worker) pass(first, end int) {
	c := &w.engine.config
	g := end - first
	w.begin()
	w.embed(first, g)
	w.spentOn(Embed)
	clear(w.field[:g*c.Readouts().Heads*c.Embed])
	w.thaw(g)
	for l := 1; l <= c.Layers && len(w.slots) > 0; l++ {
		b := &w.engine.weights.blocks[l-1]
		w.layer = l
		w.prepare(l)
		if l == c.Layers && !w.engine.options.Full {
			w.lastBlock(b)
			w.finish(first)
			w.spentOn(Halt)
			break
		}
		switch {
		case w.team.members != nil:
			w.teamBlock(b, first, l)
		case w.engine.gated:
			w.attend(b)
			w.gatedMLP(b, first, l)
		case w.engine.freezes:
			w.attendFrozen(b)
			w.mlp(b, w.x, w.y, w.rows())
			w.stepFrozen(first, l)
			w.spentOn(Halt)
		default:
			w.attend(b)
			w.mlp(b, w.x, w.y, w.rows())
			w.step(first, l)
			w.spentOn(Halt)
		}
	}
	w.layer = 0
	w.decide(w.engine.job.out.Logits[first*c.Classes:(first+g)*c.Classes], g)
	w.spentOn(Head)
	if t := w.engine.job.out.Trace; t != nil {
		w.trace(t, first, g)
	}
}

// decide turns the mean fields of g images into logits [g, classes]: each readout's head on its normalised field, averaged.
func (w *worker) decide(logits []float32, g int) {
	w.heads(logits, w.logits, w.field, g)
}

// heads writes the logits [g, classes] of readouts [g, Q, E], which it normalises; second is where the second head's go, if there is one.
func (w *worker) heads(logits, second, readouts []float32, g int) {
	c, p := &w.engine.config, w.engine.weights
	q, e := c.Readouts().Heads, c.Embed
	p.norm.to(readouts, readouts, g*q)
	p.heads[0].to(logits, c.Classes, operand{f32: readouts, stride: q * e}, g)
	if q == 2 {
		p.heads[1].to(second, c.Classes, operand{f32: readouts[e:], stride: q * e}, g)
		kernels.Add(logits, second[:len(logits)])
		kernels.Scale(logits, 0.5)
	}
}

// rows returns the number of rows that exist.
func (w *worker) rows() int {
	last := w.slots[len(w.slots)-1]
	return last.first + last.rows
}

// attend runs the first half of a block over all rows.
func (w *worker) attend(b *block) {
	e, t := w.engine.config.Embed, w.rows()
	x := w.rounded.ofNorm(&b.norm1, w.y, w.x, t)
	w.spentOn(Norm)
	b.qkv.to(w.qkv, 3*e, x, t)
	w.spentOn(QKV)
	for _, s := range w.slots {
		w.attention(0, w.biasOf(s), w.y[s.first*e:], w.qkv[s.first*3*e:], s.rows, s.rows, w.scratch)
	}
	w.spentOn(Attention)
	b.proj.addAll(w.x, e, w.y, e, t, w.rounded)
	w.spentOn(Proj)
}

// mlp adds fc2(gelu(fc1(norm2(x)))) to x [rows, E]; y is where norm2(x) may go.
func (w *worker) mlp(b *block, x, y []float32, rows int) {
	c := &w.engine.config
	e, stride := c.Embed, hiddenStride(c.Hidden)
	for i := 0; i < rows; i += chunkRows {
		n := min(chunkRows, rows-i)
		normed := w.rounded.ofNorm(&b.norm2, y, x[i*e:], n)
		w.spentOn(Norm)
		b.fc1.gelu(w.hidden, stride, normed, n)
		w.spentOn(FC1)
		b.fc2.addAll(x[i*e:], e, w.hidden, stride, n, w.roundedH)
		w.spentOn(FC2)
	}
}

// attention lets the rows first … first+queries−1 of an image attend to its n rows of qkv [n, 3E]; out is [queries, E], bias [n] or nil.
func (w *worker) attention(first int, bias, out, qkv []float32, n, queries int, scratch []float32) {
	c := &w.engine.config
	attend := kernels.AttentionBiased
	if w.engine.options.Precision != F32 {
		attend = kernels.AttentionReducedBiased
	}
	attend(first, bias, out, c.Embed, qkv, 3*c.Embed, n, queries, c.Heads, c.HeadDim(), scratch)
}

// keys computes keys and values of the rows lo … hi−1 in the block that asks for readouts alone.
func (w *worker) keys(b *block, lo, hi int) {
	e := w.engine.config.Embed
	x := w.rounded.from(lo).ofNorm(&b.norm1, w.y[lo*e:], w.x[lo*e:], hi-lo)
	b.keyValue.to(w.qkv[lo*3*e+e:], 3*e, x, hi-lo)
}

// lastBlock runs block L for the readout rows alone, gathered in w.readout [rows, E] slot by slot; all rows give keys and values.
func (w *worker) lastBlock(b *block) {
	e, t, n := w.engine.config.Embed, w.rows()+w.ice.rows, 0
	if w.team.members != nil {
		w.share(stageKeys, b, t)
	} else {
		w.keys(b, 0, t)
	}
	for _, s := range w.slots {
		n += copy(w.readout[n*e:], w.x[s.first*e:(s.first+w.readouts(s))*e]) / e
	}
	w.spentOn(QKV)
	// w.x is not needed any more: it takes the queries.
	b.query.to(w.x, e, w.rounded.ofNorm(&b.norm1, w.readoutY, w.readout, n), n)
	n = 0
	for _, s := range w.slots {
		q := w.readouts(s)
		for i := range q {
			copy(w.qkv[(s.first+i)*3*e:][:e], w.x[(n+i)*e:])
		}
		qkv, rows := w.keysOf(s)
		w.attention(0, w.biasOf(s), w.readoutY[n*e:], qkv, rows, q, w.scratch)
		n += q
	}
	w.spentOn(Attention)
	b.proj.addAll(w.readout, e, w.readoutY, e, n, w.rounded)
	w.spentOn(Proj)
	if w.team.members != nil {
		w.teamReadouts(b, n)
	} else {
		w.mlp(b, w.readout, w.readoutY, n)
	}
}

// readouts returns how many readouts are left in a slot; they are its first rows.
func (w *worker) readouts(s slot) int {
	n, q := 0, w.engine.config.Readouts().Heads
	for n < min(q, s.rows) && int(w.token[s.first+n]) < q {
		n++
	}
	return n
}

// read reports whether all readouts of an image have halted: nothing can change its logits any more.
func (w *worker) read(image int) bool {
	return w.engine.config.Readouts().Done(w.states[image].Depth)
}
