package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// raw makes a file of a header's text and n bytes of data.
func raw(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	return append(b, make([]byte, n)...)
}

// withLength makes a file whose first 8 bytes say n.
func withLength(n uint64, rest string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, n), rest...)
}

// decode reads a file that is in memory.
func decode(name string, b []byte) (*File, error) {
	return ReadSafetensorsFrom(name, bytes.NewReader(b), int64(len(b)))
}

const f32x2 = `"dtype":"F32","shape":[2],"data_offsets":[0,8]`

// malformed lists files that must be refused, and what the error must say.
var malformed = []struct {
	name  string
	file  []byte
	fault string
}{
	{"empty", nil, "empty file"},
	{"seven bytes", make([]byte, 7), "too short"},
	{"a pointer", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"), "git lfs pull"},
	{"a refusal", []byte("<html>403 Forbidden</html>"), "was the download refused?"},
	{"length only", withLength(2, ""), "beyond the file's end"},
	{"no header", withLength(0, ""), "does not start with '{'"},
	{"header cut", withLength(100, `{"a":{`), "beyond the file's end"},
	{"length one too long", withLength(3, "{}"), "beyond the file's end"},
	{"length above limit", withLength(maxHeader+1, "{}"), "beyond the limit"},
	{"length 2^63", withLength(1<<63, "{}"), "beyond the limit"},
	{"length 2^64-1", withLength(math.MaxUint64, "{}"), "beyond the limit"},
	{"length 2^64-8", withLength(math.MaxUint64-7, "{}"), "beyond the limit"},
	{"leading space", raw(` {}`, 0), "does not start with '{'"},
	{"an array", raw(`[]`, 0), "does not start with '{'"},
	{"a zip", append([]byte("PK\x03\x04\x00\x00\x00\x00"), make([]byte, 100)...), "not safetensors: is its name wrong?"},
	{"open brace", raw(`{`, 0), "unexpected end"},
	{"open tensor", raw(`{"a":{`+f32x2, 8), "unexpected end"},
	{"comma at the end", raw(`{"a":{`+f32x2+`},}`, 8), "invalid JSON"},
	{"no comma", raw(`{"a":{`+f32x2+`}"b":1}`, 8), "invalid JSON"},
	{"no colon", raw(`{"a" {`+f32x2+`}}`, 8), "invalid JSON"},
	{"single quotes", raw(`{'a':1}`, 8), "invalid JSON"},
	{"control character", raw("{\"a\n\":{"+f32x2+"}}", 8), "invalid JSON"},
	{"bad escape", raw(`{"\x":{`+f32x2+`}}`, 8), "invalid JSON"},
	{"bad UTF-8 in a name", raw("{\"\xff\":{"+f32x2+"}}", 8), "not valid UTF-8"},
	{"overlong UTF-8", raw("{\"\xc0\xaf\":{"+f32x2+"}}", 8), "not valid UTF-8"},
	{"UTF-8 surrogate", raw("{\"\xed\xa0\x80\":{"+f32x2+"}}", 8), "not valid UTF-8"},
	{"lone high surrogate", raw(`{"\ud800":{`+f32x2+`}}`, 8), "invalid surrogate pair"},
	{"lone low surrogate", raw(`{"__metadata__":{"k":"\udc00"},"a":{`+f32x2+`}}`, 8), "invalid surrogate pair"},
	{"two high surrogates", raw(`{"\ud83d\ud83d":{`+f32x2+`}}`, 8), "invalid surrogate pair"},
	{"text after the JSON", raw(`{"a":{`+f32x2+`}}x`, 8), "after top-level value"},
	{"newline after the JSON", raw("{\"a\":{"+f32x2+"}}\n", 8), "after the JSON"},
	{"zero byte after the JSON", raw("{\"a\":{"+f32x2+"}}\x00", 8), "after top-level value"},
	{"second object", raw(`{"a":{`+f32x2+`}}{}`, 8), "after top-level value"},
	{"name twice", raw(`{"a":{`+f32x2+`},"a":{`+f32x2+`}}`, 8), `key "a" appears twice`},
	{"name twice by an escape", raw(`{"a":{`+f32x2+`},"\u0061":{`+f32x2+`}}`, 8), `key "a" appears twice`},
	{"metadata twice", raw(`{"__metadata__":{},"__metadata__":{}}`, 0), "appears twice"},
	{"metadata key twice", raw(`{"__metadata__":{"k":"1","k":"2"}}`, 0), `key "k" appears twice`},
	{"metadata a number", raw(`{"__metadata__":{"k":1}}`, 0), "string was expected"},
	{"metadata null", raw(`{"__metadata__":{"k":null}}`, 0), "null where a string"},
	{"metadata nested", raw(`{"__metadata__":{"k":{}}}`, 0), "string was expected"},
	{"metadata no object", raw(`{"__metadata__":"k"}`, 0), "an object was expected"},
	{"tensor no object", raw(`{"a":1}`, 0), "an object was expected"},
	{"tensor null", raw(`{"a":null}`, 0), "null where an object"},
	{"tensor empty", raw(`{"a":{}}`, 0), `key "dtype" is missing`},
	{"no dtype", raw(`{"a":{"shape":[2],"data_offsets":[0,8]}}`, 8), `key "dtype" is missing`},
	{"no shape", raw(`{"a":{"dtype":"F32","data_offsets":[0,8]}}`, 8), `key "shape" is missing`},
	{"no offsets", raw(`{"a":{"dtype":"F32","shape":[2]}}`, 8), `key "data_offsets" is missing`},
	{"dtype twice", raw(`{"a":{"dtype":"F32",`+f32x2+`}}`, 8), `key "dtype" appears twice`},
	{"shape twice", raw(`{"a":{"shape":[2],`+f32x2+`}}`, 8), `key "shape" appears twice`},
	{"another key", raw(`{"a":{"strides":[1],`+f32x2+`}}`, 8), `unknown key "strides"`},
	{"key in capitals", raw(`{"a":{"DType":"F32","shape":[2],"data_offsets":[0,8]}}`, 8), `unknown key "DType"`},
	{"dtype in small letters", raw(`{"a":{"dtype":"f32","shape":[2],"data_offsets":[0,8]}}`, 8), `unknown dtype "f32"`},
	{"dtype unknown", raw(`{"a":{"dtype":"F128","shape":[2],"data_offsets":[0,8]}}`, 8), `unknown dtype "F128"`},
	{"dtype empty", raw(`{"a":{"dtype":"","shape":[2],"data_offsets":[0,8]}}`, 8), "unknown dtype"},
	{"dtype a number", raw(`{"a":{"dtype":32,"shape":[2],"data_offsets":[0,8]}}`, 8), "string was expected"},
	{"shape no array", raw(`{"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}}`, 8), "an array was expected"},
	{"shape negative", raw(`{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}`, 8), "-2 is not a whole number"},
	{"shape twice negative", raw(`{"a":{"dtype":"F32","shape":[-1,-2],"data_offsets":[0,8]}}`, 8),
		"-1 is not a whole number"},
	{"shape minus zero", raw(`{"a":{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}}`, 0), "-0 is not a whole number"},
	{"shape fractional", raw(`{"a":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}}`, 8),
		"2.5 is not a whole number"},
	{"shape with a point", raw(`{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}`, 8),
		"2.0 is not a whole number"},
	{"shape with an exponent", raw(`{"a":{"dtype":"F32","shape":[2e0],"data_offsets":[0,8]}}`, 8),
		"2e0 is not a whole number"},
	{"shape a string", raw(`{"a":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}}`, 8),
		"a string where a whole number"},
	{"shape null inside", raw(`{"a":{"dtype":"F32","shape":[null],"data_offsets":[0,8]}}`, 8),
		"null where a whole number"},
	{"shape nested", raw(`{"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}}`, 8),
		"an array where a whole number"},
	{"shape 2^63", raw(`{"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8]}}`, 8),
		"9223372036854775808 is too large"},
	{"shape of a hundred digits",
		raw(`{"a":{"dtype":"F32","shape":[`+strings.Repeat("9", 100)+`],"data_offsets":[0,8]}}`, 8), "out of range"},
	{"product 2^64", raw(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0),
		"too many elements"},
	{"product wraps to 2", raw(`{"a":{"dtype":"F32","shape":[9223372036854775807,2],"data_offsets":[0,8]}}`, 8),
		"too many elements"},
	{"product wraps, then zero", raw(`{"a":{"dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}}`, 0),
		"too many elements"},
	{"bytes wrap to 0", raw(`{"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}}`, 0),
		"needs 4611686018427387904"},
	{"65 dimensions", raw(`{"a":{"dtype":"U8","shape":[1`+strings.Repeat(",1", 64)+`],"data_offsets":[0,1]}}`, 1),
		"more than 64"},
	{"offsets no array", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":8}}`, 8), "an array was expected"},
	{"one offset", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8]}}`, 8),
		"too few array elements: 2 are wanted"},
	{"three offsets", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,16]}}`, 16),
		"too many array elements: 2 are wanted"},
	{"offset negative", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}`, 8), "-8 is not a whole number"},
	{"offset 2^64", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551616]}}`, 8),
		"out of range"},
	{"offset 2^63-1", raw(`{"a":{"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}}`,
		8), "beyond the 8 bytes"},
	{"begin behind end", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}`, 8), "begin 8 is behind end 0"},
	{"bytes too few for the shape", raw(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8), "hold 8 bytes"},
	{"bytes too many for the type", raw(`{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,8]}}`, 8), "hold 8 bytes"},
	{"scalar with 8 bytes", raw(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,8]}}`, 8), "hold 8 bytes"},
	{"data cut", raw(`{"a":{`+f32x2+`}}`, 7), "truncated?"},
	{"no data", raw(`{"a":{`+f32x2+`}}`, 0), "truncated?"},
	{"bytes at the end", raw(`{"a":{`+f32x2+`}}`, 9), "1 bytes after the last tensor"},
	{"bytes without tensors", raw(`{}`, 1), "1 bytes after the last tensor"},
	{"hole at the start", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12), "a hole"},
	{"hole", raw(`{"a":{`+f32x2+`},"b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]}}`, 20),
		`"b": starts at byte 12`},
	{"overlap", raw(`{"a":{`+f32x2+`},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12),
		`overlap those of tensor "a"`},
	{"same place twice", raw(`{"a":{`+f32x2+`},"b":{`+f32x2+`}}`, 8), "overlap"},
	{"empty tensor inside another", raw(`{"a":{`+f32x2+`},"b":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}}`, 8),
		"overlap"},
	{"deep nesting", raw(`{"a":`+strings.Repeat(`{"a":`, 20000)+`1`+strings.Repeat(`}`, 20001), 0), "unknown key"},
}

func TestMalformed(t *testing.T) {
	dir := t.TempDir()
	for _, c := range malformed {
		t.Run(c.name, func(t *testing.T) {
			f, err := decode("x/the.safetensors", c.file)
			if err == nil {
				t.Fatalf("accepted: %+v", f)
			}
			text := err.Error()
			if !strings.HasPrefix(text, "weights: x/the.safetensors: ") || !strings.Contains(text, c.fault) {
				t.Errorf("error %q does not name the file and %q", text, c.fault)
			}
			if len(text) > 700 {
				t.Errorf("error of %d bytes", len(text))
			}
			path := filepath.Join(dir, "f")
			if err := os.WriteFile(path, c.file, 0o666); err != nil {
				t.Fatal(err)
			}
			_, err = ReadSafetensors(path)
			if err == nil || strings.ReplaceAll(err.Error(), path, "x/the.safetensors") != text {
				t.Errorf("from a file: %v; from memory: %s", err, text)
			}
		})
	}
}

func TestErrorNamesTensor(t *testing.T) {
	_, err := decode("f", raw(`{"good":{`+f32x2+`},"bad\n":{"dtype":"F32","shape":[2],"data_offsets":[8,15]}}`, 15))
	if err == nil || !strings.Contains(err.Error(), `tensor "bad\n"`) {
		t.Errorf("%v", err)
	}
}

// TestMemoryBounded: a small file that promises much must not make the reader allocate much.
func TestMemoryBounded(t *testing.T) {
	for _, c := range malformed {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		decode("f", c.file)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > uint64(1<<16+40*len(c.file)) {
			t.Errorf("%s: %d bytes allocated for a file of %d", c.name, n, len(c.file))
		}
	}
}

func TestAccepted(t *testing.T) {
	for _, c := range []struct {
		name   string
		file   []byte
		names  string
		shapes [][]int
	}{
		{"no tensors", raw(`{}`, 0), "", nil},
		{"spaces behind", raw(`{}      `, 0), "", nil},
		{"white space inside", raw("{ \"a\" :\n{"+f32x2+"} }", 8), "a", [][]int{{2}}},
		{"metadata alone", raw(`{"__metadata__":{"a":"b"}}`, 0), "", nil},
		{"header order is not data order",
			raw(`{"b":{"dtype":"U8","shape":[1],"data_offsets":[8,9]},"a":{`+f32x2+`}}`, 9), "a b", [][]int{{2}, {1}}},
		{"keys in another order", raw(`{"a":{"data_offsets":[0,8],"shape":[2],"dtype":"F32"}}`, 8), "a", [][]int{{2}}},
		{"scalar", raw(`{"a":{"dtype":"F64","shape":[],"data_offsets":[0,8]}}`, 8), "a", [][]int{{}}},
		{"empty tensors", raw(`{"c":{"dtype":"U8","shape":[0],"data_offsets":[8,8]},`+
			`"b":{"dtype":"U8","shape":[3,0],"data_offsets":[0,0]},"a":{`+f32x2+`}}`, 8), "b a c",
			[][]int{{3, 0}, {2}, {0}}},
		{"unaligned", raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},`+
			`"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}`, 5), "a b", [][]int{{1}, {1}}},
		{"surrogate pair", raw(`{"\ud83d\ude00":{`+f32x2+`}}`, 8), "😀", [][]int{{2}}},
		{"escaped backslash before u", raw(`{"\\ud800":{`+f32x2+`}}`, 8), `\ud800`, [][]int{{2}}},
		{"empty name", raw(`{"":{`+f32x2+`}}`, 8), "", [][]int{{2}}},
	} {
		f, err := decode("f", c.file)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var names []string
		for i, x := range f.Tensors {
			names = append(names, x.Name)
			if got, ok := f.Get(x.Name); !ok || got.Name != x.Name {
				t.Errorf("%s: Get(%q) fails", c.name, x.Name)
			}
			if len(x.Shape) != len(c.shapes[i]) {
				t.Errorf("%s: shape %v, want %v", c.name, x.Shape, c.shapes[i])
			}
		}
		if got := strings.Join(names, " "); got != c.names || len(names) != len(c.shapes) {
			t.Errorf("%s: tensors %q, want %q", c.name, got, c.names)
		}
	}
}

func TestReadOddFiles(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadSafetensors(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := ReadSafetensors(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("directory: %v", err)
	}
	// A file that shrinks between the question for its size and the reading.
	whole := raw(`{"a":{`+f32x2+`}}`, 8)
	for n := range whole {
		if _, err := ReadSafetensorsFrom("f", bytes.NewReader(whole[:n]), int64(len(whole))); err == nil {
			t.Errorf("%d of %d bytes accepted", n, len(whole))
		}
	}
}
