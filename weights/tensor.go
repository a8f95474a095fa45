// Package weights keeps named tensors on disk.
//
// What it writes is safetensors, the format that transformers, timm and most of today's model hubs use; it reads that,
// what PyTorch's torch.save writes, whose pickle it walks through without running anything that it names, both also in
// shards (ReadSharded), and NumPy's .npz (ReadCheckpoint). A safetensors file is:
//
//	8 bytes   n, the header's length, little endian
//	n bytes   header: one JSON object, {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, …},
//	          optionally with "__metadata__": {"key": "value", …}; padded with spaces
//	the rest  the tensors' bytes, little endian, row-major; offsets count from here
//
// The reader takes nothing on trust: a file that the format's own rules do not allow is refused with an error that
// names the file, the tensor and the fault, and no memory is set aside for a length that the file's size contradicts.
// The writer makes the same bytes from the same tensors whatever their order, aligns every tensor to its element size,
// and puts the file under its final name only once it is whole and on disk (see internal/atomicfile).
package weights

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
)

// DType names a tensor's element type in the spelling of safetensors.
type DType string

// The element types that files may hold. Float32s converts the floating ones; the others are only carried.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	I16  DType = "I16"
	I8   DType = "I8"
	U64  DType = "U64"
	U32  DType = "U32"
	U16  DType = "U16"
	U8   DType = "U8"
	Bool DType = "BOOL"
)

var dtypeSizes = map[DType]int{
	F64: 8, I64: 8, U64: 8, F32: 4, I32: 4, U32: 4, F16: 2, BF16: 2, I16: 2, U16: 2, I8: 1, U8: 1, Bool: 1,
}

// Size returns the bytes of one element, 0 for a type that this package does not know.
func (d DType) Size() int { return dtypeSizes[d] }

// Tensor is a named array as it lies in a file.
type Tensor struct {
	Name  string
	DType DType
	Shape []int  // empty for a scalar; a dimension may be 0
	Data  []byte // little endian, row-major; product(Shape) elements

	Stored *io.SectionReader // where the bytes are if they stay in a file (OpenSafetensors); Data is nil then
}

// Len returns the number of elements, or an error if the shape has a negative dimension or too many elements to count.
func (t Tensor) Len() (int, error) {
	n, err := product(t.Shape)
	if err != nil {
		return 0, fmt.Errorf("tensor %s: %w", quoted(t.Name), err)
	}
	return n, nil
}

// check says whether type, shape and bytes agree.
func (t Tensor) check() error {
	size := t.DType.Size()
	if size == 0 {
		return fmt.Errorf("tensor %s: unknown dtype %s", quoted(t.Name), quoted(string(t.DType)))
	}
	n, err := t.Len()
	if err != nil {
		return err
	}
	if n > math.MaxInt/size || int64(n*size) != t.size() {
		return fmt.Errorf("tensor %s: %d bytes of data, but shape %v of %s needs %d×%d",
			quoted(t.Name), t.size(), t.Shape, t.DType, n, size)
	}
	return nil
}

// Float32s returns the elements converted to float32: exactly from F16, BF16 and F32, rounded to nearest even from F64.
// The result is a copy. Any other type, or data that disagree with the shape, is an error.
func (t Tensor) Float32s() ([]float32, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	x := make([]float32, int(t.size())/t.DType.Size())
	if err := t.ReadFloat32s(x, 0); err != nil {
		return nil, err
	}
	return x, nil
}

// CopyFloat32s is Float32s into dst, which must have exactly the tensor's number of elements.
func (t Tensor) CopyFloat32s(dst []float32) error {
	if err := t.check(); err != nil {
		return err
	}
	if n := int(t.size()) / t.DType.Size(); n != len(dst) {
		return fmt.Errorf("tensor %s: %d elements (shape %v), wanted %d", quoted(t.Name), n, t.Shape, len(dst))
	}
	return t.ReadFloat32s(dst, 0)
}

