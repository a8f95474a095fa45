package weights

// The opcodes that the unpickler knows.
const (
	opProto           = 0x80
	opFrame           = 0x95
	opStop            = '.'
	opMark            = '('
	opNone            = 'N'
	opNewTrue         = 0x88
	opNewFalse        = 0x89
	opBinInt          = 'J'
	opBinInt1         = 'K'
	opBinInt2         = 'M'
	opLong1           = 0x8a
	opLong4           = 0x8b
	opBinFloat        = 'G'
	opBinUnicode      = 'X'
	opShortBinUnicode = 0x8c
	opBinUnicode8     = 0x8d
	opBinString       = 'T'
	opShortBinString  = 'U'
	opBinBytes        = 'B'
	opShortBinBytes   = 'C'
	opBinBytes8       = 0x8e
	opByteArray8      = 0x96
	opEmptyTuple      = ')'
	opTuple           = 't'
	opTuple1          = 0x85
	opTuple2          = 0x86
	opTuple3          = 0x87
	opEmptyList       = ']'
	opAppend          = 'a'
	opAppends         = 'e'
	opEmptyDict       = '}'
	opSetItem         = 's'
	opSetItems        = 'u'
	opEmptySet        = 0x8f
	opAddItems        = 0x90
	opFrozenSet       = 0x91
	opGlobal          = 'c'
	opStackGlobal     = 0x93
	opReduce          = 'R'
	opNewObj          = 0x81
	opNewObjEx        = 0x92
	opBuild           = 'b'
	opPersID          = 'Q'
	opPut             = 'q'
	opLongPut         = 'r'
	opMemoize         = 0x94
	opGet             = 'h'
	opLongGet         = 'j'
)

// opNames has the names that Python's pickletools prints; an opcode without a name is unknown.
var opNames = [256]string{
	opProto: "PROTO", opFrame: "FRAME", opStop: "STOP", opMark: "MARK",
	opNone: "NONE", opNewTrue: "NEWTRUE", opNewFalse: "NEWFALSE",
	opBinInt: "BININT", opBinInt1: "BININT1", opBinInt2: "BININT2",
	opLong1: "LONG1", opLong4: "LONG4", opBinFloat: "BINFLOAT",
	opBinUnicode: "BINUNICODE", opShortBinUnicode: "SHORT_BINUNICODE", opBinUnicode8: "BINUNICODE8",
	opBinString: "BINSTRING", opShortBinString: "SHORT_BINSTRING",
	opBinBytes: "BINBYTES", opShortBinBytes: "SHORT_BINBYTES", opBinBytes8: "BINBYTES8", opByteArray8: "BYTEARRAY8",
	opEmptyTuple: "EMPTY_TUPLE", opTuple: "TUPLE", opTuple1: "TUPLE1", opTuple2: "TUPLE2", opTuple3: "TUPLE3",
	opEmptyList: "EMPTY_LIST", opAppend: "APPEND", opAppends: "APPENDS",
	opEmptyDict: "EMPTY_DICT", opSetItem: "SETITEM", opSetItems: "SETITEMS",
	opEmptySet: "EMPTY_SET", opAddItems: "ADDITEMS", opFrozenSet: "FROZENSET",
	opGlobal: "GLOBAL", opStackGlobal: "STACK_GLOBAL", opReduce: "REDUCE",
	opNewObj: "NEWOBJ", opNewObjEx: "NEWOBJ_EX", opBuild: "BUILD",
	opPersID: "BINPERSID", opPut: "BINPUT", opLongPut: "LONG_BINPUT",
	opMemoize: "MEMOIZE", opGet: "BINGET", opLongGet: "LONG_BINGET",
}
