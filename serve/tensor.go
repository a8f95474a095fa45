package serve

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"slices"
)

// Datatype is an element type of the Open Inference Protocol.
type Datatype string

// The types that the models here take and give.
const (
	FP32  Datatype = "FP32"
	INT32 Datatype = "INT32"
	Bytes Datatype = "BYTES"
)

// Tensor is a named array. Of its data one field is set, by its type.
type Tensor struct {
	Name     string
	Datatype Datatype
	Shape    []int64

	Floats []float32 // FP32
	Ints   []int32   // INT32
	Bytes  [][]byte  // BYTES

	raw []byte // FP32 as a client sent it, little endian; read where it is needed, so that no memory is made for it
}

// floats returns n elements of an FP32 tensor, of which at are before them: its own, or those that are decoded into
// room, which is made longer where it must be.
func (t *Tensor) floats(at, n int, room []float32) (elements, grown []float32) {
	if t.raw == nil {
		return t.Floats[at:][:n], room
	}
	room = slices.Grow(room[:0], n)[:n]
	raw := t.raw[4*at:][:4*n]
	for i := range room {
		room[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return room, room
}

// elements is the product of a shape's sizes, which may not overflow.
func elements(shape []int64) (int, error) {
	const most = math.MaxInt32
	n := int64(1)
	for _, d := range shape {
		if d < 0 || d > most || n*d > most { // n ≤ most, so the product is below 2⁶²
			return 0, fmt.Errorf("shape %v is negative or too large", shape)
		}
		n *= d
	}
	return int(n), nil
}

// decode fills the tensor with the elements that raw holds, as the protocol's binary form has them: little endian, and
// before each element of BYTES its length in four bytes. Floats and BYTES stay where they are in raw.
func (t *Tensor) decode(raw []byte) error {
	n, err := elements(t.Shape)
	if err != nil {
		return t.wrong("%v", err)
	}
	switch t.Datatype {
	case FP32:
		if len(raw) != 4*n {
			return t.wrong("%d bytes, but shape %v of FP32 has %d", len(raw), t.Shape, 4*n)
		}
		t.raw = raw
	case INT32:
		if len(raw) != 4*n {
			return t.wrong("%d bytes, but shape %v of INT32 has %d", len(raw), t.Shape, 4*n)
		}
		t.Ints = make([]int32, n)
		for i := range t.Ints {
			t.Ints[i] = int32(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	case Bytes:
		if len(raw)/4 < n { // before anything of that size is made
			return t.wrong("shape %v of BYTES does not fit into %d bytes: each element begins with its length in four",
				t.Shape, len(raw))
		}
		t.Bytes = make([][]byte, 0, n)
		for range n {
			if len(raw) < 4 {
				return t.wrong("its data end before element %d of %d", len(t.Bytes), n)
			}
			size := binary.LittleEndian.Uint32(raw)
			if raw = raw[4:]; uint64(size) > uint64(len(raw)) {
				return t.wrong("element %d says it has %d bytes, but %d are left", len(t.Bytes), size, len(raw))
			}
			t.Bytes = append(t.Bytes, raw[:size:size])
			raw = raw[size:]
		}
		if len(raw) > 0 {
			return t.wrong("%d bytes are left behind its %d elements", len(raw), n)
		}
	default:
		return t.wrong("type %q is not one of FP32, BYTES", t.Datatype)
	}
	return nil
}

// AppendBinary appends the tensor's elements in the protocol's binary form.
func (t *Tensor) AppendBinary(b []byte) []byte {
	b = slices.Grow(b, t.binarySize())
	switch t.Datatype {
	case FP32:
		for _, v := range t.Floats {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	case INT32:
		for _, v := range t.Ints {
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		}
	case Bytes:
		for _, v := range t.Bytes {
			b = append(binary.LittleEndian.AppendUint32(b, uint32(len(v))), v...)
		}
	}
	return b
}

// binarySize is the number of bytes that AppendBinary appends.
func (t *Tensor) binarySize() int {
	n := 4 * (len(t.Floats) + len(t.Ints) + len(t.Bytes))
	for _, v := range t.Bytes {
		n += len(v)
	}
	return n
}

// wrong is an error about the tensor that a client sent.
func (t *Tensor) wrong(format string, args ...any) *Error {
	return refuse(http.StatusBadRequest, "input %q: %s", t.Name, fmt.Sprintf(format, args...))
}
