package onnx

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/adavit/adavit/internal/protobuf"
)

// Here and in graph.node every field has its number in onnx.proto (ONNX 1.17,
// https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) and, behind it, its name there.

// elem is a value of TensorProto.DataType.
type elem int

const (
	elemFloat elem = 1
	elemInt64 elem = 7
)

// attribute is an AttributeProto: of a node, a float32, an int, a string or a list of ints.
func attribute(name string, value any) protobuf.Message {
	var m protobuf.Message
	kind := int64(0)
	m.Text(1, name) // name
	switch v := value.(type) {
	case float32:
		kind = 1      // FLOAT
		m.Float(2, v) // f
	case int:
		kind = 2           // INT
		m.Int(3, int64(v)) // i
	case string:
		kind = 3     // STRING
		m.Text(4, v) // s
	case []int:
		kind = 7              // INTS
		for _, i := range v { // proto2 does not pack
			m.Int(8, int64(i)) // ints
		}
	}
	m.Int(20, kind) // type
	return m
}

// valueInfo is a ValueInfoProto: an input or output. A dimension is an int, or the name of a size that is not fixed.
func valueInfo(name string, e elem, dims ...any) protobuf.Message {
	var shape, tensor, kind, m protobuf.Message
	for _, d := range dims {
		var dim protobuf.Message
		switch d := d.(type) {
		case int:
			dim.Int(1, int64(d)) // dim_value
		case string:
			dim.Text(2, d) // dim_param
		}
		shape.Bytes(1, dim) // dim
	}
	tensor.Int(1, int64(e)) // elem_type
	tensor.Bytes(2, shape)  // shape
	kind.Bytes(1, tensor)   // tensor_type
	m.Text(1, name)         // name
	m.Bytes(2, kind)        // type
	return m
}

// initializer is a constant of the graph: floats or ints.
type initializer struct {
	name   string
	shape  []int
	floats []float32
	ints   []int64 // if floats is nil
}

// header is the TensorProto up to its raw data, of so many bytes.
func (t *initializer) header() (m protobuf.Message, raw int64) {
	kind, raw := elemFloat, int64(4)
	if t.floats == nil {
		kind, raw = elemInt64, 8
	}
	for _, d := range t.shape {
		m.Int(1, int64(d)) // dims
		raw *= int64(d)
	}
	m.Int(2, int64(kind)) // data_type
	m.Text(8, t.name)     // name
	m.Open(9, raw)        // raw_data
	return m, raw
}

// writeData writes the raw data, little endian, without a copy of the whole.
func (t *initializer) writeData(w io.Writer) (err error) {
	raw, _ := binary.Append(nil, binary.LittleEndian, t.ints) // fails for no slice of numbers
	_, err = w.Write(raw)
	for part := range slices.Chunk(t.floats, 1<<12) {
		if err == nil {
			raw, _ = binary.Append(raw[:0], binary.LittleEndian, part)
			_, err = w.Write(raw)
		}
	}
	return err
}

// encode writes a graph as a model of an opset. All messages but the constants' raw data are in memory before the first
// byte goes out, for their lengths come first.
func encode(out io.Writer, g *graph, opset int, labels []string) error {
	body := slices.Clone(g.nodes)
	body.Text(2, "vit")  // name
	body.Text(10, g.doc) // doc_string
	body = append(body, g.ends...)
	length := int64(len(body))
	tensors := make([]protobuf.Message, len(g.constants)) // each up to its raw data; with tag and length
	for i := range g.constants {
		header, raw := g.constants[i].header()
		tensors[i].Open(5, int64(len(header))+raw) // initializer
		tensors[i] = append(tensors[i], header...)
		length += int64(len(tensors[i])) + raw
	}

	ir := int64(8) // that came with the opset: older runtimes refuse a newer one
	if opset >= 19 {
		ir = 9
	}
	var head, version protobuf.Message
	version.Int(2, int64(opset)) // version; no domain: the standard operators
	head.Int(1, ir)              // ir_version
	head.Text(2, "adavit")       // producer_name
	head.Bytes(8, version)       // opset_import
	if labels != nil {
		list, err := json.Marshal(labels)
		if err != nil {
			return fmt.Errorf("labels: %w", err)
		}
		var entry protobuf.Message
		entry.Text(1, "labels")     // key
		entry.Text(2, string(list)) // value
		head.Bytes(14, entry)       // metadata_props
	}
	head.Open(7, length) // graph
	if err := checkSize(int64(len(head)) + length); err != nil {
		return err
	}

	w := bufio.NewWriterSize(out, 1<<16)
	w.Write(head) // an error of w comes back from the calls after it
	w.Write(body)
	for i, m := range tensors {
		w.Write(m)
		if err := g.constants[i].writeData(w); err != nil {
			return err
		}
	}
	return w.Flush()
}
