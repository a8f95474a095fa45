package data

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/adavit/adavit/internal/filetest"
	"github.com/adavit/adavit/picture"
)

// Damaged lists the damaged pictures met so far, by index.
func (t *Tolerated) Damaged() []int { return slices.Sorted(maps.Keys(t.damaged)) }

// broken makes a folder of n pictures of grey value i, some of which are damaged.
func broken(t *testing.T, n int, damaged ...int) (Dataset, string) {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		b := plain(t, 4, 4, byte(i))
		if slices.Contains(damaged, i) {
			b = b[:40] // in the middle of its pixels
		}
		filetest.Write(t, b, dir, fmt.Sprintf("class %02d", i), "x.png")
	}
	d, err := Open(dir, Train)
	if err != nil {
		t.Fatal(err)
	}
	return d, dir
}

// TestTolerant: whichever way, in whichever order and from however many goroutines pictures are loaded, a damaged one
// gives the next whole one and its label; each is logged once.
func TestTolerant(t *testing.T) {
	const n = 12
	damaged := []int{0, 5, 6, 11}
	want := []int{1, 1, 2, 3, 4, 7, 7, 7, 8, 9, 10, 1}
	d, dir := broken(t, n, damaged...)
	for _, workers := range []int{1, 5} {
		for _, way := range []string{"Image", "Fit", "part"} {
			var mu sync.Mutex
			var logged []int
			tol := Tolerant(d, 0.3, func(i int, err error) { // 3.6, rounded up
				mu.Lock()
				defer mu.Unlock()
				logged = append(logged, i)
				filetest.WantError(t, err, filepath.Join(dir, fmt.Sprintf("class %02d", i), "x.png"))
			})
			var view Dataset = tol
			var err error
			if way == "part" { // a part of it keeps its stand-ins
				index := make([]int, n)
				for i := range index {
					index[i] = i
				}
				if view, err = Subset(tol, index); err != nil {
					t.Fatal(err)
				}
			}
			fit, err := Fit(view, picture.DefaultPreprocessor(4, 4, 3), 3, 4, 4)
			if err != nil {
				t.Fatal(err)
			}
			var wait sync.WaitGroup
			for w := range workers {
				wait.Go(func() {
					for k := range n {
						i := (5*k + w) % n
						value, label := 0, 0
						if way == "Image" {
							img, err := tol.Image(i, picture.Decoding{})
							if err != nil {
								t.Error(err)
								return
							}
							value, label = int(img.(*image.Gray).Pix[0]), tol.Label(i)
						} else {
							got := make([]byte, 48)
							if err := fit.Pixels(got, i); err != nil {
								t.Error(err)
								return
							}
							value, label = int(got[7]), fit.Label(i)
						}
						if (want[i] != i) != Replaced(view, i) ||
							way != "Image" && Replaced(view, i) != Replaced(fit, i) {
							t.Errorf("%s, picture %d: replaced %v, want %v", way, i, Replaced(view, i), want[i] != i)
						}
						if value != want[i] || label != want[i] {
							t.Errorf("%s, picture %d: value %d, label %d, want %d", way, i, value, label, want[i])
						}
					}
				})
			}
			wait.Wait()
			slices.Sort(logged)
			if !slices.Equal(logged, damaged) || !slices.Equal(tol.Damaged(), damaged) {
				t.Errorf("%s: logged %v, damaged %v, want %v", way, logged, tol.Damaged(), damaged)
			}
			if tol.Len() != n || len(tol.Classes()) != n {
				t.Errorf("%d pictures, %d classes", tol.Len(), len(tol.Classes()))
			}
		}
	}
}

// TestTolerantAugmented: what an Augmenter loads is tolerated too, with its own crops or after resizing, and whichever
// view of the data set it is given.
func TestTolerantAugmented(t *testing.T) {
	d, _ := broken(t, 6, 1, 2)
	p := picture.DefaultPreprocessor(4, 4, 1)
	crop := DefaultCrop()
	for _, a := range []Augment{{}, {RandomResizedCrop: &crop}} {
		for _, fitted := range []bool{false, true} {
			var view Dataset = Tolerant(d, 0.3, nil)
			var err error
			if fitted {
				if view, err = Fit(view, picture.DefaultPreprocessor(5, 5, 1), 1, 5, 5); err != nil {
					t.Fatal(err)
				}
			}
			g, err := NewAugmenter(a, view, p, 1, 4, 4)
			if err != nil {
				t.Fatal(err)
			}
			mean, std := p.MeanStd(1)
			dst := make([]float32, 16)
			for i, want := range []int{0, 3, 3, 3, 4, 5} {
				label, err := g.Load(dst, i, Rand(1, 0, uint64(i)))
				if value := int((dst[3]*std[0]+mean[0])*255 + 0.5); err != nil || label != want || value != want {
					t.Errorf("fitted %v, picture %d: label %d, value %d, want %d; %v",
						fitted, i, label, value, want, err)
				}
			}
		}
	}
}

