package weights

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"testing"
)

// decodePth reads a checkpoint that is in memory, as "x.pth".
func decodePth(b []byte, key string) (*Checkpoint, error) {
	return readCheckpoint("x.pth", bytes.NewReader(b), int64(len(b)), key)
}

// TestHandmadeFilesAreGood makes sure that the malformed cases fail for their fault and not for a slip in the helpers
// above.
func TestHandmadeFilesAreGood(t *testing.T) {
	for name, file := range map[string][]byte{
		"zip": zipOf(pickleDict(goodTensor)),
		"zip, all": zipOf(pickleDict(goodTensor), zipFile{name: "a/version", data: "3\n"},
			zipFile{name: "a/byteorder", data: "little"},
			zipFile{name: "a/.data/serialization_id", data: "1"}, zipFile{name: "b/"}),
		"zip, comment": append(buildZip([]zipFile{{name: "a/data.pkl", data: pickleDict(goodTensor)},
			{name: "a/data/0", data: eightOnes[8:]}}, func(end []byte) { end[20] = 5 }), "hello"...),
		"zip, zip64": zip64Of(nil, nil),
		"legacy":     legacyOf(littleEndian, pickleDict(goodTensor), oneKey, eightOnes),
		"any other key": zipOf("\x80\x02}(" + pickleString("w") +
			goodTensor + "K\x01" + "K\x02" + pickleString("epoch") + "K\x03u."),
		"a view":  zipOf(pickleDict(pickleTensor(8, 7, []int64{8, 1, 1}, []int64{0, math.MaxInt64, 5}))),
		"rank 64": zipOf(pickleDict(pickleTensor(8, 0, append(make64(62, 1), 2, 4), append(make64(62, 0), 4, 1)))),
	} {
		c, err := decodePth(file, "")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		x, ok := c.Get("w")
		if !ok || len(c.Tensors) != 1 {
			t.Errorf("%s: tensors %v", name, c.Tensors)
			continue
		}
		for _, v := range numbers(t, x) {
			if v != 1 || len(x.Data) != 32 {
				t.Errorf("%s: %v", name, numbers(t, x))
				break
			}
		}
	}
}

func make64(n int, v int64) []int64 {
	s := make([]int64, n)
	for i := range s {
		s[i] = v
	}
	return s
}

