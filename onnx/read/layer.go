package read

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// matmul is a linear map if its second factor is a constant; else one of attention's products.
func matmul(c *call) (*value, error) {
	a, b := c.in[0], c.in[1]
	switch {
	case len(a.dims) < 2 || len(b.dims) < 2:
		return nil, errors.New("a product of other things than matrices")
	case a.isConstant():
		return nil, errors.New("its first factor is a constant; linear maps are read with the weight as the second")
	case b.isConstant() && len(b.dims) == 2:
		return c.linear(a, b)
	}
	left, right := a.shape(), b.shape()
	n := len(left)
	if len(right) != n || left[n-1] != right[n-2] || !slices.Equal(left[:n-2], right[:n-2]) {
		return nil, fmt.Errorf("shapes %v and %v", left, right)
	}
	left[n-1] = right[n-1]
	return wholeOf(c.make("MatMul", left, a, b)), nil
}

// linear is x·weight for a weight [in, out].
func (c *call) linear(x, weight *value) (*value, error) {
	shape, of := x.shape(), weight.shape()
	n := len(shape) - 1
	if len(of) != 2 || n < 0 || shape[n] != of[0] {
		return nil, fmt.Errorf("shapes %v and %v", shape, of)
	}
	shape[n] = of[1]
	scale := x.scale
	x = x.with(x.dims)
	x.scale = 1
	return wholeOf(c.make(linearKind, shape, x, weight)).scaled(scale)
}

func gemm(c *call) (*value, error) {
	x, weight := c.in[0], c.in[1]
	switch {
	case c.int("transA", 0) != 0 || x.isConstant() || !weight.isConstant():
		return nil, errors.New("linear maps are read with the weight as the second factor")
	case len(weight.dims) != 2 || len(x.dims) != 2:
		return nil, fmt.Errorf("shapes %v and %v", x.shape(), weight.shape())
	case c.int("transB", 0) != 0:
		weight = weight.transpose([]int{1, 0})
	}
	factor := func(name string) float64 {
		if a, ok := c.attributes[name]; ok {
			return float64(a.f)
		}
		return 1
	}
	y, err := c.linear(x, weight)
	if err == nil {
		y, err = y.scaled(factor("alpha"))
	}
	bias := c.input(2)
	if err != nil || bias == nil {
		return y, err
	}
	if factor("beta") != 1 || !bias.isConstant() {
		return nil, errors.New("a bias that is scaled or no constant")
	}
	return c.plus(y, bias, 1)
}

// conv is the cutting of the input into patches, with a linear map of each.
func conv(c *call) (*value, error) {
	x, weight := c.in[0], c.in[1]
	if x.of.kind != inputKind || !x.all() || x.scale != 1 {
		if x.of.kind == inputKind {
			return nil, errNormalised
		}
		return nil, errors.New("a convolution of something else than the input")
	}
	if !weight.isConstant() || len(weight.dims) != 4 || len(x.dims) != 4 {
		return nil, errors.New("a convolution of another rank than pictures have")
	}
	in, of := x.shape(), weight.shape()
	strides, kernel := integers(c.attributes["strides"].ints), integers(c.attributes["kernel_shape"].ints)
	plain := func(name string, v int64) bool { // what is left out is plain
		return !slices.ContainsFunc(c.attributes[name].ints, func(i int64) bool { return i != v })
	}
	if kernel == nil {
		kernel = of[2:]
	}
	pad := c.attributes["auto_pad"].s
	if !slices.Equal(kernel, of[2:]) || !slices.Equal(strides, kernel) || in[1] != of[1] || c.int("group", 1) != 1 ||
		!plain("pads", 0) || !plain("dilations", 1) || pad != "" && pad != "NOTSET" && pad != "VALID" {
		return nil, fmt.Errorf("a convolution of %v by %v in steps of %v does not cut a picture into patches side by side",
			in, of, strides)
	}
	if slices.Min(of) < 1 || in[2]%kernel[0] != 0 || in[3]%kernel[1] != 0 {
		return nil, fmt.Errorf("a picture of %d×%d pixels is not a whole number of patches of %v", in[2], in[3], kernel)
	}
	e := c.make(patchesKind, []int{in[0], of[0], in[2] / kernel[0], in[3] / kernel[1]}, x, weight)
	if bias := c.input(2); bias != nil {
		a, err := c.content(bias)
		if err != nil {
			return nil, err
		}
		if a.whole || len(a.f) != of[0] {
			return nil, fmt.Errorf("a bias of shape %v", a.shape)
		}
		e.beta = a.f
	}
	return wholeOf(e), nil
}

