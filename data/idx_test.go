package data

import (
	"bytes"
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/filetest"
)

func TestReadIDX(t *testing.T) {
	good := filetest.IDX([]byte("abcdef"), 3, 1, 2)
	packed := filetest.Gzip(t, good)
	for _, b := range [][]byte{good, packed} {
		x, err := ReadIDX("x", bytes.NewReader(b))
		if err != nil || string(x.Data) != "abcdef" || len(x.Dims) != 3 || x.Dims[0] != 3 || x.Dims[2] != 2 {
			t.Errorf("%+v, %v", x, err)
		}
	}
	broken := bytes.Clone(packed)
	broken[len(broken)-6] ^= 1 // gzip's sum
	for _, c := range []struct {
		file []byte
		want string
	}{
		{nil, "cut short"},
		{good[:3], "cut short"},
		{good[:9], "cut short"},
		{good[:len(good)-1], "5 bytes, the header promises 6"},
		{append(bytes.Clone(good), 1), "more than the 6 bytes"},
		{packed[:len(packed)-9], "cut short"},
		{packed[:5], "gzip"},
		{broken, "checksum"},
		{[]byte("hello world"), "not an IDX file"},
		{[]byte{0, 0, 0x0d, 1, 0, 0, 0, 1, 0, 0, 0, 0}, "float32"},
		{[]byte{0, 0, 8, 0}, "0 dimensions"},
		{[]byte{0, 0, 8, 5}, "5 dimensions"},
		{filetest.IDX(nil, 0, 28, 28), "dimension 1 is 0"},
		{filetest.IDX(nil, 1<<32-1, 1<<32-1, 1<<32-1), "more than"},
		{filetest.IDX([]byte{1}, 1<<30), "cut short"}, // a gigabyte promised, a byte there
	} {
		_, err := ReadIDX("dir/x.gz", bytes.NewReader(c.file))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "dir/x.gz: ") {
			t.Errorf("% x: error %v, want one that names the file and %q", c.file, err, c.want)
		}
	}
}

// FuzzIDX: what is accepted has exactly the bytes that its shape says, and writing it again gives the file's beginning;
// nothing takes more memory than the limit.
func FuzzIDX(f *testing.F) {
	f.Add(filetest.IDX([]byte("abcdef"), 3, 1, 2))
	f.Add(filetest.Gzip(f, filetest.IDX([]byte{1, 2, 3}, 3)))
	f.Add(filetest.IDX(nil, 1<<31, 2))
	f.Add(filetest.IDX([]byte{1}, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 20
		x, err := ReadIDXLimit(bytes.NewReader(b), limit)
		if err != nil {
			if x.Data != nil || x.Dims != nil {
				t.Fatal("both a result and an error")
			}
			return
		}
		total := 1
		var dims []uint32
		for _, d := range x.Dims {
			total *= d
			dims = append(dims, uint32(d))
		}
		if total != len(x.Data) || total > limit {
			t.Fatalf("shape %v, %d bytes", x.Dims, len(x.Data))
		}
		if again := filetest.IDX(x.Data, dims...); b[0] == 0 && !bytes.Equal(again, b) {
			t.Fatalf("% x became % x", b, again)
		}
		if _, err := FromIDX([2]string{"images", "labels"},
			[2]IDX{x, {Dims: x.Dims[:1], Data: x.Data[:x.Dims[0]]}}, nil); len(x.Dims) == 3 && err != nil {
			t.Fatal(err)
		}
	})
}
