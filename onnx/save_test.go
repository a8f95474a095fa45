package onnx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/tokentest"
	"github.com/adavit/adavit/onnx/read"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
)

// lower lowers the size at which a file is split, for one test.
func lower(t *testing.T, size int64) {
	old := maxMessage
	maxMessage = size
	t.Cleanup(func() { maxMessage = old })
}

// TestReadBack: whatever package read makes of our own files has the bits of what was written, halting, labels and
// preprocessor included, in one file and in two.
func TestReadBack(t *testing.T) {
	for _, kind := range tokentest.Kinds {
		for _, dense := range []bool{false, true} {
			for _, two := range []bool{false, true} {
				p := small(t)
				kind.Set(&p.Config)
				labels := p.Config.Labels
				p = vit.Initialize(p.Config, 3, 0.2)
				path := filepath.Join(t.TempDir(), "m.onnx")
				preprocessor := picture.DefaultPreprocessor(p.Config.Height, p.Config.Width, 3)
				preprocessor.Mean = []float64{0.1, 0.2, 0.3}
				lower(t, map[bool]int64{false: math.MaxInt32, true: 150_000}[two])
				split, err := Save(path, p, Options{Dense: dense, Preprocessor: &preprocessor, Opset: 22})
				if err != nil || split != two {
					t.Fatalf("split %t, %v", split, err)
				}
				if _, err := os.Stat(path + DataSuffix); (err == nil) != two {
					t.Fatalf("second file: %v", err)
				}
				r, err := read.File(path, read.Options{})
				if err != nil {
					t.Fatal(err)
				}
				want := p.Config
				if dense {
					want.Halting = halting.Dense()
				}
				got := r.Model.Params.Config
				if !slices.Equal(got.Labels, labels) || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) || !r.Own ||
					r.Notes != nil {
					t.Errorf("%s: %+v, want %+v; own %t, notes %q", kind.Name, got, want, r.Own, r.Notes)
				}
				if !slices.Equal(r.Model.Params.Data, p.Data) {
					t.Error("other parameters")
				}
				if !slices.Equal(r.Model.Preprocessor.Mean, preprocessor.Mean) ||
					r.Model.Preprocessor.Size != preprocessor.Size || r.Model.Preprocessor.Crop != preprocessor.Crop {
					t.Errorf("preprocessor %+v, want %+v", r.Model.Preprocessor, preprocessor)
				}
			}
		}
	}
}

// TestSplit looks at the second file itself: every large constant begins at a page, as it is in a file that is whole.
func TestSplit(t *testing.T) {
	p := small(t)
	lower(t, 150_000)
	path := filepath.Join(t.TempDir(), "m.onnx")
	if _, err := Save(path, p, Options{}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path + DataSuffix)
	if err != nil {
		t.Fatal(err)
	}
	var model bytes.Buffer
	var beside0 bytes.Buffer
	if err := write(&model, &beside{&beside0, "m.onnx.data"}, p, Options{}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(beside0.Bytes(), data) || model.Len() > 100_000 {
		t.Errorf("%d bytes in the model, %d beside it, %d in the file", model.Len(), beside0.Len(), len(data))
	}
	g := build(p, Options{})
	end := 0
	for _, c := range g.constants {
		if c.size() < smallData {
			continue
		}
		var raw bytes.Buffer
		if err := c.writeData(&raw); err != nil {
			t.Fatal(err)
		}
		at := (end + pageSize - 1) / pageSize * pageSize
		if !bytes.Equal(data[at:at+raw.Len()], raw.Bytes()) {
			t.Fatalf("%s is not at %d", c.name, at)
		}
		end = at + raw.Len()
	}
	if end != len(data) {
		t.Errorf("%d bytes behind the last constant", len(data)-end)
	}
	// The same model once more, in one file.
	maxMessage = 1 << 31
	if split, err := Save(path, p, Options{}); split || err != nil {
		t.Fatalf("%t, %v", split, err)
	}
	if _, err := read.File(path, read.Options{}); err != nil {
		t.Error(err)
	}
}

// TestSplitFails: where the second file cannot be written neither appears, and nothing else is left.
func TestSplitFails(t *testing.T) {
	lower(t, 150_000)
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	if err := os.Mkdir(path+DataSuffix, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Save(path, small(t), Options{}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("error %v", err)
	}
	for _, room := range []int{1000, 50_000} {
		if err := write(io.Discard, &beside{&full{room}, "x"}, small(t), Options{}); !errors.Is(err, errFull) {
			t.Errorf("room for %d bytes: %v", room, err)
		}
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if err := os.Remove(path + DataSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	bad := small(t)
	bad.HeadBias = nil
	bad.Data = bad.Data[1:]
	if _, err := Save(path, bad, Options{}); err == nil {
		t.Error("parameters that are not whole were written")
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}
