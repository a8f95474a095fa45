package tools

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/internal/filetest"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/trainer"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// TestCalibratePart: what a ladder is measured on was held out of training, by the share that the model's training says
// if it was trained on these data; a data set without parts is used whole, if it was not.
func TestCalibratePart(t *testing.T) {
	dir := t.TempDir()
	model, photos, set := filepath.Join(dir, "model"), filepath.Join(dir, "photos"), filepath.Join(dir, "set")
	m := modeltest.Small(t, true)
	filetest.Check(t, vit.Save(model, m, weights.F32))
	modeltest.WriteIDX(t, set)
	for i := range 40 {
		img := image.NewGray(image.Rect(0, 0, 28, 28))
		img.SetGray(i%28, i/28, color.Gray{255})
		var b bytes.Buffer
		filetest.Check(t, png.Encode(&b, img))
		filetest.Write(t, b.Bytes(), photos, []string{"a", "b"}[i%2], string(rune('a'+i/2))+".png")
	}
	card := func(data, share string) {
		filetest.Write(t, []byte(`{"data": "`+data+`", "recipe": {"validation": `+share+`}}`), model, vit.CardFile)
	}
	card("elsewhere", "0.5")
	for _, v := range []struct {
		data, part, want string
		images           int
	}{
		{set, "", "validation", 10}, {set, "train", "train", 24}, {photos, "", "all", 40}, {photos, "train", "all", 40},
	} {
		o := CalibrateOptions{Model: model, Data: v.data, Part: v.part, Log: slog.New(slog.DiscardHandler)}
		d, part, err := o.open(t.Context(), m)
		if err != nil || part != v.want || d.Len() != v.images {
			t.Errorf("%+v: %d images of %s, %v", v, d.Len(), part, err)
		}
	}
	card(photos+"/", "0.5") // half of the pictures, and of these half to test on
	d, part, err := CalibrateOptions{Model: model, Data: photos}.open(t.Context(), m)
	filetest.Check(t, err)
	source, err := datasets.Find(photos, nil)
	filetest.Check(t, err)
	want, err := trainer.PartsOf(photos, source, trainer.Recipe{Validation: 0.5}, "", false, nil)
	filetest.Check(t, err)
	if part != "validation" || d.Len() != 10 || want.Validation.Len() != 10 {
		t.Fatalf("%d images of %s", d.Len(), part)
	}
	pixels := func(d data.Dataset, i int) []byte {
		d, err := data.Fit(d, picture.DefaultPreprocessor(28, 28, 1), 1, 28, 28)
		filetest.Check(t, err)
		b := make([]byte, 28*28)
		filetest.Check(t, d.Pixels(b, i))
		return b
	}
	for i := range d.Len() {
		if !bytes.Equal(pixels(d, i), pixels(want.Validation, i)) {
			t.Errorf("image %d is not the one that training holds out", i)
		}
	}
	// So is a copy in another precision, or for larger images.
	whole, err := vit.Load(model)
	filetest.Check(t, err)
	larger, err := whole.Resize(56, 56)
	filetest.Check(t, err)
	for _, m := range []*vit.Model{whole, larger} {
		copied := filepath.Join(t.TempDir(), "copy")
		m.Precision = "int8"
		filetest.Check(t, vit.Save(copied, m, weights.F32))
		if d, part, err := (CalibrateOptions{Model: copied, Data: photos}).open(t.Context(), m); err != nil ||
			part != "validation" || d.Len() != 10 {
			t.Errorf("a copy: %d images of %s, %v", d.Len(), part, err)
		}
	}
	d, part, err = CalibrateOptions{Model: model, Data: photos, Part: "train"}.open(t.Context(), m)
	if err != nil || part != "train" || d.Len() != 20 {
		t.Errorf("%d images of %s, %v", d.Len(), part, err)
	}
}

// TestCalibrateStopped: a calibration that is interrupted leaves the ladder that was there.
func TestCalibrateStopped(t *testing.T) {
	dir := t.TempDir()
	model, set := filepath.Join(dir, "model"), filepath.Join(dir, "set")
	m := modeltest.Small(t, true)
	m.Ladder = []vit.Rung{{Mean: 0.5}}
	filetest.Check(t, vit.Save(model, m, weights.F32))
	modeltest.WriteIDX(t, set)
	before, err := os.ReadFile(filepath.Join(model, vit.LadderFile))
	filetest.Check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	o := CalibrateOptions{Model: model, Data: set}
	o.Progress = func(done, _ int) {
		if done > 15 {
			cancel()
		}
	}
	if _, err := Calibrate(ctx, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	filetest.Content(t, filepath.Join(model, vit.LadderFile), string(before))
	filetest.Names(t, model, "budgets.json", "config.json", "model.safetensors", "preprocessor_config.json")
	o.Progress = nil
	r, err := Calibrate(t.Context(), o)
	filetest.Check(t, err)
	now, err := vit.Load(model)
	if err != nil || !r.Replaced || len(now.Ladder) != len(r.Ladder) || now.Calibration != r.Calibration {
		t.Errorf("%+v, stored %+v, %v", r, now.Calibration, err)
	}
}
