package weights

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// storageRef is a block of elements that tensors are cut from; its bytes are elsewhere in the file, under its key.
type storageRef struct {
	key   string
	kind  string // "FloatStorage", …
	count int64  // elements
	width int64  // bytes of an element
}

// bytes returns the storage's length; persistent has made sure that it fits.
func (s *storageRef) bytes() int64 { return s.count * s.width }

// pthTensor describes a tensor: element (i, j, …) is storage[offset + i·stride[0] + j·stride[1] + …]. Nothing of it has
// been checked against the storage yet, since most tensors of a training checkpoint are never read.
type pthTensor struct {
	storage      *storageRef
	dtype        DType  // "" if this package does not know the type
	typeName     string // PyTorch's word for the type
	offset       int64
	size, stride *pyTuple // of int64
	marked       bool     // carries metadata (a negated or conjugated view): the storage's bytes are not its values
}

// storageTypes are PyTorch's typed storages: element type, "" for those that are only skipped, and bytes of an element.
var storageTypes = map[string]struct {
	dtype DType
	width int64
}{
	"DoubleStorage": {F64, 8}, "FloatStorage": {F32, 4}, "HalfStorage": {F16, 2}, "BFloat16Storage": {BF16, 2},
	"LongStorage": {I64, 8}, "IntStorage": {I32, 4}, "ShortStorage": {I16, 2},
	"CharStorage": {I8, 1}, "ByteStorage": {U8, 1}, "BoolStorage": {Bool, 1},
	"UntypedStorage": {"", 1}, "ComplexFloatStorage": {"", 8}, "ComplexDoubleStorage": {"", 16},
	"QInt8Storage": {"", 1}, "QUInt8Storage": {"", 1}, "QInt32Storage": {"", 4},
	"QUInt4x2Storage": {"", 1}, "QUInt2x4Storage": {"", 1},
}

// torchTypes are the names of PyTorch's element types.
var torchTypes = map[string]DType{
	"float64": F64, "float32": F32, "float16": F16, "bfloat16": BF16,
	"int64": I64, "int32": I32, "int16": I16, "int8": I8,
	"uint64": U64, "uint32": U32, "uint16": U16, "uint8": U8, "bool": Bool,
}

// persistent reads PyTorch's reference to a storage: ("storage", type, key, device, elements), and in files before 1.6
// a sixth item for views of other storages, which have not been written since 0.4.
func (u *unpickler) persistent(id any) (*storageRef, error) {
	t, ok := id.(*pyTuple)
	if !ok || len(t.items) < 5 || len(t.items) > 6 || t.items[0] != "storage" {
		return nil, errors.New("not a reference to a storage")
	}
	class, ok1 := t.items[1].(*pyGlobal)
	key, ok2 := t.items[2].(string)
	_, ok3 := t.items[3].(string)
	count, ok4 := t.items[4].(int64)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return nil, errors.New("not a reference to a storage: wanted a type, a key, a device and a number of elements")
	}
	if len(t.items) == 6 && t.items[5] != nil {
		return nil, fmt.Errorf("storage %s is a view of another one, which is not supported", quoted(key))
	}
	kind, ok := storageTypes[class.name]
	if !ok || class.module != "torch" && class.module != "torch.storage" && class.module != "torch.cuda" {
		return nil, fmt.Errorf("storage %s: unknown type %s", quoted(key), quoted(class.String()))
	}
	if count < 0 || count > math.MaxInt64/kind.width {
		return nil, fmt.Errorf("storage %s: %d elements", quoted(key), count)
	}
	ref := storageRef{key, class.name, count, kind.width}
	if old, ok := u.storages[key]; ok {
		if *old != ref {
			return nil, fmt.Errorf("storage %s is once %d elements of %s and once %d of %s",
				quoted(key), old.count, old.kind, count, ref.kind)
		}
		return old, nil
	}
	u.storages[key] = &ref
	return &ref, nil
}

