package weights

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of one pickle. The largest checkpoints with their optimizer's state take some hundred thousand opcodes and a
// few megabytes.
//
// Each opcode makes at most one value, puts at most one on the stack and remembers at most one, so maxOpcodes bounds
// them all: whatever a pickle of that many opcodes does, it takes less than 400 MB beside its own strings.
const (
	maxPickle     = 64 << 20 // bytes
	maxOpcodes    = 1 << 21
	maxDepth      = 1000 // values inside values
	maxGlobals    = 4096 // different ones
	maxGlobalName = 512  // bytes of a global's module, and of its name
)

// unpickler runs a pickle, Python's notation for values as a program of a stack machine (the module pickletools of
// Python's library describes every opcode). This machine can build plain values and describe tensors; it runs nothing
// and imports nothing. It knows the opcodes that Python's pickler writes for protocols 2 to 5; the textual ones of
// protocols 0 and 1, those that only recursive tuples need, and the registry of extensions are unknown to it. A global,
// that is a class or function that the pickle names, is only a name (see call for the few that mean something here).
//
// Values: nil, bool, int64, bigInt, float64, string, pyBytes, *pyTuple, *pyList, *pyDict, *pyGlobal, *pyObject,
// *storageRef, *pthTensor.
//
// Its methods, and the reader's, panic with a fault, which load turns into an error.
type unpickler struct {
	in       *pickleReader
	stack    []any
	marks    []int // heights of the stack at which a MARK stands
	memo     map[uint32]any
	opcodes  int
	callee   *pyGlobal              // whose arguments are being looked at, or nil
	globals  map[string]bool        // of all pickles of a file: "module.name"
	storages map[string]*storageRef // by key
}

// fault is what is wrong with a pickle.
type fault struct{ error }

func faultf(format string, args ...any) fault { return fault{fmt.Errorf(format, args...)} }

// newUnpickler makes a machine for the pickles of one file, which lie in the first size bytes of r.
func newUnpickler(r io.ReaderAt, size int64) *unpickler {
	in := &pickleReader{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 1<<16), end: size, size: size}
	return &unpickler{in: in, globals: make(map[string]bool), storages: make(map[string]*storageRef)}
}

// load reads one pickle, from its PROTO to its STOP, and returns its value. No value in it contains itself. Errors name
// the byte, counted from where the reader started.
func (u *unpickler) load() (value any, err error) {
	u.stack, u.marks, u.memo, u.opcodes = nil, nil, make(map[uint32]any), 0
	at, code := u.in.pos, opcode{}
	defer func() {
		switch f := recover().(type) {
		case nil:
		case fault:
			place := fmt.Sprintf("pickle at byte %d: ", at)
			if code.name != "" {
				place += code.name + ": "
			}
			if u.callee != nil {
				place += quoted(u.callee.String()) + ": "
			}
			err = fmt.Errorf("%s%w", place, f.error)
		default:
			panic(f)
		}
	}()
	switch proto := u.in.take(2); {
	case proto[0] != opProto:
		panic(faultf("starts with byte 0x%02x, not with a protocol's number", proto[0]))
	case proto[1] < 2 || proto[1] > 5:
		panic(faultf("protocol %d, wanted 2 to 5", proto[1]))
	}
	for {
		at, code = u.in.pos, opcode{}
		op := u.in.byte()
		code = opcodes[op]
		switch {
		case code.run == nil:
			panic(faultf("unknown opcode 0x%02x", op))
		case op == opStop:
			return u.result(), nil
		}
		u.spend(1)
		code.run(u)
	}
}

// spend counts n opcodes, or work like theirs.
func (u *unpickler) spend(n int) {
	if n > maxOpcodes-u.opcodes {
		panic(faultf("more than %d opcodes", maxOpcodes))
	}
	u.opcodes += n
}

// result is the value that STOP leaves behind.
func (u *unpickler) result() any {
	if len(u.marks) > 0 || len(u.stack) != 1 {
		panic(faultf("%d values and %d marks on the stack, wanted one value", len(u.stack), len(u.marks)))
	}
	value := u.stack[0]
	u.stack, u.memo = nil, nil
	checkNesting(value, 0)
	return value
}

func (u *unpickler) push(v any) { u.stack = append(u.stack, v) }

