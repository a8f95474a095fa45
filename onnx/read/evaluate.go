package read

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// expression is what an operator computes, of values that come before it. Its kind is the operator's name, or one of
// the names below for what several operators may spell.
type expression struct {
	kind  string
	shape []int
	args  []*value
	from  *node

	constant    *array    // of a constant
	gamma, beta []float32 // of a linear map or norm: factors and summands [width]; nil for 1 and 0
	eps         float64   // of a norm
	axis        int       // of a ReduceMean or Concat
}

// Kinds of expressions that are no operator's name.
const (
	constantKind = "constant"
	inputKind    = "input"
	patchesKind  = "patches"  // of input, weight [E, C, P, P]: [B, E, rows, columns]
	linearKind   = "linear"   // of rows x [.., in] and a weight [in, out]: gamma·(x·weight) + beta
	normKind     = "norm"     // of rows x: gamma·(x − mean)/√(variance + eps) + beta
	geluKind     = "gelu"     // of x: x·(1 + erf(x/√2))/2
	plusKind     = "plus"     // of x and a constant that is repeated along x
	centeredKind = "centered" // of x: x − its mean along the last axis
	squareKind   = "square"   // of x: x²
)

// width is the last dimension, 1 if there is none.
func (e *expression) width() int { return append([]int{1}, e.shape...)[len(e.shape)] }

// evaluator follows the nodes of a graph. Sizes are all known, so that whatever a graph computes of them is a number.
type evaluator struct {
	*store
	opset  int64
	values map[string]*value
}

func (g *graph) initializer(name string) bool { return g.constants[name] != nil }

// evaluate follows the nodes that an output needs, for an input of a shape [B, C, H, W].
func (s *store) evaluate(f *file, input string, shape []int, output string) (*value, error) {
	if n, err := elements(shape); err != nil || n == 0 {
		return nil, fmt.Errorf("input of shape %v", shape)
	}
	e := &evaluator{store: s, opset: f.opset, values: map[string]*value{}}
	e.values[input] = wholeOf(&expression{kind: inputKind, shape: shape})
	needed := map[string]bool{output: true}
	used := make([]bool, len(f.graph.nodes))
	for i := len(used) - 1; i >= 0; i-- { // nodes come in the order in which they run
		n := f.graph.nodes[i]
		if !slices.ContainsFunc(n.out, func(name string) bool { return name != "" && needed[name] }) {
			continue
		}
		used[i] = true
		for _, name := range n.in {
			needed[name] = true
		}
	}
	for i, n := range f.graph.nodes {
		if !used[i] {
			continue
		}
		out, err := e.node(f, n)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", n, err)
		}
		for k, v := range out {
			if k < len(n.out) && n.out[k] != "" {
				if e.values[n.out[k]] != nil {
					return nil, fmt.Errorf("%v: %.120q is made twice", n, n.out[k])
				}
				e.values[n.out[k]] = v
			}
		}
	}
	v, err := e.value(f, output)
	if err != nil {
		return nil, fmt.Errorf("output %.120q: %w", output, err)
	}
	return v, nil
}

// value finds what a name stands for. A constant is read when it is first used.
func (e *evaluator) value(f *file, name string) (*value, error) {
	if v := e.values[name]; v != nil {
		return v, nil
	}
	t := f.graph.constants[name]
	if t == nil {
		return nil, fmt.Errorf("%.120q comes from nowhere", name)
	}
	a, err := e.array(t)
	if err != nil {
		return nil, err
	}
	v := constant(a)
	e.values[name] = v
	return v, nil
}

// constant makes a value of an array.
func constant(a *array) *value {
	return wholeOf(&expression{kind: constantKind, shape: a.shape, constant: a})
}

func (v *value) isConstant() bool { return v.of.constant != nil }