// layerNorm is a norm that is one node.
func layerNorm(c *call) (*value, error) {
	x := c.settled(c.in[0])
	axis, err := axisOf(c.int("axis", -1), len(x.dims))
	if err != nil || axis != len(x.dims)-1 || x.isConstant() || x.scale != 1 {
		return nil, errors.Join(err, errors.New("a norm along another axis than a token's numbers"))
	}
	e := c.make(normKind, x.shape(), x)
	e.eps = 1e-5
	if a, ok := c.attributes["epsilon"]; ok {
		e.eps = float64(a.f)
	}
	for i, to := range []*[]float32{&e.gamma, &e.beta} {
		k := c.input(1 + i)
		if k == nil {
			continue
		}
		a, err := c.content(k)
		if err != nil {
			return nil, err
		}
		if a.whole || len(a.f) != e.width() {
			return nil, fmt.Errorf("factors of shape %v for rows of %d", a.shape, e.width())
		}
		*to = a.f
	}
	return wholeOf(e), nil
}

// normalized recognises the last step of a norm in single steps, (x − mean)/√(variance + eps).
func (c *call) normalized(a, b *value) (*value, error) {
	root := b.of
	if a.of.kind == centeredKind && a.all() && b.all() && root.kind == "Sqrt" && root.args[0].all() {
		if sum := root.args[0].of; sum.kind == plusKind && sum.args[0].all() {
			eps, ok := c.number(sum.args[1])
			mean := sum.args[0].of
			if ok && mean.kind == "ReduceMean" && mean.axis == len(a.dims)-1 && mean.args[0].of.kind == squareKind &&
				mean.args[0].all() && mean.args[0].of.args[0].same(a) {
				e := c.make(normKind, a.shape(), a.of.args[0])
				e.eps = eps
				return wholeOf(e), nil
			}
		}
	}
	return nil, errors.New("a division by what depends on the input, but not that of a layer norm")
}

// power is x to a constant power.
func (c *call) power(x, k *value) (*value, error) {
	if err := fits(x, k); err != nil {
		return nil, err
	}
	switch v, _ := c.number(k); {
	case v == 2 && x.scale == 1:
		return wholeOf(c.make(squareKind, x.shape(), x)), nil
	case v == 0.5 && x.scale == 1:
		return wholeOf(c.make("Sqrt", x.shape(), x)), nil
	}
	return nil, errors.New("a power that a layer norm has no use for")
}

// product is that of two values which depend on the input: a step of a norm, or of GELU.
func (c *call) product(a, b *value) (*value, error) {
	if a.same(b) && a.scale == 1 {
		return wholeOf(c.make(squareKind, a.shape(), a)), nil
	}
	for _, pair := range [][2]*value{{a, b}, {b, a}} {
		x, y := pair[0], pair[1]
		if x.of.kind == centeredKind && y.of.kind == "Reciprocal" && y.all() && y.scale == 1 {
			return c.normalized(x, y.of.args[0])
		}
		if v := c.gelu(x, y); v != nil {
			return v, nil
		}
	}
	return nil, errors.New("a product of two things that depend on the input, but not that of GELU in its exact form " +
		"x·(1 + erf(x/√2))/2, the only activation that is read")
}

// gelu recognises x·(1 + erf(x/√2)) up to a scale; nil if it is something else.
func (c *call) gelu(x, y *value) *value {
	if y.of.kind != plusKind || !y.all() {
		return nil
	}
	erf := y.of.args[0]
	if one, ok := c.number(y.of.args[1]); !ok || one != 1 || erf.of.kind != "Erf" || !erf.all() || erf.scale != 1 {
		return nil
	}
	inner := *erf.of.args[0] // u/√2 for u = scale·(what x is of)
	u := inner.scale * math.Sqrt2
	inner.scale = x.scale
	if !inner.same(x) {
		return nil
	}
	inner.scale = u
	v := wholeOf(c.make(geluKind, x.shape(), c.settled(&inner)))
	v.scale = 2 * x.scale / u * y.scale
	return v
}