// pop takes the upper n values, none of them below the last MARK. The result is valid until the next push.
func (u *unpickler) pop(n int) []any {
	floor := 0
	if len(u.marks) > 0 {
		floor = u.marks[len(u.marks)-1]
	}
	if len(u.stack)-floor < n {
		panic(faultf("wants %d values, but the stack has %d", n, len(u.stack)-floor))
	}
	return u.cut(len(u.stack) - n)
}

// popMark takes the values above the last MARK, and the MARK.
func (u *unpickler) popMark() []any {
	if len(u.marks) == 0 {
		panic(faultf("no mark on the stack"))
	}
	at := u.marks[len(u.marks)-1]
	u.marks = u.marks[:len(u.marks)-1]
	return u.cut(at)
}

// cut takes the values of the stack from height at on.
func (u *unpickler) cut(at int) []any {
	items := u.stack[at:]
	u.stack = u.stack[:at]
	return items
}

// top is the uppermost value, which stays.
func (u *unpickler) top() any {
	v := u.pop(1)[0]
	u.stack = u.stack[:len(u.stack)+1]
	return v
}

func (u *unpickler) pushTuple(items []any) { u.push(&pyTuple{items: slices.Clone(items)}) }

// extend adds values to the list or set on the stack.
func (u *unpickler) extend(items []any) {
	switch t := u.top().(type) {
	case *pyList:
		t.items = append(t.items, items...)
	case *pyObject: // what is kept of one is what BUILD says
	default:
		panic(notFor(t))
	}
}

// set adds keys and values, which alternate, to the dict on the stack.
func (u *unpickler) set(items []any) {
	switch t := u.top().(type) {
	case *pyDict:
		if len(items)%2 != 0 {
			panic(faultf("a key without a value"))
		}
		for pair := range slices.Chunk(items, 2) {
			t.keys, t.values = append(t.keys, pair[0]), append(t.values, pair[1])
		}
	case *pyObject:
	default:
		panic(notFor(t))
	}
}

// build gives the object on the stack its attributes, such as a Namespace's.
func (u *unpickler) build(state any) {
	switch t := u.top().(type) {
	case *pyObject:
		t.state = state
	case *pyDict: // an OrderedDict's need not be kept, such as a module's _metadata
	default:
		panic(notFor(t))
	}
}

func notFor(v any) fault { return faultf("not possible for %s", kindOf(v)) }

// put remembers the uppermost value, get recalls one.
func (u *unpickler) put(index uint64) { u.memo[uint32(index)] = u.top() }

func (u *unpickler) get(index uint64) {
	v, ok := u.memo[uint32(index)]
	if !ok {
		panic(faultf("nothing is remembered as %d", index))
	}
	u.push(v)
}

// global takes the name of a class or function: its module and its own.
func (u *unpickler) global(names ...any) {
	var g pyGlobal
	var ok1, ok2 bool
	g.module, ok1 = names[0].(string)
	g.name, ok2 = names[1].(string)
	if !ok1 || !ok2 {
		panic(faultf("%s and %s for a module and a name", kindOf(names[0]), kindOf(names[1])))
	}
	for _, s := range []string{g.module, g.name} {
		unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
		if s == "" || len(s) > maxGlobalName || strings.ContainsFunc(s, unprintable) || !utf8.ValidString(s) {
			panic(faultf("%s is no name", quoted(s)))
		}
	}
	if name := g.String(); !u.globals[name] {
		if len(u.globals) == maxGlobals {
			panic(faultf("more than %d different globals", maxGlobals))
		}
		u.globals[name] = true
	}
	u.push(&g)
}

// make stands where Python would call a function, or make an object of a class. items are that, a tuple of arguments
// and, in NEWOBJ_EX, named arguments.
func (u *unpickler) make(items []any) {
	args, ok := items[1].(*pyTuple)
	if !ok {
		panic(faultf("%s where a tuple of arguments was expected", kindOf(items[1])))
	}
	switch f := items[0].(type) {
	case *pyGlobal:
		if len(items) > 2 {
			u.push(&pyObject{global: f})
			return
		}
		u.callee = f
		u.push(u.call(f, args.items))
		u.callee = nil
	case *pyObject: // what an unknown function would return, called
		u.push(&pyObject{global: f.global})
	default:
		panic(faultf("%s is no function", kindOf(f)))
	}
}
