package train

import (
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
)

// poolForward writes what heads look at, read [images, I, E], of tokens [images, Q, E]: those that are read by
// themselves, and behind them the patches' mean, METHOD.md (52), in which merged ones count as many times as they stand
// for.
func (n *Network) poolForward(read, tokens []float32, s *shard) {
	r, e := n.reads, n.config.Embed
	for i := range s.images {
		read, tokens := read[i*r.Inputs()*e:(i+1)*r.Inputs()*e], tokens[i*r.Fields()*e:(i+1)*r.Fields()*e]
		copy(read, tokens[:r.Alone*e])
		mean, patches := read[r.Alone*e:], tokens[r.Alone*e:]
		clear(mean)
		for k, size := range s.state[i].Size[r.Special:] {
			kernels.Axpy(mean, size/float32(r.Pooled), patches[k*e:(k+1)*e])
		}
	}
}

// poolBackward adds to dtokens [images, Q, E] what dread [images, I, E] comes to there. Sizes are constants.
func (n *Network) poolBackward(dtokens, dread []float32, s *shard) {
	r, e := n.reads, n.config.Embed
	for i := range s.images {
		dread, dtokens := dread[i*r.Inputs()*e:(i+1)*r.Inputs()*e], dtokens[i*r.Fields()*e:(i+1)*r.Fields()*e]
		kernels.Add(dtokens[:r.Alone*e], dread[:r.Alone*e])
		dmean, dpatches := dread[r.Alone*e:], dtokens[r.Alone*e:]
		for k, size := range s.state[i].Size[r.Special:] {
			kernels.Axpy(dpatches[k*e:(k+1)*e], size/float32(r.Pooled), dmean)
		}
	}
}

// pull adds what a teacher's tokens add: to dinput [images, Q, E] for what is read by itself, before its norm, and to
// dread [images, I, E] for the mean, behind it.
func (n *Network) pull(dinput, dread []float32, d *decision, s *shard) {
	r, e := n.reads, n.config.Embed
	for i := range s.images {
		at := i * r.Inputs() * e
		kernels.Add(dinput[i*r.Fields()*e:][:r.Alone*e], d.pull[at:at+r.Alone*e])
		kernels.Add(dread[at+r.Alone*e:at+r.Inputs()*e], d.pull[at+r.Alone*e:at+r.Inputs()*e])
	}
}

// foresee writes what is decided on after block l of image i, whose rows of out begin with lo: the mean fields as they
// would be if the image ended there, METHOD.md (53), each token giving what it has left. Then it adds what the tokens
// really give.
func (n *Network) foresee(s *shard, l, i, lo int, rows halting.Rows, out []float32) {
	r, e := n.reads, n.config.Embed
	a, size := &s.blocks[l], r.Fields()*e
	field, now := s.field[i*size:(i+1)*size], s.decisions[l].input[i*size:(i+1)*size]
	copy(now, field)
	for j, k := range rows.Token {
		row := lo + j
		a.left[row] = s.state[i].Left(k)
		if f, ok := r.Field(k); ok {
			x := out[row*e : (row+1)*e]
			kernels.Axpy(now[f*e:(f+1)*e], a.left[row], x)
			kernels.Axpy(field[f*e:(f+1)*e], a.weight[row], x)
		}
	}
	s.state[i].Give(rows)
}

// foreseeBackward makes of w.dfields [L, images, Q, E], the gradients of what was decided on after each block, the
// gradients of the weights, w.dweight [Q, L], of image i. With d[l] that of block l and S[l] = Σ_{m≥l} d[m],
//
//	∂loss/∂p[k,l] stands for S[l]·t[l] + Σ_{m<l} d[m]·t[m]
//
// since a score h[l] takes as much from what the token has left as it gives: (35) holds with these.
func (n *Network) foreseeBackward(s *shard, i int, w *scratch) {
	c, r := n.config, n.reads
	e, size, layers := c.Embed, s.images*r.Fields()*c.Embed, c.Layers
	for f := range r.Fields() {
		at, end := (i*r.Fields()+f)*e, int(s.state[i].Depth[r.Place(f)])
		sum := w.sum
		clear(sum)
		for l := layers - 1; l >= 0; l-- {
			kernels.Add(sum, w.dfields[l*size+at:][:e])
			if l < end {
				w.dweight[f*layers+l] = kernels.Dot(sum, s.readout[l][at:at+e])
			}
		}
		before := float32(0)
		for l := range end {
			w.dweight[f*layers+l] += before
			before += kernels.Dot(w.dfields[l*size+at:][:e], s.readout[l][at:at+e])
		}
	}
}