// call stands for a function or class with arguments. What is not listed here is not run: it becomes a pyObject.
func (u *unpickler) call(f *pyGlobal, args *pyTuple) (any, error) {
	a := args.items
	switch *f {
	case pyGlobal{"collections", "OrderedDict"}:
		return u.orderedDict(a)
	case pyGlobal{"torch", "Size"}:
		if len(a) == 1 {
			if t, ok := a[0].(*pyTuple); ok {
				return t, nil
			}
		}
		return nil, errors.New("wants one tuple")
	case pyGlobal{"torch._utils", "_rebuild_tensor"}: // storage, offset, size, stride
		return rebuildTensor(a, 4, 4)
	case pyGlobal{"torch._utils", "_rebuild_tensor_v2"}: // … requires_grad, hooks[, metadata]
		return rebuildTensor(a, 6, 7)
	case pyGlobal{"torch._utils", "_rebuild_tensor_v3"}: // … requires_grad, hooks, dtype[, metadata]
		return rebuildTensorV3(a)
	case pyGlobal{"torch._utils", "_rebuild_parameter"}, // data, requires_grad, hooks
		pyGlobal{"torch._utils", "_rebuild_parameter_with_state"}: // … state
		if len(a) != 3 && len(a) != 4 {
			return nil, fmt.Errorf("%d arguments", len(a))
		}
		switch a[0].(type) {
		case *pthTensor, *pyObject:
			return a[0], nil
		}
		return nil, fmt.Errorf("%s where a tensor was expected", kindOf(a[0]))
	case pyGlobal{"torch._tensor", "_rebuild_from_type_v2"}: // function, type, arguments, attributes
		return u.rebuildFromType(f, a)
	}
	return &pyObject{global: f}, nil
}

// orderedDict makes a dict from nothing or, as Python 2 writes it, from a list of pairs.
func (u *unpickler) orderedDict(args []any) (any, error) {
	d := &pyDict{}
	if len(args) == 0 {
		return d, nil
	}
	list, ok := args[0].(*pyList)
	if !ok || len(args) > 1 {
		return nil, errors.New("wants nothing or a list of pairs")
	}
	if err := u.spend(len(list.items)); err != nil {
		return nil, err
	}
	for _, item := range list.items {
		var pair []any
		switch p := item.(type) {
		case *pyList:
			pair = p.items
		case *pyTuple:
			pair = p.items
		}
		if len(pair) != 2 {
			return nil, errors.New("wants nothing or a list of pairs")
		}
		d.keys = append(d.keys, pair[0])
		d.values = append(d.values, pair[1])
	}
	return d, nil
}

// rebuildTensor takes storage, offset, size and stride; of what follows it only looks at the seventh argument, the
// metadata.
func rebuildTensor(a []any, least, most int) (*pthTensor, error) {
	if len(a) < least || len(a) > most {
		return nil, fmt.Errorf("%d arguments", len(a))
	}
	t := &pthTensor{}
	var ok [4]bool
	t.storage, ok[0] = a[0].(*storageRef)
	t.offset, ok[1] = a[1].(int64)
	t.size, ok[2] = a[2].(*pyTuple)
	t.stride, ok[3] = a[3].(*pyTuple)
	if ok != [4]bool{true, true, true, true} {
		return nil, fmt.Errorf("wants a storage, a number and two tuples, has %s, %s, %s and %s",
			kindOf(a[0]), kindOf(a[1]), kindOf(a[2]), kindOf(a[3]))
	}
	if n := len(t.size.items); n != len(t.stride.items) || n > maxRank {
		return nil, fmt.Errorf("%d sizes and %d strides", n, len(t.stride.items))
	}
	for _, part := range []*pyTuple{t.size, t.stride} {
		for _, item := range part.items {
			if _, ok := item.(int64); !ok {
				return nil, fmt.Errorf("%s for a size or stride", kindOf(item))
			}
		}
	}
	t.dtype, t.typeName = storageTypes[t.storage.kind].dtype, t.storage.kind
	t.marked = len(a) == 7 && marked(a[6])
	return t, nil
}

// rebuildTensorV3 is rebuildTensor for element types that have no storage type of their own: the storage has bytes.
func rebuildTensorV3(a []any) (*pthTensor, error) {
	if len(a) != 7 && len(a) != 8 {
		return nil, fmt.Errorf("%d arguments", len(a))
	}
	t, err := rebuildTensor(a[:6], 6, 6)
	if err != nil {
		return nil, err
	}
	dtype, ok := a[6].(*pyGlobal)
	if !ok || dtype.module != "torch" {
		return nil, fmt.Errorf("%s where an element type was expected", kindOf(a[6]))
	}
	if t.storage.width != 1 {
		return nil, fmt.Errorf("elements of type %s in a storage that is not of bytes", quoted(dtype.String()))
	}
	t.dtype, t.typeName = torchTypes[dtype.name], dtype.String()
	t.marked = len(a) == 8 && marked(a[7])
	return t, nil
}

// marked says whether a tensor's metadata change what its bytes mean; all that PyTorch writes there does.
func marked(metadata any) bool {
	d, ok := metadata.(*pyDict)
	return metadata != nil && (!ok || len(d.keys) > 0)
}

