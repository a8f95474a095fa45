package infer

import "github.com/adavit/adavit/internal/kernels"

// stage is a piece of a block, or the embedding: what it does to the rows (or columns) lo … hi−1 of w's chunk needs no
// other's result, so that the members of a team can share them. m is the worker that runs it: w itself, or a member
// that lends its thread and its scratch.
type stage func(w, m *worker, lo, hi int)

// runBlock does everything in a block but what follows from the scheme's decision.
func (w *worker) runBlock() {
	c := &w.chunk
	if c.layer == 0 {
		w.run((*worker).embed, c.queries)
		w.spentOn(Embed)
		return
	}
	w.run((*worker).project, c.rows)
	if c.split || c.queries > len(w.team.members) {
		w.run((*worker).attend, c.queries)
		return
	}
	w.mix(w, 0, c.queries)
	w.columns()
}

// embed makes tokens as block 1 takes them:
//
//	special token k  special token + position[k], k = 0..S−1
//	patch token k    W·pixels + b + position[k], k = S..N−1
func (w *worker) embed(m *worker, lo, hi int) {
	c, config, p := &w.chunk, &w.engine.config, w.engine.weights
	e, pixels, size, special := config.Embed, config.PatchLen(), config.ImageLen(), config.Special()
	for i := range c.slots {
		s := &c.slots[i]
		from, to := s.within(lo, hi)
		if from >= to {
			continue
		}
		first := min(max(from, s.at+special), to) // patch
		copy(c.x[from*e:first*e], p.special[min(from-s.at, special)*e:])
		copy(c.x[first*e:to*e], p.position[(first-s.at)*e:])
		image, parts := w.engine.job.Images[(w.first+s.image)*size:][:size], partsOf(to-first, pixels)
		for i := range parts {
			a, b := first+(to-first)*i/parts, first+(to-first)*(i+1)/parts
			patches := c.hidden[first*pixels : (first+b-a)*pixels]
			config.CutPatches(a-s.at-special, patches, image)
			rounded := p.patch.round(c.x[a*e:], e, patches, pixels, b-a, c.roundedH.from(a), false)
			p.patch.to(c.x[a*e:], e, rounded, b-a, add)
		}
	}
}

// within returns those of the slot's rows in the chunk's x that are among lo … hi−1: from … to−1.
func (s *slot) within(lo, hi int) (from, to int) { return max(lo, s.at), min(hi, s.at+s.queries) }

// project makes keys and values of the chunk's rows lo … hi−1, and queries of its query rows.
func (w *worker) project(m *worker, lo, hi int) {
	c, e := &w.chunk, w.engine.config.Embed
	x := c.rounded.from(lo).ofNorm(&c.block.norm1, c.y[lo*e:], w.x[(c.base+lo)*e:], hi-lo)
	m.spentOn(Norm)
	c.block.keyValue.to(c.qkv[lo*3*e+e:], 3*e, x, hi-lo, plain)
	if c.queries == c.rows {
		c.block.query.to(c.qkv[lo*3*e:], 3*e, x, hi-lo, plain)
	} else {
		for i := range c.slots {
			s := &c.slots[i]
			from := max(lo, s.first-c.base)
			if to := min(hi, s.first-c.base+s.queries); from < to {
				c.block.query.to(c.qkv[from*3*e:], 3*e, x.from(from-lo), to-from, plain)
			}
		}
	}
	m.spentOn(QKV)
}

// attend takes the query rows lo … hi−1 from attention to the end of the block, in a split block as far as the gate
// needs it; the hidden layer is then left for what goes on.
func (w *worker) attend(m *worker, lo, hi int) {
	w.mix(m, lo, hi)
	c, e, stride := &w.chunk, w.engine.config.Embed, hiddenStride(w.engine.config.Hidden)
	hidden, activation, parts := c.hidden[lo*stride:], gelu, partsOf(hi-lo, stride)
	if c.split {
		parts = 1
	} else if w.engine.weights.precision != F32 {
		activation = plain // the rounding does it
	}
	for i := range parts {
		from := lo + (hi-lo)*i/parts
		x, n := c.x[from*e:], lo+(hi-lo)*(i+1)/parts-from
		normed := c.rounded.from(from).ofNorm(&c.block.norm2, c.y[from*e:], x, n)
		m.spentOn(Norm)
		c.block.fc1.to(hidden, stride, normed, n, activation)
		if c.split {
			m.spentOn(FC1)
			c.block.fc2.addGate(x, e, hidden, stride, n)
		} else {
			rounded := c.block.fc2.round(x, e, hidden, stride, n, c.roundedH.from(from), true)
			m.spentOn(FC1)
			c.block.fc2.to(x, e, rounded, n, add)
		}
		m.spentOn(FC2)
	}
}

