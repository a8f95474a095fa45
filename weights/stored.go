package weights

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"unsafe"
)

// OpenSafetensors reads and checks the header of a file of size bytes; name stands for it in errors. The tensors' bytes
// stay where they are: Data is nil, and the methods of Tensor read from r what they are asked for, from any number of
// goroutines at once, if r bears it as files do.
func OpenSafetensors(name string, r io.ReaderAt, size int64) (*File, error) {
	metadata, entries, begin, err := decodeHeader(io.NewSectionReader(r, 0, size), size)
	if err != nil {
		return nil, fmt.Errorf("weights: %s: %w", name, err)
	}
	f := &File{Metadata: metadata, Tensors: make([]Tensor, len(entries))}
	for i, e := range entries {
		stored := io.NewSectionReader(r, begin+e.begin, e.end-e.begin)
		f.Tensors[i] = Tensor{Name: e.name, DType: e.dtype, Shape: e.shape, Stored: stored}
	}
	f.reindex()
	return f, nil
}

// size returns the number of the tensor's bytes, wherever they are.
func (t Tensor) size() int64 {
	if t.Stored != nil {
		return t.Stored.Size()
	}
	return int64(len(t.Data))
}

// Bytes returns Data, or reads what it would be.
func (t Tensor) Bytes() ([]byte, error) {
	if t.Stored == nil {
		return t.Data, nil
	}
	b := make([]byte, t.Stored.Size())
	return b, t.read(b, 0)
}

// read copies the tensor's bytes from … from+len(b)−1.
func (t Tensor) read(b []byte, from int64) error {
	if t.Stored == nil {
		copy(b, t.Data[from:])
		return nil
	}
	if err := readAt(t.Stored, b, from); err != nil {
		return fmt.Errorf("tensor %s: %w", quoted(t.Name), err)
	}
	return nil
}

// ReadFloat32s is CopyFloat32s of the elements from … from+len(dst)−1 alone.
func (t Tensor) ReadFloat32s(dst []float32, from int) error {
	if err := t.check(); err != nil {
		return err
	}
	switch t.DType {
	case F32, F16, BF16, F64:
	default:
		return fmt.Errorf("tensor %s: has dtype %s, wanted one of F32, F16, BF16, F64", quoted(t.Name), t.DType)
	}
	b, at, err := t.part(len(dst), from)
	if err != nil || len(dst) == 0 {
		return err
	}
	switch {
	case t.Stored == nil:
		convert(dst, t.Data[at:at+int64(b)], t.DType)
	case t.DType == F64:
		wide := make([]byte, b)
		if err := t.read(wide, at); err != nil {
			return err
		}
		convert(dst, wide, t.DType)
	default:
		// The bytes go to dst's end, where each is read before the number that takes its place is written.
		room := bytesOf(dst)
		raw := room[len(room)-b:]
		if err := t.read(raw, at); err != nil {
			return err
		}
		convert(dst, raw, t.DType)
	}
	return nil
}

// ReadInt8s copies the elements from … from+len(dst)−1 of an I8 tensor.
func (t Tensor) ReadInt8s(dst []int8, from int) error {
	if err := t.check(); err != nil {
		return err
	}
	if t.DType != I8 {
		return fmt.Errorf("tensor %s: has dtype %s, wanted I8", quoted(t.Name), t.DType)
	}
	_, at, err := t.part(len(dst), from)
	if err != nil || len(dst) == 0 {
		return err
	}
	return t.read(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(dst))), len(dst)), at)
}

// part returns the bytes that n elements take and where those from element from on begin.
func (t Tensor) part(n, from int) (bytes int, at int64, err error) {
	size := t.DType.Size()
	if all := int(t.size()) / size; from < 0 || n > all-from {
		return 0, 0, fmt.Errorf("tensor %s: elements %d to %d of %d are wanted", quoted(t.Name), from, from+n, all)
	}
	return n * size, int64(from) * int64(size), nil
}

// convert fills dst with the numbers of a floating type that b holds; b may be the end of dst's own memory.
func convert(dst []float32, b []byte, dtype DType) {
	switch dtype {
	case F32:
		if nativeLittle {
			copy(bytesOf(dst), b)
			return
		}
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	case F16:
		for i := range dst {
			dst[i] = Float16(binary.LittleEndian.Uint16(b[2*i:])).Float32()
		}
	case BF16:
		for i := range dst {
			dst[i] = BFloat16(binary.LittleEndian.Uint16(b[2*i:])).Float32()
		}
	case F64:
		for i := range dst {
			dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])))
		}
	}
}

// bytesOf is the memory of x.
func bytesOf(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

// nativeLittle says whether this machine keeps numbers as the format does.
var nativeLittle = binary.NativeEndian.Uint16([]byte{1, 0}) == 1
