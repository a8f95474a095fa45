package vit

import (
	"slices"

	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/weights"
)

// findTokens looks for the tokens that a model may have or lack, and for what its head looks at: mean says that it is
// the patches' mean.
func (s *state) findTokens(c *Config, mean bool) {
	if registers := s.tensors["reg_token"]; len(registers.Shape) == 3 {
		c.Registers = registers.Shape[1]
	}
	switch c.NoClassToken = !s.has("cls_token"); {
	case s.has("fc_norm.weight"):
		c.Pooling = Mean
	case mean || c.NoClassToken:
		c.Pooling = NormedMean
	}
}

// placeTokens gives a position embedding the rows that ours has: zeros for the special tokens where it has none for
// these, while rows for registers, which need none, are added to them.
func (s *state) placeTokens(c Config) {
	t, ok := s.get("pos_embed")
	if !ok || len(t.Shape) != 3 {
		return
	}
	own := c.positioned()
	rows, width := t.Shape[1], t.Shape[2]
	shape := []int{t.Shape[0], own + c.Patches(), width}
	switch {
	case rows == c.Patches() && own > 0:
		data, err := t.Bytes()
		if err != nil {
			return
		}
		data = slices.Concat(make([]byte, own*width*t.DType.Size()), data)
		t = weights.Tensor{Name: t.Name, DType: t.DType, Data: data}
	case rows == c.Tokens() && c.Registers > 0:
		x, err := t.Float32s()
		if err != nil {
			return
		}
		registers := s.tensors["reg_token"]
		sum, err := registers.Float32s()
		from, to := own*width, c.Special()*width
		if err != nil || len(sum) != to-from || len(x) < to {
			return
		}
		kernels.Add(sum, x[from:to])
		s.tensors["reg_token"] = weights.Float32Tensor(registers.Name, registers.Shape, sum)
		x = slices.Concat(x[:from], x[to:])
		t = weights.Float32Tensor(t.Name, nil, x)
	default:
		return
	}
	t.Shape = shape
	s.tensors["pos_embed"] = t
}
