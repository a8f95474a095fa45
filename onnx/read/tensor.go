package read

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/adavit/adavit/internal/protobuf"
	"github.com/adavit/adavit/weights"
)

// kinds are the element types of TensorProto.DataType that are read, and their bytes in raw data.
var kinds = map[int64]struct {
	dtype weights.DType
	size  int
}{
	1: {weights.F32, 4}, 10: {weights.F16, 2}, 16: {weights.BF16, 2}, 11: {weights.F64, 8},
	7: {weights.I64, 8}, 6: {weights.I32, 4}, 3: {weights.I8, 1}, 2: {weights.U8, 1}, 9: {weights.Bool, 1},
}

// floating says whether an element type is one of numbers with a fraction.
func floating(kind int64) bool { return kind == 1 || kind == 10 || kind == 11 || kind == 16 }

// tensor is a TensorProto, as it lies in the file.
type tensor struct {
	name     string
	kind     int64
	shape    []int
	raw      []byte  // little endian
	ints     []int64 // in place of raw: integers, or the bits of half floats
	external bool
	place    map[string]string // of external data: location, offset, length
}

// maxList bounds a list of whole numbers that is written number by number, as shapes and places are.
const maxList = 1 << 24

func parseTensor(b []byte) (*tensor, error) {
	t := &tensor{}
	err := each("tensor", b, func(f protobuf.Field) (err error) {
		switch f.Number {
		case 1: // dims
			var dims []int64
			if dims, err = f.Ints(nil); err != nil {
				return err
			}
			for _, d := range dims {
				t.shape = append(t.shape, int(d))
			}
			if len(t.shape) > maxRank {
				return fmt.Errorf("more than %d dimensions", maxRank)
			}
		case 2: // data_type
			t.kind = int64(f.Int)
		case 4, 10: // float_data, double_data: packed, the same bytes as raw_data
			t.raw = append(t.raw, f.Bytes...)
		case 5, 7: // int32_data, int64_data
			if len(f.Bytes) > maxList || len(t.ints) > maxList {
				return errors.New("its numbers are written one by one, which is read for short lists only")
			}
			t.ints, err = f.Ints(t.ints)
		case 8: // name
			t.name = string(f.Bytes)
		case 9: // raw_data
			t.raw = f.Bytes
		case 13: // external_data
			key, value, err := parsePair(f.Bytes)
			if err != nil {
				return err
			}
			if t.place == nil {
				t.place = map[string]string{}
			}
			t.place[key] = value
		case 14: // data_location
			t.external = f.Int == 1 // EXTERNAL
		}
		if f.Type == protowire.VarintType && (f.Number == 4 || f.Number == 9 || f.Number == 10) {
			return errors.New("numbers of a wrong wire type")
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tensor %.120q: %w", t.name, err)
	}
	return t, nil
}

// store reads tensors' numbers, from the model's file and from those beside it, within a budget.
type store struct {
	dir   string           // where files of external data lie; "" if there can be none
	sizes map[string]int64 // of those files, by their paths in dir
	left  int              // elements that may still be made

	rounding float64 // of the coarsest type that a constant was held in, as a share
}

// spend takes n elements off the budget. Once it is overdrawn every later call fails.
func (s *store) spend(n int) error {
	if s.left -= max(n, 0); s.left < 0 {
		s.left = -1
		return errors.New("it would take far more memory than the file's own size suggests")
	}
	return nil
}

// array reads a tensor's numbers.
func (s *store) array(t *tensor) (*array, error) {
	a, err := s.read(t)
	if err != nil {
		return nil, fmt.Errorf("constant %.120q: %w", t.name, err)
	}
	return a, nil
}

func (s *store) read(t *tensor) (*array, error) {
	kind, ok := kinds[t.kind]
	if !ok {
		return nil, fmt.Errorf("its element type, number %d, is not read", t.kind)
	}
	n, err := elements(t.shape)
	if err != nil {
		return nil, err
	}
	raw := t.raw
	switch {
	case t.external:
		if raw, err = s.load(t, n*kind.size); err != nil {
			return nil, err
		}
	case raw == nil && t.ints != nil:
		if len(t.ints) != n || t.kind == 1 || t.kind == 11 {
			return nil, fmt.Errorf("%d numbers for shape %v", len(t.ints), t.shape)
		}
		raw = make([]byte, 0, n*kind.size)
		for _, v := range t.ints {
			raw = append(raw, binary.LittleEndian.AppendUint64(nil, uint64(v))[:kind.size]...)
		}
	}
	if len(raw) != n*kind.size {
		return nil, fmt.Errorf("%d bytes for shape %v of %s", len(raw), t.shape, kind.dtype)
	}
	if err := s.spend(n); err != nil {
		return nil, err
	}
	switch kind.dtype {
	case weights.F16:
		s.rounding = max(s.rounding, 0x1p-11)
	case weights.BF16:
		s.rounding = 0x1p-8
	}
	a := &array{shape: t.shape, whole: !floating(t.kind)}
	if !a.whole {
		a.f, err = weights.Tensor{Name: t.name, DType: kind.dtype, Shape: t.shape, Data: raw}.Float32s()
		return a, err
	}
	a.i = make([]int64, n)
	for i := range a.i {
		b := raw[i*kind.size:]
		switch t.kind {
		case 7:
			a.i[i] = int64(binary.LittleEndian.Uint64(b))
		case 6:
			a.i[i] = int64(int32(binary.LittleEndian.Uint32(b)))
		case 3:
			a.i[i] = int64(int8(b[0]))
		default:
			a.i[i] = int64(b[0])
		}
	}
	return a, nil
}

// load reads the bytes of a tensor that lies in a file beside the model.
func (s *store) load(t *tensor, length int) ([]byte, error) {
	location := t.place["location"]
	number := func(key string, otherwise int) (int64, error) {
		v, ok := t.place[key]
		if !ok {
			return int64(otherwise), nil
		}
		return strconv.ParseInt(v, 10, 64)
	}
	offset, errOffset := number("offset", 0)
	size, errSize := number("length", length)
	switch {
	case s.dir == "":
		return nil, fmt.Errorf("its numbers lie in another file, %.120q, which cannot be read from here", location)
	case errOffset != nil || errSize != nil || offset < 0 || size != int64(length):
		return nil, fmt.Errorf("%.20q bytes from %.20q on in %.120q are not what shape %v needs, %d", t.place["length"],
			t.place["offset"], location, t.shape, length)
	}
	root, err := os.OpenRoot(s.dir) // nothing outside the model's folder is read
	if err != nil {
		return nil, err
	}
	defer root.Close()
	name := filepath.FromSlash(location)
	info, err := root.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("its numbers lie in a file beside the model: %w", err)
	}
	if !info.Mode().IsRegular() || offset > info.Size()-int64(length) {
		return nil, fmt.Errorf("file %.120q ends before its numbers do", location)
	}
	if _, known := s.sizes[name]; !known {
		s.sizes[name] = info.Size()
		s.left += int(info.Size())
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, length)
	_, err = io.ReadFull(io.NewSectionReader(f, offset, int64(length)), b)
	return b, err
}

// elements is the product of a shape.
func elements(shape []int) (int, error) {
	n := 1
	for _, d := range shape {
		if d < 0 || d > 0 && n > math.MaxInt32/d {
			return 0, fmt.Errorf("shape %v is impossible", shape)
		}
		n *= d
	}
	return n, nil
}

// array is a constant: float32 or whole numbers (truth values are 0 and 1), row-major.
type array struct {
	shape []int
	whole bool
	f     []float32
	i     []int64
}

func newArray(whole bool, shape []int) *array {
	a := &array{shape: slices.Clone(shape), whole: whole}
	n, _ := elements(shape) // checked by the caller
	if whole {
		a.i = make([]int64, n)
	} else {
		a.f = make([]float32, n)
	}
	return a
}

func (a *array) len() int { return len(a.f) + len(a.i) }

// at returns element k as a float.
func (a *array) at(k int) float64 {
	if a.whole {
		return float64(a.i[k])
	}
	return float64(a.f[k])
}
