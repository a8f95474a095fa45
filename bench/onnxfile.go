package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/adavit/adavit/internal/protobuf"
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

// node is one operator of a graph.
type node struct {
	name, op        string
	inputs, outputs []string
	ints            map[string]uint64 // attributes that are whole numbers
}

func parseNode(b []byte) (node, error) {
	n := node{ints: map[string]uint64{}}
	all, err := protobuf.Fields(b)
	if err != nil {
		return n, err
	}
	for _, f := range all {
		switch f.Number {
		case nodeInput:
			n.inputs = append(n.inputs, string(f.Bytes))
		case nodeOutput:
			n.outputs = append(n.outputs, string(f.Bytes))
		case nodeName:
			n.name = string(f.Bytes)
		case nodeOpType:
			n.op = string(f.Bytes)
		case nodeAttribute:
			attribute, err := protobuf.Fields(f.Bytes)
			if err != nil {
				return n, err
			}
			name := ""
			for _, f := range attribute {
				switch f.Number {
				case attributeName:
					name = string(f.Bytes)
				case attributeInt:
					n.ints[name] = f.Int // the name comes first: our exporter writes it so
				}
			}
		}
	}
	return n, nil
}

// encode writes an operator of a domain, without attributes.
func (n node) encode(domain string) []byte {
	var m protobuf.Message
	for _, s := range n.inputs {
		m.Text(nodeInput, s)
	}
	for _, s := range n.outputs {
		m.Text(nodeOutput, s)
	}
	m.Text(nodeName, n.name)
	m.Text(nodeOpType, n.op)
	if domain != "" {
		m.Text(nodeDomain, domain)
	}
	return m
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
	all, err := protobuf.Fields(b)
	if err != nil {
		return t, err
	}
	for _, f := range all {
		switch f.Number {
		case tensorDims:
			if f.Type != protowire.VarintType || f.Int > math.MaxInt32 {
				return t, errors.New("a dimension is not a number that can be")
			}
			t.shape = append(t.shape, int(f.Int))
		case tensorDataType:
			t.kind = f.Int
		case tensorName:
			t.name = string(f.Bytes)
		case tensorRawData:
			t.raw = f.Bytes
		}
	}
	return t, nil
}

func (t tensor) encode() []byte {
	var m protobuf.Message
	for _, d := range t.shape {
		m.Int(tensorDims, int64(d))
	}
	m.Int(tensorDataType, int64(t.kind))
	m.Text(tensorName, t.name)
	m.Bytes(tensorRawData, t.raw)
	return m
}

// floats decodes a matrix of float32.
func (t tensor) floats() (x []float32, rows, cols int, err error) {
	if t.kind != typeFloat || len(t.shape) != 2 || len(t.raw) != 4*t.shape[0]*t.shape[1] {
		return nil, 0, 0, fmt.Errorf("constant %q of type %d, shape %v and %d bytes is not a matrix of float32",
			t.name, t.kind, t.shape, len(t.raw))
	}
	x = make([]float32, len(t.raw)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.raw[4*i:]))
	}
	return x, t.shape[0], t.shape[1], nil
}