// TestMalformedZip lists archives that must be refused, and what the error must say.
func TestMalformedZip(t *testing.T) {
	good := []zipFile{{name: "a/data.pkl", data: pickleDict(goodTensor)}, {name: "a/data/0", data: eightOnes[8:]}}
	with := func(i int, change func(*zipFile)) []byte {
		files := append([]zipFile(nil), good...)
		change(&files[i])
		return buildZip(files, nil)
	}
	ending := func(mend func([]byte)) []byte { return buildZip(good, mend) }
	le := binary.LittleEndian
	for _, c := range []struct {
		name  string
		file  []byte
		fault string
	}{
		{"checksum of the pickle", with(0, func(f *zipFile) { f.crc = 1 }), `zip: "a/data.pkl": checksum`},
		{"checksum of a storage", with(1, func(f *zipFile) { f.crc = 1 }), `tensor "w": zip: "a/data/0": checksum`},
		{"one checksum of 0", with(0, func(f *zipFile) { f.crc = -zipSum(f.data) }), `zip: "a/data.pkl": checksum`},
		{"a byte of a storage",
			bytes.Replace(buildZip(good, nil), []byte("\x80\x3f\x00\x00"), []byte("\x81\x3f\x00\x00"), 1), "damaged?"},
		{"deflated", with(1, func(f *zipFile) { f.method = 8 }), `"a/data/0" is compressed, which`},
		{"encrypted", with(1, func(f *zipFile) { f.flags = 1 }), `"a/data/0" is encrypted`},
		{"name twice", buildZip(append(good, good[1]), nil), `"a/data/0" appears twice`},
		{"pickle twice", buildZip(append(good, good[0]), nil), `"a/data.pkl" appears twice`},
		{"torch.export", buildZip([]zipFile{{name: "m/archive_format", data: "pt2"}, {name: "m/models/model.json"}}, nil),
			"a program of torch.export, not a checkpoint: save the model's state_dict()"},
		{"Keras", buildZip([]zipFile{{name: "config.json", data: "{}"}, {name: "model.weights.h5"}}, nil),
			"a model of Keras"},
		{"two folders", buildZip(append(good, zipFile{name: "b/data.pkl", data: "x"}), nil),
			"more than one folder has a data.pkl"},
		{"parent folder", buildZip(append(good, zipFile{name: "a/../../etc/passwd"}), nil),
			`"a/../../etc/passwd" is no name for an entry`},
		{"only parent folder", buildZip(append(good, zipFile{name: ".."}), nil), `".." is no name`},
		{"absolute name", buildZip(append(good, zipFile{name: "/a/x"}), nil), `"/a/x" is no name`},
		{"backslash", buildZip(append(good, zipFile{name: `a\x`}), nil), "is no name"},
		{"zero byte in a name", buildZip(append(good, zipFile{name: "a/x\x00y"}), nil), "is no name"},
		{"bad UTF-8 in a name", buildZip(append(good, zipFile{name: "a/\xff"}), nil), "is no name"},
		{"empty name", buildZip(append(good, zipFile{}), nil), "is no name"},
		{"no pickle", buildZip(good[1:], nil), "without FOLDER/data.pkl"},
		{"pickle without a folder", buildZip([]zipFile{{name: "data.pkl"}}, nil), "without FOLDER/data.pkl"},
		{"pickle too deep", buildZip([]zipFile{{name: "a/b/data.pkl"}}, nil), "without FOLDER/data.pkl"},
		{"empty archive", append(buildZip([]zipFile{{name: "x"}}, nil)[:31],
			buildZip(nil, func(end []byte) { end[16] = 31 })...), "without FOLDER/data.pkl"},
		{"TorchScript", buildZip(append(good, zipFile{name: "a/code/__torch__.py", method: 8}), nil), "TorchScript"},
		{"big-endian", buildZip(append(good, zipFile{name: "a/byteorder", data: "big"}), nil), "big-endian"},
		{"strange byte order", buildZip(append(good, zipFile{name: "a/byteorder", data: "middle"}), nil),
			`"a/byteorder" says "middle"`},
		{"long byte order", buildZip(append(good, zipFile{name: "a/byteorder", data: strings.Repeat("little", 20)}),
			nil), `"a/byteorder" has 120 bytes`},
		{"version 0", buildZip(append(good, zipFile{name: "a/version", data: "0\n"}), nil), `"a/version" says "0\n"`},
		{"version 11", buildZip(append(good, zipFile{name: "a/version", data: "11"}), nil), `"a/version" says "11"`},
		{"version no number", buildZip(append(good, zipFile{name: "a/version", data: "three"}), nil),
			`"a/version" says "three"`},
		{"no storage", buildZip(good[:1], nil), `tensor "w": storage "0" is missing`},
		{"storage too short", with(1, func(f *zipFile) { f.data = f.data[4:] }),
			`storage "0" has 28 bytes, but the pickle says 8 elements of 4`},
		{"storage too long", with(1, func(f *zipFile) { f.data += "1234" }), `storage "0" has 36 bytes`},
		{"size beyond the directory", with(1, func(f *zipFile) { f.size = 1000 }),
			`"a/data/0": 1032 bytes behind byte`},
		{"size 2^32-2", with(1, func(f *zipFile) { f.size = saturated32 - 1 - 32 }),
			`"a/data/0": 4294967294 bytes behind byte`},
		{"size over the next entry", with(0, func(f *zipFile) { f.size = 5 }), `zip: "a/data.pkl": bytes 40 to`},
		{"place beyond the file", with(1, func(f *zipFile) { f.at = 1 << 20 }), `"a/data/0": 32 bytes behind byte`},
		{"two entries in one place", with(1, func(f *zipFile) { f.at = -int64(40 + len(good[0].data)) }),
			"entries at bytes 0 and 0 overlap"},
		{"entry inside another's header", with(1, func(f *zipFile) { f.at = 5 - int64(40+len(good[0].data)) }),
			"entries at bytes 0 and 5 overlap"},
		{"entry inside another", with(1, func(f *zipFile) { f.at = -40 }), `"a/data.pkl": bytes 40 to`},
		{"another name in its header", with(0, func(f *zipFile) { f.localName = "b/data.pkl" }), `says "b/data.pkl"`},
		{"a longer name in its header", with(0, func(f *zipFile) { f.localName = "aa/data.pkl" }),
			"does not agree with the directory"},
		{"zip64 size without its field", with(1, func(f *zipFile) { f.size = saturated32 - 32 }),
			"zip64 field is missing"},
		{"zip64 size 2^63", with(1, func(f *zipFile) {
			f.size, f.extra = saturated32-32, "\x01\x00\x10\x00"+strings.Repeat("\x00\x00\x00\x00\x00\x00\x00\x80", 2)
		}), "9223372036854775808 bytes behind byte"},
		{"zip64 sizes differ", with(1, func(f *zipFile) {
			f.size, f.extra = saturated32-32,
				"\x01\x00\x10\x00\x20\x00\x00\x00\x00\x00\x00\x00\x21\x00\x00\x00\x00\x00\x00\x00"
		}), "is stored, but as 33 bytes for 32"},
		{"zip64 field cut off",
			with(1, func(f *zipFile) { f.size, f.extra = saturated32-32, "\x01\x00\x04\x00\x20\x00\x00\x00" }),
			"zip64 field is missing or cut off"},
		{"zip64 field twice", with(1, func(f *zipFile) { f.extra = "\x01\x00\x00\x00\x01\x00\x00\x00" }),
			"two zip64 fields"},
		{"extra field cut off", with(1, func(f *zipFile) { f.extra = "\x02\x00\x04\x00\x20" }),
			"extra field is cut off"},
		{"bytes before the archive", append([]byte("PK\x03\x04abc"), buildZip(good, nil)...), "does not end at byte"},
		{"bytes after the archive", append(buildZip(good, nil), "abc"...), "no directory at the end"},
		{"several volumes", ending(func(end []byte) { end[4] = 1 }), "several volumes"},
		{"entries of several volumes", ending(func(end []byte) { end[8] = 1 }), "several volumes"},
		{"too few entries", ending(func(end []byte) { end[8], end[10] = 1, 1 }),
			"in the directory after its 1 entries"},
		{"too many entries", ending(func(end []byte) { end[8], end[10] = 3, 3 }), "cannot hold 3 entries"},
		{"65535 entries", ending(func(end []byte) { copy(end[8:], "\xff\xff\xff\xff") }), "cannot hold 65535 entries"},
		{"directory too long", ending(func(end []byte) { end[13]++ }), "does not end at byte"},
		{"directory 4 GB", ending(func(end []byte) { le.PutUint32(end[12:], saturated32) }),
			"a directory of 4294967295 bytes"},
		{"directory elsewhere", ending(func(end []byte) { end[16]++ }), "does not end at byte"},
		{"directory record", ending(func(end []byte) { le.PutUint32(end[12:], le.Uint32(end[12:])+1); end[16]-- }),
			"entry 1 of 2: no directory record"},
		{"zip64 record elsewhere", zip64Of(nil, func(b []byte) { b[8]++ }),
			"zip64: its end record is said to be at byte"},
		{"zip64 record far away", zip64Of(nil, func(b []byte) { b[15] = 0xff }),
			"zip64: its end record is said to be at byte"},
		{"zip64 record too early", zip64Of(nil, func(b []byte) { b[8]-- }), "zip64: no end record"},
		{"zip64 record's mark", zip64Of(func(b []byte) { b[0] = 'p' }, nil), "zip64: no end record"},
		{"zip64 record's length", zip64Of(func(b []byte) { b[4]++ }, nil), "zip64: no end record"},
		{"zip64 entries 2^64-1", zip64Of(func(b []byte) { copy(b[24:40], strings.Repeat("\xff", 16)) }, nil),
			"end records disagree"},
		{"zip64 volumes", zip64Of(func(b []byte) { b[16] = 1 }, nil), "several volumes"},
		{"zip64 directory's length", zip64Of(func(b []byte) { b[40]++ }, nil), "end records disagree"},
		{"zip64 directory's place", zip64Of(func(b []byte) { b[55] = 0xff }, nil), "does not end at byte"},
	} {
		_, err := decodePth(c.file, "")
		wantFault(t, c.name, err, "x.pth", c.fault)
	}
}

