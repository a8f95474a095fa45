package train

import (
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
)

// begin says of all blocks whether fewer rows run than go into them.
func (n *Network) begin(s *shard) {
	for l := range s.blocks {
		a := &s.blocks[l]
		a.run, a.partial = a.offset, n.scheme.partial(l, n.config.Layers)
		if a.partial {
			a.run = a.some
		}
	}
}

// beginLast decides which of the last block's rows run, where those are the readouts alone; else, haltForward did.
func (n *Network) beginLast(s *shard, l int) {
	a := &s.blocks[l]
	if !n.scheme.readoutsOnly(l, n.config.Layers) {
		return
	}
	run := int32(0)
	for i := range s.images {
		a.run[i] = run
		for _, k := range a.token[a.offset[i]:a.offset[i+1]] { // the readouts come first, and then what is frozen
			if !n.reads.Read(k) || s.state[i].Depth[k] != 0 {
				break
			}
			run++
		}
	}
	a.run[s.images] = run
}

// haltForward steps the halting scheme on out, what block l made of the rows that ran, adds to the mean fields
// o = Σ p[k,l]·t[k,l] of the tokens that are read, and moves the rows of the tokens that go on together as the next
// block's input, followed, image by image, by those that are frozen.
func (n *Network) haltForward(s *shard, l int, out []float32, w *scratch) {
	c, needs := n.config, n.scheme.needs[l]
	e, q, tokens := c.Embed, n.reads.Fields(), c.Tokens()
	a := &s.blocks[l]
	kept, going := 0, int32(0) // rows, and rows that run, of the next block
	for i := range s.images {
		lo, hi, in, _ := a.image(i)
		state := &s.state[i]
		token := a.token[in : in+hi-lo]
		rows := n.observe(s, l, i, out, w)
		if hi > lo {
			n.scheme.Step(state, rows)
		}
		n.end(state, l)
		if needs.Merges {
			a.merge.forward(out, i, lo, hi, e)
		}
		if n.scheme.provisional() {
			n.foresee(s, l, i, lo, rows, out)
		}
		score := s.score[(i*c.Layers+l)*tokens:]
		for r := lo; r < hi; r++ {
			k := token[r-lo]
			score[k] = a.score[r]
			if n.scheme.couples() {
				s.scoreSum[l] += float64(a.score[r])
			} else if n.scheme.learner != nil && k == 0 { // the class token's is everybody's
				s.scoreSum[l] += float64(a.score[r]) * float64(tokens)
			}
			row := out[r*e : (r+1)*e]
			if s.gate != nil {
				s.gate[(i*c.Layers+l)*tokens+int(k)] = row[0]
			}
			if f, read := n.reads.Field(k); read {
				at := i*q + f
				copy(s.readout[l][at*e:], row)
				if !n.scheme.deep {
					kernels.Axpy(s.decisions[0].input[at*e:(at+1)*e], a.weight[r], row)
				}
			}
		}
		if l+1 == c.Layers {
			continue
		}
		above := &s.blocks[l+1]
		above.offset[i] = int32(kept)
		for r := lo; r < hi; r++ {
			if k := token[r-lo]; state.Depth[k] == 0 {
				kept = s.carry(l+1, kept, k, out[r*e:(r+1)*e])
			}
		}
		if n.scheme.freezes {
			above.run[i] = going
			if kept > int(above.offset[i]) { // else nobody is left to look at them
				going += int32(kept) - above.offset[i]
				kept = s.freeze(l, i, kept, out, e)
			}
			above.run[i+1] = going
		}
		above.offset[i+1] = int32(kept)
	}
}