func geluNode(c *call) (*value, error) {
	if a := c.attributes["approximate"].s; a != "" && a != "none" {
		return nil, errors.New(refused["Tanh"])
	}
	return wholeOf(c.make(geluKind, c.in[0].shape(), c.settled(c.in[0]))), nil
}

// softmax runs along the last axis.
func softmax(c *call) (*value, error) {
	otherwise := -1
	if c.opset < 13 {
		otherwise = 1
	}
	n := len(c.in[0].dims)
	axis, err := axisOf(c.int("axis", otherwise), n)
	if err != nil || axis != n-1 {
		return nil, errors.Join(err, errors.New("a softmax along another axis than the last"))
	}
	return wholeOf(c.make("Softmax", c.in[0].shape(), c.in[0])), nil
}

// mean runs along one axis.
func mean(c *call) (*value, error) {
	axes, err := c.ints("axes", 1)
	x := c.settled(c.in[0])
	if err != nil || len(axes) != 1 || x.isConstant() {
		return nil, errors.Join(err, errors.New("a mean along other axes than one"))
	}
	axis, err := axisOf(axes[0], len(x.dims))
	if err != nil {
		return nil, err
	}
	shape := x.shape()
	shape[axis] = 1
	e := c.make("ReduceMean", shape, x)
	e.axis = axis
	v := wholeOf(e)
	if c.int("keepdims", 1) == 0 {
		v = v.with(slices.Delete(slices.Clone(v.dims), axis, axis+1))
	}
	return v, nil
}

// attention is opset 23's node: softmax(scale·q·kᵀ)·v, heads apart or side by side.
func attention(c *call) (*value, error) {
	for i := 3; i < len(c.in); i++ {
		if c.in[i] != nil {
			return nil, errors.New("attention with a mask or a memory")
		}
	}
	if c.int("is_causal", 0) != 0 || c.attributes["softcap"].f != 0 || len(c.out) > 1 && c.out[1] != "" {
		return nil, errors.New("attention of another kind than a vision transformer's")
	}
	heads := c.int("q_num_heads", 0)
	var in [3]*value
	for i, v := range c.in[:3] {
		if len(v.dims) == 3 { // [B, n, heads·d]
			shape := v.shape()
			if heads < 1 || c.int("kv_num_heads", heads) != heads || shape[2]%heads != 0 {
				return nil, fmt.Errorf("shape %v of %d heads", shape, heads)
			}
			w, ok := v.reshape([]int{shape[0], shape[1], heads, shape[2] / heads})
			if !ok {
				return nil, errNoView
			}
			v = w.transpose([]int{0, 2, 1, 3})
		}
		if len(v.dims) != 4 {
			return nil, fmt.Errorf("shape %v", v.shape())
		}
		in[i] = v
	}
	if !slices.Equal(in[0].shape(), in[1].shape()) || !slices.Equal(in[1].shape(), in[2].shape()) {
		return nil, errors.New("attention with other keys than its own tokens'")
	}
	shape := in[0].shape()
	scale := 1 / math.Sqrt(float64(max(shape[3], 1)))
	if a, ok := c.attributes["scale"]; ok {
		scale = float64(a.f)
	}
	scores := wholeOf(c.make("MatMul", []int{shape[0], shape[1], shape[2], shape[2]}, in[0],
		in[1].transpose([]int{0, 1, 3, 2})))
	scores.scale = scale
	share := wholeOf(c.make("Softmax", scores.shape(), scores))
	y := wholeOf(c.make("MatMul", shape, share, in[2]))
	if len(c.in[0].dims) == 4 {
		return y, nil
	}
	out := y.transpose([]int{0, 2, 1, 3})
	return out.with([]dim{out.dims[0], out.dims[1], fused(slices.Concat(out.dims[2:]...))}), nil
}
