package vit

import (
	"slices"

	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/weights"
)

// findTokens looks in a file of timm's for the tokens that a model may have or lack, and for what its head looks at:
// mean says that it is the patches' mean.
func (l naming) findTokens(f *weights.File, c *Config, mean bool) {
	_, class := f.Get(l.prefix + "cls_token")
	_, normsMean := f.Get(l.prefix + "fc_norm.weight")
	registers, _ := f.Get(l.prefix + "reg_token")
	if len(registers.Shape) == 3 {
		c.Registers = registers.Shape[1]
	}
	switch c.NoClassToken = !class; {
	case normsMean:
		c.Pooling = Mean
	case mean || c.NoClassToken:
		c.Pooling = NormedMean
	}
}

// placeTokens gives a file's position embedding the rows that ours has: zeros for the special tokens where it has none
// for these, while rows for registers, which need none, are added to them.
func (l naming) placeTokens(f *weights.File, c Config) {
	at := index(f, l.name(c, "pos_embed"))
	if at < 0 || len(f.Tensors[at].Shape) != 3 {
		return
	}
	t, own := f.Tensors[at], c.positioned()
	rows, width := t.Shape[1], t.Shape[2]
	switch {
	case rows == c.Patches() && own > 0:
		t.Data = slices.Concat(make([]byte, own*width*t.DType.Size()), t.Data)
	case rows == c.Tokens() && c.Registers > 0:
		reg := index(f, l.name(c, "reg_token"))
		x, err := t.Float32s()
		if reg < 0 || err != nil {
			return
		}
		sum, err := f.Tensors[reg].Float32s()
		from, to := own*width, c.Special()*width
		if err != nil || len(sum) != to-from {
			return
		}
		kernels.Add(sum, x[from:to])
		f.Tensors[reg] = weights.Float32Tensor(f.Tensors[reg].Name, f.Tensors[reg].Shape, sum)
		x = slices.Concat(x[:from], x[to:])
		t = weights.Float32Tensor(t.Name, []int{len(x)}, x)
	default:
		return
	}
	t.Shape = []int{f.Tensors[at].Shape[0], own + c.Patches(), width}
	f.Tensors[at] = t
}

// index returns the place of a tensor in its file, or −1.
func index(f *weights.File, name string) int {
	return slices.IndexFunc(f.Tensors, func(t weights.Tensor) bool { return t.Name == name })
}