// TestRefusedTensors lists tensors that cannot be had, and what the error must say. They stand beside a good one.
func TestRefusedTensors(t *testing.T) {
	ints := func(v ...int64) []int64 { return v }
	rebuild := func(function, storage, rest string) string {
		return "ctorch._utils\n" + function + "\n(" + storage +
			pickleInt(0) + pickleInts(ints(2)) + pickleInts(ints(1)) + "\x89N" + rest + "tR"
	}
	bytesStorage := "(U\x07storagectorch.storage\nUntypedStorage\nU\x010U\x03cpuK\x20tQ"
	complexStorage := "(U\x07storagectorch\nComplexFloatStorage\nU\x010U\x03cpuK\x04tQ"
	for _, c := range []struct{ name, value, fault string }{
		{"negative stride", pickleTensor(8, 7, ints(8), ints(-1)), "dimension 0 has stride -1"},
		{"negative size", pickleTensor(8, 0, ints(2, -4), ints(1, 1)), "dimension 1 has size -4"},
		{"two negative sizes", pickleTensor(8, 0, ints(-2, -4), ints(1, 1)), "dimension 0 has size -2"},
		{"negative offset", pickleTensor(8, -1, ints(2), ints(1)), "offset -1"},
		{"offset at the end", pickleTensor(8, 8, ints(1), ints(1)), `needs element 8 of storage "0", which has 8`},
		{"scalar behind the end", pickleTensor(8, 9, ints(), ints()), "needs element 9"},
		{"one too many", pickleTensor(8, 0, ints(9), ints(1)), "needs element 8"},
		{"one too many by the offset", pickleTensor(8, 1, ints(2, 4), ints(4, 1)), "needs element 8"},
		{"stride too long", pickleTensor(8, 0, ints(2, 4), ints(5, 1)), "needs element 8"},
		{"offset 2^63-1", pickleTensor(8, math.MaxInt64, ints(2), ints(1)), "runs out of every storage"},
		{"stride 2^63-1", pickleTensor(8, 1, ints(2), ints(math.MaxInt64)), "runs out of every storage"},
		{"span 2^64", pickleTensor(8, 0, ints(3, 3), ints(math.MaxInt64, math.MaxInt64)), "runs out of every storage"},
		{"product 2^64", pickleTensor(8, 0, ints(1<<32, 1<<32), ints(0, 0)), "too many elements"},
		{"product 2^64 and 0", pickleTensor(8, 0, ints(1<<32, 1<<32, 0), ints(0, 0, 0)), "too many elements"},
		{"storage larger than its entry", pickleTensor(9, 0, ints(9), ints(1)),
			`storage "0" has 32 bytes, but the pickle says 9 elements`},
		{"storage smaller than its entry", pickleTensor(7, 0, ints(7), ints(1)),
			`storage "0" has 32 bytes, but the pickle says 7 elements`},
		{"storage that is missing", strings.Replace(pickleTensor(8, 0, ints(8), ints(1)),
			pickleString("0"), pickleString("1"), 1), `storage "1" is missing`},
		{"storage of another folder", strings.Replace(pickleTensor(8, 0, ints(8), ints(1)),
			pickleString("0"), pickleString("../data.pkl"), 1), `storage "../data.pkl" is missing`},
		{"complex", rebuild("_rebuild_tensor_v2", complexStorage, ""),
			"elements of type ComplexFloatStorage are not supported"},
		{"bytes of no type", rebuild("_rebuild_tensor_v2", bytesStorage, ""),
			"elements of type UntypedStorage are not supported"},
		{"float8", rebuild("_rebuild_tensor_v3", bytesStorage, "ctorch\nfloat8_e4m3fn\n"),
			"elements of type torch.float8_e4m3fn are not supported"},
		{"negated", rebuild("_rebuild_tensor_v2", pickleStorage("0", 8), "}U\x03neg\x88s"),
			"a negated or conjugated view"},
		{"negated, newer", rebuild("_rebuild_tensor_v3", bytesStorage, "ctorch\nfloat32\n}U\x03neg\x88s"),
			"a negated or conjugated view"},
		{"a call", "cos\nsystem\nU\x02ls\x85R",
			`is an object of the global "os.system", and nothing of a pickle is run`},
		{"a class", "cos\nsystem\n", `is the global "os.system"`},
		{"an object", "ca\nb\n)\x81", `is an object of the global "a.b"`},
		{"a sparse tensor", "ctorch._utils\n_rebuild_sparse_tensor\n)R",
			`is an object of the global "torch._utils._rebuild_sparse_tensor"`},
		{"a tensor of another class", "ctorch._tensor\n_rebuild_from_type_v2\n(" + globalRebuild + "ca\nSub\n)NtR",
			`is an object of the global "a.Sub"`},
		{"a parameter made of a call", "ctorch._utils\n_rebuild_parameter\n(cos\nsystem\n)R\x89NtR",
			`is an object of the global "os.system"`},
	} {
		// The good tensor has a storage of its own, as the references to one storage must agree.
		good := strings.Replace(goodTensor, pickleString("0"), pickleString("good"), 1)
		text := "\x80\x02}(" + pickleString("good") + good + pickleString("bad") + c.value + "u."
		_, err := decodePth(zipOf(text, zipFile{name: "a/data/good", data: eightOnes[8:]}), "")
		wantFault(t, c.name, err, "x.pth", `tensor "bad": `)
		wantFault(t, c.name, err, "x.pth", c.fault)
	}
	for _, c := range []struct{ name, text, fault string }{
		{"name twice", "}(U\x01w" + goodTensor + "U\x01w" + goodTensor + "u.", `key "w" appears twice`},
		{"name twice in an entry", "}U\x05model}(U\x01w" + goodTensor + "U\x01w" + goodTensor + "us.",
			`entry "model": key "w" appears twice`},
		{"entry twice", "}(U\x05modelNU\x05model}U\x01w" + goodTensor + "su.", `key "model" appears twice`},
		{"name a number", "}K\x01" + goodTensor + "s.", "a tensor has a whole number for a name"},
		{"name of bad UTF-8", "}U\x01\xff" + goodTensor + "s.", `tensor "\xff": name is not valid UTF-8`},
		{"a tensor alone", goodTensor + ".", "holds a tensor where a dict of tensors was expected"},
		{"a list", "]" + goodTensor + "a.", "holds a list where a dict of tensors was expected"},
		{"a call", "cos\nsystem\n)R.", `holds an object of the global "os.system" where a dict`},
		{"no tensors", "}U\x05epochK\x01s.", "no tensors"},
		{"an empty dict", "}.", "no tensors"},
		{"two unknown entries", "}(U\x01a}U\x01w" + goodTensor + "q\x00sU\x01b}U\x01wh\x00su.",
			`several entries hold tensors: choose one of "a", "b"`},
		{"a model that is a call", "}(U\x05modelcos\nsystem\n)RU\x01b}U\x01w" + goodTensor + "su.",
			`entry "model" is an object of the global "os.system", and nothing of a pickle is run; ` +
				`entries that hold tensors: "b"`},
		{"bytes after the pickle", "}U\x01w" + goodTensor + "s.N", "data.pkl: 1 bytes after the pickle"},
	} {
		_, err := decodePth(zipOf("\x80\x02"+c.text), "")
		wantFault(t, c.name, err, "x.pth", c.fault)
	}
}

