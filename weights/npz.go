package weights

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// npyMagic starts an array in NumPy's format; then come the format's version in two bytes, the header's length in two
// or four, and the header, a Python dict in ASCII.
const npyMagic = "\x93NUMPY"

const (
	npzSuffix = ".npy"  // of the entries of an .npz
	maxNpy    = 1 << 16 // bytes of an array's header
)

// npyTypes are NumPy's words for element types. V2, two bytes without a meaning, is how arrays of JAX's bfloat16 come
// out.
var npyTypes = map[string]DType{
	"<f8": F64, "<f4": F32, "<f2": F16, "|V2": BF16, "<V2": BF16,
	"<i8": I64, "<i4": I32, "<i2": I16, "|i1": I8, "<u8": U64, "<u4": U32, "<u2": U16, "|u1": U8, "|b1": Bool,
}

// isNpz reports whether an archive is what NumPy's savez writes: arrays and nothing else.
func (z *zipArchive) isNpz() bool {
	for name := range z.entries {
		if !strings.HasSuffix(name, npzSuffix) {
			return false
		}
	}
	return len(z.entries) > 0
}

// checkpoint reads all arrays of an .npz of size bytes, in the order of their bytes. The names are the entries' without
// .npy; JAX's have slashes in them.
func (z *zipArchive) checkpoint(size int64, key string) (*Checkpoint, error) {
	if key != "" {
		return nil, fmt.Errorf("entry %s is wanted, but an .npz has no entries other than its arrays", quoted(key))
	}
	names := slices.SortedFunc(maps.Keys(z.entries), func(a, b string) int {
		return cmp.Compare(z.entries[a].header, z.entries[b].header)
	})
	if len(names) > maxTensors {
		return nil, fmt.Errorf("more than %d arrays", maxTensors)
	}
	limit := min(size, math.MaxInt64/2/viewFactor)*viewFactor + viewSpare
	room := limit
	f := &File{}
	for _, entry := range names {
		if n := z.entries[entry].size; n > room {
			return nil, fmt.Errorf("%s has %d bytes, and with it the arrays take more than %d, the limit for a file of %d",
				quoted(entry), n, limit, size)
		}
		room -= z.entries[entry].size
		b, err := z.read(entry)
		if err != nil {
			return nil, err
		}
		t, err := decodeNpy(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", quoted(entry), err)
		}
		t.Name = strings.TrimSuffix(entry, npzSuffix)
		f.Tensors = append(f.Tensors, t)
	}
	f.reindex()
	return &Checkpoint{File: f, Format: "npz"}, nil
}

// decodeNpy reads one array. It keeps b.
func decodeNpy(b []byte) (t Tensor, err error) {
	const fixed = len(npyMagic) + 2
	if len(b) < fixed+4 || string(b[:len(npyMagic)]) != npyMagic {
		return t, errors.New("not an array in NumPy's format")
	}
	length, at := uint64(0), fixed
	switch version := b[len(npyMagic)]; version {
	case 1:
		length, at = uint64(le16(b[fixed:])), fixed+2
	case 2, 3:
		length, at = uint64(le32(b[fixed:])), fixed+4
	default:
		return t, fmt.Errorf("version %d of NumPy's format is not supported", version)
	}
	if length > maxNpy || length > uint64(len(b)-at) {
		return t, fmt.Errorf("header of %d bytes in an array of %d", length, len(b))
	}
	header, data := string(b[at:at+int(length)]), b[at+int(length):]
	h, err := parseNpyHeader(header)
	if err != nil {
		return t, fmt.Errorf("header %s: %w", quoted(header), err)
	}
	n, err := product(h.shape)
	if err != nil {
		return t, err
	}
	if width := h.dtype.Size(); n > math.MaxInt/width || n*width != len(data) {
		return t, fmt.Errorf("%d bytes of data, but shape %v of %s needs %d×%d", len(data), h.shape, h.dtype, n, width)
	}
	t = Tensor{DType: h.dtype, Shape: h.shape, Data: data[:len(data):len(data)]}
	if h.fortran {
		strides, step := make([]int, len(h.shape)), 1
		for i, d := range h.shape {
			strides[i] = step
			step *= d
		}
		t.Data = (&pthTensor{dtype: h.dtype}).read(data, h.shape, strides, n)
	}
	return t, nil
}

// npyHeader is what an array's header says.
type npyHeader struct {
	dtype   DType
	fortran bool // the first index runs fastest
	shape   []int
}

// parseNpyHeader reads {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }.
func parseNpyHeader(text string) (h npyHeader, err error) {
	if !utf8.ValidString(text) {
		return h, errors.New("not valid UTF-8")
	}
	inner, ok := strings.CutPrefix(strings.TrimSpace(text), "{")
	if inner, ok = strings.CutSuffix(inner, "}"); !ok {
		return h, errors.New("not a dict")
	}
	seen := make(map[string]bool)
	for rest := strings.TrimSpace(inner); rest != ""; {
		key, value, _ := strings.Cut(rest, ":")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		end := strings.IndexByte(value, ',')
		if value != "" && value[0] == '(' {
			if end = strings.IndexByte(value, ')') + 1; end == 0 {
				return h, errors.New("a tuple does not end")
			}
		} else if end < 0 {
			end = len(value)
		}
		value, rest = strings.TrimSpace(value[:end]), strings.TrimSpace(value[end:])
		if seen[key] {
			return h, fmt.Errorf("key %s appears twice", quoted(key))
		}
		seen[key] = true
		if after, ok := strings.CutPrefix(rest, ","); ok {
			rest = strings.TrimSpace(after)
		} else if rest != "" {
			return h, errors.New("no comma after a value")
		}
		if err := h.set(key, value); err != nil {
			return h, err
		}
	}
	if len(seen) != 3 {
		return h, errors.New("descr, fortran_order and shape are not all there")
	}
	return h, nil
}

// set takes one key and its value, as Python writes them.
func (h *npyHeader) set(key, value string) error {
	switch key {
	case "'descr'":
		name := strings.Trim(value, "'")
		h.dtype = npyTypes[name]
		switch {
		case h.dtype != "" && value == "'"+name+"'":
			return nil
		case strings.HasPrefix(name, ">"):
			return fmt.Errorf("numbers are big-endian (%s), which is not supported", quoted(name))
		case strings.HasSuffix(name, "O"):
			return errors.New("an array of Python objects, and nothing of a pickle is run")
		}
		return fmt.Errorf("elements of type %s are not supported", quoted(value))
	case "'fortran_order'":
		h.fortran = value == "True"
		if !h.fortran && value != "False" {
			return fmt.Errorf("fortran_order is %s", quoted(value))
		}
		return nil
	case "'shape'":
		list, ok := strings.CutPrefix(value, "(")
		if list, ok = strings.CutSuffix(list, ")"); !ok {
			return fmt.Errorf("shape is %s", quoted(value))
		}
		h.shape = []int{}
		for dim := range strings.SplitSeq(strings.TrimSuffix(strings.TrimSpace(list), ","), ",") {
			if dim = strings.TrimSpace(dim); dim == "" && strings.TrimSpace(list) == "" {
				break // a scalar
			}
			n, err := strconv.Atoi(dim)
			if err != nil || n < 0 || len(h.shape) == maxRank {
				return fmt.Errorf("shape is %s", quoted(value))
			}
			h.shape = append(h.shape, n)
		}
		return nil
	}
	return fmt.Errorf("key %s is not one of NumPy's", quoted(key))
}
