package datasets

import (
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/picture"
)

func TestTextile(t *testing.T) {
	d := TextileTest().(*textile)
	if want := []string{"global", "local", "nominal"}; !slices.Equal(d.Classes(), want) {
		t.Fatalf("classes %q, want %q", d.Classes(), want)
	}
	count := make([]int, 3)
	for i := range d.Len() {
		count[d.Label(i)]++
		img, err := d.Image(i, picture.Decoding{})
		if err != nil || img.Bounds().Size() != image.Pt(250, 250) {
			t.Fatalf("picture %d: %v, %v", i, img, err)
		}
	}
	if !slices.Equal(count, []int{15, 15, 30}) {
		t.Errorf("%d pictures of each class", count)
	}
}

// TestTextileByName: the name stands for the bundled pictures, which are for testing, until a folder has it.
func TestTextileByName(t *testing.T) {
	t.Chdir(t.TempDir())
	d, err := Open("textile", data.Test, nil)
	if err != nil || d.Len() != 60 {
		t.Fatalf("%v, %v", d, err)
	}
	if _, err := Open("textile", data.Train, nil); err == nil || !strings.Contains(err.Error(), "recipes/textile.sh") {
		t.Errorf("to learn from: %v", err)
	}
	file, err := textilePictures.ReadFile(TextileTest().(*textile).files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range []string{"a", "b"} {
		dir := filepath.Join("textile", class)
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "1.jpg"), file, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if d, err = Open("textile", data.Train, nil); err != nil || !slices.Equal(d.Classes(), []string{"a", "b"}) {
		t.Errorf("a folder of that name: %v, %v", d, err)
	}
}
