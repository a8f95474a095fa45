package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// What follows reads an ONNX file back. Field numbers and types are written out here once more, as onnx.proto has them,
// so that a slip in the writer shows; a field that the writer has no business with is an error.

const elemBool elem = 9

type readModel struct {
	ir, opset int64
	metadata  map[string]string
	nodes     []readNode
	constants map[string]value
	order     []string // of the constants
	inputs    map[string][]any
	outputs   map[string][]any
}

type readNode struct {
	op, name   string
	in, out    []string
	attributes map[string]any // float32, int64, string or []int64
}

// field is one field of a message: a number, or bytes.
type field struct {
	id     protowire.Number
	number uint64
	bytes  []byte
}

// must ends the reading; readFile turns it into an error.
func must(ok bool, format string, args ...any) {
	if !ok {
		panic(fmt.Errorf(format, args...))
	}
}

// fields cuts a message into fields and checks each one's wire type: v varint, 5 fixed32, b bytes, s text.
func fields(what string, b []byte, kinds map[protowire.Number]byte) []field {
	var list []field
	for len(b) > 0 {
		id, kind, n := protowire.ConsumeTag(b)
		must(n > 0, "%s: bad tag", what)
		b = b[n:]
		f := field{id: id}
		want := kinds[id]
		switch {
		case want == 'v' && kind == protowire.VarintType:
			f.number, n = protowire.ConsumeVarint(b)
		case want == '5' && kind == protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			f.number = uint64(v)
		case (want == 'b' || want == 's') && kind == protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
			must(want == 'b' || utf8.Valid(f.bytes), "%s: field %d is no text", what, id)
		default:
			must(false, "%s: field %d of wire type %d has no business here", what, id, kind)
		}
		must(n > 0, "%s: field %d is cut off", what, id)
		b = b[n:]
		list = append(list, f)
	}
	return list
}

func readFile(b []byte) (m *readModel, err error) {
	defer func() {
		if p := recover(); p != nil {
			fault, ours := p.(error)
			if !ours {
				panic(p)
			}
			err = fault
		}
	}()
	m = &readModel{metadata: map[string]string{}, constants: map[string]value{}, inputs: map[string][]any{},
		outputs: map[string][]any{}}
	for _, f := range fields("model", b, map[protowire.Number]byte{1: 'v', 2: 's', 7: 'b', 8: 'b', 14: 'b'}) {
		switch f.id {
		case 1:
			m.ir = int64(f.number)
		case 7:
			m.graph(f.bytes)
		case 8:
			for _, f := range fields("opset", f.bytes, map[protowire.Number]byte{2: 'v'}) {
				must(m.opset == 0, "two opsets")
				m.opset = int64(f.number)
			}
		case 14:
			kv := fields("metadata", f.bytes, map[protowire.Number]byte{1: 's', 2: 's'})
			m.metadata[string(kv[0].bytes)] = string(kv[1].bytes)
		}
	}
	return m, nil
}

func (m *readModel) graph(b []byte) {
	for _, f := range fields("graph", b, map[protowire.Number]byte{1: 'b', 2: 's', 5: 'b', 10: 's', 11: 'b', 12: 'b'}) {
		switch f.id {
		case 1:
			m.nodes = append(m.nodes, node(f.bytes))
		case 5:
			name, v := tensor(f.bytes)
			_, twice := m.constants[name]
			must(!twice, "constant %q is there twice", name)
			m.constants[name] = v
			m.order = append(m.order, name)
		case 11:
			name, dims := info(f.bytes)
			m.inputs[name] = dims
		case 12:
			name, dims := info(f.bytes)
			m.outputs[name] = dims
		}
	}
}

func node(b []byte) readNode {
	n := readNode{attributes: map[string]any{}}
	for _, f := range fields("node", b, map[protowire.Number]byte{1: 's', 2: 's', 3: 's', 4: 's', 5: 'b'}) {
		switch f.id {
		case 1:
			n.in = append(n.in, string(f.bytes))
		case 2:
			n.out = append(n.out, string(f.bytes))
		case 3:
			n.name = string(f.bytes)
		case 4:
			n.op = string(f.bytes)
		case 5:
			name, v := readAttribute(f.bytes)
			_, twice := n.attributes[name]
			must(!twice, "node %q: attribute %q is there twice", n.name, name)
			n.attributes[name] = v
		}
	}
	return n
}

func readAttribute(b []byte) (name string, v any) {
	var kind uint64
	var ints []int64
	for _, f := range fields("attribute", b, map[protowire.Number]byte{1: 's', 2: '5', 3: 'v', 4: 's', 8: 'v', 20: 'v'}) {
		switch f.id {
		case 1:
			name = string(f.bytes)
		case 2:
			v = math.Float32frombits(uint32(f.number))
		case 3:
			v = int64(f.number)
		case 4:
			v = string(f.bytes)
		case 8:
			ints = append(ints, int64(f.number))
			v = ints
		case 20:
			kind = f.number
		}
	}
	want := map[uint64]string{1: "float32", 2: "int64", 3: "string", 7: "[]int64"}[kind]
	must(fmt.Sprintf("%T", v) == want, "attribute %q: type %d, but it holds a %T", name, kind, v)
	return name, v
}

func tensor(b []byte) (name string, v value) {
	var raw []byte
	for _, f := range fields("tensor", b, map[protowire.Number]byte{1: 'v', 2: 'v', 8: 's', 9: 'b'}) {
		switch f.id {
		case 1:
			v.shape = append(v.shape, int(f.number))
		case 2:
			v.kind = elem(f.number)
		case 8:
			name = string(f.bytes)
		case 9:
			raw = f.bytes
		}
	}
	size := map[elem]int{elemFloat: 4, elemInt64: 8}[v.kind]
	must(size > 0 && len(raw) == size*count(v.shape), "constant %q: %d bytes for shape %v of type %d", name, len(raw),
		v.shape, v.kind)
	for raw := range slices.Chunk(raw, size) {
		if size == 4 {
			v.data = append(v.data, float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))))
		} else {
			v.data = append(v.data, float64(int64(binary.LittleEndian.Uint64(raw))))
		}
	}
	return name, v
}

// info returns the element type and the dimensions of an input or output.
func info(b []byte) (name string, dims []any) {
	for _, f := range fields("value", b, map[protowire.Number]byte{1: 's', 2: 'b'}) {
		if f.id == 1 {
			name = string(f.bytes)
			continue
		}
		kind := fields("type", f.bytes, map[protowire.Number]byte{1: 'b'})
		for _, f := range fields("tensor type", kind[0].bytes, map[protowire.Number]byte{1: 'v', 2: 'b'}) {
			if f.id == 1 {
				dims = append(dims, elem(f.number))
				continue
			}
			for _, f := range fields("shape", f.bytes, map[protowire.Number]byte{1: 'b'}) {
				d := fields("dimension", f.bytes, map[protowire.Number]byte{1: 'v', 2: 's'})[0]
				if d.id == 1 {
					dims = append(dims, int(d.number))
				} else {
					dims = append(dims, string(d.bytes))
				}
			}
		}
	}
	return name, dims
}
