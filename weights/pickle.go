package weights

import (
	"errors"
	"fmt"
	"slices"
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
type unpickler struct {
	in       *pickleReader
	stack    []any
	marks    []int // heights of the stack at which a MARK stands
	memo     map[uint32]any
	opcodes  int
	globals  map[string]bool        // of all pickles of a file: "module.name"
	storages map[string]*storageRef // by key
}

// newUnpickler makes a machine for the pickles of one file.
func newUnpickler(in *pickleReader) *unpickler {
	return &unpickler{in: in, globals: make(map[string]bool), storages: make(map[string]*storageRef)}
}

// load reads one pickle, from its PROTO to its STOP, and returns its value. No value in it contains itself. Errors name
// the byte, counted from where the reader started.
func (u *unpickler) load() (any, error) {
	u.stack, u.marks, u.memo, u.opcodes = nil, nil, make(map[uint32]any), 0
	start := u.in.pos
	proto, err := u.in.take(2)
	if err != nil {
		return nil, fmt.Errorf("pickle at byte %d: %w", start, err)
	}
	if proto[0] != opProto {
		return nil, fmt.Errorf("pickle at byte %d: starts with byte 0x%02x, not with a protocol's number",
			start, proto[0])
	}
	if proto[1] < 2 || proto[1] > 5 {
		return nil, fmt.Errorf("pickle at byte %d: protocol %d, wanted 2 to 5", start, proto[1])
	}
	for {
		at := u.in.pos
		op, err := u.in.byte()
		if err != nil {
			return nil, fmt.Errorf("pickle at byte %d: %w", at, err)
		}
		if opNames[op] == "" {
			return nil, fmt.Errorf("pickle at byte %d: unknown opcode 0x%02x", at, op)
		}
		if op == opStop {
			value, err := u.result()
			if err != nil {
				return nil, fmt.Errorf("pickle at byte %d: STOP: %w", at, err)
			}
			return value, nil
		}
		if err = u.spend(1); err == nil {
			err = u.step(op)
		}
		if err != nil {
			return nil, fmt.Errorf("pickle at byte %d: %s: %w", at, opNames[op], err)
		}
	}
}

// spend counts n opcodes, or work like theirs.
func (u *unpickler) spend(n int) error {
	if n > maxOpcodes-u.opcodes {
		return fmt.Errorf("more than %d opcodes", maxOpcodes)
	}
	u.opcodes += n
	return nil
}

// result is the value that STOP leaves behind.
func (u *unpickler) result() (any, error) {
	if len(u.marks) > 0 || len(u.stack) != 1 {
		return nil, fmt.Errorf("%d values and %d marks on the stack, wanted one value", len(u.stack), len(u.marks))
	}
	value := u.stack[0]
	u.stack, u.memo = nil, nil
	return value, checkNesting(value, 0)
}

// step runs one opcode, whose byte has been read.
func (u *unpickler) step(op byte) error {
	switch op {
	case opNone:
		u.push(nil)
	case opNewTrue:
		u.push(true)
	case opNewFalse:
		u.push(false)
	case opBinInt, opBinInt1, opBinInt2, opLong1, opLong4, opBinFloat:
		return u.number(op)
	case opBinUnicode, opShortBinUnicode, opBinUnicode8, opBinString,
		opShortBinString, opBinBytes, opShortBinBytes, opBinBytes8, opByteArray8:
		return u.text(op)
	case opEmptyTuple:
		u.push(&pyTuple{})
	case opEmptyList, opEmptySet:
		u.push(&pyList{})
	case opEmptyDict:
		u.push(&pyDict{})
	case opMark:
		u.marks = append(u.marks, len(u.stack))
	case opTuple1, opTuple2, opTuple3:
		items, err := u.pop(int(op-opTuple1) + 1)
		if err != nil {
			return err
		}
		u.push(&pyTuple{items: slices.Clone(items)})
	case opTuple, opFrozenSet:
		items, err := u.popMark()
		if err != nil {
			return err
		}
		if op == opFrozenSet {
			u.push(&pyList{items: slices.Clone(items)})
		} else {
			u.push(&pyTuple{items: slices.Clone(items)})
		}
	case opAppend, opAppends, opAddItems, opSetItem, opSetItems, opBuild:
		return u.fill(op)
	case opPut, opLongPut, opMemoize, opGet, opLongGet:
		return u.remember(op)
	case opGlobal, opStackGlobal:
		return u.global(op)
	case opReduce, opNewObj, opNewObjEx:
		return u.make(op)
	case opPersID:
		id, err := u.pop(1)
		if err != nil {
			return err
		}
		ref, err := u.persistent(id[0])
		if err != nil {
			return err
		}
		u.push(ref)
	case opFrame: // only a hint for reading ahead
		n, err := u.in.uint(8)
		if err != nil {
			return err
		}
		if n > uint64(u.in.end-u.in.pos) {
			return u.in.short(n)
		}
	case opProto:
		return errors.New("not at the start")
	}
	return nil
}

func (u *unpickler) push(v any) { u.stack = append(u.stack, v) }

// pop takes the upper n values, none of them below the last MARK. The result is valid until the next push.
func (u *unpickler) pop(n int) ([]any, error) {
	floor := 0
	if len(u.marks) > 0 {
		floor = u.marks[len(u.marks)-1]
	}
	if len(u.stack)-floor < n {
		return nil, fmt.Errorf("wants %d values, but the stack has %d", n, len(u.stack)-floor)
	}
	at := len(u.stack) - n
	items := u.stack[at:]
	u.stack = u.stack[:at]
	return items, nil
}

// popMark takes the values above the last MARK, and the MARK.
func (u *unpickler) popMark() ([]any, error) {
	if len(u.marks) == 0 {
		return nil, errors.New("no mark on the stack")
	}
	at := u.marks[len(u.marks)-1]
	u.marks = u.marks[:len(u.marks)-1]
	items := u.stack[at:]
	u.stack = u.stack[:at]
	return items, nil
}

// fill adds values to a list, set, dict or object.
func (u *unpickler) fill(op byte) error {
	var items []any
	var err error
	switch op {
	case opAppend, opBuild:
		items, err = u.pop(1)
	case opSetItem:
		items, err = u.pop(2)
	default:
		items, err = u.popMark()
	}
	if err != nil {
		return err
	}
	target, err := u.pop(1)
	if err != nil {
		return err
	}
	u.stack = u.stack[:len(u.stack)+1] // the target stays
	switch t := target[0].(type) {
	case *pyObject:
		// Only what BUILD says is kept: it is the attributes of a Namespace.
		if op == opBuild {
			t.state = items[0]
		}
		return nil
	case *pyList:
		if op == opAppend || op == opAppends || op == opAddItems {
			t.items = append(t.items, items...)
			return nil
		}
	case *pyDict:
		if op == opBuild { // attributes of an OrderedDict, as a module's _metadata
			return nil
		}
		if op == opSetItem || op == opSetItems {
			if len(items)%2 != 0 {
				return errors.New("a key without a value")
			}
			for i := 0; i < len(items); i += 2 {
				t.keys = append(t.keys, items[i])
				t.values = append(t.values, items[i+1])
			}
			return nil
		}
	}
	return fmt.Errorf("not possible for %s", kindOf(target[0]))
}

// remember runs the opcodes of the memo.
func (u *unpickler) remember(op byte) error {
	var index uint64
	var err error
	switch op {
	case opPut, opGet:
		index, err = u.in.uint(1)
	case opLongPut, opLongGet:
		index, err = u.in.uint(4)
	case opMemoize:
		index = uint64(len(u.memo))
	}
	if err != nil {
		return err
	}
	if op == opGet || op == opLongGet {
		v, ok := u.memo[uint32(index)]
		if !ok {
			return fmt.Errorf("nothing is remembered as %d", index)
		}
		u.push(v)
		return nil
	}
	v, err := u.pop(1)
	if err != nil {
		return err
	}
	u.stack = u.stack[:len(u.stack)+1]
	u.memo[uint32(index)] = v[0]
	return nil
}

// global takes the name of a class or function.
func (u *unpickler) global(op byte) error {
	var g pyGlobal
	if op == opGlobal {
		for _, s := range []*string{&g.module, &g.name} {
			line, err := u.in.line(maxGlobalName)
			if err != nil {
				return err
			}
			*s = line
		}
	} else {
		names, err := u.pop(2)
		if err != nil {
			return err
		}
		var ok1, ok2 bool
		g.module, ok1 = names[0].(string)
		g.name, ok2 = names[1].(string)
		if !ok1 || !ok2 {
			return fmt.Errorf("%s and %s for a module and a name", kindOf(names[0]), kindOf(names[1]))
		}
	}
	for _, s := range []string{g.module, g.name} {
		if s == "" || len(s) > maxGlobalName || !printable(s) {
			return fmt.Errorf("%s is no name", quoted(s))
		}
	}
	if name := g.String(); !u.globals[name] {
		if len(u.globals) == maxGlobals {
			return fmt.Errorf("more than %d different globals", maxGlobals)
		}
		u.globals[name] = true
	}
	u.push(&g)
	return nil
}

func printable(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return utf8.ValidString(s)
}

// make stands where Python would call a function or make an object of a class.
func (u *unpickler) make(op byte) error {
	n := 2
	if op == opNewObjEx {
		n = 3 // class, arguments, named arguments
	}
	items, err := u.pop(n)
	if err != nil {
		return err
	}
	args, ok := items[1].(*pyTuple)
	if !ok {
		return fmt.Errorf("%s where a tuple of arguments was expected", kindOf(items[1]))
	}
	switch f := items[0].(type) {
	case *pyGlobal:
		if op == opNewObjEx {
			u.push(&pyObject{global: f})
			return nil
		}
		v, err := u.call(f, args)
		if err != nil {
			return fmt.Errorf("%s: %w", quoted(f.String()), err)
		}
		u.push(v)
	case *pyObject: // what an unknown function would return, called
		u.push(&pyObject{global: f.global})
	default:
		return fmt.Errorf("%s is no function", kindOf(f))
	}
	return nil
}
