package weights

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func npzPath(name string) string { return filepath.Join("testdata", "npz", name) }

// TestNpz reads what NumPy itself wrote, stored and deflated.
func TestNpz(t *testing.T) {
	for _, name := range []string{"plain.npz", "deflated.npz"} {
		c, err := ReadCheckpoint(npzPath(name), "")
		if err != nil {
			t.Fatal(err)
		}
		if c.Format != "npz" || len(c.Tensors) != 8 || c.Tensors[0].Name != "cls" {
			t.Errorf("%s: format %q, tensors %v", name, c.Format, c.Tensors)
		}
		for _, v := range []struct {
			name  string
			dtype DType
			shape []int
			want  []float64
		}{
			{"cls", F32, []int{1, 1, 3}, []float64{0, 1, 2}},
			{"embedding/kernel", F32, []int{2, 2, 1, 3}, []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
			{"fortran", F64, []int{2, 3}, []float64{0, 1, 2, 3, 4, 5}},
			{"half", F16, []int{2}, []float64{1.5, -2}},
			{"brain", BF16, []int{2}, []float64{1.5, -2}},
			{"none", F32, []int{0, 4}, nil},
		} {
			x, ok := c.Get(v.name)
			if !ok || x.DType != v.dtype || !slices.Equal(x.Shape, v.shape) || !slices.Equal(numbers(t, x), v.want) {
				t.Errorf("%s: %s is %v, %v", name, v.name, ok, x)
			}
		}
		if x, ok := c.Get("step"); !ok || x.DType != I64 || len(x.Shape) != 0 || binary.LittleEndian.Uint64(x.Data) != 7 {
			t.Errorf("%s: step is %v, %v", name, ok, x)
		}
		if x, ok := c.Get("mask"); !ok || x.DType != Bool || !slices.Equal(x.Data, []byte{1, 0}) {
			t.Errorf("%s: mask is %v, %v", name, ok, x)
		}
	}
	for name, fault := range map[string]string{
		"big.npz":    `"a.npy": header "{'descr': '>f4'`,
		"object.npz": "nothing of a pickle is run",
	} {
		_, err := ReadCheckpoint(npzPath(name), "")
		wantFault(t, name, err, name, fault)
	}
	_, err := ReadCheckpoint(npzPath("plain.npz"), "model")
	wantFault(t, "a key", err, "plain.npz", `entry "model" is wanted`)
}

// npy is an array with that header.
func npy(header string, data ...byte) []byte {
	b := append([]byte(npyMagic), 1, 0)
	return slices.Concat(binary.LittleEndian.AppendUint16(b, uint16(len(header))), []byte(header), data)
}

const byteHeader = "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }"

func TestNpyRefuses(t *testing.T) {
	for _, header := range []string{
		byteHeader, byteHeader + "       \n", strings.ReplaceAll(byteHeader, " ", ""),
		"{'shape':(2,),'fortran_order':True,'descr':'|b1'}", strings.Replace(byteHeader, "(2,)", "(1, 2)", 1),
	} {
		if x, err := decodeNpy(npy(header, 1, 0)); err != nil || len(x.Data) != 2 {
			t.Errorf("%s: %v, %v", header, x, err)
		}
	}
	for _, v := range []struct {
		array []byte
		fault string
	}{
		{nil, "not an array"},
		{[]byte(npyMagic + "\x01\x00\x00"), "not an array"},
		{append([]byte(npyMagic), 9, 0, 0, 0, 0, 0), "version 9"},
		{append([]byte(npyMagic), 2, 0, 0xff, 0xff, 0xff, 0xff), "header of 4294967295 bytes"},
		{npy(byteHeader, 1), "1 bytes of data, but shape [2]"},
		{npy(byteHeader, 1, 2, 3), "3 bytes of data"},
		{npy("  "), "not a dict"},
		{npy("{}"), "not all there"},
		{npy("{'descr': '|u1', 'descr': '|u1', 'shape': (2,)}", 1, 2), "appears twice"},
		{npy("{'descr': '|u1', 'fortran_order': False, 'size': (2,)}", 1, 2), "not one of NumPy's"},
		{npy("{'descr': '|u1', 'fortran_order': 0, 'shape': (2,)}", 1, 2), "fortran_order"},
		{npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2,"), "not a dict"},
		{npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2,}"), "does not end"},
		{npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2) x}"), "no comma"},
		{npy("{'descr': '|u1', 'fortran_order': False, 'shape': 2}"), "shape is"},
		{npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-2,)}"), "shape is"},
		{npy("{'descr': '|u1', 'fortran_order': False, 'shape': (,)}"), "shape is"},
		{npy("{'descr': '|u1', 'fortran_order': False, 'shape': (9999999999, 9999999999)}"), "too many elements"},
		{npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}"), "not supported"},
		{npy("{'descr': '<c8', 'fortran_order': False, 'shape': (0,)}"), "not supported"},
		{npy("{'descr': \xff}"), "not valid UTF-8"},
	} {
		if x, err := decodeNpy(v.array); err == nil || !strings.Contains(err.Error(), v.fault) || len(err.Error()) > 400 {
			t.Errorf("%q: %v, %v, want %q", v.array, x, err, v.fault)
		}
	}
}

// deflated is an archive of one compressed entry that says it has size bytes.
func deflated(t testing.TB, name string, content []byte, size uint32) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	e, err := w.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	e.Write(content)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := b.Bytes()
	if at := bytes.LastIndex(file, []byte(zipDirectory)); size > 0 {
		binary.LittleEndian.PutUint32(file[at+24:], size)
	}
	return file
}

// TestDeflated: what an archive promises and what it holds must agree, and a small file cannot ask for much memory.
func TestDeflated(t *testing.T) {
	good := npy(byteHeader, 1, 2)
	for _, v := range []struct {
		what  string
		file  []byte
		fault string
	}{
		{"as it is", deflated(t, "a.npy", good, 0), ""},
		{"longer than said", deflated(t, "a.npy", good, uint32(len(good))-1), "does not end after"},
		{"shorter than said", deflated(t, "a.npy", good, uint32(len(good))+1), "deflated: "},
		{"zeros", deflated(t, "a.npy", make([]byte, viewSpare*2), 0), "the limit for a file of"},
		{"a compressed checkpoint", deflated(t, "a/data.pkl", good, 0), "is compressed"},
	} {
		_, err := decodePth(v.file, "")
		if v.fault == "" {
			if err != nil {
				t.Errorf("%s: %v", v.what, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), v.fault) {
			t.Errorf("%s: %v, want %q", v.what, err, v.fault)
		}
	}
}

// FuzzNpy reads any bytes as an array.
func FuzzNpy(f *testing.F) {
	f.Add(npy(byteHeader, 1, 2))
	f.Add(npy("{'descr': '<f8', 'fortran_order': True, 'shape': (1, 2)}", make([]byte, 16)...))
	b, err := os.ReadFile(npzPath("plain.npz"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[bytes.Index(b, []byte(npyMagic)):])
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := decodeNpy(b)
		if err == nil {
			err = x.check()
		} else if text := err.Error(); len(text) > 1000 {
			t.Fatalf("error %q", text)
		} else {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}
