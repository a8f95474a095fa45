package tools

import (
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/modeltest"
)

// TestPictures: every file gets a picture of its own, whatever the files are called, and no picture takes the place of
// another file.
func TestPictures(t *testing.T) {
	m := modeltest.Small(t, true)
	c, dir := m.Params.Config, filepath.Join(t.TempDir(), "new")
	r := adavit.FileResult{Pixels: make([]byte, c.ImageLen())}
	r.Top, r.Depth = []infer.Prediction{{Label: "Coat", Probability: 0.5}}, make([]int, c.Tokens())
	for k := range r.Depth {
		r.Depth[k] = k % (c.Layers + 1) // 0 as under a cap
	}
	r.Depth[0] = 2 // ended early
	long := strings.Repeat("ä", 300)
	p, err := NewPictures(dir, m)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []struct{ name, want string }{
		{"a/shoe.jpg", "shoe.jpg.depths.png"}, {"b/shoe.jpg", "shoe.jpg.2.depths.png"},
		{"shoe.png", "shoe.png.depths.png"}, {"Shoe.JPG", "Shoe.JPG.3.depths.png"},
		{"shoe.jpg.2", "shoe.jpg.2.2.depths.png"}, {"-", "standard-input.depths.png"},
		{long + "1.png", strings.Repeat("ä", 100) + ".depths.png"},
		{long + "2.png", strings.Repeat("ä", 100) + ".2.depths.png"},
	} {
		r.File = file.name
		path, err := p.Write(r)
		if err != nil || path != filepath.Join(dir, file.want) {
			t.Fatalf("%.20s: %s, %v; want %s", file.name, path, err, file.want)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if size, err := png.DecodeConfig(f); err != nil || size.Width < 2*252 {
			t.Errorf("%s: %d pixels wide, %v", path, size.Width, err)
		}
	}

	// Another call finds a user's file in its way, or a link to nowhere.
	if p, err = NewPictures(dir, m); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(dir, "coat.png.depths.png")
	if err := os.WriteFile(mine, []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "link.png.depths.png")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"coat.png", "link.png", "shoe.jpg"} {
		r.File = name
		if _, err := p.Write(r); err == nil || !strings.Contains(err.Error(), "exists already") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if b, err := os.ReadFile(mine); err != nil || string(b) != "mine" {
		t.Errorf("the file that was there is %q, %v", b, err)
	}
	if _, err := NewPictures(mine, m); err == nil {
		t.Error("a file for a folder: no error")
	}
}