// TestTruncatedPth cuts files after every byte: an error each time, in reasonable memory.
func TestTruncatedPth(t *testing.T) {
	for _, name := range []string{"views.pth", "views_legacy.pth",
		"views_protocol4.pth", "dtypes_legacy.pth", "training.pth"} {
		whole, err := os.ReadFile(pthPath(name))
		if err != nil {
			t.Fatal(err)
		}
		for n := range whole {
			if _, err := decodePth(whole[:n], ""); err == nil || !strings.Contains(err.Error(), "x.pth: ") {
				t.Fatalf("%s cut after %d of %d bytes: %v", name, n, len(whole), err)
			}
		}
	}
}

// TestDamagedPth flips every bit of every byte of two small files. A zip's checksums notice damage in any entry that is
// read; whatever is still accepted must be sound.
func TestDamagedPth(t *testing.T) {
	for _, name := range []string{"views.pth", "dtypes_legacy.pth"} {
		whole, err := os.ReadFile(pthPath(name))
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		for i := range whole {
			for bit := range 8 {
				whole[i] ^= 1 << bit
				c, err := decodePth(whole, "")
				whole[i] ^= 1 << bit
				if err != nil {
					refused++
					continue
				}
				checkSound(t, c, int64(len(whole)))
			}
		}
		if refused < len(whole) {
			t.Errorf("%s: only %d of %d damaged files were refused", name, refused, 8*len(whole))
		}
	}
}

