package data

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/adavit/adavit/picture"
)

// The files in testdata/augment were made by Pillow, torchvision and timm; make.py there says how.

// augmentCases is testdata/augment/cases.json.
type augmentCases struct {
	Ops []struct {
		Picture, Op, Filter string
		Arg                 float64
	}
	Levels []struct {
		Op                   int
		Increasing, Negative bool
		Level, Arg           float64
	}
	Jitter []struct {
		Order  [3]int
		Factor [3]float64
	}
	Crops []struct {
		Picture, Filter          string
		Top, Left, Height, Width int
	}
	Middle []struct {
		Height, Width int
		Ratio         [2]float64
		Box           [4]int // top, left, height, width
	}
	Batch struct {
		Images  []float32
		Labels  []int32
		Classes int
	}
	Mix []struct {
		CutMix           bool
		Share, Smoothing float64
		Centre           []int // row, column
		Images, Targets  []float32
	}
}

func readCases(t testing.TB) (c augmentCases) {
	t.Helper()
	b, err := os.ReadFile("testdata/augment/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Ops) == 0 || len(c.Levels) == 0 || len(c.Jitter) == 0 ||
		len(c.Crops) == 0 || len(c.Middle) == 0 || len(c.Mix) == 0 {
		t.Fatal("cases are missing")
	}
	return c
}

// planar reads an image file as a picture of 1 or 3 channels.
func planar(t testing.TB, path string, channels int) *canvas {
	t.Helper()
	img := mustDecode(t, path)
	h, w := img.Bounds().Dy(), img.Bounds().Dx()
	p := &canvas{pix: make([]byte, channels*h*w), spare: make([]byte, channels*h*w), c: channels, h: h, w: w}
	whole := picture.Part{Height: h, Width: w}
	if err := picture.ResizePart(p.pix, img, whole, channels, h, w, picture.Bicubic); err != nil {
		t.Fatal(err)
	}
	return p
}

// band is the i-th of the pictures of h rows that are stacked in p.
func (p *canvas) band(i, h int) []byte {
	var b []byte
	for ch := range p.c {
		b = append(b, p.channel(ch)[i*h*p.w:(i+1)*h*p.w]...)
	}
	return b
}

// differences counts the bytes that differ, and the largest difference.
func differences(a, b []byte) (count, worst int) {
	for i := range a {
		if d := int(a[i]) - int(b[i]); d != 0 {
			count, worst = count+1, max(worst, d, -d)
		}
	}
	return count, worst
}

// operationNames are timm's.
var operationNames = [len(operations)]string{"AutoContrast", "Equalize",
	"Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd", "Color", "Contrast",
	"Brightness", "Sharpness", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"}

// The numbers of some of them.
const opAutoContrast, opEqualize, opInvert, opRotate, opPosterize = 0, 1, 2, 3, 4

// TestOperations holds every operation of RandAugment against Pillow's and timm's result, byte for byte.
func TestOperations(t *testing.T) {
	cases := readCases(t)
	for _, kind := range []struct {
		file     string
		channels int
		fill     []byte
	}{{"ops.png", 3, []byte{124, 116, 104}}, {"ops.grey.png", 1, []byte{116}}} {
		want := planar(t, "testdata/augment/"+kind.file, kind.channels)
		seen := map[string]int{}
		for i, c := range cases.Ops {
			p := planar(t, "testdata/augment/"+c.Picture+".png", kind.channels)
			for op, name := range operationNames {
				if name == c.Op {
					seen[name]++
					filter := picture.Bicubic
					if c.Filter == "bilinear" {
						filter = picture.Bilinear
					}
					operations[op].run(p, c.Arg, place{filter, kind.fill})
				}
			}
			if n, worst := differences(p.pix, want.band(i, p.h)); n > 0 {
				t.Errorf("%s, %s(%v) %s of %s: %d bytes differ, by up to %d",
					kind.file, c.Op, c.Arg, c.Filter, c.Picture, n, worst)
			}
		}
		if len(seen) != len(operations) || want.h != len(cases.Ops)*29 {
			t.Errorf("%s: %d of %d operations seen, %d rows of results for %d cases",
				kind.file, len(seen), len(operations), want.h, len(cases.Ops))
		}
	}
}

func TestLevels(t *testing.T) {
	seen := map[int]bool{}
	for _, c := range readCases(t).Levels {
		seen[c.Op] = true
		got := operations[c.Op].argument(c.Level/fullLevel, c.Increasing, c.Negative)
		want := c.Arg
		if c.Op == opPosterize { // timm goes on below no bits, which keeps as little
			want = max(want, 0)
		}
		if math.Abs(got-want) > 1e-15 {
			t.Errorf("%s at %v, increasing %v, negative %v: %v, timm has %v",
				operationNames[c.Op], c.Level, c.Increasing, c.Negative, got, want)
		}
	}
	if len(seen) != len(operations)-3 {
		t.Errorf("%d operations have an argument, want all but three", len(seen))
	}
}

func TestJitter(t *testing.T) {
	cases := readCases(t)
	want := planar(t, "testdata/augment/jitter.png", 3)
	for i, c := range cases.Jitter {
		p := planar(t, "testdata/augment/small.png", 3)
		p.adjust(c.Order, c.Factor)
		if n, worst := differences(p.pix, want.band(i, p.h)); n > 0 {
			t.Errorf("order %v, factors %v: %d bytes differ, by up to %d", c.Order, c.Factor, n, worst)
		}
	}

	// What is drawn: all orders, and factors evenly in 1 ± amount, which brightness alone shows on a picture that the
	// other two leave as it is.
	least, most, mean := math.Inf(1), 0.0, 0.0
	const rounds = 4000
	grey := &canvas{pix: make([]byte, 1), spare: make([]byte, 1), c: 1, h: 1, w: 1}
	for i := range rounds {
		grey.pix[0] = 100
		grey.jitter(0.4, Rand(1, 2, uint64(i)))
		v := float64(grey.pix[0])
		least, most, mean = min(least, v), max(most, v), mean+v/rounds
	}
	if least < 59 || least > 61 || most < 138 || most > 140 || math.Abs(mean-99.5) > 1.5 { // cut off, not rounded
		t.Errorf("100 became %v to %v, on average %v", least, most, mean)
	}
	grey.pix[0] = 100
	for i := range uint64(200) {
		grey.jitter(5, Rand(1, 3, i)) // factors not below 0
	}
}

// TestTones are cases worked by hand.
func TestTones(t *testing.T) {
	make1 := func(pix ...byte) *canvas {
		return &canvas{pix: pix, spare: make([]byte, len(pix)), c: 1, h: 1, w: len(pix)}
	}
	for _, c := range []struct {
		name     string
		do       func(*canvas)
		in, want []byte
	}{
		{"invert", (*canvas).invert, []byte{0, 10, 255}, []byte{255, 245, 0}},
		{"solarize 128", func(p *canvas) { p.solarize(128) }, []byte{127, 128, 255}, []byte{127, 127, 0}},
		{"solarize add 50", func(p *canvas) { p.solarizeAdd(50) }, []byte{0, 127, 128}, []byte{50, 177, 128}},
		{"posterize 2", func(p *canvas) { p.posterize(2) }, []byte{63, 64, 255}, []byte{0, 64, 192}},
		{"posterize 0", func(p *canvas) { p.posterize(0) }, []byte{63, 64, 255}, []byte{0, 0, 0}},
		{"posterize 8", func(p *canvas) { p.posterize(8) }, []byte{63, 64, 255}, []byte{63, 64, 255}},
		{"contrast of one value", func(p *canvas) { p.autoContrast() }, []byte{9, 9}, []byte{9, 9}},
		{"contrast", (*canvas).autoContrast, []byte{100, 101, 102}, []byte{0, 127, 255}},
		{"equalize of few", (*canvas).equalize, []byte{1, 2, 3}, []byte{1, 2, 3}}, // less than a pixel a level
		{"brightness", func(p *canvas) { p.brightness(1.5) }, []byte{0, 101, 200}, []byte{0, 151, 255}},
		{"contrast about the mean", func(p *canvas) { p.contrast(2) }, []byte{90, 100, 111}, []byte{80, 100, 122}},
		{"saturation of grey", func(p *canvas) { p.saturation(0) }, []byte{90, 100, 111}, []byte{90, 100, 111}},
		{"sharpness of a line", func(p *canvas) { p.sharpness(0) }, []byte{90, 100, 111}, []byte{90, 100, 111}},
		{"mirror", (*canvas).flip, []byte{1, 2, 3}, []byte{3, 2, 1}},
		{"to the right", func(p *canvas) { p.transform(translation(-1, 0), picture.Bicubic, []byte{7}) },
			[]byte{1, 2, 3}, []byte{7, 1, 2}},
		{"half a pixel", func(p *canvas) { p.transform(translation(0.5, 0), picture.Bilinear, []byte{7}) },
			[]byte{10, 20, 40}, []byte{15, 30, 7}},
	} {
		p := make1(bytes.Clone(c.in)...)
		c.do(p)
		if !bytes.Equal(p.pix, c.want) {
			t.Errorf("%s of %v: %v, want %v", c.name, c.in, p.pix, c.want)
		}
	}

	// 510 pixels of which one is brightest: a step of 1 (509/255 cut off), so each value becomes the number of pixels
	// below it.
	p := make1(bytes.Repeat([]byte{0}, 510)...)
	p.pix[509] = 200
	for i := range 100 {
		p.pix[i] = byte(i)
	}
	p.equalize() // 410 zeros, 99 others, and 200
	if p.pix[0] != 0 || p.pix[1] != 255 || p.pix[509] != 255 {
		t.Errorf("equalised: %d %d … %d", p.pix[0], p.pix[1], p.pix[509])
	}
}

// TestMapsOddSizes: no size of picture and no map reads outside of it, and what changes nothing changes nothing.
func TestMapsOddSizes(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {1, 9}, {9, 1}, {2, 2}, {3, 3}, {2, 17}} {
		for _, channels := range []int{1, 3} {
			h, w := size[0], size[1]
			for op := range operations {
				for _, level := range []float64{0, 3.3, 10, 30} {
					for _, filter := range []int{picture.Bilinear, picture.Bicubic} {
						p := &canvas{pix: spots(channels, h, w),
							spare: make([]byte, channels*h*w), c: channels, h: h, w: w}
						operations[op].run(p, operations[op].argument(level/fullLevel, true, level > 5),
							place{filter, []byte{1, 2, 3}})
						still := level == 0 && op != opAutoContrast &&
							op != opEqualize && op != opInvert && op != opPosterize
						if still && !bytes.Equal(p.pix, spots(channels, h, w)) {
							t.Errorf("%s at level 0 changed a picture of %v", operationNames[op], size)
						}
					}
				}
			}
		}
	}
}