// haltBackward makes w.dx the gradient of block l's output [T', E]: what comes back from the block above for the
// tokens that went on, or that are keys there, zero for those that are gone, plus a readout's share of what is decided
// on and the gates. w.dinput gets what comes back for the rows of the block's input that did not run in it.
func (n *Network) haltBackward(s *shard, l int, above *activation, w *scratch) {
	c := n.config
	e, q, tokens := c.Embed, n.reads.Fields(), c.Tokens()
	a := &s.blocks[l]
	w.dx, w.dxBelow = w.dxBelow, w.dx
	provisional := n.scheme.provisional()
	for i := range s.images {
		lo, hi, in, end := a.image(i)
		up, upEnd := int(above.offset[i]), int(above.offset[i]+above.run[i+1]-above.run[i])
		frozenEnd := int(above.offset[i+1])
		for upEnd < frozenEnd && int(s.state[i].Depth[above.token[upEnd]]) > l+1 {
			upEnd++ // went on, as a key and a value of block L alone
		}
		frozen := upEnd
		if a.partial {
			d := w.dinput[(in+hi-lo)*e : end*e]
			back := copy(d, w.dxBelow[frozen*e:frozenEnd*e]) // the first to be frozen came first
			clear(d[back:])
			frozen += back / e
		}
		for r := lo; r < hi; r++ {
			k, dx := a.token[in+r-lo], w.dx[r*e:(r+1)*e]
			switch {
			case up < upEnd && above.token[up] == k:
				copy(dx, w.dxBelow[up*e:(up+1)*e])
				up++
			case frozen < frozenEnd && above.token[frozen] == k:
				copy(dx, w.dxBelow[frozen*e:(frozen+1)*e])
				frozen++
			default:
				clear(dx)
			}
		}
		dgate := s.score[(i*c.Layers+l)*tokens:]
		for r := lo; r < hi; r++ {
			k, dx := a.token[in+r-lo], w.dx[r*e:(r+1)*e]
			if f, read := n.reads.Field(k); read {
				at, weight := i*q+f, a.weight[r]
				if provisional {
					kernels.Axpy(dx, a.left[r], w.dfields[(l*s.images*q+at)*e:][:e])
				} else if n.scheme.deep {
					weight = 1
				}
				kernels.Axpy(dx, weight, w.dfield[at*e:(at+1)*e])
			}
			if n.scheme.learner != nil {
				dx[0] += dgate[k] + n.creditGate(s, l, i, r, k)
			}
		}
		if n.scheme.needs[l].Merges {
			a.merge.backward(w.dx, i, lo, hi, e)
		}
	}
	if size := s.images * q * e; provisional { // what is decided after this block joins what is above
		kernels.Add(w.dfield[:size], w.dfields[l*size:(l+1)*size])
	}
}

// gateBackward replaces s.score, image by image, with the loss's gradient on each token's gate in each block, and sums
// that of the gates' constants: it is the backward pass of the scheme's Step. A readout's weights get theirs through
// its mean field.
func (n *Network) gateBackward(s *shard, w *scratch, up halting.Upstream) {
	c, learner := n.config, n.scheme.learner
	if learner == nil {
		return
	}
	e, q, size := c.Embed, n.reads.Fields(), c.Layers*c.Tokens()
	scale, _ := learner.Gate()
	up.Weight, up.Readouts = w.dweight, n.reads
	for i := range s.images {
		clear(w.dweight)
		if n.scheme.chances {
			up.Lambda = s.dlambda[i*c.Layers : (i+1)*c.Layers]
		} else if n.scheme.provisional() {
			n.foreseeBackward(s, i, w)
		} else if !n.scheme.deep {
			for k := range q {
				at := (i*q + k) * e
				for l := range s.state[i].Depth[n.reads.Place(k)] {
					w.dweight[k*c.Layers+int(l)] = kernels.Dot(w.dfield[at:at+e], s.readout[l][at:at+e])
				}
			}
		}
		score := s.score[i*size : (i+1)*size]
		learner.Backward(w.dgate, score, s.state[i].Depth, up)
		copy(score, w.dgate)
		for j, d := range w.dgate {
			s.gateGradient.add(d, scale, s.gate[i*size+j])
		}
	}
}

// freeze puts image i's rows that were frozen before block l, and those of out that halted there, at row kept of the
// next block's input, and returns the row behind the last.
func (s *shard) freeze(l, i, kept int, out []float32, e int) int {
	a := &s.blocks[l]
	lo, hi, in, end := a.image(i)
	for r := in + hi - lo; r < end; r++ {
		kept = s.carry(l+1, kept, a.token[r], s.x[l][r*e:(r+1)*e])
	}
	for r := lo; r < hi; r++ {
		if k := a.token[in+r-lo]; s.state[i].Depth[k] != 0 {
			kept = s.carry(l+1, kept, k, out[r*e:(r+1)*e])
		}
	}
	return kept
}

// carry puts token k's row into block l's input, and returns the place of the next.
func (s *shard) carry(l, at int, k int32, row []float32) int {
	copy(s.x[l][at*len(row):], row)
	s.blocks[l].token[at] = k
	return at + 1
}

// end halts the tokens that nothing depends on any more: those that the last block did not run, and where only the
// readouts count all others of an image whose readouts have halted.
func (n *Network) end(state *halting.State, l int) {
	if n.scheme.couples() && !n.scheme.readoutsOnly(l, n.config.Layers) || !n.reads.Done(state.Depth) {
		return
	}
	for k, d := range state.Depth {
		if d == 0 {
			state.Depth[k], state.Remainder[k] = int32(l+1), 1
			if n.scheme.couples() {
				state.Remainder[k] -= state.Cumulative[k]
			}
		}
	}
}
