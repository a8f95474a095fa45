package tools

import (
	"bytes"
	"errors"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/trainer"
)

func augmentRecipe(t *testing.T, overrides ...string) trainer.Recipe {
	t.Helper()
	r, err := trainer.ParseRecipe("test", []byte(`{"variant": "fashion-small", "seed": 5}`), overrides)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestWriteAugmented: the same options draw the same sheet, another seed another one.
func TestWriteAugmented(t *testing.T) {
	dir := t.TempDir()
	set := filepath.Join(dir, "set")
	modeltest.WriteIDX(t, set)
	r := augmentRecipe(t, "augment.flip=true", "augment.random_resized_crop={}",
		"augment.rand_augment=rand-m9-mstd0.5-inc1", "augment.erase_prob=0.5",
		"augment.erase_max=0.3", "augment.erase_mode=pixel", "mix.mixup=0.8", "mix.cutmix=1")
	draw := func(name string, r trainer.Recipe, count int) []byte {
		path := filepath.Join(dir, name)
		got, err := WriteAugmented(t.Context(), AugmentOptions{Recipe: r, Data: set, Out: path, Count: count, Views: 3})
		if err != nil {
			t.Fatal(err)
		}
		if want := (Augmented{path, min(count, 24), 3}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := png.Decode(bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := draw("a.png", r, 4)
	if !bytes.Equal(first, draw("b.png", r, 4)) {
		t.Error("two sheets of the same options differ")
	}
	r.Seed = 6
	if bytes.Equal(first, draw("c.png", r, 4)) {
		t.Error("another seed drew the same sheet")
	}
	draw("all.png", r, 50) // no more than training sees: ten of 34 are held out to choose by
	r.Limit = 20
	few, err := WriteAugmented(t.Context(), AugmentOptions{Recipe: r, Data: set, Out: filepath.Join(dir, "few.png"),
		Count: 50, Views: 1})
	if err != nil || few.Images != 20 {
		t.Errorf("a recipe's limit of 20: %+v, %v", few, err)
	}

	for _, o := range []AugmentOptions{{Count: 0, Views: 1}, {Count: 1, Views: 0}, {Count: maxSheet + 1, Views: 1},
		{Count: 1, Views: -1}} {
		o.Recipe, o.Data, o.Out = r, set, filepath.Join(dir, "bad.png")
		if _, err := WriteAugmented(t.Context(), o); !errors.Is(err, usage.Err) {
			t.Errorf("%d pictures, %d views: %v", o.Count, o.Views, err)
		}
	}
	if _, err := WriteAugmented(t.Context(), AugmentOptions{Recipe: r, Data: filepath.Join(dir, "none"),
		Out: filepath.Join(dir, "bad.png"), Count: 1, Views: 1}); err == nil {
		t.Error("a data set that is not there")
	}
	if _, err := os.Lstat(filepath.Join(dir, "bad.png")); err == nil {
		t.Error("a failure left a file")
	}
}

// TestAugmentedRows: without augmentation each view is the picture itself, byte for byte; mixed, a view is the mean
// that its caption tells.
func TestAugmentedRows(t *testing.T) {
	d := modeltest.Fashion(t)
	p := picture.DefaultPreprocessor(28, 28, 1)
	plain, err := data.NewAugmenter(data.Augment{}, d, p, 1, 28, 28)
	if err != nil {
		t.Fatal(err)
	}
	s := sampler{channels: 1, height: 28, width: 28, classes: d.Classes(), seed: 3, index: []int{0, 1, 2, 3}, plain: plain,
		augmented: plain}
	s.mean, s.std = p.MeanStd(1)
	rows, err := s.rows(t.Context(), data.Mix{}, 2)
	if err != nil {
		t.Fatal(err)
	}
	originals := make([][]byte, len(rows))
	for i, r := range rows {
		originals[i] = make([]byte, 784)
		if err := d.Pixels(originals[i], i); err != nil {
			t.Fatal(err)
		}
		if r.Name != d.Classes()[d.Label(i)] || len(r.Pictures) != 3 {
			t.Errorf("row %d: %q with %d pictures", i, r.Name, len(r.Pictures))
		}
		for k, pic := range r.Pictures {
			if !bytes.Equal(pic.Pixels, originals[i]) || pic.Title != "" {
				t.Errorf("row %d, picture %d differs from the data set's", i, k)
			}
		}
	}
	if rows, err = s.rows(t.Context(), data.Mix{Mixup: 1, Prob: 1, OffEpoch: 1}, 2); err != nil {
		t.Fatal(err)
	}
	for i, r := range rows {
		other := len(rows) - 1 - i
		share := mixedShare(r.Pictures[1], originals[i], originals[other])
		names := strings.Split(r.Pictures[1].Title, "\n")
		if len(names) != 2 || !strings.HasSuffix(names[0], rows[i].Name) || !strings.HasSuffix(names[1], rows[other].Name) ||
			share < 0 || share > 1 {
			t.Errorf("row %d: caption %q, a share of %v", i, r.Pictures[1].Title, share)
		} else if n, err := strconv.Atoi(strings.Fields(names[0])[0]); err != nil || math.Abs(float64(n)-100*share) > 1 {
			t.Errorf("row %d: caption %q, but %v of the picture is its own", i, r.Pictures[1].Title, share)
		}
		if !bytes.Equal(r.Pictures[2].Pixels, originals[i]) || r.Pictures[2].Title != "" {
			t.Errorf("row %d is mixed after its last epoch", i)
		}
	}
	if got := describeAugment(data.Augment{}, data.Mix{}); got != "no augmentation" {
		t.Errorf("no augmentation is called %q", got)
	}
}

// mixedShare is how much of own a blend with other holds, by least squares.
func mixedShare(p report.Sample, own, other []byte) float64 {
	var product, square float64
	for k, v := range p.Pixels {
		d := float64(own[k]) - float64(other[k])
		product += (float64(v) - float64(other[k])) * d
		square += d * d
	}
	return product / square
}
