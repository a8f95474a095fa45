package onnx

import (
	"math"
	"slices"
)

// A small interpreter of the operators that the writer uses, after the operators' specification
// (https://onnx.ai/onnx/operators), in float64 and without any regard for speed. It checks types and shapes as it goes;
// what does not fit panics with an error that names the node.

// value is a tensor of any type; numbers and truth values are held as float64.
type value struct {
	kind  elem
	shape []int
	data  []float64
}

func count(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

func zeros(kind elem, shape ...int) value { return value{kind, shape, make([]float64, count(shape))} }

// walk calls f with every index of a shape, in the order of memory.
func walk(shape []int, f func(i int, at []int)) {
	at := make([]int, len(shape))
	for i := range count(shape) {
		f(i, at)
		for d := len(at) - 1; d >= 0; d-- {
			if at[d]++; at[d] < shape[d] {
				break
			}
			at[d] = 0
		}
	}
}

// offset is the place of an index in memory; leading indices beyond the shape's own, and those along dimensions of 1,
// do not count.
func offset(shape, at []int) int {
	at = at[len(at)-len(shape):]
	i := 0
	for d, n := range shape {
		i *= n
		if n > 1 {
			i += at[d]
		}
	}
	return i
}

// broadcast is the common shape of a and b.
func broadcast(a, b []int) []int {
	out := make([]int, max(len(a), len(b)))
	for i := range out {
		x, y := 1, 1
		if j := i - len(out) + len(a); j >= 0 {
			x = a[j]
		}
		if j := i - len(out) + len(b); j >= 0 {
			y = b[j]
		}
		must(x == y || x == 1 || y == 1, "shapes %v and %v do not go together", a, b)
		out[i] = x
		if x == 1 {
			out[i] = y
		}
	}
	return out
}

// pointwise applies f to tensors of one type.
func pointwise(kind elem, in []value, f func(x []float64) float64) value {
	var shape []int
	for _, v := range in {
		shape = broadcast(shape, v.shape)
	}
	out, x := zeros(kind, shape...), make([]float64, len(in))
	walk(shape, func(i int, at []int) {
		for j, v := range in {
			x[j] = v.data[offset(v.shape, at)]
		}
		out.data[i] = f(x)
	})
	return out
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func gelu(x float64) float64 { return x * (1 + math.Erf(x/math.Sqrt2)) / 2 }

// pointwiseOps lists the operators that look at one place of each input: the input types, the output type, and what
// they do.
var pointwiseOps = map[string]struct {
	in  []elem
	out elem
	f   func(x []float64) float64
}{
	"Add":     {[]elem{elemFloat, elemFloat}, elemFloat, func(x []float64) float64 { return x[0] + x[1] }},
	"Sub":     {[]elem{elemFloat, elemFloat}, elemFloat, func(x []float64) float64 { return x[0] - x[1] }},
	"Mul":     {[]elem{elemFloat, elemFloat}, elemFloat, func(x []float64) float64 { return x[0] * x[1] }},
	"Div":     {[]elem{elemFloat, elemFloat}, elemFloat, func(x []float64) float64 { return x[0] / x[1] }},
	"Less":    {[]elem{elemFloat, elemFloat}, elemBool, func(x []float64) float64 { return truth(x[0] < x[1]) }},
	"And":     {[]elem{elemBool, elemBool}, elemBool, func(x []float64) float64 { return x[0] * x[1] }},
	"Or":      {[]elem{elemBool, elemBool}, elemBool, func(x []float64) float64 { return max(x[0], x[1]) }},
	"Max":     {[]elem{elemInt64, elemInt64}, elemInt64, func(x []float64) float64 { return max(x[0], x[1]) }},
	"Erf":     {[]elem{elemFloat}, elemFloat, func(x []float64) float64 { return math.Erf(x[0]) }},
	"Gelu":    {[]elem{elemFloat}, elemFloat, func(x []float64) float64 { return gelu(x[0]) }},
	"Sigmoid": {[]elem{elemFloat}, elemFloat, func(x []float64) float64 { return sigmoid(x[0]) }},
	"Cast":    {[]elem{elemBool}, elemInt64, func(x []float64) float64 { return x[0] }},
	"Where": {[]elem{elemBool, elemFloat, elemFloat}, elemFloat, func(x []float64) float64 {
		if x[0] != 0 {
			return x[1]
		}
		return x[2]
	}},
	"GreaterOrEqual": {[]elem{elemFloat, elemFloat}, elemBool, func(x []float64) float64 {
		return truth(x[0] >= x[1])
	}},
}

// run evaluates the graph; it returns every value by its name.
func (m *readModel) run(input value) (all map[string]value, err error) {
	var at string
	defer func() {
		if p := recover(); p != nil {
			fault, ours := p.(error)
			must(ours, "node %s: %v", at, p)
			err = fault
		}
	}()
	all = map[string]value{"input": input}
	for name, v := range m.constants {
		all[name] = v
	}
	for _, n := range m.nodes {
		at = n.name
		in := make([]value, len(n.in))
		for i, name := range n.in {
			v, ok := all[name]
			must(ok, "node %s: input %q is not there yet", at, name)
			in[i] = v
		}
		var out []value
		if op, ok := pointwiseOps[n.op]; ok {
			must(len(in) == len(op.in), "node %s: %d inputs", at, len(in))
			for i, v := range in {
				must(v.kind == op.in[i], "node %s: input %d has type %d", at, i, v.kind)
			}
			out = []value{pointwise(op.out, in, op.f)}
		} else {
			f, ok := operators[n.op]
			must(ok, "node %s: operator %q is not known", at, n.op)
			out = f(n, in)
		}
		must(len(out) == len(n.out), "node %s: %d outputs", at, len(n.out))
		for i, v := range out {
			must(len(v.data) == count(v.shape), "node %s: shape %v of %d numbers", at, v.shape, len(v.data))
			all[n.out[i]] = v
		}
	}
	return all, nil
}

// axis returns the node's axis, counted from the front.
func (n readNode) axis(rank int) int {
	a := int(n.int("axis", 0))
	if a < 0 {
		a += rank
	}
	must(a >= 0 && a < rank, "node %s: axis %d of %d", n.name, a, rank)
	return a
}

func (n readNode) int(name string, otherwise int64) int64 {
	if v, ok := n.attributes[name]; ok {
		return v.(int64)
	}
	return otherwise
}

// whole returns the numbers of a list of whole ones.
func whole(v value) []int {
	must(v.kind == elemInt64 && len(v.shape) == 1, "shape %v of type %d is no list of whole numbers", v.shape, v.kind)
	list := make([]int, len(v.data))
	for i, x := range v.data {
		list[i] = int(x)
	}
	return list
}

// gathered builds a tensor from x: index turns a place in the result into one in x.
func gathered(x value, shape []int, index func(at []int) []int) value {
	out := zeros(x.kind, shape...)
	walk(shape, func(i int, at []int) {
		from := index(at)
		for d, j := range from {
			must(j >= 0 && j < x.shape[d], "place %v of shape %v", from, x.shape)
		}
		out.data[i] = x.data[offset(x.shape, from)]
	})
	return out
}

// with returns shape with one dimension changed.
func with(shape []int, axis, n int) []int {
	shape = slices.Clone(shape)
	shape[axis] = n
	return shape
}
