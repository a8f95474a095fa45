package infer

import "github.com/adavit/adavit/internal/kernels"

// decide lets the schemes look at the chunk's images after the block, and sees to their caps, before block 1 too. In a
// split block it leaves in going the rows for which fc2 is to be completed, and token and weight are theirs alone.
func (w *worker) decide() {
	e, c := w.engine, &w.chunk
	layers, tokens := e.config.Layers, e.config.Tokens()
	c.going = c.going[:0]
	w.record()
	if c.layer > 0 && e.needs[c.layer-1].Logits {
		w.predict()
	}
	for i := range c.slots {
		s := &c.slots[i]
		state, image := &w.states[s.image], w.first+s.image
		rows, ran := w.observe(i), 0
		if c.layer > 0 {
			ran = s.active
			w.scheme(s.image).Step(state, rows)
			if t, at := e.job.out.Trace, ((c.layer-1)*e.job.plan.images+image)*tokens; t != nil {
				for j, k := range rows.Token {
					t.Score[at+int(k)], t.Active[at+int(k)] = rows.Score[j], 1
				}
			}
		}
		if state.Cap > 0 {
			state.Enforce(rows, ran)
		} else if c.layer > 0 && e.readouts.Pooled > 0 {
			state.Give(rows)
		}
		if c.layer < layers && !w.over(s) {
			s.stopped = w.unwanted(image)
		}
		if c.split {
			w.keep(s)
		}
	}
}

// record writes down which tokens ran in the block.
func (w *worker) record() {
	c, out, config := &w.chunk, w.engine.job.out, &w.engine.config
	if c.layer == 0 {
		return
	}
	for i := range c.slots {
		s := &c.slots[i]
		image, tokens := w.first+s.image, config.Tokens()
		out.Active[image*config.Layers+c.layer-1] = int32(s.active)
		depth, l := out.Depth[image*tokens:(image+1)*tokens], int32(c.layer)
		for _, k := range w.token[s.first : s.first+s.active] {
			depth[k] = l
		}
	}
}

// unwanted reports whether an image is to leave before it is done.
func (w *worker) unwanted(image int) bool {
	job := &w.engine.job
	if job.ctx.Err() != nil {
		job.ended.Store(true)
	} else if job.Stop == nil || !job.Stop(image) {
		return false
	}
	job.out.Stopped[image] = true
	return true
}

// over reports whether nothing of an image is wanted any more.
func (w *worker) over(s *slot) bool {
	return s.stopped || !w.engine.options.Full && w.engine.readouts.Done(w.states[s.image].Depth)
}

// keep lets those of an image's rows go on whose output is wanted: they count in a mean field, or have not halted.
func (w *worker) keep(s *slot) {
	c, depth, over, at := &w.chunk, w.states[s.image].Depth, w.over(s), len(w.chunk.going)
	for r := s.at; r < s.at+s.queries; r++ {
		k := c.token[r]
		if w.counts(k) || !over && depth[k] == 0 {
			w.token[w.at+len(c.going)], c.weight[len(c.going)] = k, c.weight[r]
			c.going = append(c.going, r)
		}
	}
	s.at, s.queries = at, len(c.going)-at
}

// compact adds up mean fields once the block is complete, and moves the rows of tokens that go on up in the worker's x.
func (w *worker) compact() {
	c, e := &w.chunk, w.engine.config.Embed
	for i := range c.slots {
		s := c.slots[i] // a copy: its place is written over
		if c.layer > 0 {
			w.merge(&s)
			w.addFields(&s)
		}
		if w.over(&s) || c.layer == w.engine.config.Layers {
			continue
		}
		next := slot{image: s.image, first: w.at}
		w.moveSome(&s, false)
		next.active = w.at - next.first
		if next.active == 0 {
			continue
		}
		if c.apart { // only frozen ones lie apart before block L
			w.move(w.x[(s.first+s.active)*e:], w.token[s.first+s.active:], s.frozen)
			w.moveSome(&s, true)
			next.frozen = w.at - next.first - next.active
		}
		w.slots = append(w.slots, next)
	}
}

// moveSome moves those of an image's query rows whose tokens have halted, or have not.
func (w *worker) moveSome(s *slot, halted bool) {
	token, depth := w.chunk.token[s.at:s.at+s.queries], w.states[s.image].Depth
	for i := 0; i < len(token); {
		n := 0
		for i+n < len(token) && (depth[token[i+n]] != 0) == halted {
			n++
		}
		w.move(w.chunk.x[(s.at+i)*w.engine.config.Embed:], token[i:], n)
		i += max(n, 1)
	}
}

// move puts n rows x, with their tokens, where the next row of the worker's x is to be.
func (w *worker) move(x []float32, token []int32, n int) {
	e := w.engine.config.Embed
	copy(w.x[w.at*e:], x[:n*e]) // costs nothing where they lie there already
	copy(w.token[w.at:], token[:n])
	w.at += n
}

// addFields adds an image's share of this block to its mean fields: o = Σ p[k,l]·t[k,l].
func (w *worker) addFields(s *slot) {
	c, r, e := &w.chunk, w.engine.readouts, w.engine.config.Embed
	for i := s.at; i < s.at+s.queries; i++ {
		if f, ok := r.Field(c.token[i]); ok {
			f += s.image * r.Fields()
			kernels.Axpy(w.field[f*e:(f+1)*e], c.weight[i], c.x[i*e:(i+1)*e])
		}
	}
}
