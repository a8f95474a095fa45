package weights

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
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
func (u *unpickler) persistent(id any) *storageRef {
	t, ok := id.(*pyTuple)
	if !ok || len(t.items) < 5 || len(t.items) > 6 || t.items[0] != "storage" {
		panic(faultf("not a reference to a storage"))
	}
	class, ok1 := t.items[1].(*pyGlobal)
	key, ok2 := t.items[2].(string)
	_, ok3 := t.items[3].(string)
	count, ok4 := t.items[4].(int64)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		panic(faultf("not a reference to a storage: wanted a type, a key, a device and a number of elements"))
	}
	if len(t.items) == 6 && t.items[5] != nil {
		panic(faultf("storage %s is a view of another one, which is not supported", quoted(key)))
	}
	kind, ok := storageTypes[class.name]
	if !ok || class.module != "torch" && class.module != "torch.storage" && class.module != "torch.cuda" {
		panic(faultf("storage %s: unknown type %s", quoted(key), quoted(class.String())))
	}
	if count < 0 || count > math.MaxInt64/kind.width {
		panic(faultf("storage %s: %d elements", quoted(key), count))
	}
	ref := storageRef{key, class.name, count, kind.width}
	old, ok := u.storages[key]
	if !ok {
		u.storages[key] = &ref
		return &ref
	}
	if *old != ref {
		panic(faultf("storage %s is once %d elements of %s and once %d of %s",
			quoted(key), old.count, old.kind, count, ref.kind))
	}
	return old
}

// call stands for a function or class with arguments. What is not listed here is not run: it becomes a pyObject.
func (u *unpickler) call(f *pyGlobal, args []any) any {
	switch *f {
	case pyGlobal{"collections", "OrderedDict"}:
		return u.orderedDict(args)
	case pyGlobal{"torch", "Size"}:
		if len(args) == 1 {
			if t, ok := args[0].(*pyTuple); ok {
				return t
			}
		}
		panic(faultf("wants one tuple"))
	case pyGlobal{"torch._utils", "_rebuild_tensor"}: // storage, offset, size, stride
		checkCount(args, 4, 4)
		return rebuildTensor(args)
	case pyGlobal{"torch._utils", "_rebuild_tensor_v2"}: // … requires_grad, hooks[, metadata]
		checkCount(args, 6, 7)
		return rebuildTensor(args)
	case pyGlobal{"torch._utils", "_rebuild_tensor_v3"}: // … requires_grad, hooks, dtype[, metadata]
		checkCount(args, 7, 8)
		return rebuildTyped(args)
	case pyGlobal{"torch._utils", "_rebuild_parameter"}, // data, requires_grad, hooks
		pyGlobal{"torch._utils", "_rebuild_parameter_with_state"}: // … state
		checkCount(args, 3, 4)
		switch args[0].(type) {
		case *pthTensor, *pyObject:
			return args[0]
		}
		panic(faultf("%s where a tensor was expected", kindOf(args[0])))
	case pyGlobal{"torch._tensor", "_rebuild_from_type_v2"}: // function, type, arguments, attributes
		checkCount(args, 4, 4)
		return u.rebuildFromType(f, args)
	}
	return &pyObject{global: f}
}

func checkCount(args []any, least, most int) {
	if len(args) < least || len(args) > most {
		panic(faultf("%d arguments", len(args)))
	}
}

// orderedDict makes a dict from nothing or, as Python 2 writes it, from a list of pairs.
func (u *unpickler) orderedDict(args []any) *pyDict {
	d := &pyDict{}
	if len(args) == 0 {
		return d
	}
	list, ok := args[0].(*pyList)
	if !ok || len(args) > 1 {
		panic(faultf("wants nothing or a list of pairs"))
	}
	u.spend(len(list.items))
	for _, item := range list.items {
		var pair []any
		switch p := item.(type) {
		case *pyList:
			pair = p.items
		case *pyTuple:
			pair = p.items
		}
		if len(pair) != 2 {
			panic(faultf("wants nothing or a list of pairs"))
		}
		d.keys, d.values = append(d.keys, pair[0]), append(d.values, pair[1])
	}
	return d
}

// rebuildTensor takes storage, offset, size and stride; of what follows it only looks at the seventh argument, the
// metadata: all that PyTorch writes there changes what the bytes mean.
func rebuildTensor(args []any) *pthTensor {
	t := &pthTensor{}
	var ok [4]bool
	t.storage, ok[0] = args[0].(*storageRef)
	t.offset, ok[1] = args[1].(int64)
	t.size, ok[2] = args[2].(*pyTuple)
	t.stride, ok[3] = args[3].(*pyTuple)
	if ok != [4]bool{true, true, true, true} {
		panic(faultf("wants a storage, a number and two tuples, has %s, %s, %s and %s",
			kindOf(args[0]), kindOf(args[1]), kindOf(args[2]), kindOf(args[3])))
	}
	if n := len(t.size.items); n != len(t.stride.items) || n > maxRank {
		panic(faultf("%d sizes and %d strides", n, len(t.stride.items)))
	}
	for _, part := range []*pyTuple{t.size, t.stride} {
		for _, item := range part.items {
			if _, ok := item.(int64); !ok {
				panic(faultf("%s for a size or stride", kindOf(item)))
			}
		}
	}
	t.dtype, t.typeName = storageTypes[t.storage.kind].dtype, t.storage.kind
	if len(args) > 6 {
		d, ok := args[6].(*pyDict)
		t.marked = args[6] != nil && (!ok || len(d.keys) > 0)
	}
	return t
}

// rebuildTyped is rebuildTensor for element types that have no storage type of their own: the storage has bytes, and
// the type is one more argument, before the metadata.
func rebuildTyped(args []any) *pthTensor {
	t := rebuildTensor(slices.Concat(args[:6], args[7:]))
	dtype, ok := args[6].(*pyGlobal)
	if !ok || dtype.module != "torch" {
		panic(faultf("%s where an element type was expected", kindOf(args[6])))
	}
	if t.storage.width != 1 {
		panic(faultf("elements of type %s in a storage that is not of bytes", quoted(dtype.String())))
	}
	t.dtype, t.typeName = torchTypes[dtype.name], dtype.String()
	return t
}

// rebuildFromType makes a tensor that carries attributes of its own, if it is a plain tensor or parameter.
func (u *unpickler) rebuildFromType(f *pyGlobal, args []any) any {
	rebuild, ok1 := args[0].(*pyGlobal)
	class, ok2 := args[1].(*pyGlobal)
	inner, ok3 := args[2].(*pyTuple)
	if !ok1 || !ok2 || !ok3 {
		panic(faultf("wants a function, a type and a tuple of arguments"))
	}
	switch *class {
	case pyGlobal{"torch", "Tensor"}, pyGlobal{"torch.nn.parameter", "Parameter"},
		pyGlobal{"torch.nn.parameter", "Buffer"}:
	default:
		return &pyObject{global: class}
	}
	if *rebuild == *f { // torch has no such nesting, and without it this call's depth is two
		panic(faultf("calls itself"))
	}
	return u.call(rebuild, inner.items)
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
