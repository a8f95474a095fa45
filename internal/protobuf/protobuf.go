// Package protobuf writes and takes apart messages in protobuf's wire format field by field, for the few
// messages of ONNX and of TensorBoard that are used here: they need no generated code.
package protobuf

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Message is a message that is being put together: fields in the order of the calls.
type Message []byte

// Int adds an integer or a value of an enumeration.
func (m *Message) Int(n protowire.Number, v int64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, n, protowire.VarintType), uint64(v))
}

// Float adds a float.
func (m *Message) Float(n protowire.Number, v float32) {
	*m = protowire.AppendFixed32(protowire.AppendTag(*m, n, protowire.Fixed32Type), math.Float32bits(v))
}

// Double adds a double.
func (m *Message) Double(n protowire.Number, v float64) {
	*m = protowire.AppendFixed64(protowire.AppendTag(*m, n, protowire.Fixed64Type), math.Float64bits(v))
}

// Text adds a string.
func (m *Message) Text(n protowire.Number, s string) {
	*m = protowire.AppendString(protowire.AppendTag(*m, n, protowire.BytesType), s)
}

// Bytes adds bytes, a message or packed numbers.
func (m *Message) Bytes(n protowire.Number, b []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, n, protowire.BytesType), b)
}

// Open adds the beginning of a field of size bytes, which follow from elsewhere.
func (m *Message) Open(n protowire.Number, size int64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, n, protowire.BytesType), uint64(size))
}

// Field is one field of a message.
type Field struct {
	Number protowire.Number
	Type   protowire.Type
	Int    uint64 // of type Varint
	Bytes  []byte // of any other type: what a string or message holds, else the encoded number; not copied
}

// Fields cuts a message into its fields.
func Fields(b []byte) ([]Field, error) {
	var all []Field
	for len(b) > 0 {
		f := Field{}
		var n int
		if f.Number, f.Type, n = protowire.ConsumeTag(b); n < 0 {
			return nil, protowire.ParseError(n)
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(f.Number, f.Type, b); n < 0 {
			return nil, protowire.ParseError(n)
		}
		switch f.Type {
		case protowire.VarintType:
			f.Int, _ = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.Bytes, _ = protowire.ConsumeBytes(b)
		default:
			f.Bytes = b[:n]
		}
		all = append(all, f)
		b = b[n:]
	}
	return all, nil
}

// Field adds a field as Fields returned it.
func (m *Message) Field(f Field) {
	switch f.Type {
	case protowire.VarintType:
		m.Int(f.Number, int64(f.Int))
	case protowire.BytesType:
		m.Bytes(f.Number, f.Bytes)
	default:
		*m = append(protowire.AppendTag(*m, f.Number, f.Type), f.Bytes...)
	}
}
