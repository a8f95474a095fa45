package infer

import (
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
)

// step looks at every image after block l (1-based) and takes out halted tokens and finished images. The pass begins at image `first` of the batch.
func (w *worker) step(first, l int) {
	e := w.engine.config.Embed
	slots, at := w.slots[:0], 0 // what stays only ever moves up, so it is written over what was
	for _, s := range w.slots {
		token := w.token[s.first : s.first+s.rows]
		w.ran(first, l, s)
		w.score(first, l, s, token, w.x[s.first*e:])
		depth := w.states[s.image].Depth
		if depth[0] != 0 && !w.engine.options.Full {
			continue // the class token's halt ends the image
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

// finish is step for block L where only the class rows w.class were computed.
func (w *worker) finish(first int) {
	c := &w.engine.config
	for i, s := range w.slots {
		w.ran(first, c.Layers, s)
		w.score(first, c.Layers, s, w.token[s.first:s.first+1], w.class[i*c.Embed:])
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

// score lets the scheme decide on the given tokens of an image, whose rows x are E apart, and adds the class token to the mean field.
func (w *worker) score(first, l int, s slot, token []int32, x []float32) {
	c, job := &w.engine.config, &w.engine.job
	n := len(token)
	w.engine.scheme.Step(&w.states[s.image], halting.Rows{
		Layer: l, Layers: c.Layers, X: x, Stride: c.Embed, Token: token, Score: w.scores[:n], Weight: w.weights[:n],
	})
	if token[0] == 0 { // the class token is first while it is there
		kernels.Axpy(w.field[s.image*c.Embed:(s.image+1)*c.Embed], w.weights[0], x[:c.Embed])
	}
	if t := job.out.Trace; t != nil {
		t.add(job.plan.images, first+s.image, c.Tokens(), l, token, w.scores)
	}
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
