package data

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/adavit/adavit/internal/filetest"
	"github.com/adavit/adavit/picture"
)

// plain is a PNG of one grey value.
func plain(t *testing.T, width, height int, v byte) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = v
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestOpenIDXFolder(t *testing.T) {
	dir := t.TempDir()
	pixels := []byte("aabbccddeeff")
	filetest.Write(t, filetest.IDX(pixels, 3, 2, 2), dir, "train-images-idx3-ubyte")
	filetest.Write(t, filetest.Gzip(t, filetest.IDX([]byte{2, 0, 1}, 3)), dir, "train-labels-idx1-ubyte.gz")
	d, err := Open(dir, Train)
	if err != nil {
		t.Fatal(err)
	}
	if c, h, w := d.Size(); d.Len() != 3 || d.Label(0) != 2 ||
		c != 1 || h != 2 || w != 2 || !slices.Equal(d.Classes(), []string{"0", "1", "2"}) {
		t.Errorf("%d pictures of [%d %d %d], classes %q", d.Len(), c, h, w, d.Classes())
	}
	got := make([]byte, 4)
	if err := d.Pixels(got, 1); err != nil || string(got) != "ccdd" {
		t.Errorf("%q, %v", got, err)
	}
	part, err := Subset(d, []int{2, 0})
	if err != nil {
		t.Fatal(err)
	}
	if err := part.Pixels(got, 0); err != nil || string(got) != "eeff" || part.Label(0) != 1 || part.Len() != 2 {
		t.Errorf("%q, label %d, %v", got, part.Label(0), err)
	}
	filetest.WantError(t, d.Pixels(got, 3), "picture 3 of 3")
	filetest.WantError(t, d.Pixels(got[:3], 0), "room for 3 bytes")
	_, err = Subset(d, []int{3})
	filetest.WantError(t, err, "picture 3")
	_, err = Subset(d, nil)
	filetest.WantError(t, err, "without any picture")

	_, err = Open(dir, Test)
	filetest.WantError(t, err, filepath.Join(dir, "t10k-images-idx3-ubyte"), "not exist")
	_, err = Open(dir, "middle")
	filetest.WantError(t, err, "middle")
	filetest.Write(t, filetest.IDX([]byte{2, 0}, 2), dir, "train-labels-idx1-ubyte") // goes before the .gz
	_, err = Open(dir, Train)
	filetest.WantError(t, err, "3 pictures", "2 labels", "train-labels-idx1-ubyte")
	filetest.Write(t, filetest.IDX([]byte{2, 0, 1}, 3, 1), dir, "train-labels-idx1-ubyte")
	_, err = Open(dir, Train)
	filetest.WantError(t, err, "shape [3 1]", "train-labels-idx1-ubyte")
	filetest.Write(t, filetest.IDX(pixels, 6, 2), dir, "train-images-idx3-ubyte")
	_, err = Open(dir, Train)
	filetest.WantError(t, err, "shape [6 2]", "train-images-idx3-ubyte")

	_, err = NewBlock("block", pixels, []byte{0, 1, 2}, 1, 2, 2, []string{"a", "b"})
	filetest.WantError(t, err, "label 2 of picture 2", "2 classes")
	_, err = NewBlock("block", nil, nil, 1, 2, 2, nil)
	filetest.WantError(t, err, "no pictures")
	_, err = NewBlock("block", pixels, []byte{0}, 1, 2, 2, []string{"a"})
	filetest.WantError(t, err, "12 bytes")
}

