package read

import (
	"errors"
	"fmt"
	"slices"
)

// operators are all that are read. That a graph has another one, on the way to its output, is an error.
var operators map[string]operator

func init() {
	operators = map[string]operator{
		"Reshape": moved(2, reshape), "Flatten": moved(1, flatten), "Transpose": moved(1, transpose),
		"Squeeze": moved(1, squeeze), "Unsqueeze": moved(1, unsqueeze), "Expand": moved(2, expand), "Tile": moved(2, tile),
		"Einsum": one(2, einsum),
		"Slice":  moved(1, slice), "Gather": moved(2, gather), "Split": {1, split}, "Concat": one(1, concat),
		"Where": one(3, where), "MatMul": one(2, matmul), "Gemm": one(2, gemm), "Conv": one(2, conv),
		"LayerNormalization": one(2, layerNorm), "Gelu": one(1, geluNode), "Softmax": one(1, softmax),
		"ReduceMean": one(1, mean), "Attention": one(3, attention), "Identity": one(1, same), "Dropout": one(1, same),
		"Shape": one(1, shapeOf), "Size": one(1, size), "Constant": one(0, constantNode),
		"ConstantOfShape": one(1, constantOfShape), "Range": one(3, rangeNode),
		"Resize": one(1, resize),
		"Cast":   one(1, func(c *call) (*value, error) { return c.cast(!floating(int64(c.int("to", 1)))) }),
		"CastLike": one(2, func(c *call) (*value, error) {
			return c.cast(c.in[1].isConstant() && c.in[1].of.constant.whole)
		}),
	}
	for name := range pointwise {
		operators[name] = one(2, both)
	}
	for name, f := range unary {
		operators[name] = one(1, func(c *call) (*value, error) { return c.alone(f) })
	}
	for _, name := range []string{"Erf", "IsNaN"} {
		operators[name] = one(1, func(c *call) (*value, error) { return c.alone(nil) })
	}
}

const (
	otherGELU  = "this is an activation other than GELU in its exact form (erf), which alone is read"
	quantized  = "the model is quantised; convert the original, and quantise here (--precision int8)"
	whatIfNode = "the graph branches or loops; export it with fixed sizes, by tracing"
)

// refused says of operators why they are not read, where that can be said.
var refused = map[string]string{
	"Tanh": otherGELU + "; this looks like its approximation by tanh", "Sigmoid": otherGELU, "Relu": otherGELU,
	"HardSwish": otherGELU, "LeakyRelu": otherGELU, "Clip": otherGELU,
	"DequantizeLinear": quantized, "QuantizeLinear": quantized, "DynamicQuantizeLinear": quantized,
	"QLinearMatMul": quantized, "MatMulInteger": quantized, "ConvInteger": quantized, "QLinearConv": quantized,
	"If": whatIfNode, "Loop": whatIfNode, "Scan": whatIfNode,
	"BatchNormalization": "this is a convolutional network's norm, not a plain vision transformer's",
	"MaxPool":            "this is a convolutional network's pooling, not a plain vision transformer's",
}

func same(c *call) (*value, error) { return c.in[0], nil }

// alone follows an operator on one number; f folds a constant.
func (c *call) alone(f func(float64) float64) (*value, error) {
	x := c.in[0]
	switch {
	case x.isConstant() && f != nil:
		return c.foldOne(f)
	case c.op == "Neg":
		return x.scaled(-1)
	case x.scale != 1 && c.op != "Erf":
		return nil, errors.New("this use of it is not known from a plain vision transformer")
	}
	return wholeOf(c.make(c.op, x.shape(), x)), nil
}

// sizes is a constant of whole numbers.
func (c *call) sizes(list []int, shape ...int) (*value, error) {
	if err := c.spend(len(list)); err != nil {
		return nil, err
	}
	a := newArray(true, shape)
	for i, v := range list {
		a.i[i] = int64(v)
	}
	return constant(a), nil
}

// resize is known where it changes nothing, as for position embeddings at the size that they are for.
func resize(c *call) (*value, error) {
	x := c.in[0]
	stays := false
	if scales := c.input(2); scales != nil && scales.len() > 0 {
		v, one := c.number(scales)
		stays = one && v == 1
	} else if sizes := c.input(3); sizes != nil {
		list, err := c.list(sizes)
		if err != nil {
			return nil, err
		}
		stays = slices.Equal(list, x.shape()) && c.attributes["axes"].ints == nil
	}
	if !stays || c.attributes["coordinate_transformation_mode"].s == "tf_crop_and_resize" {
		return nil, errors.New("position embeddings or pictures are resampled in the graph; export it for one size")
	}
	return x, nil
}

func shapeOf(c *call) (*value, error) {
	shape := c.in[0].shape()
	from, to := clip(c.int("start", 0), len(shape)), clip(c.int("end", len(shape)), len(shape))
	shape = shape[from:max(from, to)]
	return c.sizes(shape, len(shape))
}

func size(c *call) (*value, error) { return c.sizes([]int{c.in[0].len()}) }

func constantNode(c *call) (*value, error) {
	for name, a := range c.attributes {
		switch name {
		case "value":
			if a.t == nil {
				return nil, errors.New("a constant without a value")
			}
			x, err := c.array(a.t)
			if err != nil {
				return nil, err
			}
			return constant(x), nil
		case "value_int":
			return c.sizes([]int{int(a.i)})
		case "value_ints":
			return c.sizes(integers(a.ints), len(a.ints))
		case "value_float":
			return constant(&array{f: []float32{a.f}}), nil
		case "value_floats":
			return constant(&array{shape: []int{len(a.floats)}, f: a.floats}), nil
		}
	}
	return nil, errors.New("a constant of a type that is not read")
}

func constantOfShape(c *call) (*value, error) {
	shape, err := c.list(c.in[0])
	if err != nil {
		return nil, err
	}
	if _, err := elements(shape); err != nil || len(shape) > maxRank {
		return nil, fmt.Errorf("shape %v is impossible", shape)
	}
	a := &array{f: []float32{0}}
	if t := c.attributes["value"].t; t != nil {
		if a, err = c.array(t); err != nil {
			return nil, err
		}
	}
	if a.len() != 1 {
		return nil, fmt.Errorf("a value of shape %v", a.shape)
	}
	return constant(&array{whole: a.whole, f: a.f, i: a.i}).expand(shape)
}

func rangeNode(c *call) (*value, error) {
	var bounds [3]int
	for i, v := range c.in[:3] {
		list, err := c.list(v)
		if err != nil {
			return nil, err
		}
		if len(list) != 1 {
			return nil, fmt.Errorf("bound %d of shape %v", i, v.shape())
		}
		bounds[i] = list[0]
	}
	from, to, step := bounds[0], bounds[1], bounds[2]
	if step < 1 || to < from || (to-from)/step > maxList || to-from < 0 {
		return nil, fmt.Errorf("a range from %d to %d by %d", from, to, step)
	}
	var list []int
	for v := from; v < to; v += step {
		list = append(list, v)
	}
	return c.sizes(list, len(list))
}
