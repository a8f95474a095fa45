package onnx

import (
	"bufio"
	"encoding/binary"
	"io"
	"math"

	"github.com/adavit/adavit/internal/protobuf"
)

// Field numbers of the messages of onnx.proto (ONNX 1.17,
// https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) that are written here.
const (
	modelIRVersion    = 1
	modelProducerName = 2
	modelGraph        = 7
	modelOpsetImport  = 8
	modelMetadata     = 14

	opsetVersion = 2

	metadataKey   = 1
	metadataValue = 2

	graphNode        = 1
	graphName        = 2
	graphInitializer = 5
	graphDoc         = 10
	graphInput       = 11
	graphOutput      = 12

	nodeInput     = 1
	nodeOutput    = 2
	nodeName      = 3
	nodeOpType    = 4
	nodeAttribute = 5

	attributeName   = 1
	attributeFloat  = 2
	attributeInt    = 3
	attributeString = 4
	attributeInts   = 8
	attributeType   = 20

	tensorDims     = 1
	tensorDataType = 2
	tensorName     = 8
	tensorRawData  = 9

	valueName = 1
	valueType = 2

	typeTensor = 1

	tensorTypeElem  = 1
	tensorTypeShape = 2

	shapeDim = 1

	dimValue = 1
	dimParam = 2
)

// Values of AttributeProto.type.
const (
	attributeIsFloat  = 1
	attributeIsInt    = 2
	attributeIsString = 3
	attributeIsInts   = 7
)

// elem is a value of TensorProto.DataType.
type elem int

const (
	elemFloat elem = 1
	elemInt64 elem = 7
)

// attribute is one attribute of a node.
type attribute protobuf.Message

func intAttribute(name string, v int64) attribute {
	var m protobuf.Message
	m.Text(attributeName, name)
	m.Int(attributeInt, v)
	m.Int(attributeType, attributeIsInt)
	return attribute(m)
}

func floatAttribute(name string, v float32) attribute {
	var m protobuf.Message
	m.Text(attributeName, name)
	m.Float(attributeFloat, v)
	m.Int(attributeType, attributeIsFloat)
	return attribute(m)
}

func textAttribute(name, v string) attribute {
	var m protobuf.Message
	m.Text(attributeName, name)
	m.Text(attributeString, v)
	m.Int(attributeType, attributeIsString)
	return attribute(m)
}

func intsAttribute(name string, v ...int64) attribute {
	var m protobuf.Message
	m.Text(attributeName, name)
	for _, i := range v { // proto2 does not pack
		m.Int(attributeInts, i)
	}
	m.Int(attributeType, attributeIsInts)
	return attribute(m)
}

// valueInfo describes an input or output of the graph.
func valueInfo(name string, e elem, dims ...any) protobuf.Message {
	var shape, tensor, kind, m protobuf.Message
	for _, d := range dims {
		var dim protobuf.Message
		switch d := d.(type) {
		case int:
			dim.Int(dimValue, int64(d))
		case string:
			dim.Text(dimParam, d)
		}
		shape.Bytes(shapeDim, dim)
	}
	tensor.Int(tensorTypeElem, int64(e))
	tensor.Bytes(tensorTypeShape, shape)
	kind.Bytes(typeTensor, tensor)
	m.Text(valueName, name)
	m.Bytes(valueType, kind)
	return m
}

// initializer is a constant of the graph: floats or ints.
type initializer struct {
	name   string
	shape  []int
	floats []float32
	ints   []int64 // if floats is nil
}

// size is the number of bytes of raw data, which follow from the shape alone.
func (t *initializer) size() int64 {
	n := int64(4)
	if t.floats == nil {
		n = 8
	}
	for _, d := range t.shape {
		n *= int64(d)
	}
	return n
}

// header is the tensor's message up to its raw data.
func (t *initializer) header() protobuf.Message {
	var m protobuf.Message
	for _, d := range t.shape {
		m.Int(tensorDims, int64(d))
	}
	if t.floats != nil {
		m.Int(tensorDataType, int64(elemFloat))
	} else {
		m.Int(tensorDataType, int64(elemInt64))
	}
	m.Text(tensorName, t.name)
	m.Open(tensorRawData, t.size())
	return m
}

// writeData writes the raw data, little endian, without a copy of the whole.
func (t *initializer) writeData(w *bufio.Writer) error {
	var part [4096]byte
	for x := t.floats; len(x) > 0; {
		n := min(len(x), len(part)/4)
		for i, v := range x[:n] {
			binary.LittleEndian.PutUint32(part[4*i:], math.Float32bits(v))
		}
		if _, err := w.Write(part[:4*n]); err != nil {
			return err
		}
		x = x[n:]
	}
	for _, v := range t.ints {
		binary.LittleEndian.PutUint64(part[:], uint64(v))
		if _, err := w.Write(part[:8]); err != nil {
			return err
		}
	}
	return nil
}

// encoder streams a model: all messages but the constants' raw data are in memory before the first byte goes
// out, for their lengths come first.
type encoder struct {
	before protobuf.Message   // ModelProto up to the graph's own bytes
	head   protobuf.Message   // GraphProto up to the constants
	tensor []protobuf.Message // of each constant, up to its raw data; with tag and length
	graph  *graph
}

// newEncoder lays a graph out in a model of an opset. total is the length of the file.
func newEncoder(g *graph, opset int, metadata [][2]string) (e *encoder, total int64) {
	e = &encoder{graph: g}
	e.head = append(e.head, g.nodes...)
	e.head.Text(graphName, g.name)
	e.head.Text(graphDoc, g.doc)
	for _, v := range g.inputs {
		e.head.Bytes(graphInput, v)
	}
	for _, v := range g.outputs {
		e.head.Bytes(graphOutput, v)
	}
	length := int64(len(e.head))
	for i := range g.constants {
		t := &g.constants[i]
		body := t.header()
		var m protobuf.Message
		m.Open(graphInitializer, int64(len(body))+t.size())
		m = append(m, body...)
		e.tensor = append(e.tensor, m)
		length += int64(len(m)) + t.size()
	}
	e.before.Int(modelIRVersion, irVersion(opset))
	e.before.Text(modelProducerName, "adavit")
	var version protobuf.Message
	version.Int(opsetVersion, int64(opset)) // no domain: the standard operators
	e.before.Bytes(modelOpsetImport, version)
	for _, kv := range metadata {
		var entry protobuf.Message
		entry.Text(metadataKey, kv[0])
		entry.Text(metadataValue, kv[1])
		e.before.Bytes(modelMetadata, entry)
	}
	e.before.Open(modelGraph, length)
	return e, int64(len(e.before)) + length
}

func (e *encoder) write(out io.Writer) error {
	w := bufio.NewWriterSize(out, 1<<16)
	for _, m := range []protobuf.Message{e.before, e.head} {
		if _, err := w.Write(m); err != nil {
			return err
		}
	}
	for i, m := range e.tensor {
		if _, err := w.Write(m); err != nil {
			return err
		}
		if err := e.graph.constants[i].writeData(w); err != nil {
			return err
		}
	}
	return w.Flush()
}
