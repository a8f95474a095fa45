package train

import (
	"fmt"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// forwardShard takes a shard from pictures to logits and their cross-entropy.
func (n *Network) forwardShard(s *shard, b Batch, loss Loss, w *scratch) error {
	c := n.config
	tokens := c.Tokens()
	for i := range s.images {
		if err := b.Load(s.first+i, w.image); err != nil {
			return fmt.Errorf("train: image %d of the batch: %w", s.first+i, err)
		}
		c.CutPatches(s.patches[i*c.Patches()*c.PatchLen():(i+1)*c.Patches()*c.PatchLen()], w.image)
		s.state[i].Reset(tokens)
	}
	clear(s.score)
	clear(s.decision.input)
	clear(s.scoreSum)
	n.embedForward(s)
	for l := range c.Layers {
		drop := s.drawDrops(l, c.Layers, b.Seed, loss.DropPath, w)
		n.blockForward(s, l, w, drop)
		n.haltForward(s, l)
	}
	n.decideForward(s.decision, s.images)
	n.classify(s.decision, s, b, loss, w)
	s.crossEntropy, s.distill, s.correct = 0, 0, 0
	for i := range s.images {
		s.crossEntropy += s.decision.label[i]
		s.distill += s.decision.teacher[i]
		if largestLogit(s.decision.logits[i*c.Classes:(i+1)*c.Classes]) == int(b.Labels[s.first+i]) {
			s.correct++
		}
	}
	return nil
}

// haltForward steps the halting scheme on s.x[l+1], adds to the readouts' mean fields, and moves the rows of the tokens that go on
// together as the next block's input.
func (n *Network) haltForward(s *shard, l int) {
	c := n.config
	e, q, tokens := c.Embed, c.Readouts(), c.Tokens()
	a, x := &s.blocks[l], s.x[l+1]
	kept := 0
	for i := range s.images {
		lo, hi := int(a.offset[i]), int(a.offset[i+1])
		n.scheme.Step(&s.state[i], halting.Rows{Layer: l + 1, Layers: c.Layers, X: x[lo*e : hi*e], Stride: e,
			Token: a.token[lo:hi], Score: a.score[lo:hi], Weight: a.weight[lo:hi]})
		score := s.score[(i*c.Layers+l)*tokens:]
		first := kept
		for r := lo; r < hi; r++ {
			k := a.token[r]
			score[k] = a.score[r]
			s.scoreSum[l] += float64(a.score[r])
			row := x[r*e : (r+1)*e]
			if at := i*q + int(k); int(k) < q {
				copy(s.readout[l][at*e:], row)
				kernels.Axpy(s.decision.input[at*e:(at+1)*e], a.weight[r], row)
			}
			if s.state[i].Depth[k] == 0 {
				copy(x[kept*e:(kept+1)*e], row)
				s.blocks[l+1].token[kept] = k
				kept++
			}
		}
		if l+1 < c.Layers {
			s.blocks[l+1].offset[i], s.blocks[l+1].offset[i+1] = int32(first), int32(kept)
		}
	}
}

// backwardShard adds the shard's share of the gradient to g.
func (n *Network) backwardShard(s *shard, g *vit.Params, w *scratch, loss Loss, up upstream) {
	c := n.config
	n.decideBackward(w.dfield, s.decision, s.images, g, w)
	n.gateBackward(s, w, up)

	above := &activation{offset: make([]int32, s.images+1)} // after the last block there are no rows
	for l := c.Layers - 1; l >= 0; l-- {
		n.haltBackward(s, l, above, w)
		n.blockBackward(s, l, g, w, loss.DropPath > 0 && l > 0)
		above = &s.blocks[l]
	}
	n.embedBackward(s, g, w.dx)
}

// gateBackward replaces s.score, image by image, with the loss's gradient on each token's gate in each block. A readout's weights get
// theirs through o = Σ p[k,l]·t[k,l].
func (n *Network) gateBackward(s *shard, w *scratch, up upstream) {
	c := n.config
	if !c.Halting.Adaptive() {
		return
	}
	e, q, size := c.Embed, c.Readouts(), c.Layers*c.Tokens()
	for i := range s.images {
		clear(w.dweight)
		for k := range q {
			at := (i*q + k) * e
			for l := range s.state[i].Depth[k] {
				w.dweight[k*c.Layers+int(l)] = kernels.Dot(w.dfield[at:at+e], s.readout[l][at:at+e])
			}
		}
		score := s.score[i*size : (i+1)*size]
		n.token.Backward(w.dgate, score, s.state[i].Depth, halting.Upstream{Weight: w.dweight, Remainder: up.remainder, Score: up.score})
		copy(score, w.dgate)
	}
}

// haltBackward makes w.dx the gradient of block l's output: what comes back from the block above for the tokens that went on, zero for those
// that halted, plus a readout's share of its mean field and the gates.
func (n *Network) haltBackward(s *shard, l int, above *activation, w *scratch) {
	c := n.config
	e, q, tokens := c.Embed, c.Readouts(), c.Tokens()
	a := &s.blocks[l]
	w.dx, w.dxBelow = w.dxBelow, w.dx
	for i := range s.images {
		up, upEnd := int(above.offset[i]), int(above.offset[i+1])
		dgate := s.score[(i*c.Layers+l)*tokens:]
		for r := int(a.offset[i]); r < int(a.offset[i+1]); r++ {
			k, dx := a.token[r], w.dx[r*e:(r+1)*e]
			if up < upEnd && above.token[up] == k {
				copy(dx, w.dxBelow[up*e:(up+1)*e])
				up++
			} else {
				clear(dx)
			}
			if at := i*q + int(k); int(k) < q {
				kernels.Axpy(dx, a.weight[r], w.dfield[at*e:(at+1)*e])
			}
			dx[0] += dgate[k]
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
