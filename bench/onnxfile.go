package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The parts of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) that quantisation reads and writes.
const (
	modelGraph       = 7
	modelOpsetImport = 8

	opsetDomain  = 1
	opsetVersion = 2

	graphNode        = 1
	graphInitializer = 5

	nodeInput     = 1
	nodeOutput    = 2
	nodeName      = 3
	nodeOpType    = 4
	nodeAttribute = 5
	nodeDomain    = 7

	attributeName = 1
	attributeInt  = 3

	tensorDims     = 1
	tensorDataType = 2
	tensorName     = 8
	tensorRawData  = 9

	typeFloat = 1
	typeInt8  = 3
)

// field is one field of a message, its tag left out: value is the varint, or the bytes of a field that has a length.
type field struct {
	number protowire.Number
	kind   protowire.Type
	varint uint64
	bytes  []byte // of any other kind; not copied
}

// fields cuts a message into its fields.
func fields(b []byte) ([]field, error) {
	var all []field
	for len(b) > 0 {
		f := field{}
		var n int
		if f.number, f.kind, n = protowire.ConsumeTag(b); n < 0 {
			return nil, protowire.ParseError(n)
		}
		b = b[n:]
		switch f.kind {
		case protowire.VarintType:
			f.varint, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			if n = protowire.ConsumeFieldValue(f.number, f.kind, b); n >= 0 {
				f.bytes = b[:n]
			}
		}
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		all = append(all, f)
		b = b[n:]
	}
	return all, nil
}

// append adds the field to a message.
func (f field) append(b []byte) []byte {
	b = protowire.AppendTag(b, f.number, f.kind)
	switch f.kind {
	case protowire.VarintType:
		return protowire.AppendVarint(b, f.varint)
	case protowire.BytesType:
		return protowire.AppendBytes(b, f.bytes)
	}
	return append(b, f.bytes...)
}

func join(all []field) []byte {
	size := 0
	for _, f := range all {
		size += len(f.bytes) + 16
	}
	b := make([]byte, 0, size)
	for _, f := range all {
		b = f.append(b)
	}
	return b
}

func textField(number protowire.Number, s string) field {
	return field{number: number, kind: protowire.BytesType, bytes: []byte(s)}
}

func bytesField(number protowire.Number, b []byte) field {
	return field{number: number, kind: protowire.BytesType, bytes: b}
}

func varintField(number protowire.Number, v uint64) field {
	return field{number: number, kind: protowire.VarintType, varint: v}
}

// node is one operator of a graph.
type node struct {
	name, op        string
	inputs, outputs []string
	ints            map[string]uint64 // attributes that are whole numbers
}

func parseNode(b []byte) (node, error) {
	n := node{ints: map[string]uint64{}}
	all, err := fields(b)
	if err != nil {
		return n, err
	}
	for _, f := range all {
		switch f.number {
		case nodeInput:
			n.inputs = append(n.inputs, string(f.bytes))
		case nodeOutput:
			n.outputs = append(n.outputs, string(f.bytes))
		case nodeName:
			n.name = string(f.bytes)
		case nodeOpType:
			n.op = string(f.bytes)
		case nodeAttribute:
			attribute, err := fields(f.bytes)
			if err != nil {
				return n, err
			}
			name := ""
			for _, f := range attribute {
				switch f.number {
				case attributeName:
					name = string(f.bytes)
				case attributeInt:
					n.ints[name] = f.varint // the name comes first: our exporter writes it so
				}
			}
		}
	}
	return n, nil
}

// encode writes an operator of a domain, without attributes.
func (n node) encode(domain string) []byte {
	var all []field
	for _, s := range n.inputs {
		all = append(all, textField(nodeInput, s))
	}
	for _, s := range n.outputs {
		all = append(all, textField(nodeOutput, s))
	}
	all = append(all, textField(nodeName, n.name), textField(nodeOpType, n.op))
	if domain != "" {
		all = append(all, textField(nodeDomain, domain))
	}
	return join(all)
}

// tensor is a constant of a graph.
type tensor struct {
	name  string
	kind  uint64 // typeFloat, …
	shape []int
	raw   []byte // little endian
}

func parseTensor(b []byte) (tensor, error) {
	var t tensor
	all, err := fields(b)
	if err != nil {
		return t, err
	}
	for _, f := range all {
		switch f.number {
		case tensorDims:
			if f.kind != protowire.VarintType || f.varint > math.MaxInt32 {
				return t, errors.New("a dimension is not a number that can be")
			}
			t.shape = append(t.shape, int(f.varint))
		case tensorDataType:
			t.kind = f.varint
		case tensorName:
			t.name = string(f.bytes)
		case tensorRawData:
			t.raw = f.bytes
		}
	}
	return t, nil
}

func (t tensor) encode() []byte {
	var all []field
	for _, d := range t.shape {
		all = append(all, varintField(tensorDims, uint64(d)))
	}
	return join(append(all, varintField(tensorDataType, t.kind), textField(tensorName, t.name), bytesField(tensorRawData, t.raw)))
}

// floats decodes a matrix of float32.
func (t tensor) floats() (x []float32, rows, cols int, err error) {
	if t.kind != typeFloat || len(t.shape) != 2 || len(t.raw) != 4*t.shape[0]*t.shape[1] {
		return nil, 0, 0, fmt.Errorf("constant %q of type %d, shape %v and %d bytes is not a matrix of float32", t.name, t.kind, t.shape, len(t.raw))
	}
	x = make([]float32, len(t.raw)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.raw[4*i:]))
	}
	return x, t.shape[0], t.shape[1], nil
}
