package onnx

import (
	"fmt"

	"github.com/adavit/adavit/internal/protobuf"
)

// graph collects nodes in the order in which they run, and the constants that they use. A node and its output have one
// name; names are paths such as blocks.3.attn.scores, and constants that are parameters keep timm's.
type graph struct {
	doc       string
	prefix    string           // goes before the name of every node; each stage sets its own
	nodes     protobuf.Message // GraphProto.node fields, tags included
	ends      protobuf.Message // input and output fields; an output has the name of its node
	constants []initializer
	shared    map[string]bool // names of the constants that several nodes use
}

// node adds an operator with one output and returns its name.
func (g *graph) node(op, name string, inputs []string, attributes ...protobuf.Message) string {
	return g.split(op, []string{name}, inputs, attributes...)[0]
}

// split adds an operator with several outputs and returns their names; the first is the node's own.
func (g *graph) split(op string, names, inputs []string, attributes ...protobuf.Message) []string {
	var m protobuf.Message
	outputs := make([]string, len(names))
	for _, in := range inputs {
		m.Text(1, in) // input
	}
	for i, name := range names {
		outputs[i] = g.prefix + name
		m.Text(2, outputs[i]) // output
	}
	m.Text(3, outputs[0]) // name
	m.Text(4, op)         // op_type
	for _, a := range attributes {
		m.Bytes(5, a) // attribute
	}
	g.nodes.Bytes(1, m) // node
	return outputs
}

// weight adds a constant that is used once.
func (g *graph) weight(name string, data []float32, shape ...int) string {
	g.constants = append(g.constants, initializer{name: name, shape: shape, floats: data})
	return name
}

// share adds a constant unless one of its name is there already.
func (g *graph) share(t initializer) string {
	if !g.shared[t.name] {
		g.shared[t.name] = true
		g.constants = append(g.constants, t)
	}
	return t.name
}

// number is a shared float without dimensions.
func (g *graph) number(v float32) string {
	return g.share(initializer{name: fmt.Sprintf("const.%g", v), floats: []float32{v}})
}

// ints is a shared list of whole numbers: axes, bounds, shapes.
func (g *graph) ints(v ...int) string {
	name := "const.ints"
	for _, i := range v {
		name += fmt.Sprintf(".%d", i)
	}
	return g.list(name, v, len(v))
}

// list is a shared constant of whole numbers.
func (g *graph) list(name string, v []int, shape ...int) string {
	t := initializer{name: name, shape: shape}
	for _, i := range v {
		t.ints = append(t.ints, int64(i))
	}
	return g.share(t)
}

// The operators that are used in more than one place.

func (g *graph) add(name, a, b string) string { return g.node("Add", name, []string{a, b}) }
func (g *graph) mul(name, a, b string) string { return g.node("Mul", name, []string{a, b}) }

func (g *graph) reshape(name, x, shape string) string {
	return g.node("Reshape", name, []string{x, shape})
}

func (g *graph) transpose(name, x string, perm ...int) string {
	return g.node("Transpose", name, []string{x}, attribute("perm", perm))
}

func (g *graph) concat(name string, axis int, inputs ...string) string {
	return g.node("Concat", name, inputs, attribute("axis", axis))
}

// take gathers the given places along an axis.
func (g *graph) take(name, x string, axis int, places ...int) string {
	return g.node("Gather", name, []string{x, g.ints(places...)}, attribute("axis", axis))
}

// pick gathers, for every image, the places [B, n, 1] of x [B, …, 1].
func (g *graph) pick(name, x, places string) string {
	return g.node("GatherElements", name, []string{x, places}, attribute("axis", 1))
}
