package infer

import (
	"math"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
)

// observation is the memory that a worker needs for what schemes look at beyond the tokens that a block leaves, or do
// with them. What they need is known for each block beforehand: nothing else is computed, and other slices are nil.
type observation struct {
	previous  []float32 // [C, E] the query rows before the block
	bias      []float32 // [C] what a key's size adds to its products with the queries
	into      []int32   // [C]
	share     []float32 // [C]
	attention []float32 // [N] of one image
	received  []float32 // [N] of one image
	room      []float32 // [N]
	keys      []float32 // [N, E/H] of one image
	hidden    []float32 // [S·Q, hiddenStride] the rows that are read, of the at most S images of a chunk
	field     []float32 // [S, Q, E] their mean fields if the image ended here
	read      []float32 // [S, inputs, E] what the heads look at, where that is not field itself
	logits    []float32 // [S, classes]
	second    []float32 // [S, classes] of a second head
	scratch   halting.Scratch
	packed    kernels.Packed // a factor of Rows.Products

	answer   []float32                                         // [classes] of the image that a scheme is looking at
	ask      func() []float32                                  // returns it
	products func(dst, a, b []float32, rows, cols, length int) // w.multiply
}

// grow makes room for chunks of so many rows.
func (o *observation) grow(w *worker, rows int) {
	c, n, need := &w.engine.config, w.engine.start, w.engine.needsAny
	if need.Previous {
		o.previous = room[float32](w, rows*c.Embed)
	}
	if need.Attention || need.Received || need.Keys {
		o.attention, o.received, o.room = room[float32](w, n), room[float32](w, n), room[float32](w, n)
		o.keys = room[float32](w, n*c.HeadDim())
		o.packed.Data = room[float32](w, kernels.PackedLen(c.HeadDim(), n))
		o.products = w.multiply
	}
	if need.Logits {
		s, q := min(w.capacity, rows), w.engine.readouts.Fields()
		o.hidden, o.field = room[float32](w, s*q*hiddenStride(c.Hidden)), room[float32](w, s*q*c.Embed)
		o.logits, o.second = room[float32](w, s*c.Classes), room[float32](w, s*c.Classes)
		if r := w.engine.readouts; r.Pooled > 0 {
			o.read = room[float32](w, s*r.Inputs()*c.Embed)
		}
		o.ask = func() []float32 { return o.answer }
	}
	if need.Merges {
		o.into, o.share = room[int32](w, rows), room[float32](w, rows)
	}
	if need.Sizes {
		o.bias = room[float32](w, rows)
	}
}

// foresee keeps the tokens as they are before a block if a scheme will ask for them, and weighs keys by their sizes.
func (w *worker) foresee() {
	c, o, e := &w.chunk, &w.observation, w.engine.config.Embed
	need := w.engine.needs[c.layer-1]
	for i := range c.slots {
		s := &c.slots[i]
		if need.Previous {
			copy(o.previous[s.at*e:(s.at+s.queries)*e], w.x[s.first*e:])
		}
		if need.Sizes {
			root, size := math.Sqrt(float64(w.engine.config.HeadDim())), w.states[s.image].Size
			for r, k := range w.token[s.first : s.first+s.active+s.frozen] {
				bias := &o.bias[s.first-c.base+r]
				*bias = 0
				if v := size[k]; v != 1 {
					*bias = float32(root * math.Log(float64(v)))
				}
			}
		}
	}
}

// bias returns what attention adds to the products with an image's keys, or nil.
func (w *worker) bias(s *slot) []float32 {
	if !w.scheme(s.image).needs[w.chunk.layer-1].Sizes {
		return nil
	}
	return w.observation.bias[s.first-w.chunk.base:]
}