// rebuildFromType makes a tensor that carries attributes of its own, if it is a plain tensor or parameter.
func (u *unpickler) rebuildFromType(f *pyGlobal, a []any) (any, error) {
	if len(a) != 4 {
		return nil, fmt.Errorf("%d arguments", len(a))
	}
	rebuild, ok1 := a[0].(*pyGlobal)
	class, ok2 := a[1].(*pyGlobal)
	args, ok3 := a[2].(*pyTuple)
	if !ok1 || !ok2 || !ok3 {
		return nil, errors.New("wants a function, a type and a tuple of arguments")
	}
	switch *class {
	case pyGlobal{"torch", "Tensor"}, pyGlobal{"torch.nn.parameter", "Parameter"},
		pyGlobal{"torch.nn.parameter", "Buffer"}:
	default:
		return &pyObject{global: class}, nil
	}
	if *rebuild == *f { // torch has no such nesting, and without it this call's depth is two
		return nil, errors.New("calls itself")
	}
	return u.call(rebuild, args)
}

// layout checks the description of a tensor against its storage. It returns shape and strides as ints and the number of
// elements.
func (t *pthTensor) layout() (shape, strides []int, n int, err error) {
	if t.dtype == "" {
		return nil, nil, 0, fmt.Errorf("elements of type %s are not supported", t.typeName)
	}
	if t.marked {
		return nil, nil, 0, errors.New(
			"a negated or conjugated view is not supported: save its values (resolve_neg, resolve_conj)")
	}
	rank := len(t.size.items)
	shape, strides = make([]int, rank), make([]int, rank)
	for i := range rank {
		d, s := t.size.items[i].(int64), t.stride.items[i].(int64)
		if d < 0 || d > math.MaxInt {
			return nil, nil, 0, fmt.Errorf("dimension %d has size %d", i, d)
		}
		if s < 0 || s > math.MaxInt {
			return nil, nil, 0, fmt.Errorf("dimension %d has stride %d", i, s)
		}
		shape[i], strides[i] = int(d), int(s)
	}
	if t.offset < 0 {
		return nil, nil, 0, fmt.Errorf("offset %d", t.offset)
	}
	if n, err = product(shape); err != nil {
		return nil, nil, 0, err
	}
	if n == 0 {
		return shape, strides, 0, nil
	}
	width := uint64(t.dtype.Size())
	room := uint64(t.storage.bytes()) / width // elements of this tensor's type
	last := uint64(t.offset)
	for i := range rank {
		high, low := bits.Mul64(uint64(shape[i]-1), uint64(strides[i]))
		if high != 0 || low > math.MaxInt64 || last+low > math.MaxInt64 {
			return nil, nil, 0, fmt.Errorf("shape %v with strides %v from offset %d runs out of every storage",
				shape, strides, t.offset)
		}
		last += low
	}
	if last >= room {
		return nil, nil, 0, fmt.Errorf(
			"shape %v with strides %v from offset %d needs element %d of storage %s, which has %d",
			shape, strides, t.offset, last, quoted(t.storage.key), room)
	}
	return shape, strides, n, nil
}

// read returns the tensor's elements in row-major order, little endian: a part of its storage's bytes where they lie in
// that order already, otherwise a copy. The arguments are layout's.
func (t *pthTensor) read(storage []byte, shape, strides []int, n int) []byte {
	if n == 0 {
		return []byte{}
	}
	width := t.dtype.Size()
	// Dimensions of size 1 say nothing; the others are at least 2, so there are fewer of them than bits in n.
	var dims, steps []int
	for i, d := range shape {
		if d != 1 {
			dims, steps = append(dims, d), append(steps, strides[i]*width)
		}
	}
	begin := int(t.offset) * width
	contiguous := true
	for i, want := len(dims)-1, width; i >= 0; i-- {
		contiguous = contiguous && steps[i] == want
		want *= dims[i]
	}
	if contiguous {
		end := begin + n*width
		return storage[begin:end:end]
	}
	out := make([]byte, n*width)
	inner := len(dims) - 1
	index := make([]int, inner)
	for done := 0; done < len(out); {
		from := begin
		for i := range index {
			from += index[i] * steps[i]
		}
		for range dims[inner] {
			copy(out[done:done+width], storage[from:from+width])
			done += width
			from += steps[inner]
		}
		for i := inner - 1; i >= 0; i-- { // the next row
			if index[i]++; index[i] < dims[i] {
				break
			}
			index[i] = 0
		}
	}
	return out
}
