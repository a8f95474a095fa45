package data

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/adavit/adavit/picture"
)

// TestDecoding: a data set's pictures are decoded as the preprocessor says, in both of the ways that they are read in:
// both files hold the same pixels, but 6.png says that they lie on their side.
func TestDecoding(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"1.png", "6.png"} {
		b, err := os.ReadFile("../picture/testdata/orientation/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, "a"), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "a", name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	d, err := Open(dir, Train)
	if err != nil {
		t.Fatal(err)
	}
	for _, exif := range []bool{false, true} {
		p := picture.DefaultPreprocessor(6, 9, 3)
		p.Exif = exif
		for name, a := range map[string]Augment{"whole": {},
			"crop": {RandomResizedCrop: &RandomResizedCrop{Scale: [2]float64{1, 1}, Ratio: [2]float64{1.5, 1.5}}}} {
			g, err := NewAugmenter(a, d, p, 3, 6, 9)
			if err != nil {
				t.Fatal(err)
			}
			var x [2][3 * 6 * 9]float32
			for i := range x {
				if _, err := g.Load(x[i][:], i, Rand(1, 0, 0)); err != nil {
					t.Fatal(err)
				}
			}
			if same := x[0] == x[1]; same == exif {
				t.Errorf("%s, EXIF %v: both pictures look alike: %v", name, exif, same)
			}
		}
		p.MaxPixels = 9*6 - 1
		tight, err := Fit(d, p, 3, 6, 9)
		if err != nil {
			t.Fatal(err)
		}
		if err := tight.Pixels(make([]byte, 3*6*9), 0); !errors.Is(err, picture.ErrTooLarge) {
			t.Errorf("a picture beyond the limit: %v", err)
		}
	}
}
