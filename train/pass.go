package train

import (
	"fmt"
	"math/rand/v2"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/vit"
)

// forwardShard takes a shard from pictures to logits and their cost.
func (n *Network) forwardShard(s *shard, b Batch, loss Loss, w *scratch) error {
	c := n.config
	if err := b.stopped(); err != nil {
		return err
	}
	pixels := c.Patches() * c.PatchLen()
	for i := range s.images {
		if err := b.Load(s.first+i, w.image); err != nil {
			return fmt.Errorf("train: image %d of the batch: %w", s.first+i, err)
		}
		c.CutPatches(0, s.patches[i*pixels:(i+1)*pixels], w.image)
		s.state[i].Reset(c.Tokens())
	}
	clear(s.score)
	clear(s.scoreSum)
	if !n.scheme.deep {
		clear(s.decisions[0].input)
	}
	clear(s.field)
	n.begin(s)
	n.embedForward(s)
	for l := range c.Layers {
		s.drawDrops(l, c.Layers, b.Seed, loss.DropPath, w)
		out := s.x[l+1]
		if n.scheme.freezes {
			out = w.dx // for x[l+1] has rows besides, those that are frozen
		}
		n.beginLast(s, l)
		if n.precision == BF16 {
			n.attendForwardHalf(s, l, w)
			n.mlpForwardHalf(s, l, out, w)
		} else {
			n.attendForward(s, l, w)
			n.mlpForward(s, l, out, w)
		}
		n.haltForward(s, l, out, w)
	}
	for _, d := range s.decisions {
		n.headForward(d, s)
		n.classify(d, s, b, loss, w)
	}
	s.totals = totals{}
	if last := s.decisions[len(s.decisions)-1]; b.TeacherTokens != nil {
		n.matchTokens(last, s, b, loss)
	} else {
		last.pull = nil
	}
	if n.scheme.deep {
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

// backwardShard adds the shard's share of the gradient to g.
func (n *Network) backwardShard(s *shard, g *vit.Params, w *scratch, up halting.Upstream) {
	provisional, size := n.scheme.provisional(), s.images*n.reads.Fields()*n.config.Embed
	if !n.scheme.deep {
		n.headBackward(w.dfield, s.decisions[0], s, g, w)
	} else if provisional {
		clear(w.dfield)
		for l := n.config.Layers - 1; l >= 0; l-- {
			n.headBackward(w.dfields[l*size:(l+1)*size], s.decisions[l], s, g, w)
		}
	}
	n.gateBackward(s, w, up)
	clear(s.credit)

	none := make([]int32, s.images+1)
	above := &activation{offset: none, run: none} // after the last block there are no rows
	for l := n.config.Layers - 1; l >= 0; l-- {
		if n.scheme.deep && !provisional {
			n.headBackward(w.dfield, s.decisions[l], s, g, w)
		}
		if l < n.lowest {
			continue
		}
		n.haltBackward(s, l, above, w)
		if n.precision == BF16 {
			n.mlpBackwardHalf(s, l, g, w)
			n.attendBackwardHalf(s, l, g, w)
		} else {
			n.mlpBackward(s, l, g, w)
			n.showMLP(s, l, w)
			n.attendBackward(s, l, g, w)
			n.showAttention(s, l, w)
		}
		above = &s.blocks[l]
	}
	if n.lowest == 0 {
		n.embedBackward(s, g, w.dx)
	}
}

// drawDrops decides which images skip the branches of block l.
func (s *shard) drawDrops(l, layers int, seed uint64, rate float64, w *scratch) {
	a := &s.blocks[l]
	if a.drops = rate > 0 && l > 0; !a.drops {
		return
	}
	for i := range s.images {
		a.drop1[i], a.drop2[i] = DropPath(w.random, &w.source, seed, l, layers, s.first+i, rate)
	}
}

// DropPath draws the factors of an image's two branches in block l (from 0): 0 where the path is dropped, 1 by the
// chance to stay otherwise (stochastic depth, Huang et al. 2016). The draw depends on the seed, the block and the
// image's place in the batch alone; r draws from source, which is seeded.
func DropPath(r *rand.Rand, source *rand.PCG, seed uint64, l, layers, image int, rate float64) (attend, mlp float32) {
	keep := 1 - rate*float64(l)/float64(max(layers-1, 1))
	source.Seed(seed, uint64(l)<<32|uint64(image))
	for _, f := range []*float32{&attend, &mlp} {
		if r.Float64() < keep {
			*f = float32(1 / keep)
		}
	}
	return attend, mlp
}