func TestOpenFolder(t *testing.T) {
	dir := t.TempDir()
	filetest.Write(t, plain(t, 9, 4, 200), dir, "b cat", "1.png")
	filetest.Write(t, plain(t, 5, 6, 100), dir, "b cat", "2.JPG") // content decides
	filetest.Write(t, plain(t, 8, 8, 50), dir, "a dog", "x.png")
	filetest.Write(t, []byte("notes"), dir, "a dog", "readme.txt")
	filetest.Write(t, []byte("notes"), dir, "notes.txt")
	filetest.Write(t, plain(t, 8, 8, 0), dir, ".cache", "x.png")
	d, err := Open(dir, Test)
	if err != nil {
		t.Fatal(err)
	}
	if c, _, _ := d.Size(); d.Len() != 3 || c != 0 || !slices.Equal(d.Classes(), []string{"a dog", "b cat"}) ||
		d.Label(0) != 0 || d.Label(2) != 1 {
		t.Fatalf("%d pictures, classes %q", d.Len(), d.Classes())
	}
	filetest.WantError(t, d.Pixels(make([]byte, 64), 0), dir, "preprocessor")

	// Through a preprocessor, from several goroutines, as a part too.
	part, err := Subset(d, []int{2, 1, 0})
	if err != nil {
		t.Fatal(err)
	}
	fit, err := Fit(part, picture.DefaultPreprocessor(4, 4, 3), 3, 4, 4)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for i, v := range []byte{100, 200, 50} {
		wait.Go(func() {
			got := make([]byte, 48)
			if err := fit.Pixels(got, i); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{v}, 48)) {
				t.Errorf("picture %d: %v, %v; want %d everywhere", i, got, err, v)
			}
		})
	}
	wait.Wait()

	filetest.Write(t, []byte("no picture"), dir, "b cat", "1.png")
	filetest.WantError(t, fit.Pixels(make([]byte, 48), 1), filepath.Join(dir, "b cat", "1.png"), "not an image")

	// Parts in sub-folders of their own.
	parted := t.TempDir()
	filetest.Write(t, plain(t, 4, 4, 1), parted, "train", "a", "1.png")
	_, err = Open(parted, Test)
	filetest.WantError(t, err, "no test part (a sub-folder test or val)")
	filetest.Write(t, plain(t, 4, 4, 1), parted, "val", "a", "1.png")
	filetest.Write(t, plain(t, 4, 4, 1), parted, "val", "a", "2.png")
	for split, n := range map[Split]int{Train: 1, Test: 2} {
		if d, err := Open(parted, split); err != nil || d.Len() != n {
			t.Errorf("%s: %v, %v", split, d, err)
		}
	}
	_, err = Open(t.TempDir(), Train)
	filetest.WantError(t, err, "neither IDX files")
	_, err = Open(filepath.Join(dir, "none"), Train)
	filetest.WantError(t, err, "none", "neither a folder nor a file")
	_, err = Open(filepath.Join(dir, "notes.txt"), Train)
	filetest.WantError(t, err, "notes.txt", "a file")
}

func TestFit(t *testing.T) {
	small, err := NewBlock("small", []byte{10, 20, 30, 40}, []byte{0}, 1, 2, 2, []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	if d, err := Fit(small, picture.DefaultPreprocessor(2, 2, 1), 1, 2, 2); err != nil || d != Dataset(small) {
		t.Errorf("a data set of the model's size came back as %T, %v", d, err)
	}
	// Grey to colour, and another size.
	p := picture.DefaultPreprocessor(6, 6, 3)
	d, err := Fit(small, p, 3, 6, 6)
	if err != nil {
		t.Fatal(err)
	}
	got, want := make([]byte, 108), make([]byte, 108)
	gray := image.NewGray(image.Rect(0, 0, 2, 2))
	copy(gray.Pix, []byte{10, 20, 30, 40})
	if err := p.Bytes(want, gray, 3, 6, 6); err != nil {
		t.Fatal(err)
	}
	if err := d.Pixels(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if err := d.Pixels(got[:9], 0); err == nil {
		t.Error("a picture fitted into too little room")
	}
	// Colour to grey.
	colour, err := NewBlock("colour", []byte{200, 100, 50}, []byte{0}, 3, 1, 1, []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	if d, err = Fit(colour, picture.DefaultPreprocessor(1, 1, 1), 1, 1, 1); err != nil {
		t.Fatal(err)
	}
	if err := d.Pixels(got[:1], 0); err != nil ||
		got[0] != byte(color.GrayModel.Convert(color.RGBA{200, 100, 50, 255}).(color.Gray).Y) {
		t.Errorf("%d, %v", got[0], err)
	}
	_, err = Fit(small, picture.DefaultPreprocessor(6, 6, 3), 3, 8, 8)
	filetest.WantError(t, err, "6×6", "8×8")
	two, err := NewBlock("two", []byte{1, 2}, []byte{0}, 2, 1, 1, []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Fit(two, picture.DefaultPreprocessor(6, 6, 3), 3, 6, 6)
	filetest.WantError(t, err, "[2 1 1]")
}
