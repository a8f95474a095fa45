package data

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/filetest"
)

// cifarFile is a file of records: picture i is labelled labels[i], its red plane is labels[i], green 100+i, blue 200+i.
// With a group each label has another one before it.
func cifarFile(group bool, labels ...byte) []byte {
	var b []byte
	for i, l := range labels {
		if group {
			b = append(b, l/5)
		}
		b = append(b, l)
		for _, v := range []byte{l, 100 + byte(i), 200 + byte(i)} {
			b = append(b, bytes.Repeat([]byte{v}, 32*32)...)
		}
	}
	return b
}

func TestOpenCIFAR(t *testing.T) {
	dir := t.TempDir()
	filetest.Write(t, cifarFile(false, 3, 9), dir, "data_batch_1.bin")
	filetest.Write(t, cifarFile(false, 0), dir, "data_batch_2.bin")
	filetest.Write(t, cifarFile(false, 7, 7, 1, 2), dir, "test_batch.bin")
	p, err := OpenParts(dir, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	train, test := p.Train, p.Test
	if c, h, w := train.Size(); train.Len() != 3 || test.Len() != 4 ||
		c != 3 || h != 32 || w != 32 || len(train.Classes()) != 10 || !Numbered(train.Classes()) {
		t.Fatalf("%d and %d pictures of [%d %d %d], classes %q", train.Len(), test.Len(), c, h, w, train.Classes())
	}
	got := make([]byte, 3072)
	for i, want := range [][]byte{{3, 100, 200}, {9, 101, 201}, {0, 100, 200}} {
		if err := train.Pixels(got, i); err != nil || train.Label(i) != int(want[0]) ||
			got[5] != want[0] || got[1024+5] != want[1] || got[2048+5] != want[2] {
			t.Errorf("picture %d: label %d, %d %d %d, %v", i, train.Label(i), got[5], got[1029], got[2053], err)
		}
	}
	names := "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n"
	filetest.Write(t, []byte(names), dir, "batches.meta.txt")
	d, err := Open(dir, Test)
	if err != nil || d.Classes()[d.Label(0)] != "horse" {
		t.Errorf("%v, %v", d, err)
	}
	filetest.Write(t, []byte("a\nb"), dir, "batches.meta.txt")
	_, err = Open(dir, Test)
	filetest.WantError(t, err, "batches.meta.txt: 2 classes, want 10")
	filetest.Write(t, []byte(strings.ToUpper(names)), dir, "classes.txt") // goes before
	if d, err = Open(dir, Test); err != nil || d.Classes()[0] != "AIRPLANE" {
		t.Errorf("%v, %v", d, err)
	}
	filetest.Write(t, []byte("a\nb"), dir, "classes.txt")
	_, err = Open(dir, Test)
	filetest.WantError(t, err, dir, "label 7 of picture 0 is beyond the 2 classes")

	hundred := t.TempDir()
	filetest.Write(t, cifarFile(true, 99, 0, 50), hundred, "train.bin")
	if p, err = OpenParts(hundred, 0.5, 1); err == nil {
		t.Errorf("a test part of pictures that are the only ones of their class: %d, %d", p.Train.Len(), p.Test.Len())
	}
	if d, err = Open(hundred, Train); err != nil || d.Len() != 3 || d.Label(0) != 99 || len(d.Classes()) != 100 {
		t.Fatalf("%v, %v", d, err)
	}
	if err := d.Pixels(got, 2); err != nil || got[0] != 50 || got[3071] != 202 {
		t.Errorf("%d %d, %v", got[0], got[3071], err)
	}
	_, err = Open(hundred, Test)
	filetest.WantError(t, err, filepath.Join(hundred, "test.bin"), "no such file")

	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"train.bin", nil, "the file is empty"},
		{"train.bin", cifarFile(true, 1)[:3073], "3073 bytes after 0 pictures of 3074"},
		{"train.bin", cifarFile(true, 1, 100), "picture 1: label bytes [20 100]"},
		{"train.bin", cifarFile(false, 40, 41), "label bytes [40 40]: not a CIFAR-100 file"},
		{"data_batch_1.bin", cifarFile(false, 1, 10), "picture 1: label bytes [10]"},
		{"data_batch_1.bin", append(cifarFile(false, 1), 1), "1 bytes after 1 pictures of 3073"},
		{"data_batch_2.bin", cifarFile(false, 1), "data_batch_1.bin"},
	} {
		dir := t.TempDir()
		filetest.Write(t, c.file, dir, c.name)
		_, err := Open(dir, Train)
		filetest.WantError(t, err, dir, c.want)
	}
	gap := t.TempDir()
	filetest.Write(t, cifarFile(false, 1), gap, "data_batch_1.bin")
	filetest.Write(t, cifarFile(false, 1), gap, "data_batch_3.bin")
	_, err = Open(gap, Train)
	filetest.WantError(t, err, "data_batch_2.bin is missing, though there is data_batch_3.bin")
}

// FuzzCIFAR: a file that is taken is the records that it was read as.
func FuzzCIFAR(f *testing.F) {
	f.Add(false, cifarFile(false, 1, 9))
	f.Add(true, cifarFile(true, 99))
	f.Add(true, []byte{1})
	f.Fuzz(func(t *testing.T, fine bool, b []byte) {
		kind := cifar10
		if fine {
			kind = cifar100
		}
		pixels, labels, err := kind.appendRecords(nil, nil, b)
		if err != nil {
			return
		}
		var again []byte
		for i, l := range labels {
			if int(l) >= kind.count {
				t.Fatalf("label %d", l)
			}
			record := b[i*kind.record():]
			again = slices.Concat(again, record[:kind.record()-cifarPixels-1],
				[]byte{l}, pixels[i*cifarPixels:(i+1)*cifarPixels])
		}
		if !bytes.Equal(again, b) {
			t.Fatal("other records than the file's")
		}
	})
}
