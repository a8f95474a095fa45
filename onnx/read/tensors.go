package read

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/adavit/adavit/weights"
)

// timm returns the network's tensors under timm's names, and the layer norms' eps.
func (n *network) timm() (*weights.File, float64, error) {
	f := &weights.File{}
	add := func(name string, data []float32, shape ...int) {
		f.Tensors = append(f.Tensors, weights.Float32Tensor(name, shape, data))
	}
	width := n.kernel.shape[0]
	// A learnt token that nothing tells from a register is one, but for the second of two: then it is DeiT's.
	learnt, named := len(n.special)/width, 1
	switch {
	case n.reads != aToken && n.first != learnt:
		return nil, 0, fmt.Errorf("the head reads the mean of tokens from number %d on, but patches begin at %d", n.first,
			learnt)
	case learnt == 0 && (n.reads == aToken || n.reads == tokenMean):
		return nil, 0, fmt.Errorf("the head reads a class token, but there is none before the patches of %v", n.patches)
	case len(n.heads) == 2 && learnt != 2:
		return nil, 0, fmt.Errorf("two heads are for two learnt tokens, not %d", learnt)
	case learnt == 0:
		named = 0
	case learnt == 2 && n.reads == aToken:
		named = 2
		add("dist_token", n.special[width:], 1, 1, width)
	case learnt > 1:
		add("reg_token", n.special[width:], 1, learnt-1, width)
	}
	if learnt > 0 {
		add("cls_token", n.special[:width], 1, 1, width)
	}
	add("pos_embed", slices.Concat(make([]float32, named*width), n.positions), 1, named+len(n.positions)/width, width)
	add("patch_embed.proj.weight", n.kernel.f, n.kernel.shape...)
	add("patch_embed.proj.bias", n.bias, width)

	last := "norm"
	if n.reads == ofMean {
		last = "fc_norm"
	}
	norms := map[string]*expression{last: n.norm}
	linear := map[string]*expression{"head": nil, "head_dist": nil}
	for i, e := range n.heads {
		linear[[...]string{"head", "head_dist"}[i]] = e
	}
	for l, b := range n.blocks {
		block := fmt.Sprintf("blocks.%d.", l)
		norms[block+"norm1"], norms[block+"norm2"] = b.norm1, b.norm2
		linear[block+"attn.proj"], linear[block+"mlp.fc1"], linear[block+"mlp.fc2"] = b.proj, b.fc1, b.fc2
		var w, bias []float32
		for _, part := range b.qkv {
			all, allBias, in, err := n.matrix(part.of)
			if err != nil {
				return nil, 0, err
			}
			for _, k := range part.index {
				for _, v := range all[k*in : (k+1)*in] {
					w = append(w, v*float32(part.scale))
				}
				bias = append(bias, allBias[k]*float32(part.scale))
			}
		}
		add(block+"attn.qkv.weight", w, len(bias), len(w)/len(bias))
		add(block+"attn.qkv.bias", bias, len(bias))
	}
	eps := n.norm.eps
	for name, e := range norms {
		if e.eps != eps {
			return nil, 0, fmt.Errorf("%v has eps %v, but %v has %v", e, e.eps, n.norm, eps)
		}
		add(name+".weight", filled(e.gamma, 1, e.width()), e.width())
		add(name+".bias", filled(e.beta, 0, e.width()), e.width())
	}
	for name, e := range linear {
		if e == nil {
			continue
		}
		w, bias, in, err := n.matrix(e)
		if err != nil {
			return nil, 0, err
		}
		add(name+".weight", w, len(bias), in)
		add(name+".bias", bias, len(bias))
	}
	// An eps that was rounded to float32 is taken for the decimal number that it was.
	eps, err := strconv.ParseFloat(strconv.FormatFloat(eps, 'g', -1, 32), 64)
	return f, eps, err
}

// filled is x, or n times v where that is left out.
func filled(x []float32, v float32, n int) []float32 {
	if x == nil {
		return slices.Repeat([]float32{v}, n)
	}
	return x
}

// matrix returns a linear map's weight [out, in] and bias [out], its factors multiplied into the weight.
func (n *network) matrix(e *expression) (weight, bias []float32, in int, err error) {
	a, err := n.content(e.args[1].transpose([]int{1, 0}))
	if err != nil {
		return nil, nil, 0, err
	}
	if a.whole {
		return nil, nil, 0, fmt.Errorf("%v has a weight of whole numbers", e)
	}
	weight, in = a.f, a.shape[1]
	if e.gamma != nil {
		weight = slices.Clone(weight)
		for i := range weight {
			weight[i] *= e.gamma[i/in]
		}
	}
	return weight, filled(e.beta, 0, a.shape[0]), in, nil
}