// partFloats is about how many floats of the MLP's hidden layer, or of patches, are in the making at a time, so that
// they are still in the second cache when they are read.
const partFloats = 80 << 10

// partsOf cuts rows of so many floats into parts of about partFloats.
func partsOf(rows, floats int) int { return max(1, (rows*floats+partFloats/2)/partFloats) }

// mix adds proj(attention) to the query rows lo … hi−1.
func (w *worker) mix(m *worker, lo, hi int) {
	c, config := &w.chunk, &w.engine.config
	e := config.Embed
	for i := range c.slots {
		s := &c.slots[i]
		from, to := s.within(lo, hi)
		if from >= to {
			continue
		}
		if c.apart {
			copy(c.x[from*e:to*e], w.x[(s.first+from-s.at)*e:])
		}
		keys, first := s.active+s.frozen, s.first-c.base
		kernels.Attention(c.y[from*e:], e, c.qkv[first*3*e:], 3*e, keys, config.Heads, config.HeadDim(), kernels.Queries{
			First: from - s.at, Count: to - from, Bias: w.bias(s),
			Reduced: w.engine.weights.precision != F32, Int8: w.engine.weights.precision == Int8}, m.scratch)
	}
	m.spentOn(Attention)
	rounded := c.block.proj.round(c.x[lo*e:], e, c.y[lo*e:], e, hi-lo, c.rounded.from(lo), false)
	c.block.proj.to(c.x[lo*e:], e, rounded, hi-lo, add)
	m.spentOn(Proj)
}

// columns is the MLP for so few rows that a team shares its products' outputs: each member reads a part of the weights.
func (w *worker) columns() {
	c, e, stride := &w.chunk, w.engine.config.Embed, hiddenStride(w.engine.config.Hidden)
	c.input = c.rounded.ofNorm(&c.block.norm2, c.y, c.x, c.queries)
	w.spentOn(Norm)
	w.runColumns((*worker).fc1, w.engine.config.Hidden)
	w.spentOn(FC1)
	if w.engine.weights.precision != F32 {
		c.block.fc2.addGate(c.x, e, c.hidden, stride, c.queries)
	}
	c.input = c.roundedH.of(c.hidden, stride, c.queries, w.engine.config.Hidden)
	w.runColumns((*worker).fc2, e)
	w.spentOn(FC2)
}

func (w *worker) fc1(_ *worker, lo, hi int) {
	c, l := &w.chunk, w.chunk.block.fc1.columns(lo, hi)
	l.to(c.hidden[lo:], hiddenStride(w.engine.config.Hidden), c.input, c.queries, gelu)
}

func (w *worker) fc2(_ *worker, lo, hi int) {
	c, l := &w.chunk, w.chunk.block.fc2.columns(lo, hi)
	l.to(c.x[lo:], w.engine.config.Embed, c.input, c.queries, add)
}

// complete adds what fc2 has left out to the rows that go on, and closes these up from the worker's row `at` on.
func (w *worker) complete() {
	c, e := &w.chunk, w.engine.config.Embed
	w.spentOn(Halt)
	w.run((*worker).rest, len(c.going))
	c.base = w.at
	c.x, c.token = w.x[c.base*e:], w.token[c.base:]
	if t := &w.team; t.members != nil { // each part has closed up by itself
		for i, lo := range t.bounds[:len(t.members)] {
			if hi := t.bounds[i+1]; lo > 0 && lo < hi {
				copy(c.x[lo*e:hi*e], c.x[c.going[lo]*e:])
			}
		}
	}
	w.spentOn(FC2)
}

// rest is complete for the rows going[lo:hi], which close up from where the first of them was on, except the first of
// all. (A team has one image, which begins at row 0.)
func (w *worker) rest(_ *worker, lo, hi int) {
	c, e, stride := &w.chunk, w.engine.config.Embed, hiddenStride(w.engine.config.Hidden)
	rows, to := c.going[lo:hi], 0
	if lo > 0 {
		to = rows[0]
	}
	for i, n := 0, 0; i < len(rows); i += n {
		n = consecutive(rows[i:])
		from := c.base + rows[i]
		copy(w.x[(w.at+to+i)*e:], w.x[from*e:(from+n)*e]) // costs nothing where they lie there already
	}
	hidden := c.roundedH.from(to).ofRows(c.hidden, stride, w.engine.config.Hidden, rows, to)
	c.block.fc2.addRest(w.x[(w.at+to)*e:], e, hidden, hi-lo, 0, e)
}

// restOfRead adds the outputs lo … hi−1 of what fc2 has left out to the copies in y of the rows that are read.
func (w *worker) restOfRead(_ *worker, lo, hi int) {
	c, e := &w.chunk, w.engine.config.Embed
	c.block.fc2.addRest(c.y, e, c.input, c.read, lo, hi)
}
