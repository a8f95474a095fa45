package infer

import (
	"time"
	"unsafe"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
)

// worker runs one pass at a time and owns all memory that it needs. Sizes are for G images of at most N tokens each,
// T = G·N rows in all, C rows in a chunk. Q is the number of mean fields of an image.
type worker struct {
	engine *Engine
	wake   chan struct{}
	team   team // where several workers share an image

	spent [][Activities]time.Duration // [L+1] with Options.Profile
	clock time.Time                   // when time was last booked

	held     int64           // bytes of the memory, without states' and schemes' own
	capacity int             // G that the memory is made for
	scratch  []float32       // attention's own
	first    int             // the pass's first image in the batch
	x        []float32       // [T, E] the tokens
	token    []int32         // [T] original place of each row
	at       int             // rows of x that are done with in this block: the next that goes on moves here
	slots    []slot          // the images that still run
	states   []halting.State // [G]
	field    []float32       // [G, Q, E] o, the mean fields
	read     []float32       // [G, inputs, E] what the heads look at, where that is not field itself
	sum      []float32       // [E] a part of a sum over patches
	second   []float32       // [G, classes] logits of a second head

	chunk       chunk
	observation observation
}

// slot is an image that still runs. In x it owns its tokens' rows from first on, and behind them its frozen rows.
type slot struct {
	image                 int // its place in the pass
	first, active, frozen int
	queries               int  // its query rows: so many of the active ones, from the first on
	at                    int  // where these are in chunk.x
	stopped               bool // nobody wants the image any more
}

// chunk is some whole images in the block that is running, and the memory for it.
type chunk struct {
	layer   int // the block, 1-based; 0 while patches are embedded
	block   *block
	slots   []slot
	base    int       // its first row in the worker's x
	rows    int       // all give keys and values
	queries int       // A, query rows: those that make queries too and go through all of the block
	split   bool      // halted tokens go before fc2 is complete
	apart   bool      // the query rows are copied together, for between them lie others that are none
	x       []float32 // [A, E] the query rows: gathered, or in the worker's x
	token   []int32   // [A] their original places
	read    int       // rows that are read, of a split block in which a scheme asks for logits
	going   []int     // of a split block: rows of the chunk's x, and of hidden, for which fc2 is to be completed

	score    []float32 // [C] what the scheme says of each row
	weight   []float32 // [C]
	gathered []float32 // [C, E]
	places   []int32   // [C]
	y        []float32 // [C, E] normalised tokens, then attention's output
	qkv      []float32 // [C, 3E]
	hidden   []float32 // [C, C·P·P] patches before block 1, then [C, hiddenStride] for the MLP
	rounded  operand   // [C, E] tokens, normalised or attended, in the precision of the products
	roundedH operand   // [C, C·P·P] patches, then [C, F] the MLP's hidden layer
	input    operand   // of a stage that is shared by columns
}

// chunkRows is the number of rows up to which whole images go through a block together: enough to hide the streaming of
// the weights, few enough that what lies between the products, the MLP's hidden layer above all, stays in the cache.
const chunkRows = 400

// hiddenStride returns the row stride for the MLP's hidden layer: rows that are a multiple of 4 KiB apart would all
// fall into the same few cache sets.
func hiddenStride(hidden int) int {
	if hidden%1024 == 0 {
		return hidden + 16
	}
	return hidden
}

// room returns memory for n numbers, which the worker holds from then on.
func room[T any](w *worker, n int) []T {
	s := make([]T, n)
	w.held += int64(n) * int64(unsafe.Sizeof(s[0]))
	return s
}

// growScratch makes room for what every member of a team needs.
func (w *worker) growScratch() {
	if n, d := w.engine.start, w.engine.config.HeadDim(); w.scratch == nil {
		w.scratch = room[float32](w, kernels.AttentionReducedScratch(n, d))
	}
}

// grow makes the worker's memory large enough for g images.
func (w *worker) grow(g int) {
	w.growScratch()
	if g <= w.capacity {
		return
	}
	c, p, q := &w.engine.config, w.engine.weights.precision, w.engine.readouts.Fields()
	n, e := w.engine.start, c.Embed
	rows := min(g*n, max(chunkRows, n))
	w.capacity, w.held = g, 4*int64(len(w.scratch))
	w.slots, w.states = make([]slot, 0, g), make([]halting.State, g)
	w.x, w.token = room[float32](w, g*n*e), room[int32](w, g*n)
	w.field, w.second = room[float32](w, g*q*e), room[float32](w, g*c.Classes)
	if r := w.engine.readouts; r.Pooled > 0 {
		w.read, w.sum = room[float32](w, g*r.Inputs()*e), room[float32](w, e)
	}
	w.chunk = chunk{
		going: room[int](w, rows), score: room[float32](w, rows), weight: room[float32](w, rows),
		gathered: room[float32](w, rows*e), places: room[int32](w, rows),
		y: room[float32](w, rows*e), qkv: room[float32](w, rows*3*e),
		hidden:  room[float32](w, rows*max(c.PatchLen(), hiddenStride(c.Hidden))),
		rounded: newOperand(w, p, rows, e), roundedH: newOperand(w, p, rows, max(c.PatchLen(), c.Hidden)),
	}
	w.observation.grow(w, rows)
}

