package tools

import (
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/vit"
)

// TestCompare is the demo on two untrained models: its figures are those of Evaluate, and its files are there.
func TestCompare(t *testing.T) {
	dense, adaptive, d := modeltest.Small(t, false), modeltest.Small(t, true), modeltest.Fashion(t)
	dir := filepath.Join(t.TempDir(), "new", "folder")
	calls := 0
	r, err := compare(t.Context(), [2]string{"a", "b"}, [2]*vit.Model{dense, adaptive}, d, dir,
		eval.Options{Limit: 1100, Threads: 2, Progress: func(int, int) { calls++ }})
	if err != nil {
		t.Fatal(err)
	}
	if calls != 3 {
		t.Errorf("%d slices, want 3", calls)
	}
	for i, m := range []*vit.Model{dense, adaptive} {
		want, err := eval.Run(t.Context(), m, d, eval.Options{Name: r.Models[i].Model, Limit: 1100, Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		got := r.Models[i]
		got.ImagesPerSecond = want.ImagesPerSecond
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if r.Models[0].MeanDepth != 3 || r.Models[1].MeanDepth >= 3 ||
		r.Speedup != r.Models[1].ImagesPerSecond/r.Models[0].ImagesPerSecond || len(r.Rows) != 2 {
		t.Errorf("%+v", r)
	}
	page, err := os.ReadFile(r.Report)
	if err != nil {
		t.Fatal(err)
	}
	for _, label := range modeltest.Fashion(t).Classes() {
		if !strings.Contains(string(page), label) {
			t.Errorf("the report does not show class %s", label)
		}
	}
	if len(r.Pictures) != 12 || filepath.Base(r.Pictures[11]) != "easy-hard.png" {
		t.Errorf("%d pictures, want one of each class, one of all, and easy and hard ones: %v", len(r.Pictures), r.Pictures)
	}
	for _, path := range r.Pictures {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if c, err := png.DecodeConfig(f); err != nil || c.Width < 100 || c.Height < 50 {
			t.Errorf("%s: %d×%d, %v", path, c.Width, c.Height, err)
		}
	}
}