// checkSound checks what holds for every file that is accepted.
func checkSound(t testing.TB, c *Checkpoint, size int64) {
	total := int64(0)
	for _, x := range c.Tensors {
		if err := x.check(); err != nil {
			t.Fatal(err)
		}
		if _, ok := c.Get(x.Name); !ok {
			t.Fatalf("tensor %q is not found", x.Name)
		}
		total += int64(len(x.Data))
	}
	if len(c.index) != len(c.Tensors) {
		t.Fatalf("%d names for %d tensors", len(c.index), len(c.Tensors))
	}
	if total > viewFactor*size+viewSpare {
		t.Fatalf("%d bytes of tensors from %d", total, size)
	}
}

// allocated returns the bytes that f takes from the heap, freed or not.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestPthMemory refuses small files that ask for much, before taking it.
func TestPthMemory(t *testing.T) {
	many := "\x80\x02}(" + pickleString("0") + pickleTensor(8, 0, []int64{1 << 20}, []int64{0}) + "q\x00"
	for i := 1; i < 100; i++ {
		many += pickleString(fmt.Sprint(i)) + "h\x00"
	}
	for _, c := range []struct {
		name  string
		file  []byte
		fault string
	}{
		{"2^40 times one element", zipOf(pickleDict(pickleTensor(8, 0, []int64{1 << 40}, []int64{0}))),
			"the tensors take more than"},
		{"2^62 times one element", zipOf(pickleDict(pickleTensor(8, 0, []int64{1 << 31, 1 << 31}, []int64{0, 0}))),
			"the tensors take more than"},
		{"100 tensors of 4 MiB", zipOf(many + "u."), "the tensors take more than"},
		{"string of 2^32-1 bytes", zipOf("\x80\x02X\xff\xff\xff\xff."), "wants 4294967295 bytes"},
		{"string of 2^63 bytes", zipOf("\x80\x04\x8d\x00\x00\x00\x00\x00\x00\x00\x80."),
			"wants 9223372036854775808 bytes"},
		{"number of 2^31 bytes", zipOf("\x80\x02\x8b\x00\x00\x00\x80."), "wants 2147483648 bytes"},
	} {
		var err error
		if n := allocated(func() { _, err = decodePth(c.file, "") }); n > 2*viewSpare {
			t.Errorf("%s: took %d bytes", c.name, n)
		}
		wantFault(t, c.name, err, "x.pth", c.fault)
	}
}

// TestManyEntries: the work is that of the file's length, however many entries there are to choose from.
func TestManyEntries(t *testing.T) {
	var b strings.Builder
	b.WriteString("\x80\x02}(" + pickleString("epoch") + "}" + pickleString("w") + goodTensor + "sq\x00")
	for i := range 1 << 18 {
		b.WriteString(pickleString(fmt.Sprint(i)) + "h\x00")
	}
	_, err := decodePth(zipOf(b.String()+"u."), "")
	wantFault(t, "many entries", err, "x.pth", "several entries hold tensors")
}
