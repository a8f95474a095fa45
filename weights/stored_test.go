package weights

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Tensors that stay in their file give what those that are read give, whole and in any part.
func TestOpenSafetensors(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	x := make([]float32, 60)
	for i := range x {
		x[i] = rng.Float32() - 0.5
	}
	var f64 []byte
	for _, v := range x {
		f64 = append(f64, raw64(float64(v))...)
	}
	var file bytes.Buffer
	if err := EncodeSafetensors(&file, map[string]string{"format": "pt"}, []Tensor{
		Float32Tensor("f32", []int{6, 10}, x), Float16Tensor("f16", []int{60}, x), BFloat16Tensor("bf16", []int{60}, x),
		{Name: "f64", DType: F64, Shape: []int{60}, Data: f64}, Int32Tensor("i32", []int{2}, []int32{-1, 7}),
		Float32Tensor("none", []int{0, 3}, nil)}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := os.WriteFile(path, file.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	want, err := ReadSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := OpenSafetensors(path, r, int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range got.Tensors {
		w := want.Tensors[i]
		b, err := s.Bytes()
		if err != nil || s.Data != nil || s.Name != w.Name || !slices.Equal(b, w.Data) {
			t.Fatalf("%s: %v, %d bytes in memory", s.Name, err, len(s.Data))
		}
		if s.DType == I32 {
			if n, err := s.Int32s(); err != nil || !slices.Equal(n, []int32{-1, 7}) {
				t.Errorf("%s: %v %v", s.Name, n, err)
			}
			if err := s.ReadFloat32s(nil, 0); err == nil || !strings.Contains(err.Error(), "has dtype I32") {
				t.Errorf("%s as floats: %v", s.Name, err)
			}
			continue
		}
		all, err := w.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		for from := 0; from <= len(all); from += 7 {
			for n := 0; from+n <= len(all); n += 9 {
				for _, tensor := range []Tensor{s, w} {
					part := make([]float32, n)
					if err := tensor.ReadFloat32s(part, from); err != nil || !slices.Equal(part, all[from:from+n]) {
						t.Fatalf("%s[%d:%d]: %v %v, want %v", s.Name, from, from+n, part, err, all[from:from+n])
					}
				}
			}
		}
		for _, from := range []int{-1, len(all), math.MaxInt} {
			if err := s.ReadFloat32s(make([]float32, 1), from); err == nil {
				t.Errorf("%s: element %d of %d is read", s.Name, from, len(all))
			}
		}
	}
	var again bytes.Buffer
	err = EncodeSafetensors(&again, got.Metadata, got.Tensors)
	if err != nil || !bytes.Equal(again.Bytes(), file.Bytes()) {
		t.Errorf("written again the file differs: %v", err)
	}
	// What is cut off once its header has been read.
	if err := os.Truncate(path, int64(file.Len())-400); err != nil {
		t.Fatal(err)
	}
	last := got.Tensors[len(got.Tensors)-1]
	if _, err := last.Bytes(); err == nil || !strings.Contains(err.Error(), last.Name) {
		t.Errorf("a file that became shorter: %v", err)
	}
}

// raw64 is a number's bytes in a file.
func raw64(v float64) (b []byte) {
	for shift := 0; shift < 64; shift += 8 {
		b = append(b, byte(math.Float64bits(v)>>shift))
	}
	return b
}