// TestTolerantLimit: one too many stops every loading, with number and file.
func TestTolerantLimit(t *testing.T) {
	d, dir := broken(t, 12, 2, 7)
	load := func(tol *Tolerated) (err error) {
		for i := range 12 {
			if _, err = tol.Image(i, picture.Decoding{}); err != nil {
				break
			}
		}
		return err
	}
	for _, limit := range []float64{0.1, 0.16, 1, 7} { // two are allowed from 1/12 on
		if err := load(Tolerant(d, limit, nil)); err != nil {
			t.Errorf("limit %v: %v", limit, err)
		}
	}
	for _, limit := range []float64{0.01, 1.0 / 12} {
		tol := Tolerant(d, limit, nil)
		err := load(tol)
		for range 2 {
			filetest.WantError(t, err, "too many damaged pictures: 2 of 12",
				"1 are borne", filepath.Join(dir, "class 02", "x.png"))
			if !errors.Is(err, ErrDamaged) {
				t.Error("no ErrDamaged")
			}
			_, err = tol.Image(5, picture.Decoding{}) // which is whole
		}
	}
	for _, limit := range []float64{0, -1} {
		tol := Tolerant(d, limit, nil)
		if _, err := tol.Image(1, picture.Decoding{}); err != nil {
			t.Error(err)
		}
		_, err := tol.Image(2, picture.Decoding{})
		filetest.WantError(t, err, "1 of 12 met, where 0 are borne")
	}
	all, _ := broken(t, 3, 0, 1, 2)
	_, err := Tolerant(all, 1, nil).Image(1, picture.Decoding{})
	filetest.WantError(t, err, "too many damaged pictures: all 3")
}

// TestTolerantOthers: what is not damage passes as it is, and other kinds of data sets work too.
func TestTolerantOthers(t *testing.T) {
	d, dir := broken(t, 4)
	path := filepath.Join(dir, "class 01", "x.png")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	tol := Tolerant(d, 1, nil)
	img, err := tol.Image(1, picture.Decoding{}) // a file that is not there
	if err != nil || img.(*image.Gray).Pix[0] != 2 || tol.Label(1) != 2 {
		t.Errorf("%v, label %d", err, tol.Label(1))
	}
	for _, i := range []int{-1, 4} {
		_, err = tol.Image(i, picture.Decoding{})
		filetest.WantError(t, err, "of 4")
	}
	filetest.WantError(t, tol.Pixels(make([]byte, 16), 0), "no common size")
	if got := tol.Damaged(); !slices.Equal(got, []int{1}) {
		t.Errorf("damaged: %v", got)
	}

	for err, want := range map[error]bool{
		&fs.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}: true,
		&fs.PathError{Op: "read", Path: "x", Err: syscall.EIO}:    true,
		fmt.Errorf("x: %w", syscall.ENOMEM):                       true,
		fmt.Errorf("%w: %w", errGone, fs.ErrNotExist):             true,
		&fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}: false,
		&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}: false,
		errors.New("jpeg: the file is cut short"):                 false,
	} {
		if got := ofSystem(err); got != want {
			t.Errorf("%v: of the system %v, want %v", err, got, want)
		}
	}

	// A block has no damage, and its pictures as images are the same.
	b := labelled(t, []byte{0, 1, 1}, 2)
	block := Tolerant(b, 0.01, nil)
	if got := members(t, block); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("%v", got)
	}
	if img, err = block.Image(2, picture.Decoding{}); err != nil || img.(*image.Gray).Pix[0] != 2 {
		t.Error(err)
	}
	filetest.WantError(t, block.Pixels(nil, 0), "room for 0 bytes")
	if len(block.Damaged()) > 0 {
		t.Error("a short buffer counts as damage")
	}
	two, err := NewBlock("two", []byte{1, 2}, []byte{0}, 2, 1, 1, []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Tolerant(two, 0, nil).Image(0, picture.Decoding{})
	filetest.WantError(t, err, "[2 1 1] are no images")
	_, err = Fit(Tolerant(two, 0, nil), picture.DefaultPreprocessor(6, 6, 3), 3, 6, 6)
	filetest.WantError(t, err, "[2 1 1] are no images to resize")

	// A picture that cannot be resized is damaged for Fit.
	strips := t.TempDir()
	filetest.Write(t, plain(t, 1, 30000, 9), strips, "a", "1.png")
	filetest.Write(t, plain(t, 4, 4, 8), strips, "a", "2.png")
	if d, err = Open(strips, Train); err != nil {
		t.Fatal(err)
	}
	tol = Tolerant(d, 0.5,
		func(i int, err error) { filetest.WantError(t, err, filepath.Join(strips, "a", "1.png"), "resized") })
	p := picture.DefaultPreprocessor(224, 224, 3)
	fit, err := Fit(tol, p, 3, 224, 224)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 3*224*224)
	if err := fit.Pixels(got, 0); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{8}, len(got))) ||
		!slices.Equal(tol.Damaged(), []int{0}) {
		t.Errorf("%v, %d, damaged %v", err, got[0], tol.Damaged())
	}
	filetest.WantError(t, fit.Pixels(got[:9], 1), "room for 9 bytes")
}
