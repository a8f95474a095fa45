package infer

// A token that halts in a block leaves nothing behind but its score, which needs its gate, the first number of its output. So where the
// scheme asks for gates alone, fc2 runs for one panel of columns first, the gate's; then halted tokens go, and fc2's other columns are computed for
// the tokens that go on, and for the readouts, whose output counts in the mean field. Every number is still summed as it always is.

// gatedMLP is the second half of block l and the step after it: mlp and step in one. Whole images go through it together, chunkRows rows or so.
func (w *worker) gatedMLP(b *block, first, l int) {
	e, stride := w.engine.config.Embed, hiddenStride(w.engine.config.Hidden)
	todo, kept, at := w.slots, w.slots[:0], 0 // what stays only ever moves up, so it is written over what was
	for len(todo) > 0 {
		images, rows := 1, todo[0].rows
		for images < len(todo) && rows+todo[images].rows <= chunkRows {
			rows += todo[images].rows
			images++
		}
		from := todo[0].first
		normed := w.rounded.ofNorm(&b.norm2, w.y, w.x[from*e:], rows)
		w.spentOn(Norm)
		b.fc1.gelu(w.hidden, stride, normed, rows)
		w.spentOn(FC1)
		b.fc2.addGate(w.x[from*e:], e, w.hidden, stride, rows)
		w.spentOn(FC2)

		begin, done := at, len(kept)
		for _, s := range todo[:images] {
			s = w.keep(first, l, s, from, begin, at)
			kept = append(kept, s)
			at += s.rows
		}
		w.spentOn(Halt)
		b.fc2.addRest(w.x[begin*e:], e, w.hidden, stride, at-begin, w.roundedH)
		w.spentOn(FC2)
		todo = todo[images:]

		at = begin
		stay := kept[:done]
		for _, s := range kept[done:] {
			s = w.takeReadouts(s)
			if w.read(s.image) {
				continue // the readouts' halt ends the image
			}
			if at != s.first {
				copy(w.x[at*e:], w.x[s.first*e:(s.first+s.rows)*e])
				copy(w.token[at:], w.token[s.first:s.first+s.rows])
			}
			stay = append(stay, slot{s.image, at, s.rows})
			at += s.rows
		}
		kept = stay
		w.spentOn(Halt)
	}
	w.slots = kept
}

// takeReadouts adds an image's readouts to their mean fields, and takes out of the slot the one that has halted if the other goes on.
func (w *worker) takeReadouts(s slot) slot {
	e, q := w.engine.config.Embed, w.engine.config.Readouts().Heads
	state := &w.states[s.image]
	n, left := w.readouts(s), 0
	for i := range n {
		k := int(w.token[s.first+i])
		w.addField(s.image, k, w.readoutWeight[s.image*q+k], w.x[(s.first+i)*e:])
		if state.Depth[k] == 0 {
			left++
		}
	}
	if left == 0 || left == n {
		return s
	}
	if state.Depth[w.token[s.first]] == 0 { // the second goes: the first takes its place
		copy(w.x[(s.first+1)*e:(s.first+2)*e], w.x[s.first*e:])
		w.token[s.first+1] = w.token[s.first]
	}
	return slot{s.image, s.first + 1, s.rows - 1}
}

// keep steps the scheme on the image in slot s and moves what goes on, in x, token and hidden, up to row at: the readouts, and unless all of
// those have halted all tokens that have not. Row r of x is row r−from of hidden before the move and r−begin after it.
func (w *worker) keep(first, l int, s slot, from, begin, at int) slot {
	w.halt(first, l, s)
	to := w.compact(s.image, s.first, s.first+s.rows, from, begin, at)
	return slot{s.image, at, to - at}
}

// halt lets the scheme decide on the tokens in slot s, whose gates are known.
func (w *worker) halt(first, l int, s slot) {
	c := &w.engine.config
	w.ran(first, l, s)
	token := w.token[s.first : s.first+s.rows]
	w.engine.scheme.Step(&w.states[s.image], w.look(l, s, token, w.x[s.first*c.Embed:]))
	for i := range w.readouts(s) {
		w.readoutWeight[s.image*c.Readouts().Heads+int(token[i])] = w.weights[i]
	}
}

// goesOn reports whether row r, of the given image, is wanted after the scheme has decided: a readout, whose output counts in the mean field, and
// unless all of those have halted a token that has not.
func (w *worker) goesOn(image, r int) bool {
	k := w.token[r]
	return k < int32(w.engine.config.Readouts().Heads) || w.states[image].Depth[k] == 0 && !w.read(image)
}

// compact moves those of an image's rows lo … hi−1 that go on up to row at, in x and token, and in hidden, where row r lies at r−from before the move
// and at r−begin after it. It returns the row behind the last.
func (w *worker) compact(image, lo, hi, from, begin, at int) int {
	c := &w.engine.config
	e, stride := c.Embed, hiddenStride(c.Hidden)
	for r := lo; r < hi; r++ {
		if !w.goesOn(image, r) {
			continue
		}
		if r != at {
			copy(w.x[at*e:(at+1)*e], w.x[r*e:])
			w.token[at] = w.token[r]
		}
		if from, to := r-from, at-begin; from != to {
			copy(w.hidden[to*stride:(to+1)*stride], w.hidden[from*stride:])
		}
		at++
	}
	return at
}
