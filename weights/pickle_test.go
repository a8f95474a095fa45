package weights

import (
	"bytes"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// unpickle runs one pickle.
func unpickle(text string) (any, *unpickler, error) {
	u := newUnpickler(strings.NewReader(text), int64(len(text)))
	v, err := u.load()
	return v, u, err
}

// same compares values; floats by their bits.
func same(a, b any) bool {
	switch a := a.(type) {
	case *pyTuple:
		b, ok := b.(*pyTuple)
		return ok && slices.EqualFunc(a.items, b.items, same)
	case *pyList:
		b, ok := b.(*pyList)
		return ok && slices.EqualFunc(a.items, b.items, same)
	case *pyDict:
		b, ok := b.(*pyDict)
		return ok && slices.EqualFunc(a.keys, b.keys, same) && slices.EqualFunc(a.values, b.values, same)
	case *pyObject:
		b, ok := b.(*pyObject)
		return ok && *a.global == *b.global && same(a.state, b.state)
	case *pyGlobal:
		b, ok := b.(*pyGlobal)
		return ok && *a == *b
	case pyBytes:
		b, ok := b.(pyBytes)
		return ok && bytes.Equal(a, b)
	case bigInt:
		b, ok := b.(bigInt)
		return ok && bytes.Equal(a, b)
	case float64:
		b, ok := b.(float64)
		return ok && math.Float64bits(a) == math.Float64bits(b)
	}
	return a == b
}

func list(items ...any) *pyList   { return &pyList{items: items} }
func tuple(items ...any) *pyTuple { return &pyTuple{items: items} }

func TestPickleValues(t *testing.T) {
	object := func(module, name string, state any) *pyObject {
		return &pyObject{global: &pyGlobal{module, name}, state: state}
	}
	for text, want := range map[string]any{
		"\x80\x02N.":                                nil,
		"\x80\x02\x88.":                             true,
		"\x80\x05\x89.":                             false,
		"\x80\x02K\xff.":                            int64(255),
		"\x80\x02M\x00\xff.":                        int64(0xff00),
		"\x80\x02J\xfe\xff\xff\xff.":                int64(-2),
		"\x80\x02\x8a\x00.":                         int64(0),
		"\x80\x02\x8a\x01\xff.":                     int64(-1),
		"\x80\x02\x8a\x02\xff\x00.":                 int64(255),
		"\x80\x02\x8b\x03\x00\x00\x00\x00\x00\x80.": int64(-1 << 23),
		"\x80\x02\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80.":     int64(math.MinInt64),
		"\x80\x02\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00.": bigInt("\x00\x00\x00\x00\x00\x00\x00\x80\x00"),
		"\x80\x02G\x3f\xf8\x00\x00\x00\x00\x00\x00.":            1.5,
		"\x80\x02G\x7f\xf8\x00\x00\x00\x00\x00\x01.":            math.Float64frombits(0x7ff8000000000001),
		"\x80\x02X\x02\x00\x00\x00hi.":                          "hi",
		"\x80\x04\x8c\x02hi.":                                   "hi",
		"\x80\x04\x8d\x02\x00\x00\x00\x00\x00\x00\x00hi.":       "hi",
		"\x80\x02T\x02\x00\x00\x00hi.":                          "hi",
		"\x80\x02U\x02hi.":                                      "hi",
		"\x80\x03B\x02\x00\x00\x00hi.":                          pyBytes("hi"),
		"\x80\x03C\x02hi.":                                      pyBytes("hi"),
		"\x80\x04\x8e\x02\x00\x00\x00\x00\x00\x00\x00hi.":       pyBytes("hi"),
		"\x80\x05\x96\x02\x00\x00\x00\x00\x00\x00\x00hi.":       pyBytes("hi"),
		"\x80\x02).":                   tuple(),
		"\x80\x02K\x01\x85.":           tuple(int64(1)),
		"\x80\x02K\x01K\x02\x86.":      tuple(int64(1), int64(2)),
		"\x80\x02K\x01K\x02K\x03\x87.": tuple(int64(1), int64(2), int64(3)),
		"\x80\x02(K\x01(K\x02tt.":      tuple(int64(1), tuple(int64(2))),
		"\x80\x02].":                   list(),
		"\x80\x02]K\x01a(K\x02K\x03e.": list(int64(1), int64(2), int64(3)),
		"\x80\x04\x8f(K\x01K\x02\x90.": list(int64(1), int64(2)),
		"\x80\x04(K\x01K\x02\x91.":     list(int64(1), int64(2)),
		"\x80\x02}K\x01K\x02s(K\x03K\x04K\x05K\x06u.": &pyDict{
			keys: []any{int64(1), int64(3), int64(5)}, values: []any{int64(2), int64(4), int64(6)}},
		"\x80\x02K\x07q\x05h\x05\x86.":                           tuple(int64(7), int64(7)),
		"\x80\x02K\x07r\x05\x00\x01\x00j\x05\x00\x01\x00\x86.":   tuple(int64(7), int64(7)),
		"\x80\x04\x95\x04\x00\x00\x00\x00\x00\x00\x00K\x07\x94.": int64(7),
		"\x80\x02cos\nsystem\n.":                                 &pyGlobal{"os", "system"},
		"\x80\x04\x8c\x02os\x8c\x06system\x93.":                  &pyGlobal{"os", "system"},
		"\x80\x02cos\nsystem\nU\x02ls\x85R.":                     object("os", "system", nil),
		"\x80\x02cos\nsystem\n)RU\x02ls\x85R.":                   object("os", "system", nil),
		"\x80\x02cargparse\nNamespace\n)\x81}U\x01aK\x01sb.": object("argparse", "Namespace",
			&pyDict{keys: []any{"a"}, values: []any{int64(1)}}),
		"\x80\x04ca\nb\n)}\x92.":                         object("a", "b", nil),
		"\x80\x02ca\nb\n)\x81(K\x01K\x02uK\x01a(K\x01e.": object("a", "b", nil),
		"\x80\x02ccollections\nOrderedDict\n)R}b.":       &pyDict{},
		"\x80\x02ccollections\nOrderedDict\n](]U\x01aaK\x01aU\x01bK\x02\x86e\x85R.": &pyDict{
			keys: []any{"a", "b"}, values: []any{int64(1), int64(2)}},
		"\x80\x02ctorch\nSize\nK\x01K\x02\x86\x85R.": tuple(int64(1), int64(2)),
	} {
		v, u, err := unpickle(text)
		if err != nil || !same(v, want) {
			t.Errorf("%q: %s %v, %v, wanted %v", text, kindOf(v), v, err, want)
		}
		if u.in.pos != u.in.end {
			t.Errorf("%q: %d bytes were not read", text, u.in.end-u.in.pos)
		}
	}
}

// TestMalformedPickle lists pickles that must be refused, and what the error must say.
func TestMalformedPickle(t *testing.T) {
	for _, c := range []struct{ name, text, fault string }{
		{"empty", "", "pickle at byte 0: wants 2 bytes, but 0 are left"},
		{"no protocol", "N.", "starts with byte 0x4e"},
		{"protocol 1", "\x80\x01N.", "protocol 1, wanted 2 to 5"},
		{"protocol 6", "\x80\x06N.", "protocol 6"},
		{"no stop", "\x80\x02N", "pickle at byte 3: wants 1 bytes, but 0 are left: truncated?"},
		{"second protocol", "\x80\x02\x80\x02N.", "PROTO: not at the start"},
		{"nothing", "\x80\x02.", "STOP: 0 values and 0 marks"},
		{"two values", "\x80\x02NN.", "STOP: 2 values"},
		{"a mark", "\x80\x02N(.", "STOP: 1 values and 1 marks"},
		{"unknown opcode", "\x80\x02\xff.", "pickle at byte 2: unknown opcode 0xff"},
		{"INST", "\x80\x02(ios\nsystem\n.", "unknown opcode 0x69"},
		{"OBJ", "\x80\x02(cos\nsystem\no.", "unknown opcode 0x6f"},
		{"EXT1", "\x80\x02\x82\x01.", "unknown opcode 0x82"},
		{"EXT2", "\x80\x02\x83\x01\x00.", "unknown opcode 0x83"},
		{"EXT4", "\x80\x02\x84\x01\x00\x00\x00.", "unknown opcode 0x84"},
		{"PERSID", "\x80\x02P0\n.", "unknown opcode 0x50"},
		{"textual INT", "\x80\x02I1\n.", "unknown opcode 0x49"},
		{"textual GET", "\x80\x02g0\n.", "unknown opcode 0x67"},
		{"POP", "\x80\x02NN0.", "unknown opcode 0x30"},
		{"DUP", "\x80\x02N2.", "unknown opcode 0x32"},
		{"buffers outside", "\x80\x05\x97.", "unknown opcode 0x97"},
		{"underflow of TUPLE2", "\x80\x02N\x86.", "TUPLE2: wants 2 values, but the stack has 1"},
		{"reaching under a mark", "\x80\x02N(N\x86.", "TUPLE2: wants 2 values, but the stack has 1"},
		{"target under a mark", "\x80\x02](Na.", "APPEND: wants 1 values, but the stack has 0"},
		{"no mark", "\x80\x02Nt.", "TUPLE: no mark"},
		{"APPENDS without a list", "\x80\x02(Ne.", "APPENDS: wants 1 values"},
		{"APPEND to a tuple", "\x80\x02)Na.", "APPEND: not possible for a tuple"},
		{"APPEND to a dict", "\x80\x02}Na.", "APPEND: not possible for a dict"},
		{"SETITEM of a list", "\x80\x02]NNs.", "SETITEM: not possible for a list"},
		{"SETITEMS, odd", "\x80\x02}(Nu.", "SETITEMS: a key without a value"},
		{"BUILD of a string", "\x80\x02U\x01a}b.", "BUILD: not possible for a string"},
		{"BUILD of a tensor", "\x80\x02" + goodTensor + "}b.", "BUILD: not possible for a tensor"},
		{"BUILD of a global", "\x80\x02cos\nsystem\n}b.", `BUILD: not possible for the global "os.system"`},
		{"REDUCE of a string", "\x80\x02U\x06system)R.", "REDUCE: a string is no function"},
		{"REDUCE of a number", "\x80\x02K\x01)R.", "REDUCE: a whole number is no function"},
		{"REDUCE of None", "\x80\x02N)R.", "REDUCE: None is no function"},
		{"REDUCE of a tensor", "\x80\x02" + goodTensor + ")R.", "REDUCE: a tensor is no function"},
		{"REDUCE without a tuple", "\x80\x02cos\nsystem\nU\x02lsR.", "REDUCE: a string where a tuple of arguments"},
		{"NEWOBJ of a dict", "\x80\x02})\x81.", "NEWOBJ: a dict is no function"},
		{"NEWOBJ_EX without a tuple", "\x80\x04ca\nb\n}}\x92.", "NEWOBJ_EX: a dict where a tuple"},
		{"GET of nothing", "\x80\x02h\x00.", "BINGET: nothing is remembered as 0"},
		{"LONG_GET of nothing", "\x80\x02j\xff\xff\xff\xff.", "LONG_BINGET: nothing is remembered as 4294967295"},
		{"PUT of nothing", "\x80\x02q\x00.", "BINPUT: wants 1 values"},
		{"MEMOIZE of a mark", "\x80\x04N(\x94.", "MEMOIZE: wants 1 values"},
		{"a list in itself", "\x80\x02]q\x00h\x00a.", "STOP: a list that contains itself"},
		{"a dict in itself", "\x80\x02}q\x00U\x01ah\x00s.", "a dict that contains itself"},
		{"a dict as its key", "\x80\x02}q\x00h\x00Ns.", "a dict that contains itself"},
		{"an object in itself", "\x80\x02ca\nb\n)\x81q\x00h\x00b.",
			`an object of the global "a.b" that contains itself`},
		{"a tuple in itself", "\x80\x02]q\x00h\x00\x85a.", "contains itself"},
		{"two lists in each other", "\x80\x02]q\x00]q\x01h\x00aa.", "contains itself"},
		{"nested too deep", "\x80\x02" + "N" + strings.Repeat("\x85", maxDepth+1) + ".", "nested more than 1000 deep"},
		{"frame too long", "\x80\x04\x95\x09\x00\x00\x00\x00\x00\x00\x00N.", "FRAME: wants 9 bytes, but 2 are left"},
		{"frame of 2^64-1", "\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xffN.",
			"FRAME: wants 18446744073709551615 bytes"},
		{"string of 2^64-1", "\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffN.",
			"BINUNICODE8: wants 18446744073709551615 bytes"},
		{"negative length", "\x80\x02\x8b\xff\xff\xff\xff.", "LONG4: wants 4294967295 bytes"},
		{"global without a name", "\x80\x02cos\n\n.", `GLOBAL: "" is no name`},
		{"global with an escape", "\x80\x02cos\nsys\x1b[2Jtem\n.", "is no name"},
		{"global of bad UTF-8", "\x80\x02cos\n\xff\n.", "is no name"},
		{"global too long", "\x80\x02c" + strings.Repeat("a", maxGlobalName+1) + "\nb\n.",
			"a name of more than 512 bytes"},
		{"global too long on the stack",
			"\x80\x04" + pickleString(strings.Repeat("a", maxGlobalName+1)) + "U\x01b\x93.", "is no name"},
		{"global of numbers", "\x80\x04K\x01K\x02\x93.", "STACK_GLOBAL: a whole number and a whole number"},
		{"persistent id no tuple", "\x80\x02U\x010Q.", "BINPERSID: not a reference to a storage"},
		{"persistent id of bytes", "\x80\x03(C\x07storageNNNNtQ.", "BINPERSID: not a reference to a storage"},
		{"persistent id too short", "\x80\x02(U\x07storagetQ.", "BINPERSID: not a reference to a storage"},
		{"persistent id of None", "\x80\x02(U\x07storageNNNNtQ.", "wanted a type, a key"},
		{"storage of unknown type", "\x80\x02(U\x07storagecos\nsystem\nU\x010U\x03cpuK\x01tQ.",
			`storage "0": unknown type "os.system"`},
		{"storage type elsewhere", "\x80\x02(U\x07storagecos\nFloatStorage\nU\x010U\x03cpuK\x01tQ.",
			`unknown type "os.FloatStorage"`},
		{"storage of -1", "\x80\x02" + pickleStorage("0", -1) + ".", `storage "0": -1 elements`},
		{"storage of 2^62", "\x80\x02" + pickleStorage("0", 1<<62) + ".", "4611686018427387904 elements"},
		{"storage of two lengths", "\x80\x02" + pickleStorage("0", 1) + pickleStorage("0", 2) + "\x86.",
			`storage "0" is once 1 elements`},
		{"view of a storage", "\x80\x02(U\x07storage" + globalFloat + "U\x010U\x03cpuK\x01U\x01xtQ.",
			"is a view of another one"},
		{"tensor of nothing", "\x80\x02" + globalRebuild + ")R.", `"torch._utils._rebuild_tensor_v2": 0 arguments`},
		{"tensor of six nothings", "\x80\x02" + globalRebuild + "(NNNNNNtR.",
			"wants a storage, a number and two tuples, has None, None"},
		{"fewer strides than sizes", "\x80\x02" + pickleTensor(8, 0, []int64{2, 2}, []int64{1}) + ".",
			"2 sizes and 1 strides"},
		{"rank 65", "\x80\x02" + pickleTensor(8, 0, make64(65, 1), make64(65, 1)) + ".", "65 sizes and 65 strides"},
		{"size no number", "\x80\x02" + globalRebuild + "(" + pickleStorage("0", 8) + "K\x00N\x85K\x01\x85NNtR.",
			"None for a size or stride"},
		{"parameter of a number", "\x80\x02ctorch._utils\n_rebuild_parameter\n(K\x01NNtR.",
			"a whole number where a tensor was expected"},
		{"parameter of nothing", "\x80\x02ctorch._utils\n_rebuild_parameter\n)R.", "0 arguments"},
		{"OrderedDict of a number", "\x80\x02ccollections\nOrderedDict\nK\x01\x85R.",
			"wants nothing or a list of pairs"},
		{"OrderedDict of singles", "\x80\x02ccollections\nOrderedDict\n](]K\x01ae\x85R.",
			"wants nothing or a list of pairs"},
		{"Size of a number", "\x80\x02ctorch\nSize\nK\x01\x85R.", "wants one tuple"},
		{"type that rebuilds itself", "\x80\x02ctorch._tensor\n_rebuild_from_type_v2\nq\x00(h\x00ctorch\nTensor\n)NtR.",
			"calls itself"},
	} {
		_, _, err := unpickle(c.text)
		if err == nil || !strings.Contains(err.Error(), c.fault) || !strings.HasPrefix(err.Error(), "pickle at byte ") {
			t.Errorf("%s: error %v, wanted %q", c.name, err, c.fault)
		}
	}
}

// TestPickleBombs runs short texts that stand for much: each must end, in bounded time and memory.
func TestPickleBombs(t *testing.T) {
	// Lists of lists of lists …: 2^100 elements if they were walked as a tree. That is no fault, only large.
	doubled := "\x80\x02Nq\x00"
	for range 100 {
		doubled += "h\x00h\x00\x86q\x00"
	}
	doubled = strings.Replace(doubled, "Nq", "(Nq", 1) + "t."
	millionPairs := "](" + strings.Repeat("h\x00", 1<<19) + "e"
	for _, c := range []struct{ name, text, fault string }{
		{"doubling tuples", doubled, ""},
		{"two million dicts", "\x80\x02(" + strings.Repeat("}", maxOpcodes) + "t.", "more than 2097152 opcodes"},
		{"nearly two million dicts", "\x80\x02(" + strings.Repeat("}", maxOpcodes-2) + "t.", ""},
		{"one list, copied often", "\x80\x02(N]N\x86q\x00" +
			millionPairs + "q\x01" + strings.Repeat("ccollections\nOrderedDict\nh\x01\x85R", 1000) + "t.", "opcodes"},
		{"globals of long names", "\x80\x04(" + longGlobals(), "more than 4096 different globals"},
		{"arguments that grow", "\x80\x02ca\nb\n" + strings.Repeat(")R", maxOpcodes/2-2) + ".", ""},
	} {
		start := time.Now()
		var err error
		n := allocated(func() { _, _, err = unpickle(c.text) })
		if c.fault == "" && err != nil || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%s: error %v, wanted %q", c.name, err, c.fault)
		}
		t.Logf("%s: %d bytes of pickle, %v, %d MB", c.name, len(c.text),
			time.Since(start).Round(time.Millisecond), n>>20)
		if n > 400<<20 { // as the comment on maxOpcodes says
			t.Errorf("%s: %d bytes of memory for a pickle of %d", c.name, n, len(c.text))
		}
		runtime.GC()
	}
}

// longGlobals names 300 × 300 globals with few bytes for each.
func longGlobals() string {
	var b strings.Builder
	name := func(i int) string { return fmt.Sprintf("%0400d", i) }
	long := func(op byte, i int) string { return string([]byte{op, byte(i), byte(i >> 8), 0, 0}) }
	for i := range 300 {
		b.WriteString(pickleString(name(i)) + long('r', i))
	}
	for i := range 300 {
		for j := range 300 {
			b.WriteString(long('j', i) + long('j', j) + "\x93")
		}
	}
	return b.String() + "t."
}
