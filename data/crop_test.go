package data

import (
	"encoding/json"
	"image"
	"math"
	"testing"

	"github.com/adavit/adavit/picture"
)

// TestCropsAsTorchvision: parts of photographs, one of them with its colour at half the resolution, against
// torchvision's resized_crop.
func TestCropsAsTorchvision(t *testing.T) {
	cases := readCases(t)
	want := planar(t, "testdata/augment/crops.png", 3)
	const h, w = 20, 28
	for i, c := range cases.Crops {
		img := mustDecode(t, "../picture/testdata/"+c.Picture)
		filter, err := RandomResizedCrop{Interpolation: c.Filter}.filter(0)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 3*h*w)
		if err := picture.ResizePart(got, img, picture.Part{Top: c.Top, Left: c.Left, Height: c.Height, Width: c.Width},
			3, h, w, filter); err != nil {
			t.Fatal(err)
		}
		if n, worst := differences(got, want.band(i, h)); n > 0 {
			t.Errorf("%+v: %d bytes differ, by up to %d", c, n, worst)
		}
	}
}

func TestCropMiddle(t *testing.T) {
	for _, c := range readCases(t).Middle {
		crop := RandomResizedCrop{Scale: [2]float64{0.5, 1}, Ratio: c.Ratio}
		got := crop.middle(c.Height, c.Width)
		if want := (picture.Part{Top: c.Box[0], Left: c.Box[1], Height: c.Box[2], Width: c.Box[3]}); got != want {
			t.Errorf("%d×%d within %v: %v, torchvision has %v", c.Height, c.Width, c.Ratio, got, want)
		}
		for i := range uint64(50) { // whatever is drawn lies inside
			if p := crop.draw(c.Height, c.Width, Rand(1, 2, i)); p.Top < 0 ||
				p.Left < 0 || p.Height < 1 || p.Width < 1 ||
				p.Top+p.Height > c.Height || p.Left+p.Width > c.Width {
				t.Errorf("%d×%d: drew %+v", c.Height, c.Width, p)
			}
		}
	}
}

// TestCropDraws: parts lie inside, their areas and shapes are within the limits up to rounding, and spread over all of
// them.
func TestCropDraws(t *testing.T) {
	const h, w, rounds = 300, 400, 4000
	c := DefaultCrop()
	var share, ratio, top, bottom float64
	least, most := 1.0, 0.0
	for i := range rounds {
		p := c.draw(h, w, Rand(5, 6, uint64(i)))
		if p.Top < 0 || p.Left < 0 || p.Top+p.Height > h || p.Left+p.Width > w {
			t.Fatalf("%+v of %d×%d", p, h, w)
		}
		s, r := float64(p.Height*p.Width)/(h*w), float64(p.Width)/float64(p.Height)
		if s < 0.079 || s > 1 || r < 0.74 || r > 1.35 {
			t.Fatalf("%+v: share %v, shape %v", p, s, r)
		}
		share, ratio = share+s/rounds, ratio+math.Log(r)/rounds
		least, most = min(least, s), max(most, s)
		if p.Height < h {
			top, bottom = top+float64(p.Top), bottom+float64(h-p.Height-p.Top)
		}
	}
	// Large parts of unlucky shapes do not fit and are drawn anew, so that the means lie below 0.54 and, of a wide
	// picture, above 0: 20 000 draws of timm's had 0.4334 and 0.0287.
	if math.Abs(share-0.4334) > 0.012 || least > 0.09 || most < 0.95 {
		t.Errorf("shares of %v to %v, on average %v", least, most, share)
	}
	if math.Abs(ratio-0.0287) > 0.01 || math.Abs(top/bottom-1) > 0.05 {
		t.Errorf("mean log shape %v, space above and below %v : %v", ratio, top, bottom)
	}
}

func TestCropJSON(t *testing.T) {
	for text, want := range map[string]RandomResizedCrop{
		`{}`:                     DefaultCrop(),
		`{"scale": [0.5, 0.75]}`: {Scale: [2]float64{0.5, 0.75}, Ratio: DefaultCrop().Ratio},
		`{"interpolation": "bicubic", "ratio": [1, 1], "scale": [1, 1]}`: {
			[2]float64{1, 1}, [2]float64{1, 1}, "bicubic"},
	} {
		var got RandomResizedCrop
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want || got.Validate() != nil {
			t.Errorf("%s: %+v, %v, %v", text, got, err, got.Validate())
		}
		b, err := json.Marshal(got)
		var again RandomResizedCrop
		if err != nil || json.Unmarshal(b, &again) != nil || again != got {
			t.Errorf("%s became %s, %v", text, b, err)
		}
	}
	for _, text := range []string{`{"scale": [0.5]}`, `{"scale": [0.1, 0.2, 0.3]}`,
		`{"scales": [0.1, 1]}`, `{"scale": "all"}`, `[1]`, `7`} {
		var got RandomResizedCrop
		if json.Unmarshal([]byte(text), &got) == nil {
			t.Errorf("%s passed as %+v", text, got)
		}
	}
	nan := math.NaN()
	for _, bad := range []RandomResizedCrop{
		{}, {Scale: [2]float64{0.5, 0.2}, Ratio: [2]float64{1, 1}},
		{Scale: [2]float64{0.5, 1.1}, Ratio: [2]float64{1, 1}},
		{Scale: [2]float64{0, 1}, Ratio: [2]float64{1, 1}}, {Scale: [2]float64{nan, 1}, Ratio: [2]float64{1, 1}},
		{Scale: [2]float64{0.1, 1}, Ratio: [2]float64{0, 1}}, {Scale: [2]float64{0.1, 1}, Ratio: [2]float64{1, 1e9}},
		{Scale: [2]float64{0.1, 1}, Ratio: [2]float64{1, nan}},
		{Scale: [2]float64{0.1, 1}, Ratio: [2]float64{1, 1}, Interpolation: "nearest"},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v passed", bad)
		}
	}
}

// TestCropOfParts: a picture that is itself a part of one is cropped alike.
func TestCropOfParts(t *testing.T) {
	whole := mustDecode(t, "../picture/testdata/chelsea.png")
	inner := whole.(interface {
		SubImage(image.Rectangle) image.Image
	}).SubImage(image.Rect(40, 30, 200, 180).Add(whole.Bounds().Min))
	got, want := make([]byte, 3*8*9), make([]byte, 3*8*9)
	if err := picture.ResizePart(got, inner, picture.Part{Top: 10, Left: 20, Height: 50, Width: 60},
		3, 8, 9, picture.Bicubic); err != nil {
		t.Fatal(err)
	}
	if err := picture.ResizePart(want, whole, picture.Part{Top: 40, Left: 60, Height: 50, Width: 60},
		3, 8, 9, picture.Bicubic); err != nil {
		t.Fatal(err)
	}
	if n, _ := differences(got, want); n > 0 {
		t.Errorf("%d bytes differ", n)
	}
}