// Int32s returns the elements of an I32 tensor, or of an I64 one whose values all fit.
func (t Tensor) Int32s() ([]int32, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	b, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	x := make([]int32, len(b)/t.DType.Size())
	switch t.DType {
	case I32:
		binary.Decode(b, binary.LittleEndian, x)
	case I64:
		for i := range x {
			v := int64(binary.LittleEndian.Uint64(b[8*i:]))
			if int64(int32(v)) != v {
				return nil, fmt.Errorf("tensor %s: element %d is %d, which does not fit 32 bits", quoted(t.Name), i, v)
			}
			x[i] = int32(v)
		}
	default:
		return nil, fmt.Errorf("tensor %s: has dtype %s, wanted I32 or I64", quoted(t.Name), t.DType)
	}
	return x, nil
}

// Float32Tensor makes an F32 tensor. data is copied; its length must be the shape's product, which the writer checks.
func Float32Tensor(name string, shape []int, data []float32) Tensor {
	return newTensor(name, F32, shape, data)
}

// Float16Tensor makes an F16 tensor from values rounded to nearest even; what is beyond ±65504 becomes infinite.
func Float16Tensor(name string, shape []int, data []float32) Tensor {
	bits := make([]uint16, len(data))
	for i, v := range data {
		bits[i] = uint16(ToFloat16(v))
	}
	return newTensor(name, F16, shape, bits)
}

// BFloat16Tensor makes a BF16 tensor from values rounded to nearest even.
func BFloat16Tensor(name string, shape []int, data []float32) Tensor {
	bits := make([]uint16, len(data))
	for i, v := range data {
		bits[i] = uint16(ToBFloat16(v))
	}
	return newTensor(name, BF16, shape, bits)
}

// Int32Tensor makes an I32 tensor.
func Int32Tensor(name string, shape []int, data []int32) Tensor {
	return newTensor(name, I32, shape, data)
}

// Int8Tensor makes an I8 tensor.
func Int8Tensor(name string, shape []int, data []int8) Tensor {
	return newTensor(name, I8, shape, data)
}

// Uint8Tensor makes a U8 tensor.
func Uint8Tensor(name string, shape []int, data []uint8) Tensor {
	return newTensor(name, U8, shape, data)
}

func newTensor[T float32 | uint16 | int32 | int8 | uint8](name string, dtype DType, shape []int, data []T) Tensor {
	b, _ := binary.Append(nil, binary.LittleEndian, data) // fails for types of no fixed size alone
	return Tensor{Name: name, DType: dtype, Shape: slices.Clone(shape), Data: b}
}

// File is the content of one file of tensors.
type File struct {
	Metadata map[string]string // may be nil
	Tensors  []Tensor          // in the order of their bytes
	index    map[string]int
}

// reindex makes Get quick once all tensors are there; a File that was put together by hand has no index.
func (f *File) reindex() {
	f.index = make(map[string]int, len(f.Tensors))
	for i, t := range f.Tensors {
		f.index[t.Name] = i
	}
}

// Get finds a tensor by its exact name.
func (f *File) Get(name string) (Tensor, bool) {
	i, ok := f.index[name]
	if f.index == nil {
		i = slices.IndexFunc(f.Tensors, func(t Tensor) bool { return t.Name == name })
		ok = i >= 0
	}
	if !ok {
		return Tensor{}, false
	}
	return f.Tensors[i], true
}

// product multiplies a shape's dimensions; the empty shape has one element.
func product(shape []int) (int, error) {
	n := 1
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("negative dimension in shape %v", shape)
		}
		if d != 0 && n > math.MaxInt/d {
			return 0, fmt.Errorf("shape %v has too many elements", shape)
		}
		n *= d
	}
	return n, nil
}

// quoted makes a name from an untrusted file fit to print: escaped, and cut if it is very long.
func quoted(s string) string { return fmt.Sprintf("%.120q", s) }