// pass classifies the images first … end−1 of the job.
func (w *worker) pass(first, end int) {
	e := w.engine
	c, g := &e.config, end-first
	w.clock = time.Now()
	w.enter(first, g)
	for l := 0; l <= c.Layers && len(w.slots) > 0; l++ {
		todo := w.slots
		w.slots, w.at = w.slots[:0], 0 // what stays only ever moves up, so it is written over what was
		for len(todo) > 0 {
			todo = w.open(l, todo)
			w.runBlock()
			w.decide()
			if w.chunk.split {
				w.complete()
			}
			w.compact()
			w.spentOn(Halt)
		}
	}
	w.chunk.layer = 0
	read := w.field
	if e.readouts.Pooled > 0 {
		read = w.read
		for i := range g {
			w.pool(read, w.field, i, i)
		}
	}
	size := e.readouts.Inputs() * c.Embed
	if e.options.Fields {
		copy(e.job.out.Fields[first*size:end*size], read)
	}
	w.heads(e.job.out.Logits[first*c.Classes:end*c.Classes], w.second, read, g)
	if e.options.Embed {
		copy(e.job.out.Embeddings[first*size:end*size], read) // which the heads have normalised
	}
	w.spentOn(Head)
	if t := e.job.out.Trace; t != nil {
		w.trace(t, g)
	}
}

// enter begins a pass with the tokens of g images that start.
func (w *worker) enter(first, g int) {
	e, at := w.engine, 0
	w.first, w.slots = first, w.slots[:0]
	clear(w.field[:g*e.readouts.Fields()*e.config.Embed])
	for i := range g {
		w.states[i].Reset(e.config.Tokens())
		if e.job.Caps != nil {
			w.states[i].Cap = e.job.Caps[first+i]
		}
		start := w.scheme(i).start
		w.slots = append(w.slots, slot{image: i, first: at, active: start})
		for k := range start {
			w.token[at+k] = int32(k)
		}
		at += start
	}
}

// scheme returns the one that decides for image i of the pass.
func (w *worker) scheme(i int) *scheme {
	if s := w.engine.job.Scheme; s != nil {
		return &w.engine.schemes[s[w.first+i]]
	}
	return &w.engine.schemes[0]
}

// open makes a chunk of the first images of todo for block l, and returns the others.
func (w *worker) open(l int, todo []slot) []slot {
	c, e := &w.chunk, w.engine.config.Embed
	c.layer, c.base, c.rows, c.queries = l, todo[0].first, 0, 0
	n := 0
	for ; n < len(todo) && (n == 0 || c.rows+todo[n].active+todo[n].frozen <= chunkRows); n++ {
		s := &todo[n]
		s.at, s.queries = c.queries, s.active
		if w.engine.readsAlone(l) {
			s.queries = w.reads(w.token[s.first : s.first+s.active])
		}
		c.queries += s.queries
		c.rows += s.active + s.frozen
	}
	c.slots = todo[:n]
	c.split, c.apart = false, false
	if l > 0 {
		c.block = &w.engine.weights.blocks[l-1]
		c.split, c.apart = w.engine.split(l, w.engine.needs[l-1]), w.engine.needsAny.Frozen || c.queries < c.rows
		w.foresee()
	}
	if c.apart {
		c.x, c.token = c.gathered, c.places
		for _, s := range c.slots {
			copy(c.token[s.at:], w.token[s.first:s.first+s.queries])
		}
	} else {
		c.x, c.token = w.x[c.base*e:], w.token[c.base:]
	}
	return todo[n:]
}

// counts reports whether the token at this place counts in a mean field.
func (w *worker) counts(place int32) bool {
	_, ok := w.engine.readouts.Field(place)
	return ok
}

// reads returns how many of an image's tokens count in a mean field: the first.
func (w *worker) reads(token []int32) int {
	n := 0
	for n < len(token) && w.counts(token[n]) {
		n++
	}
	return n
}

// heads writes the logits [g, classes] of what they look at, read [g, inputs, E], which it normalises but for means of
// what is: each one's head, averaged. second is where the second head's go, if there is one.
func (w *worker) heads(logits, second, read []float32, g int) {
	c, p, r := &w.engine.config, w.engine.weights, w.engine.readouts
	e, q := c.Embed, r.Inputs()
	if c.Pooling.NormsTokens() {
		for i := range g {
			p.norm.to(read[i*q*e:], read[i*q*e:], r.Alone)
		}
	} else {
		p.norm.to(read, read, g*q)
	}
	p.heads[0].to(logits, c.Classes, operand{f32: read, stride: q * e}, g, plain)
	if len(p.heads) == 2 {
		p.heads[1].to(second, c.Classes, operand{f32: read[e:], stride: q * e}, g, plain)
		kernels.Add(logits, second[:len(logits)])
		kernels.Scale(logits, 0.5)
	}
}

// trace writes what is known of the pass's g images once all their tokens have halted.
func (w *worker) trace(t *Trace, g int) {
	n := w.engine.config.Tokens()
	for i := range g {
		s := &w.states[i]
		at := (w.first + i) * n
		for k, d := range s.Depth {
			if d != halting.NeverRan {
				t.Depth[at+k], t.Rho[at+k] = d, float32(d)+s.Remainder[k]
			}
		}
	}
}
