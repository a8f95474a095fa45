package train

import (
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// embedForward makes the tokens: x[0][k] = special token k + position[k] for k < S, registers without a position; then
// x[0][k] = patch k−S·Wᵀ + b + its position.
func (n *Network) embedForward(s *shard) {
	c, p := n.config, n.params
	tokens, special, patches, e := c.Tokens(), c.Special(), c.Patches(), c.Embed
	a := &s.blocks[0]
	a.offset[0], a.run[0] = 0, 0
	for i := range s.images {
		x := s.x[0][i*tokens*e : (i+1)*tokens*e]
		at := copy(x, p.ClassToken)
		at += copy(x[at:], p.DistToken)
		copy(x[at:], p.Registers)
		kernels.GemmPacked(x[special*e:], e, s.patches[i*patches*c.PatchLen():], c.PatchLen(), patches, &n.patch.forward,
			kernels.Epilogue{Bias: p.PatchBias})
		kernels.Add(x[:at], p.Position[:at])
		kernels.Add(x[special*e:], p.Position[at:])
		a.offset[i+1] = int32((i + 1) * tokens)
		a.run[i+1] = a.offset[i+1]
		for k := range tokens {
			a.token[i*tokens+k] = int32(k)
		}
	}
}

// embedBackward adds the gradients of the embedding's parameters, given dx [images·N, E].
func (n *Network) embedBackward(s *shard, g *vit.Params, dx []float32) {
	c := n.config
	tokens, special, patches, e := c.Tokens(), c.Special(), c.Patches(), c.Embed
	for i := range s.images {
		d := dx[i*tokens*e : (i+1)*tokens*e]
		class, at := len(g.ClassToken), len(g.ClassToken)+len(g.DistToken)
		kernels.Add(g.Position[:at], d[:at])
		kernels.Add(g.ClassToken, d[:class])
		kernels.Add(g.DistToken, d[class:at])
		kernels.Add(g.Registers, d[at:special*e])
		d = d[special*e:]
		kernels.Add(g.Position[at:], d)
		kernels.ColumnSums(g.PatchBias, d, e, patches, e)
		kernels.GemmTN(g.PatchWeight, c.PatchLen(), d, e, s.patches[i*patches*c.PatchLen():], c.PatchLen(),
			e, c.PatchLen(), patches, true)
	}
}
