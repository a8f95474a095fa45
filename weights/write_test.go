package weights

import (
	"bytes"
	"encoding/binary"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/filetest"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var allTypes = []DType{F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, Bool}

// drawFile makes any file that can be written.
func drawFile(t *rapid.T) (map[string]string, []Tensor) {
	names := rapid.SliceOfNDistinct(rapid.String(), 0, 8, rapid.ID[string]).Draw(t, "names")
	var tensors []Tensor
	for _, name := range names {
		x := Tensor{Name: name, DType: rapid.SampledFrom(allTypes).Draw(t, "dtype"),
			Shape: rapid.SliceOfN(rapid.IntRange(0, 5), 0, 4).Draw(t, "shape")}
		n, _ := x.Len()
		n *= x.DType.Size()
		x.Data = rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "data")
		tensors = append(tensors, x)
	}
	metadata := rapid.MapOfN(rapid.String(), rapid.String(), 0, 4).Draw(t, "metadata")
	return metadata, tensors
}

func encode(t interface{ Fatal(...any) }, metadata map[string]string, tensors []Tensor) []byte {
	var b bytes.Buffer
	if err := EncodeSafetensors(&b, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		metadata, tensors := drawFile(t)
		b := encode(t, metadata, tensors)
		header := binary.LittleEndian.Uint64(b)
		if header%8 != 0 {
			t.Errorf("header of %d bytes is not a multiple of 8", header)
		}
		f, err := decode("f", b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(metadata, f.Metadata, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
		if len(f.Tensors) != len(tensors) {
			t.Errorf("%d tensors, want %d", len(f.Tensors), len(tensors))
		}
		at := 8 + int(header)
		for _, x := range f.Tensors {
			if len(x.Data) > 0 && at%x.DType.Size() != 0 {
				t.Errorf("tensor %q of %s starts at byte %d", x.Name, x.DType, at)
			}
			at += len(x.Data)
		}
		for _, want := range tensors {
			got, ok := f.Get(want.Name)
			if !ok {
				t.Errorf("tensor %q is lost", want.Name)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		}
		if _, ok := f.Get("no such name, surely"); ok {
			t.Error("Get finds what is not there")
		}
		// The bytes depend on the content alone.
		shuffled := rapid.Permutation(tensors).Draw(t, "order")
		if !bytes.Equal(b, encode(t, metadata, shuffled)) {
			t.Error("another order of tensors gives other bytes")
		}
		if !bytes.Equal(b, encode(t, f.Metadata, f.Tensors)) {
			t.Error("writing what was read gives other bytes")
		}
	})
}

func TestGoldenFile(t *testing.T) {
	got := encode(t, map[string]string{"format": "pt", "a": "<"}, []Tensor{
		Uint8Tensor("z", []int{3}, []byte{1, 2, 3}),
		Float32Tensor("b", []int{1, 2}, []float32{1, -2}),
		Float32Tensor("a", nil, []float32{0.5}),
	})
	header := `{"__metadata__":{"a":"<","format":"pt"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},` +
		`"b":{"dtype":"F32","shape":[1,2],"data_offsets":[4,12]},"z":{"dtype":"U8","shape":[3],"data_offsets":[12,15]}}`
	header += strings.Repeat(" ", (8-len(header)%8)%8)
	want := string(withLength(uint64(len(header)), header)) +
		"\x00\x00\x00\x3f\x00\x00\x80\x3f\x00\x00\x00\xc0\x01\x02\x03"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestEncodeRefuses(t *testing.T) {
	x := Float32Tensor("x", []int{2}, []float32{1, 2})
	for _, c := range []struct {
		name     string
		metadata map[string]string
		tensors  []Tensor
		fault    string
	}{
		{"same name", nil, []Tensor{x, x}, "taken"},
		{"metadata's name", nil, []Tensor{Float32Tensor("__metadata__", []int{0}, nil)}, "taken"},
		{"shape", nil, []Tensor{Float32Tensor("y", []int{3}, []float32{1, 2})},
			`tensor "y": 8 bytes of data, but shape [3]`},
		{"negative shape", nil, []Tensor{Float32Tensor("y", []int{-2, -1}, []float32{1, 2})}, "negative"},
		{"huge shape", nil, []Tensor{Float32Tensor("y", []int{1 << 62, 4}, nil)}, "too many"},
		{"dtype", nil, []Tensor{{Name: "y", DType: "F8", Shape: []int{1}, Data: []byte{1}}}, "unknown dtype"},
		{"name's encoding", nil, []Tensor{Float32Tensor("\xff", []int{0}, nil)}, "UTF-8"},
		{"metadata's encoding", map[string]string{"k": "\xff"}, nil, "UTF-8"},
		{"rank", nil, []Tensor{Uint8Tensor("y", make([]int, 65), nil)}, "65 dimensions"},
	} {
		var b bytes.Buffer
		err := EncodeSafetensors(&b, c.metadata, c.tensors)
		if err == nil || !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.fault)
		}
		if b.Len() > 0 {
			t.Errorf("%s: %d bytes written all the same", c.name, b.Len())
		}
		dir := t.TempDir()
		if WriteSafetensors(filepath.Join(dir, "f"), c.metadata, c.tensors) == nil {
			t.Errorf("%s: no error", c.name)
		}
		filetest.Names(t, dir)
	}
}

func TestConversions(t *testing.T) {
	x := []float32{0, 1, -1.5, 65504, 0x1p-24, float32(math.Inf(1))}
	var f64, bf16 []byte
	for _, v := range x {
		f64 = binary.LittleEndian.AppendUint64(f64, math.Float64bits(float64(v)))
		bf16 = binary.LittleEndian.AppendUint16(bf16, uint16(ToBFloat16(v)))
	}
	for _, c := range []struct {
		tensor Tensor
		want   []float32
	}{
		{Float32Tensor("x", []int{2, 3}, x), x},
		{Float16Tensor("x", []int{6}, x), x},
		{Tensor{Name: "x", DType: F64, Shape: []int{6}, Data: f64}, x},
		{Tensor{Name: "x", DType: BF16, Shape: []int{6}, Data: bf16},
			[]float32{0, 1, -1.5, 65536, 0x1p-24, float32(math.Inf(1))}},
	} {
		got, err := c.tensor.Float32s()
		if err != nil || !cmp.Equal(got, c.want) {
			t.Errorf("%s: %v %v, want %v", c.tensor.DType, got, err, c.want)
		}
	}
	if got, err := Int32Tensor("n", []int{2}, []int32{-7, 1 << 30}).Int32s(); err != nil ||
		!cmp.Equal(got, []int32{-7, 1 << 30}) {
		t.Errorf("I32: %v %v", got, err)
	}
	i64 := binary.LittleEndian.AppendUint64(nil, ^uint64(4)) // −5
	if got, err := (Tensor{Name: "n", DType: I64, Shape: []int{1}, Data: i64}).Int32s(); err != nil || got[0] != -5 {
		t.Errorf("I64: %v %v", got, err)
	}
	big := binary.LittleEndian.AppendUint64(nil, 1<<31)
	if _, err := (Tensor{Name: "n", DType: I64, Shape: []int{1}, Data: big}).Int32s(); err == nil {
		t.Error("2^31 fits an int32?")
	}
	if _, err := Uint8Tensor("n", []int{1}, []byte{1}).Float32s(); err == nil ||
		!strings.Contains(err.Error(), `"n": has dtype U8`) {
		t.Errorf("U8 as floats: %v", err)
	}
	if _, err := Float32Tensor("n", []int{1}, x).Int32s(); err == nil {
		t.Error("floats as integers, with a wrong shape")
	}
	if err := Float32Tensor("n", []int{6}, x).CopyFloat32s(make([]float32, 5)); err == nil {
		t.Error("6 elements into 5")
	}
}

func FuzzSafetensors(f *testing.F) {
	for _, c := range malformed {
		if len(c.file) < 4096 {
			f.Add(c.file)
		}
	}
	f.Add(encode(f, map[string]string{"format": "pt"}, []Tensor{
		Float16Tensor("h", []int{2, 2}, []float32{1, 2, 3, 4}),
		Int32Tensor("n", []int{}, []int32{7}), Uint8Tensor("e", []int{0, 9}, nil),
	}))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := decode("f", b)
		streamed, err2 := ReadSafetensorsFrom("f", bytes.NewReader(b), int64(len(b)))
		if (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
			t.Fatalf("from memory %v, from a stream %v", err, err2)
		}
		if err != nil {
			return
		}
		if !cmp.Equal(file.Tensors, streamed.Tensors) {
			t.Fatal("a stream gives other tensors")
		}
		total := 0
		for _, x := range file.Tensors {
			if err := x.check(); err != nil {
				t.Fatal(err)
			}
			x.Float32s()
			total += len(x.Data)
		}
		if total > len(b) {
			t.Fatalf("%d bytes of tensors in a file of %d", total, len(b))
		}
		again, err := decode("again", encode(t, file.Metadata, file.Tensors))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range file.Tensors {
			if got, _ := again.Get(want.Name); !cmp.Equal(got, want, cmpopts.EquateEmpty()) {
				t.Fatalf("%+v comes back as %+v", want, got)
			}
		}
	})
}
