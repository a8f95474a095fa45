package train

import (
	"fmt"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// forwardShard takes a shard from pictures to logits and their cost.
func (n *Network) forwardShard(s *shard, b Batch, loss Loss, w *scratch) error {
	c := n.config
	tokens := c.Tokens()
	if err := b.stopped(); err != nil {
		return err
	}
	for i := range s.images {
		if err := b.Load(s.first+i, w.image); err != nil {
			return fmt.Errorf("train: image %d of the batch: %w", s.first+i, err)
		}
		c.CutPatches(s.patches[i*c.Patches()*c.PatchLen():(i+1)*c.Patches()*c.PatchLen()], w.image)
		s.state[i].Reset(tokens)
	}
	clear(s.score)
	clear(s.scoreSum)
	if !n.policy.deep {
		clear(s.decisions[0].input)
	}
	n.embedForward(s)
	for l := range c.Layers {
		drop := s.drawDrops(l, c.Layers, b.Seed, loss.DropPath, w)
		out := s.x[l+1]
		if n.policy.freezes {
			out = w.dx // for x[l+1] has rows besides, those that are frozen
		}
		n.begin(s, l)
		n.blockForward(s, l, out, w, drop)
		n.haltForward(s, l, out, w)
	}
	for _, d := range s.decisions {
		n.decideForward(d, s.images)
		n.classify(d, s, b, loss, w)
	}
	s.crossEntropy, s.distill, s.divergence, s.correct, s.depth, s.gateGradient = 0, 0, 0, 0, 0, gateGradient{}
	if n.policy.deep {
		n.supervise(s, b, loss, w)
		return nil
	}
	d := s.decisions[0]
	for i := range s.images {
		s.crossEntropy += d.label[i]
		s.distill += d.teacher[i]
		if largestLogit(d.logits[i*c.Classes:(i+1)*c.Classes]) == int(b.Labels[s.first+i]) {
			s.correct++
		}
		for _, k := range s.state[i].Depth {
			s.depth += float64(k)
		}
	}
	return nil
}

// begin decides which of the last block's rows run, where those are the readouts alone; before that, haltForward did.
func (n *Network) begin(s *shard, l int) {
	a := &s.blocks[l]
	if !a.partial || !n.policy.readoutsOnly(l, n.config.Layers) {
		return
	}
	run := int32(0)
	for i := range s.images {
		a.run[i] = run
		for r := a.offset[i]; r < a.offset[i+1] && int(a.token[r]) < n.config.Readouts().Heads && s.state[i].Depth[a.token[r]] == 0; r++ {
			run++
		}
	}
	a.run[s.images] = run
}

// haltForward steps the halting scheme on out, what block l made of the rows that ran, adds to the readouts' mean fields, and moves the rows of the
// tokens that go on together as the next block's input, followed, image by image, by those that are frozen.
func (n *Network) haltForward(s *shard, l int, out []float32, w *scratch) {
	c, needs := n.config, n.policy.needs[l]
	e, q, tokens := c.Embed, c.Readouts().Heads, c.Tokens()
	a, next := &s.blocks[l], s.x[l+1]
	kept, going := 0, int32(0) // rows, and rows that run, of the next block
	for i := range s.images {
		lo, hi, in := int(a.run[i]), int(a.run[i+1]), int(a.offset[i])
		state := &s.state[i]
		token := a.token[in : in+hi-lo]
		rows := halting.Rows{Layer: l + 1, Layers: c.Layers, Readouts: c.Readouts(), X: out[lo*e : hi*e], Stride: e, Token: token,
			Score: a.score[lo:hi], Weight: a.weight[lo:hi], Scratch: w.halting}
		if needs.Previous {
			rows.Previous = s.x[l][in*e:]
		}
		if needs.Attention || needs.Merges {
			a.merge = a.merge.forImage(i, len(s.state), len(a.token))
			rows.Into, rows.Share, rows.Attention = a.merge.into[lo:hi], a.merge.share[lo:hi], a.merge.attention[lo:hi]
			if needs.Attention {
				kernels.AttentionRow(rows.Attention, a.qkv[in*3*e:], 3*e, hi-lo, 0, c.Heads, c.HeadDim(), w.attention)
			}
		}
		if hi > lo {
			n.policy.Step(state, rows)
		}
		n.end(state, l)
		score := s.score[(i*c.Layers+l)*tokens:]
		for r := lo; r < hi; r++ {
			k := token[r-lo]
			score[k] = a.score[r]
			if n.policy.couples() {
				s.scoreSum[l] += float64(a.score[r])
			} else if n.policy.learner != nil && k == 0 { // the class token's is everybody's
				s.scoreSum[l] += float64(a.score[r]) * float64(tokens)
			}
			row := out[r*e : (r+1)*e]
			if s.gate != nil {
				s.gate[(i*c.Layers+l)*tokens+int(k)] = row[0]
			}
			if at := i*q + int(k); int(k) < q {
				copy(s.readout[l][at*e:], row)
				if !n.policy.deep {
					kernels.Axpy(s.decisions[0].input[at*e:(at+1)*e], a.weight[r], row)
				}
			}
		}
		if l+1 == c.Layers {
			continue
		}
		if needs.Merges {
			a.merge.forward(out, i, lo, hi, e)
		}
		above := &s.blocks[l+1]
		above.offset[i] = int32(kept)
		for r := lo; r < hi; r++ {
			if k := token[r-lo]; state.Depth[k] == 0 {
				copy(next[kept*e:(kept+1)*e], out[r*e:(r+1)*e])
				above.token[kept] = k
				kept++
			}
		}
		if n.policy.freezes {
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

// freeze puts image i's rows that were frozen before block l, and those of out that halted there, at row kept of the next block's input, and returns
// the row behind the last.
func (s *shard) freeze(l, i, kept int, out []float32, e int) int {
	a, above := &s.blocks[l], &s.blocks[l+1]
	lo, hi, in := int(a.run[i]), int(a.run[i+1]), int(a.offset[i])
	for r := in + hi - lo; r < int(a.offset[i+1]); r++ {
		copy(s.x[l+1][kept*e:(kept+1)*e], s.x[l][r*e:(r+1)*e])
		above.token[kept] = a.token[r]
		kept++
	}
	for r := lo; r < hi; r++ {
		if k := a.token[in+r-lo]; s.state[i].Depth[k] != 0 {
			copy(s.x[l+1][kept*e:(kept+1)*e], out[r*e:(r+1)*e])
			above.token[kept] = k
			kept++
		}
	}
	return kept
}

// end halts the tokens that nothing depends on any more: those that the last block did not run, and where only the readouts count all others of an
// image whose readouts have halted.
func (n *Network) end(state *halting.State, l int) {
	if n.policy.couples() || !n.config.Readouts().Done(state.Depth) {
		return
	}
	for k, d := range state.Depth {
		if d == 0 {
			state.Depth[k], state.Remainder[k] = int32(l+1), 1
		}
	}
}

// backwardShard adds the shard's share of the gradient to g.
func (n *Network) backwardShard(s *shard, g *vit.Params, w *scratch, loss Loss, up upstream) {
	c := n.config
	if !n.policy.deep {
		n.decideBackward(w.dfield, s.decisions[0], s.images, g, w)
	}
	n.gateBackward(s, w, up)

	none := make([]int32, s.images+1)
	above := &activation{offset: none, run: none} // after the last block there are no rows
	for l := c.Layers - 1; l >= 0; l-- {
		if n.policy.deep {
			n.decideBackward(w.dfield, s.decisions[l], s.images, g, w)
		}
		if l < n.lowest {
			continue
		}
		n.haltBackward(s, l, above, w)
		n.blockBackward(s, l, g, w, loss.DropPath > 0 && l > 0)
		above = &s.blocks[l]
	}
	if n.lowest == 0 {
		n.embedBackward(s, g, w.dx)
	}
}

// gateBackward replaces s.score, image by image, with the loss's gradient on each token's gate in each block, and sums that of the gates'
// constants. A readout's weights get theirs through o = Σ p[k,l]·t[k,l].
func (n *Network) gateBackward(s *shard, w *scratch, up upstream) {
	c, learner := n.config, n.policy.learner
	if learner == nil {
		return
	}
	e, q, size := c.Embed, c.Readouts().Heads, c.Layers*c.Tokens()
	scale, _ := learner.Gate()
	for i := range s.images {
		u := halting.Upstream{Weight: w.dweight, Remainder: up.remainder, Score: up.score}
		clear(w.dweight)
		if n.policy.deep {
			u.Lambda = s.dlambda[i*c.Layers : (i+1)*c.Layers]
		} else {
			for k := range q {
				at := (i*q + k) * e
				for l := range s.state[i].Depth[k] {
					w.dweight[k*c.Layers+int(l)] = kernels.Dot(w.dfield[at:at+e], s.readout[l][at:at+e])
				}
			}
		}
		score := s.score[i*size : (i+1)*size]
		learner.Backward(w.dgate, score, s.state[i].Depth, u)
		copy(score, w.dgate)
		if scale == 0 {
			continue
		}
		for j, d := range w.dgate {
			if d != 0 { // z = scale·gate − center
				s.gateGradient.scale += float64(d) / float64(scale) * float64(s.gate[i*size+j])
				s.gateGradient.center -= float64(d) / float64(scale)
			}
		}
	}
}

// haltBackward makes w.dx the gradient of block l's output [T', E]: what comes back from the block above for the tokens that went on, or that are
// keys there, zero for those that are gone, plus a readout's share of what is decided on and the gates. w.dinput gets what comes back
// for the rows of the block's input that did not run in it.
func (n *Network) haltBackward(s *shard, l int, above *activation, w *scratch) {
	c := n.config
	e, q, tokens := c.Embed, c.Readouts().Heads, c.Tokens()
	a := &s.blocks[l]
	w.dx, w.dxBelow = w.dxBelow, w.dx
	for i := range s.images {
		lo, hi, in := int(a.run[i]), int(a.run[i+1]), int(a.offset[i])
		up, upEnd := int(above.offset[i]), int(above.offset[i]+above.run[i+1]-above.run[i])
		frozen, frozenEnd := upEnd, int(above.offset[i+1])
		if a.partial {
			for r := in + hi - lo; r < int(a.offset[i+1]); r++ { // the first to be frozen came first
				d := w.dinput[r*e : (r+1)*e]
				if frozen < frozenEnd {
					copy(d, w.dxBelow[frozen*e:(frozen+1)*e])
					frozen++
				} else {
					clear(d)
				}
			}
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
		if n.policy.needs[l].Merges {
			a.merge.backward(w.dx, i, lo, hi, e)
		}
		dgate := s.score[(i*c.Layers+l)*tokens:]
		for r := lo; r < hi; r++ {
			k, dx := a.token[in+r-lo], w.dx[r*e:(r+1)*e]
			if at := i*q + int(k); int(k) < q {
				weight := a.weight[r]
				if n.policy.deep {
					weight = 1
				}
				kernels.Axpy(dx, weight, w.dfield[at*e:(at+1)*e])
			}
			if n.policy.learner != nil {
				dx[0] += dgate[k]
			}
		}
	}
}

// drawDrops decides which images skip the branches of block l, and reports whether any factor differs from 1. The draw depends on the
// seed, the block and the image's place in the batch alone.
func (s *shard) drawDrops(l, layers int, seed uint64, rate float64, w *scratch) bool {
	if rate <= 0 || l == 0 {
		return false
	}
	keep := 1 - rate*float64(l)/float64(layers-1)
	a := &s.blocks[l]
	for i := range s.images {
		w.source.Seed(seed, uint64(l)<<32|uint64(s.first+i))
		for _, f := range []*float32{&a.drop1[i], &a.drop2[i]} {
			*f = 0
			if w.random.Float64() < keep {
				*f = float32(1 / keep)
			}
		}
	}
	return true
}