// observe returns what the scheme is to see of the chunk's image i after a block, and where it is to write.
func (w *worker) observe(i int) halting.Rows {
	c, o, config := &w.chunk, &w.observation, &w.engine.config
	s := &c.slots[i]
	lo, hi := s.at, s.at+s.queries
	e, n, qkv := config.Embed, s.queries, c.qkv[(s.first-c.base)*3*config.Embed:]
	r := halting.Rows{
		Layer: c.layer, Layers: config.Layers, Readouts: w.engine.readouts,
		X: c.x[lo*e:], Stride: e, Token: c.token[lo:hi], Score: c.score[lo:hi], Weight: c.weight[lo:hi],
		Scratch: &o.scratch, Products: o.products,
	}
	if c.layer == 0 {
		return r
	}
	need := w.scheme(s.image).needs[c.layer-1]
	if need.Previous {
		r.Previous = o.previous[lo*e : hi*e]
	}
	if need.Attention {
		kernels.AttentionRow(o.attention, qkv, 3*e, n, 0, config.Heads, config.HeadDim(), o.room)
		r.Attention = o.attention[:n]
	}
	if need.Received {
		kernels.AttentionReceived(o.received, qkv, 3*e, n, config.Heads, config.HeadDim(), w.bias(s), w.scratch)
		r.Received = o.received[:n]
	}
	if need.Keys {
		kernels.MeanKeys(o.keys, qkv, 3*e, n, config.Heads, config.HeadDim())
		r.Keys, r.KeyLen = o.keys, config.HeadDim()
	}
	if need.Logits {
		o.answer, r.Logits = o.logits[i*config.Classes:(i+1)*config.Classes], o.ask
	}
	if need.Merges {
		r.Into, r.Share = o.into[lo:hi], o.share[lo:hi]
	}
	return r
}

// merge applies what the scheme said of an image's rows: x'[j] = Σ share[i]·x[i] over into[i] = j.
func (w *worker) merge(s *slot) {
	c, o, e := &w.chunk, &w.observation, w.engine.config.Embed
	if !w.scheme(s.image).needs[c.layer-1].Merges {
		return
	}
	into, share, x := o.into[s.at:s.at+s.queries], o.share[s.at:], c.x[s.at*e:]
	for i, j := range into {
		if int(j) == i && share[i] != 1 {
			kernels.Scale(x[i*e:(i+1)*e], share[i])
		}
	}
	for i, j := range into {
		if int(j) != i {
			kernels.Axpy(x[int(j)*e:(int(j)+1)*e], share[i], x[i*e:(i+1)*e])
		}
	}
}

// predict makes Rows.Logits of the chunk's images: what the heads make of their tokens as they are, or as they were
// when they halted. In a split block copies of these rows go through the rest of fc2 ahead of the others.
func (w *worker) predict() {
	c, o, config, r := &w.chunk, &w.observation, &w.engine.config, w.engine.readouts
	if r.Pooled > 0 {
		w.predictPooled()
		return
	}
	e, stride := config.Embed, hiddenStride(config.Hidden)
	c.read = 0
	for i := range c.slots {
		s := &c.slots[i]
		n := w.reads(c.token[s.at : s.at+s.queries])
		copy(c.y[c.read*e:], c.x[s.at*e:(s.at+n)*e])
		if c.split {
			copy(o.hidden[c.read*stride:], c.hidden[s.at*stride:(s.at+n)*stride])
		}
		c.read += n
	}
	if c.split {
		c.input = c.roundedH.of(o.hidden, stride, c.read, config.Hidden)
		if w.team.members != nil {
			w.runColumns((*worker).restOfRead, e)
		} else {
			w.restOfRead(w, 0, e)
		}
		w.spentOn(FC2)
	}
	at, fields := 0, r.Fields()*e
	for i := range c.slots {
		s := &c.slots[i]
		field := o.field[i*fields : (i+1)*fields]
		copy(field, w.field[s.image*fields:])
		for _, k := range c.token[s.at : s.at+w.reads(c.token[s.at:s.at+s.queries])] {
			f, _ := r.Field(k)
			copy(field[f*e:(f+1)*e], c.y[at*e:])
			at++
		}
	}
	n := len(c.slots)
	w.heads(o.logits[:n*config.Classes], o.second, o.field[:n*fields], n)
	w.spentOn(Head)
}

// multiply is Rows.Products.
func (w *worker) multiply(dst, a, b []float32, rows, cols, length int) {
	kernels.PackTransposed(&w.observation.packed, b, length, length, cols)
	kernels.GemmPacked(dst, cols, a, length, rows, &w.observation.packed, kernels.Epilogue{})
}
