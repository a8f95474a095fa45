package onnx

import (
	"bufio"
	"encoding/binary"
	"io"
	"slices"
	"strconv"

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

// size is the number of bytes of its data.
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

// header is the TensorProto up to its raw data.
func (t *initializer) header() (m protobuf.Message) {
	kind := elemFloat
	if t.floats == nil {
		kind = elemInt64
	}
	for _, d := range t.shape {
		m.Int(1, int64(d)) // dims
	}
	m.Int(2, int64(kind)) // data_type
	m.Text(8, t.name)     // name
	return m
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

// irVersions are those that came with the opsets from DefaultOpset on: older runtimes refuse a newer one.
var irVersions = [MaxOpset - DefaultOpset + 1]int64{8, 8, 9, 9, 10, 10, 11, 12, 13, 13, 13, 14}

// pair is a StringStringEntryProto.
func pair(key, value string) (m protobuf.Message) {
	m.Text(1, key)   // key
	m.Text(2, value) // value
	return m
}

// beside is a second file that takes the data of large constants.
type beside struct {
	io.Writer
	name string // as the model's file calls it
}

// Of data in a second file: constants smaller than that stay in the model's file, and the others begin at multiples of
// a page, so that a runtime can map them.
const (
	smallData = 1 << 10
	pageSize  = 1 << 12
)

// encode writes a graph as a model of an opset, with the data of large constants in a second file unless that is nil.
// All messages but the constants' raw data are in memory before the first byte goes out, for their lengths come first.
func encode(out io.Writer, data *beside, g *graph, opset int, metadata []protobuf.Message) error {
	body := slices.Clone(g.nodes)
	body.Text(2, "vit")  // name
	body.Text(10, g.doc) // doc_string
	body = append(body, g.ends...)
	length, end := int64(len(body)), int64(0)
	tensors := make([]protobuf.Message, len(g.constants)) // each up to its raw data; with tag and length
	outside := make([]int64, len(g.constants))            // where the data are in the second file; −1 if in this
	for i := range g.constants {
		t := &g.constants[i]
		header, raw := t.header(), t.size()
		if outside[i] = -1; data != nil && raw >= smallData {
			outside[i] = (end + pageSize - 1) / pageSize * pageSize
			end = outside[i] + raw
			header.Bytes(13, pair("location", data.name)) // external_data
			header.Bytes(13, pair("offset", strconv.FormatInt(outside[i], 10)))
			header.Bytes(13, pair("length", strconv.FormatInt(raw, 10)))
			header.Int(14, 1) // data_location: EXTERNAL
			raw = 0
		} else {
			header.Open(9, raw) // raw_data
		}
		tensors[i].Open(5, int64(len(header))+raw) // initializer
		tensors[i] = append(tensors[i], header...)
		length += int64(len(tensors[i])) + raw
	}

	var head, version protobuf.Message
	version.Int(2, int64(opset))                // version; no domain: the standard operators
	head.Int(1, irVersions[opset-DefaultOpset]) // ir_version
	head.Text(2, "adavit")                      // producer_name
	head.Bytes(8, version)                      // opset_import
	for _, m := range metadata {
		head.Bytes(14, m) // metadata_props
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
		if outside[i] >= 0 {
			continue
		}
		if err := g.constants[i].writeData(w); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil || data == nil {
		return err
	}
	w.Reset(data)
	end = 0
	for i := range g.constants {
		if outside[i] < 0 {
			continue
		}
		w.Write(make([]byte, outside[i]-end))
		if err := g.constants[i].writeData(w); err != nil {
			return err
		}
		end = outside[i] + g.constants[i].size()
	}
	return w.Flush()
}
