package data

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/filetest"
)

// labelled is a data set of one-pixel pictures, byte i for picture i.
func labelled(t *testing.T, labels []byte, classes int) Dataset {
	t.Helper()
	pixels, names := make([]byte, len(labels)), make([]string, classes)
	for i := range pixels {
		pixels[i] = byte(i)
	}
	for i := range names {
		names[i] = fmt.Sprintf("class %d", i)
	}
	b, err := NewBlock("labelled", pixels, labels, 1, 1, 1, names)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// members are the pictures of a part of a labelled data set, by their bytes.
func members(t *testing.T, d Dataset) []int {
	t.Helper()
	var got []int
	b := make([]byte, 1)
	for i := range d.Len() {
		if err := d.Pixels(b, i); err != nil {
			t.Fatal(err)
		}
		got = append(got, int(b[0]))
	}
	return got
}

// heldOut divides a data set into two.
func heldOut(d Dataset, share float64, seed uint64) (rest, held Dataset, err error) {
	parts, err := holdOut(d, share, 0, 1, seed)
	if err != nil {
		return nil, nil, err
	}
	return parts[0], parts[1], nil
}

// TestHoldOut: the parts are all of the data set, each class gives its share to within a picture and keeps one, and
// nothing but seed and share decides.
func TestHoldOut(t *testing.T) {
	var labels []byte
	sizes := []int{60, 33, 10, 1, 0, 4, 4, 4, 4, 4, 2, 1, 100}
	for round := range 100 { // mixed
		for l, n := range sizes {
			if round < n {
				labels = append(labels, byte(l))
			}
		}
	}
	d := labelled(t, labels, len(sizes))
	for _, share := range []float64{0.05, 0.1, 0.25, 0.5, 0.9, 0.99} {
		rest, held, err := heldOut(d, share, 3)
		if err != nil {
			t.Fatal(err)
		}
		a, b := members(t, rest), members(t, held)
		if !slices.IsSorted(a) || !slices.IsSorted(b) {
			t.Error("a part is not in the data set's order")
		}
		all := slices.Sorted(slices.Values(slices.Concat(a, b)))
		if len(all) != d.Len() || len(slices.Compact(all)) != d.Len() {
			t.Fatalf("share %v: parts of %d and %d pictures overlap or leave some out of %d",
				share, len(a), len(b), d.Len())
		}
		got := make([]int, len(sizes))
		for i, k := range b {
			got[labels[k]]++
			if held.Label(i) != int(labels[k]) {
				t.Error("a label of another picture")
			}
		}
		for l, n := range sizes {
			want := share * float64(n)
			if short := want - float64(got[l]); n > 0 && got[l] >= n ||
				math.Abs(short) > 1 && got[l] < n-1 && share < 0.9 {
				t.Errorf("share %v: %d of %d of class %d", share, got[l], n, l)
			}
		}
		if want := share * float64(d.Len()); share <= 0.5 && math.Abs(float64(len(b))-want) > 2 {
			t.Errorf("share %v: %d of %d in all", share, len(b), d.Len())
		}
		_, again, _ := heldOut(d, share, 3)
		_, other, _ := heldOut(d, share, 4)
		if !slices.Equal(b, members(t, again)) || slices.Equal(b, members(t, other)) {
			t.Errorf("share %v: the seed does not decide", share)
		}
	}
	for _, share := range []float64{0, 1, -1, 2, math.NaN(), math.Inf(1)} {
		if _, _, err := heldOut(d, share, 1); err == nil {
			t.Errorf("share %v: no error", share)
		}
	}
	_, _, err := heldOut(labelled(t, []byte{0, 1, 2, 0}, 3), 0.01, 1)
	filetest.WantError(t, err, "a share of 0.01 of 4 pictures in 3 classes leaves none")
}

func TestOpenParts(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 {
		filetest.Write(t, plain(t, 3, 3, byte(i)), dir, []string{"cat", "dog"}[i%2], fmt.Sprintf("%02d.png", i))
	}
	_, err := OpenParts(dir, 0, 1)
	filetest.WantError(t, err, dir, "no test part", "validation=0.1")
	for _, v := range []float64{-0.1, 1, math.NaN()} {
		_, err = OpenParts(dir, v, 1)
		filetest.WantError(t, err, "validation", "less than 1")
	}
	p, err := OpenParts(dir, 0.2, 1)
	if err != nil || p.Train.Len() != 16 || p.Validation.Len() != 2 || p.Test.Len() != 2 || p.Share != 0.2 ||
		!slices.Equal(p.Train.Classes(), p.Test.Classes()) {
		t.Fatalf("%+v %v", p, err)
	}
	seen := map[int]bool{} // the grey values tell the files
	for _, d := range []Dataset{p.Train, p.Validation, p.Test} {
		for i := range d.Len() {
			v := grey(t, d, i)
			if seen[v] || d.Label(i) != v%2 {
				t.Errorf("picture %d: in two parts, or label %d", v, d.Label(i))
			}
			seen[v] = true
		}
	}
	_, err = OpenParts(dir, 0.001, 1)
	filetest.WantError(t, err, dir, "leaves none")

	// A test part may lack a class, and its labels are the training part's. No class has a picture to spare for
	// validation.
	parted := t.TempDir()
	for _, name := range []string{"train/ant/1.png", "train/bee/2.png", "train/cow/3.png", "test/cow/4.png"} {
		filetest.Write(t, plain(t, 3, 3, name[len(name)-5]), parted, name)
	}
	p, err = OpenParts(parted, 0, 1)
	if err != nil || p.Train.Len() != 3 || p.Validation != nil ||
		p.Share != 0 || p.Test.Len() != 1 || p.Test.Label(0) != 2 ||
		!slices.Equal(p.Test.Classes(), []string{"ant", "bee", "cow"}) {
		t.Fatalf("%+v %v", p, err)
	}
	_, err = OpenParts(parted, 0.5, 1)
	filetest.WantError(t, err, parted, "leaves none")
	filetest.Write(t, plain(t, 3, 3, 0), parted, "test", "dog", "5.png")
	_, err = OpenParts(parted, 0, 1)
	filetest.WantError(t, err, filepath.Join(parted, "test"), `"dog" is none of the 3 classes`)
	filetest.Write(t, []byte("dog\nant\nbee\ncow\nelk\n"), parted, "classes.txt")
	p, err = OpenParts(parted, 0, 1)
	if err != nil || p.Train.Label(0) != 1 || p.Test.Label(1) != 0 || len(p.Test.Classes()) != 5 {
		t.Fatalf("%+v %v", p, err)
	}
	filetest.Write(t, []byte("ant\nbee\ndog\n"), parted, "classes.txt")
	_, err = OpenParts(parted, 0, 1)
	filetest.WantError(t, err, `"cow" is none of the 3 classes`, "classes.txt")
	filetest.Write(t, []byte("ant\n\nbee\n"), parted, "classes.txt")
	_, err = OpenParts(parted, 0, 1)
	filetest.WantError(t, err, filepath.Join(parted, "classes.txt")+": line 2 is empty")

	only := t.TempDir()
	filetest.Write(t, plain(t, 3, 3, 0), only, "val", "dog", "5.png")
	_, err = OpenParts(only, 0.1, 1)
	filetest.WantError(t, err, "no train part (a sub-folder train)")

	// IDX without a class list: the part with fewer labels has as many classes.
	idx := t.TempDir()
	filetest.Write(t, filetest.IDX([]byte{1, 2, 3, 4}, 4, 1, 1), idx, "train-images-idx3-ubyte")
	filetest.Write(t, filetest.IDX([]byte{0, 0, 1, 1}, 4), idx, "train-labels-idx1-ubyte")
	if p, err = OpenParts(idx, 0.5, 1); err != nil || p.Train.Len() != 2 ||
		p.Validation.Len() != 1 || p.Test.Len() != 1 {
		t.Fatalf("%+v %v", p, err)
	}
	filetest.Write(t, filetest.IDX([]byte{1}, 1, 1, 1), idx, "t10k-images-idx3-ubyte")
	_, err = OpenParts(idx, 0.5, 1) // a torn test part is not passed over
	filetest.WantError(t, err, "t10k-labels-idx1-ubyte")
	filetest.Write(t, filetest.IDX([]byte{3}, 1), idx, "t10k-labels-idx1-ubyte")
	p, err = OpenParts(idx, 0.5, 1)
	if err != nil || len(p.Train.Classes()) != 4 || len(p.Validation.Classes()) != 4 || len(p.Test.Classes()) != 4 ||
		p.Train.Len() != 2 || p.Validation.Len() != 2 || p.Test.Len() != 1 {
		t.Fatalf("%+v %v", p, err)
	}
	filetest.Write(t, []byte("a\nb\nc\nd\n"), idx, "classes.txt")
	if p, err = OpenParts(idx, 0, 1); err != nil || strings.Join(p.Train.Classes(), "") != "abcd" {
		t.Fatalf("%+v %v", p, err)
	}
	filetest.Write(t, []byte("a\nb\n"), idx, "classes.txt")
	_, err = OpenParts(idx, 0, 1)
	filetest.WantError(t, err, "label 3 of picture 0 is beyond the 2 classes")

	a, b := labelled(t, []byte{0}, 2), labelled(t, []byte{0}, 3)
	filetest.WantError(t, agree(&a, &b), "different classes: 2 (class 0, class 1) and 3")
	_, err = OpenParts(filepath.Join(idx, "nothing"), 0.1, 1)
	filetest.WantError(t, err, "nothing", "exists")
}

// TestHeldOutByDefault: of every class with two pictures at least one is held out to choose by, of many pictures a
// twentieth or 5000.
func TestHeldOutByDefault(t *testing.T) {
	for _, c := range []struct {
		sizes, want []int
	}{
		{[]int{2, 1, 2}, []int{1, 0, 1}},
		{[]int{100, 3, 400}, []int{5, 1, 19}},
		{[]int{60_000, 140_000}, []int{1500, 3500}},
	} {
		var labels []byte
		for l, n := range c.sizes {
			labels = append(labels, bytes.Repeat([]byte{byte(l)}, n)...)
		}
		p := Parts{Train: labelled(t, labels, len(c.sizes))}
		p.Test = p.Train
		if err := p.holdOut(0, 1); err != nil {
			t.Fatal(err)
		}
		got := make([]int, len(c.sizes))
		for i := range p.Validation.Len() {
			got[p.Validation.Label(i)]++
		}
		if !slices.Equal(got, c.want) || p.Train.Len()+p.Validation.Len() != len(labels) {
			t.Errorf("of %v images %v are held out, want %v", c.sizes, got, c.want)
		}
	}
}
