package infer

import "github.com/adavit/adavit/internal/kernels"

// step looks at every image after block l (1-based) and takes out halted tokens and finished images. The pass begins at image `first` of the batch.
func (w *worker) step(first, l int) {
	e := w.engine.config.Embed
	slots, at := w.slots[:0], 0 // what stays only ever moves up, so it is written over what was
	for _, s := range w.slots {
		token := w.token[s.first : s.first+s.rows]
		w.ran(first, l, s)
		w.score(first, l, s, token, w.x[s.first*e:])
		depth := w.states[s.image].Depth
		if w.read(s.image) && !w.engine.options.Full {
			continue // the readouts' halt ends the image
		}
		begin := at
		for i, k := range token {
			if depth[k] != 0 {
				continue
			}
			if from := s.first + i; from != at {
				copy(w.x[at*e:(at+1)*e], w.x[from*e:(from+1)*e])
				w.token[at] = k
			}
			at++
		}
		if at > begin {
			slots = append(slots, slot{s.image, begin, at - begin})
		}
	}
	w.slots = slots
}

// finish is step for block L where only the readout rows w.readout were computed.
func (w *worker) finish(first int) {
	c := &w.engine.config
	n := 0
	for _, s := range w.slots {
		q := w.readouts(s)
		w.ran(first, c.Layers, s)
		w.score(first, c.Layers, s, w.token[s.first:s.first+q], w.readout[n*c.Embed:])
		n += q
	}
	w.slots = w.slots[:0]
}

// ran records which tokens of an image ran in block l.
func (w *worker) ran(first, l int, s slot) {
	c, out := &w.engine.config, w.engine.job.out
	n, image := c.Tokens(), first+s.image
	out.Active[image*c.Layers+l-1] = int32(s.rows)
	depth := out.Depth[image*n : (image+1)*n]
	for _, k := range w.token[s.first : s.first+s.rows] {
		depth[k] = int32(l)
	}
}

// score lets the scheme decide on the given tokens of an image, whose rows x are E apart, and adds the readouts to their mean fields.
func (w *worker) score(first, l int, s slot, token []int32, x []float32) {
	c, job := &w.engine.config, &w.engine.job
	n := len(token)
	w.engine.scheme.Step(&w.states[s.image], w.look(l, s, token, x))
	for i := range w.readouts(s) {
		w.addField(s.image, int(token[i]), w.weights[i], x[i*c.Embed:])
	}
	w.merge(l, n, x)
	if t := job.out.Trace; t != nil {
		t.add(job.plan.images, first+s.image, c.Tokens(), l, token, w.scores)
	}
}

// addField adds weight·x to the mean field of readout k: o = Σ p[k,l]·t[k,l].
func (w *worker) addField(image, k int, weight float32, x []float32) {
	e := w.engine.config.Embed
	at := (image*w.engine.config.Readouts().Heads + k) * e
	kernels.Axpy(w.field[at:at+e], weight, x[:e])
}

// trace writes what is known of the images first..first+g−1 once all their tokens have halted.
func (w *worker) trace(t *Trace, first, g int) {
	n := w.engine.config.Tokens()
	for i := range g {
		s := &w.states[i]
		at := (first + i) * n
		copy(t.Depth[at:at+n], s.Depth)
		for k, d := range s.Depth {
			t.Rho[at+k] = float32(d) + s.Remainder[k]
		}
	}
}