// content returns the elements of a constant as an array of v's shape.
func (e *evaluator) content(v *value) (*array, error) {
	if !v.isConstant() {
		return nil, errors.New("a constant is wanted, but this depends on the input")
	}
	shape, from := v.shape(), v.of.constant
	if v.all() {
		return &array{shape: shape, whole: from.whole, f: from.f, i: from.i}, nil
	}
	if _, err := elements(shape); err != nil {
		return nil, err
	}
	if err := e.spend(v.len()); err != nil {
		return nil, err
	}
	a := newArray(from.whole, shape)
	k := 0
	v.places(func(place int) bool {
		if from.whole {
			a.i[k] = from.i[place]
		} else {
			a.f[k] = from.f[place]
		}
		k++
		return true
	})
	return a, nil
}

// call is one node with what goes into it.
type call struct {
	*evaluator
	*node
	in []*value // nil for an input that is left out
}

// node computes the outputs of a node.
func (e *evaluator) node(f *file, n *node) ([]*value, error) {
	if !standard(n.domain) {
		return nil, fmt.Errorf("this is an operator of %.80q, not one of ONNX's own; export the model without "+
			"optimisation or quantisation", n.domain)
	}
	c := &call{evaluator: e, node: n, in: make([]*value, len(n.in))}
	for i, name := range n.in {
		if name == "" {
			continue
		}
		v, err := e.value(f, name)
		if err != nil {
			return nil, err
		}
		c.in[i] = v
	}
	o, ok := operators[n.op]
	if !ok {
		if why := refused[n.op]; why != "" {
			return nil, errors.New(why)
		}
		return nil, errors.New("this operator has no place in a plain vision transformer")
	}
	if required := min(o.inputs, len(c.in)); required < o.inputs || slices.Contains(c.in[:required], nil) {
		return nil, fmt.Errorf("it has %d inputs, %d are needed", len(c.in), o.inputs)
	}
	if err := e.spend(1); err != nil {
		return nil, err
	}
	out, err := o.run(c)
	if err != nil {
		return nil, err
	}
	for _, v := range out {
		size, err := elements(v.shape())
		if err == nil && size == 0 && !v.isConstant() {
			err = errors.New("nothing is left of what depends on the input")
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// operator is how a node is followed.
type operator struct {
	inputs int // that must be there
	run    func(c *call) ([]*value, error)
}

// one makes an operator of a function that has one output.
func one(inputs int, run func(c *call) (*value, error)) operator {
	return operator{inputs, func(c *call) ([]*value, error) {
		v, err := run(c)
		return []*value{v}, err
	}}
}

// make adds an expression of the node.
func (c *call) make(kind string, shape []int, args ...*value) *expression {
	return &expression{kind: kind, shape: shape, args: args, from: c.node}
}

// input returns input i, nil if it is left out.
func (c *call) input(i int) *value {
	if i < len(c.in) {
		return c.in[i]
	}
	return nil
}

// int is a whole number among the attributes.
func (c *call) int(name string, otherwise int) int {
	if a, ok := c.attributes[name]; ok {
		return int(a.i)
	}
	return otherwise
}

// ints is a list that older opsets have as an attribute and newer ones as input i; nil if it is left out.
func (c *call) ints(name string, i int) ([]int, error) {
	if a, ok := c.attributes[name]; ok {
		return integers(a.ints), nil
	}
	v := c.input(i)
	if v == nil {
		return nil, nil
	}
	return c.list(v)
}

// list returns the whole numbers of a constant.
func (c *call) list(v *value) ([]int, error) {
	if v.len() > maxList {
		return nil, errors.New("a list of sizes or places is too long")
	}
	a, err := c.content(v)
	if err == nil && !a.whole {
		err = errors.New("whole numbers are wanted")
	}
	if err != nil {
		return nil, err
	}
	return integers(a.i), nil
}

func integers(list []int64) []int {
	out := make([]int, len(list))
	for i, v := range list {
		out[i] = int(v)
	}
	return out
}

// axis checks an axis of n and counts it from the front.
func axisOf(a, n int) (int, error) {
	if a < -n || a >= n {
		return 0, fmt.Errorf("axis %d of %d", a, n)
	}
	return (a + n) % n, nil
}

// near says whether two numbers are equal but for rounding on the way, to half floats if the model is held so.
func (s *store) near(a, b float64) bool { return math.Abs(a-b) <= max(2e-6, 2*s.rounding)*math.Abs(b) }
