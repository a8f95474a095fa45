package weights

import (
	"encoding/binary"
	"math"
	"slices"
)

const opProto, opStop = 0x80, '.'

// opcode is one instruction of pickle's machine: the name that Python's pickletools prints, and what it does.
type opcode struct {
	name string
	run  func(*unpickler)
}

// opcodes are those that the unpickler knows.
var opcodes = [256]opcode{
	opProto: {"PROTO", func(u *unpickler) { panic(faultf("not at the start")) }},
	0x95:    {"FRAME", func(u *unpickler) { u.in.need(u.in.uint(8)) }}, // only a hint for reading ahead
	opStop:  {"STOP", func(u *unpickler) {}},                           // load sees to it
	'(':     {"MARK", func(u *unpickler) { u.marks = append(u.marks, len(u.stack)) }},

	'N':  {"NONE", func(u *unpickler) { u.push(nil) }},
	0x88: {"NEWTRUE", func(u *unpickler) { u.push(true) }},
	0x89: {"NEWFALSE", func(u *unpickler) { u.push(false) }},
	'J':  {"BININT", func(u *unpickler) { u.push(int64(int32(u.in.uint(4)))) }},
	'K':  {"BININT1", func(u *unpickler) { u.push(int64(u.in.uint(1))) }},
	'M':  {"BININT2", func(u *unpickler) { u.push(int64(u.in.uint(2))) }},
	0x8a: {"LONG1", func(u *unpickler) { u.push(long(u.in.block(1))) }},
	0x8b: {"LONG4", func(u *unpickler) { u.push(long(u.in.block(4))) }},
	'G':  {"BINFLOAT", func(u *unpickler) { u.push(math.Float64frombits(binary.BigEndian.Uint64(u.in.take(8)))) }},

	'X':  {"BINUNICODE", func(u *unpickler) { u.push(string(u.in.block(4))) }},
	0x8c: {"SHORT_BINUNICODE", func(u *unpickler) { u.push(string(u.in.block(1))) }},
	0x8d: {"BINUNICODE8", func(u *unpickler) { u.push(string(u.in.block(8))) }},
	// Python 2's byte strings, which its checkpoints have for names
	'T':  {"BINSTRING", func(u *unpickler) { u.push(string(u.in.block(4))) }},
	'U':  {"SHORT_BINSTRING", func(u *unpickler) { u.push(string(u.in.block(1))) }},
	'B':  {"BINBYTES", func(u *unpickler) { u.push(pyBytes(u.in.block(4))) }},
	'C':  {"SHORT_BINBYTES", func(u *unpickler) { u.push(pyBytes(u.in.block(1))) }},
	0x8e: {"BINBYTES8", func(u *unpickler) { u.push(pyBytes(u.in.block(8))) }},
	0x96: {"BYTEARRAY8", func(u *unpickler) { u.push(pyBytes(u.in.block(8))) }},

	')':  {"EMPTY_TUPLE", func(u *unpickler) { u.push(&pyTuple{}) }},
	0x85: {"TUPLE1", func(u *unpickler) { u.pushTuple(u.pop(1)) }},
	0x86: {"TUPLE2", func(u *unpickler) { u.pushTuple(u.pop(2)) }},
	0x87: {"TUPLE3", func(u *unpickler) { u.pushTuple(u.pop(3)) }},
	't':  {"TUPLE", func(u *unpickler) { u.pushTuple(u.popMark()) }},
	']':  {"EMPTY_LIST", func(u *unpickler) { u.push(&pyList{}) }},
	'a':  {"APPEND", func(u *unpickler) { u.extend(u.pop(1)) }},
	'e':  {"APPENDS", func(u *unpickler) { u.extend(u.popMark()) }},
	'}':  {"EMPTY_DICT", func(u *unpickler) { u.push(&pyDict{}) }},
	's':  {"SETITEM", func(u *unpickler) { u.set(u.pop(2)) }},
	'u':  {"SETITEMS", func(u *unpickler) { u.set(u.popMark()) }},
	0x8f: {"EMPTY_SET", func(u *unpickler) { u.push(&pyList{}) }},
	0x90: {"ADDITEMS", func(u *unpickler) { u.extend(u.popMark()) }},
	0x91: {"FROZENSET", func(u *unpickler) { u.push(&pyList{items: slices.Clone(u.popMark())}) }},

	'q':  {"BINPUT", func(u *unpickler) { u.put(u.in.uint(1)) }},
	'r':  {"LONG_BINPUT", func(u *unpickler) { u.put(u.in.uint(4)) }},
	0x94: {"MEMOIZE", func(u *unpickler) { u.put(uint64(len(u.memo))) }},
	'h':  {"BINGET", func(u *unpickler) { u.get(u.in.uint(1)) }},
	'j':  {"LONG_BINGET", func(u *unpickler) { u.get(u.in.uint(4)) }},

	'c':  {"GLOBAL", func(u *unpickler) { u.global(u.in.line(), u.in.line()) }},
	0x93: {"STACK_GLOBAL", func(u *unpickler) { u.global(u.pop(2)...) }},
	'R':  {"REDUCE", func(u *unpickler) { u.make(u.pop(2)) }},
	0x81: {"NEWOBJ", func(u *unpickler) { u.make(u.pop(2)) }},
	0x92: {"NEWOBJ_EX", func(u *unpickler) { u.make(u.pop(3)) }},
	'b':  {"BUILD", func(u *unpickler) { u.build(u.pop(1)[0]) }},
	'Q':  {"BINPERSID", func(u *unpickler) { u.push(u.persistent(u.pop(1)[0])) }},
}
