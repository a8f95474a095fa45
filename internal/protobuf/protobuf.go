// Package protobuf writes and takes apart messages in protobuf's wire format field by field, for the few
// messages of ONNX and of TensorBoard that are used here: they need no generated code.
package protobuf

import (
	"fmt"
	"iter"
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

// All goes through a message field by field; an error is the last that it gives.
func All(b []byte) iter.Seq2[Field, error] {
	return func(yield func(Field, error) bool) {
		for len(b) > 0 {
			f := Field{}
			var n int
			if f.Number, f.Type, n = protowire.ConsumeTag(b); n < 0 {
				yield(f, protowire.ParseError(n))
				return
			}
			b = b[n:]
			if n = protowire.ConsumeFieldValue(f.Number, f.Type, b); n < 0 {
				yield(f, protowire.ParseError(n))
				return
			}
			switch f.Type {
			case protowire.VarintType:
				f.Int, _ = protowire.ConsumeVarint(b)
			case protowire.BytesType:
				f.Bytes, _ = protowire.ConsumeBytes(b)
			default:
				f.Bytes = b[:n]
			}
			b = b[n:]
			if !yield(f, nil) {
				return
			}
		}
	}
}

// Fields cuts a message into its fields.
func Fields(b []byte) ([]Field, error) {
	var all []Field
	for f, err := range All(b) {
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// Ints adds the whole numbers of a repeated field, packed or not, to list.
func (f Field) Ints(list []int64) ([]int64, error) {
	if f.Type == protowire.VarintType {
		return append(list, int64(f.Int)), nil
	}
	if f.Type != protowire.BytesType {
		return nil, fmt.Errorf("field %d of wire type %d is no whole number", f.Number, f.Type)
	}
	for b := f.Bytes; len(b) > 0; {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		list, b = append(list, int64(v)), b[n:]
	}
	return list, nil
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
