package infer

import (
	"github.com/adavit/adavit/internal/kernels"
)

// poolPart is how many rows are added up by themselves: a sum of sums loses less than one long sum.
const poolPart = 32

// pool writes to place i of read [·, inputs, E] what the heads look at: the mean fields, place i of field [·, Q, E], of
// tokens that are read by themselves, and behind them the mean over those of the patches, METHOD.md (52), of the
// pass's image. Patches that never ran do not count, and merged ones count as many times as they stand for. Where
// tokens are normalised before, field is.
func (w *worker) pool(read, field []float32, i, image int) {
	c, r, e := &w.engine.config, w.engine.readouts, w.engine.config.Embed
	read, field = read[i*r.Inputs()*e:(i+1)*r.Inputs()*e], field[i*r.Fields()*e:(i+1)*r.Fields()*e]
	copy(read, field[:r.Alone*e])
	mean, rows := read[r.Alone*e:], field[r.Alone*e:]
	if c.Pooling.NormsTokens() {
		w.engine.weights.norm.to(rows, rows, r.Pooled)
	}
	depth := w.engine.job.out.Depth[(w.first+image)*c.Tokens()+r.Special:]
	size, count := w.states[image].Size[r.Special:], float32(0)
	clear(mean)
	clear(w.sum)
	for k := range r.Pooled {
		if depth[k] > 0 && size[k] > 0 {
			count += size[k]
			kernels.Axpy(w.sum, size[k], rows[k*e:(k+1)*e])
		}
		if k%poolPart == poolPart-1 || k == r.Pooled-1 {
			kernels.Add(mean, w.sum)
			clear(w.sum)
		}
	}
	if count > 0 {
		kernels.Scale(mean, 1/count)
	}
}

// predictPooled is predict for models whose heads read a mean of patches: each image's logits if it ended here, every
// token that still runs giving what it has left to its mean field, METHOD.md (53).
func (w *worker) predictPooled() {
	c, o, config, r := &w.chunk, &w.observation, &w.engine.config, w.engine.readouts
	e, fields, n := config.Embed, r.Fields()*config.Embed, len(c.slots)
	for i := range c.slots {
		s := &c.slots[i]
		field := o.field[i*fields : (i+1)*fields]
		copy(field, w.field[s.image*fields:])
		for row := s.at; row < s.at+s.queries; row++ {
			if f, ok := r.Field(c.token[row]); ok {
				left := w.states[s.image].Left(c.token[row])
				kernels.Axpy(field[f*e:(f+1)*e], left, c.x[row*e:(row+1)*e])
			}
		}
		w.pool(o.read, o.field, i, s.image)
	}
	w.heads(o.logits[:n*config.Classes], o.second, o.read[:n*r.Inputs()*e], n)
	w.spentOn(Head)
}
