package read

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/adavit/adavit/internal/protobuf"
)

// Field numbers are those of onnx.proto (ONNX 1.23, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto); behind
// each is its name there. Fields that do not bear on what a graph computes are passed over.

// Bounds of what is taken from a file. Exports of the largest published models have some thousands of nodes.
const (
	maxNodes    = 1 << 17
	maxTensors  = 1 << 17
	maxRank     = 8
	maxMetadata = 1 << 12
)

// file is a ModelProto.
type file struct {
	producer  string
	opset     int64 // of the standard operators
	metadata  map[string]string
	functions int
	graph     graph
}

// graph is a GraphProto.
type graph struct {
	nodes     []*node
	constants map[string]*tensor
	inputs    []port // those with an initializer included, as old files have them
	outputs   []string
}

// node is a NodeProto.
type node struct {
	op, name, domain string
	in, out          []string
	attributes       map[string]attribute
}

func (n *node) String() string {
	name := n.name
	if name == "" && len(n.out) > 0 {
		name = n.out[0]
	}
	return fmt.Sprintf("node %.120q (%.40s)", name, n.op)
}

// attribute is an AttributeProto; which of its values counts depends on the operator.
type attribute struct {
	f      float32
	i      int64
	s      string
	ints   []int64
	floats []float32
	t      *tensor
}

// port is a ValueInfoProto of an input. A dimension that is not fixed is 0.
type port struct {
	name  string
	shape []int
}

// each calls f with every field of a message; what names the message in errors.
func each(what string, b []byte, f func(protobuf.Field) error) error {
	for field, err := range protobuf.All(b) {
		if err == nil {
			err = f(field)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}

// parse reads a ModelProto.
func parse(b []byte) (*file, error) {
	m := &file{metadata: map[string]string{}}
	graphs := 0
	err := each("model", b, func(f protobuf.Field) error {
		switch f.Number {
		case 2: // producer_name
			m.producer = string(f.Bytes)
		case 7: // graph
			if graphs++; graphs > 1 {
				return errors.New("two graphs")
			}
			return m.graph.parse(f.Bytes)
		case 8: // opset_import
			return m.parseOpset(f.Bytes)
		case 14: // metadata_props
			key, value, err := parsePair(f.Bytes)
			if m.metadata[key] = value; len(m.metadata) > maxMetadata {
				return fmt.Errorf("more than %d entries of metadata", maxMetadata)
			}
			return err
		case 25: // functions
			m.functions++
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("not an ONNX file, or a damaged one: %w", err)
	case graphs == 0 || m.opset == 0:
		return nil, errors.New("not an ONNX file: it has no graph of standard operators")
	}
	return m, nil
}

func (m *file) parseOpset(b []byte) error {
	domain, version := "", int64(0)
	err := each("opset", b, func(f protobuf.Field) error {
		switch f.Number {
		case 1: // domain
			domain = string(f.Bytes)
		case 2: // version
			version = int64(f.Int)
		}
		return nil
	})
	if standard(domain) {
		m.opset = version
	}
	return err
}

// standard says whether a domain is that of ONNX's own operators.
func standard(domain string) bool { return domain == "" || domain == "ai.onnx" }

// parsePair reads a StringStringEntryProto.
func parsePair(b []byte) (key, value string, err error) {
	err = each("entry", b, func(f protobuf.Field) error {
		switch f.Number {
		case 1: // key
			key = string(f.Bytes)
		case 2: // value
			value = string(f.Bytes)
		}
		return nil
	})
	return key, value, err
}

func (g *graph) parse(b []byte) error {
	g.constants = map[string]*tensor{}
	return each("graph", b, func(f protobuf.Field) error {
		switch f.Number {
		case 1: // node
			n, err := parseNode(f.Bytes)
			if g.nodes = append(g.nodes, n); len(g.nodes) > maxNodes {
				return fmt.Errorf("more than %d nodes", maxNodes)
			}
			return err
		case 5: // initializer
			t, err := parseTensor(f.Bytes)
			if err != nil {
				return err
			}
			if g.constants[t.name] != nil {
				return fmt.Errorf("constant %.120q is there twice", t.name)
			}
			if g.constants[t.name] = t; len(g.constants) > maxTensors {
				return fmt.Errorf("more than %d constants", maxTensors)
			}
		case 11: // input
			p, err := parsePort(f.Bytes)
			g.inputs = append(g.inputs, p)
			return err
		case 12: // output
			p, err := parsePort(f.Bytes)
			g.outputs = append(g.outputs, p.name)
			return err
		}
		return nil
	})
}

func parseNode(b []byte) (*node, error) {
	n := &node{}
	err := each("node", b, func(f protobuf.Field) error {
		switch f.Number {
		case 1: // input
			n.in = append(n.in, string(f.Bytes))
		case 2: // output
			n.out = append(n.out, string(f.Bytes))
		case 3: // name
			n.name = string(f.Bytes)
		case 4: // op_type
			n.op = string(f.Bytes)
		case 5: // attribute
			name, a, err := parseAttribute(f.Bytes)
			if n.attributes == nil {
				n.attributes = map[string]attribute{}
			}
			n.attributes[name] = a
			return err
		case 7: // domain
			n.domain = string(f.Bytes)
		}
		return nil
	})
	return n, err
}

func parseAttribute(b []byte) (name string, a attribute, err error) {
	err = each("attribute", b, func(f protobuf.Field) (err error) {
		switch f.Number {
		case 1: // name
			name = string(f.Bytes)
		case 2: // f
			if f.Type != protowire.Fixed32Type {
				return errors.New("f is no float")
			}
			a.f = math.Float32frombits(binary.LittleEndian.Uint32(f.Bytes))
		case 3: // i
			a.i = int64(f.Int)
		case 4: // s
			a.s = string(f.Bytes)
		case 5: // t
			a.t, err = parseTensor(f.Bytes)
		case 7: // floats
			if len(f.Bytes)%4 != 0 || f.Type == protowire.VarintType {
				return errors.New("floats are cut off")
			}
			for b := f.Bytes; len(b) > 0; b = b[4:] {
				a.floats = append(a.floats, math.Float32frombits(binary.LittleEndian.Uint32(b)))
			}
		case 8: // ints
			a.ints, err = f.Ints(a.ints)
		}
		return err
	})
	return name, a, err
}

// parsePort reads a ValueInfoProto.
func parsePort(b []byte) (p port, err error) {
	dimension := func(f protobuf.Field) error { // TensorShapeProto.Dimension
		if f.Number == 1 { // dim_value
			p.shape[len(p.shape)-1] = int(int64(f.Int))
		}
		return nil
	}
	shape := func(f protobuf.Field) error {
		if f.Number != 1 { // dim
			return nil
		}
		if p.shape = append(p.shape, 0); len(p.shape) > maxRank {
			return fmt.Errorf("more than %d dimensions", maxRank)
		}
		return each("dimension", f.Bytes, dimension)
	}
	tensorType := func(f protobuf.Field) error { // TypeProto.Tensor
		if f.Number == 2 { // shape
			return each("shape", f.Bytes, shape)
		}
		return nil
	}
	err = each("input or output", b, func(f protobuf.Field) error {
		switch f.Number {
		case 1: // name
			p.name = string(f.Bytes)
		case 2: // type
			return each("type", f.Bytes, func(f protobuf.Field) error {
				if f.Number == 1 { // tensor_type
					return each("tensor type", f.Bytes, tensorType)
				}
				return nil
			})
		}
		return nil
	})
	return p, err
}
