package data

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/adavit/adavit/picture"
)

// photos is a Dataset of pictures of different sizes, some of them damaged.
type photos struct {
	pictures []image.Image
	damaged  []int
}

func (d photos) Len() int                            { return len(d.pictures) }
func (d photos) Label(i int) int                     { return i }
func (d photos) Classes() []string                   { return make([]string, len(d.pictures)) }
func (d photos) Size() (channels, height, width int) { return 0, 0, 0 }
func (d photos) Pixels(dst []byte, i int) error      { return errors.New("no common size") }
func (d photos) Image(i int, _ picture.Decoding) (img image.Image, e error) {
	if slices.Contains(d.damaged, i) {
		return nil, errors.New("damaged")
	}
	return d.pictures[i], nil
}

func testPhotos(t testing.TB) photos {
	grey := image.NewGray(image.Rect(0, 0, 50, 40))
	for i := range grey.Pix {
		grey.Pix[i] = byte(i * 7)
	}
	palette := image.NewPaletted(image.Rect(3, 4, 33, 70),
		color.Palette{color.Black, color.White, color.NRGBA{200, 10, 60, 255}})
	for i := range palette.Pix {
		palette.Pix[i] = byte(i / 5 % 3)
	}
	return photos{pictures: []image.Image{mustDecode(t, "../picture/testdata/chelsea.png"),
		mustDecode(t, "../picture/testdata/rocket.jpg"), grey, palette}}
}

// imagenet is the augmentation of timm's recipe.
func imagenet() Augment {
	crop := DefaultCrop()
	return Augment{Flip: true, RandomResizedCrop: &crop, RandAugment: "rand-m9-mstd0.5-inc1",
		ColorJitter: 0.4, EraseProb: 0.25, EraseMax: 1. / 3,
		EraseMode: ErasePixels}
}

func mustAugment(t testing.TB, a Augment, d Dataset, p picture.Preprocessor, channels, height, width int) *Augmenter {
	t.Helper()
	g, err := NewAugmenter(a, d, p, channels, height, width)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func load(t testing.TB, g *Augmenter, i int, stream uint64) []float32 {
	t.Helper()
	dst := make([]float32, g.shape.values())
	if _, err := g.Load(dst, i, Rand(1, stream, uint64(i))); err != nil {
		t.Fatal(err)
	}
	return dst
}

// TestAugmenterAsApply: with Augment's first fields alone an Augmenter gives the bits that Apply gives of the fitted
// pictures.
func TestAugmenterAsApply(t *testing.T) {
	const h, w = 24, 32
	d := testPhotos(t)
	for _, channels := range []int{1, 3} {
		p := picture.DefaultPreprocessor(h, w, channels)
		fit, err := Fit(d, p, channels, h, w)
		if err != nil {
			t.Fatal(err)
		}
		mean, std := p.MeanStd(channels)
		for _, a := range []Augment{{}, {Shift: 2, Flip: true, EraseProb: 0.5, EraseMax: 0.3},
			{Affine: 0.2, Flip: true}, {EraseProb: 1, EraseMax: 0.2, EraseMode: ErasePixels}} {
			fromWhole, fromFitted := mustAugment(t, a, d, p, channels, h, w), mustAugment(t, a, fit, p, channels, h, w)
			pixels, want := make([]byte, channels*h*w), make([]float32, channels*h*w)
			for i := range d.Len() {
				if err := fit.Pixels(pixels, i); err != nil {
					t.Fatal(err)
				}
				a.Apply(want, pixels, channels, h, w, mean, std, Rand(1, 2, uint64(i)))
				if !slices.Equal(load(t, fromWhole, i, 2), want) || !slices.Equal(load(t, fromFitted, i, 2), want) {
					t.Errorf("%d channels, %+v, picture %d: not what Apply gives", channels, a, i)
				}
			}
		}
	}
}

// TestAugmenterSteps rebuilds each step's result from the steps' own functions and the same stream of random numbers.
func TestAugmenterSteps(t *testing.T) {
	const h, w, channels = 24, 32, 3
	d := testPhotos(t)
	p := picture.DefaultPreprocessor(h, w, channels)
	mean, std := p.MeanStd(channels)
	full := imagenet()
	for name, change := range map[string]func(a *Augment){
		"all":            func(a *Augment) {},
		"jitter as well": func(a *Augment) { a.ColorJitterAlways = true },
		"jitter alone":   func(a *Augment) { a.RandAugment = "" },
		"crop alone":     func(a *Augment) { *a = Augment{RandomResizedCrop: a.RandomResizedCrop, Flip: true} },
		"no crop":        func(a *Augment) { a.RandomResizedCrop = nil },
		"bilinear": func(a *Augment) {
			crop := DefaultCrop()
			crop.Interpolation = "bilinear"
			a.RandomResizedCrop = &crop
		},
	} {
		a := full
		change(&a)
		g := mustAugment(t, a, d, p, channels, h, w)
		policy, _ := ParseRandAugment(a.RandAugment)
		filter := picture.Bicubic
		if name == "bilinear" {
			filter = picture.Bilinear
		}
		for i := range d.Len() * 5 {
			i %= d.Len()
			rng := Rand(1, 9, uint64(i))
			pic := &canvas{pix: make([]byte, channels*h*w), spare: make([]byte, channels*h*w), c: channels, h: h, w: w}
			img := d.pictures[i]
			if a.RandomResizedCrop != nil {
				kept := a.RandomResizedCrop.draw(img.Bounds().Dy(), img.Bounds().Dx(), rng)
				if err := picture.ResizePart(pic.pix, img, kept, channels, h, w, filter); err != nil {
					t.Fatal(err)
				}
			} else if err := p.Bytes(pic.pix, img, channels, h, w); err != nil {
				t.Fatal(err)
			}
			if name != "crop alone" {
				if rng.Uint64()&1 == 1 {
					pic.flip()
				}
				a.Flip = false
			}
			if a.RandAugment != "" {
				policy.apply(pic, place{filter, []byte{124, 116, 104}}, rng)
			}
			if name == "jitter as well" || name == "jitter alone" {
				pic.jitter(0.4, rng)
			}
			want := make([]float32, channels*h*w)
			a.Apply(want, pic.pix, channels, h, w, mean, std, rng)
			if !slices.Equal(load(t, g, i, 9), want) {
				t.Errorf("%s: picture %d differs", name, i)
			}
		}
	}
}

// TestAugmenterWorkers: several goroutines give what one gives.
func TestAugmenterWorkers(t *testing.T) {
	const h, w, rounds = 32, 32, 24
	d := testPhotos(t)
	for _, channels := range []int{1, 3} {
		g := mustAugment(t, imagenet(), d, picture.DefaultPreprocessor(h, w, channels), channels, h, w)
		want := make([][]float32, rounds)
		for k := range want {
			want[k] = load(t, g, k%d.Len(), uint64(k))
		}
		var wait sync.WaitGroup
		for worker := range 4 {
			wait.Go(func() {
				dst := make([]float32, channels*h*w)
				for n := range rounds {
					k := (n*5 + worker) % rounds
					if _, err := g.Load(dst, k%d.Len(), Rand(1, uint64(k), uint64(k%d.Len()))); err != nil {
						t.Error(err)
					} else if !slices.Equal(dst, want[k]) {
						t.Errorf("picture %d of worker %d differs", k, worker)
					}
				}
			})
		}
		wait.Wait()
		if slices.Equal(want[0], want[4]) || slices.Equal(want[1], want[5]) {
			t.Error("two streams gave one picture")
		}
		for k, x := range want {
			for i, v := range x {
				if v-v != 0 || math.Abs(float64(v)) > 10 {
					t.Fatalf("picture %d: value %d is %v", k, i, v)
				}
			}
		}
	}
}

// TestAugmenterDamaged: the label is that of the picture that was given in the place of a damaged one.
func TestAugmenterDamaged(t *testing.T) {
	d := testPhotos(t)
	d.damaged = []int{1, 2}
	for name, a := range map[string]Augment{"crop": imagenet(), "no crop": {Flip: true}} {
		g := mustAugment(t, a, Tolerant(d, 0.5, nil), picture.DefaultPreprocessor(16, 16, 3), 3, 16, 16)
		dst := make([]float32, 3*16*16)
		for i, want := range []int{0, 3, 3, 3} {
			if label, err := g.Load(dst, i, Rand(1, 2, 3)); err != nil || label != want {
				t.Errorf("%s: picture %d has label %d, %v, want %d", name, i, label, err, want)
			}
		}
		if _, err := mustAugment(t, a, d, picture.DefaultPreprocessor(16, 16, 3),
			3, 16, 16).Load(dst, 1, Rand(1, 2, 3)); err == nil {
			t.Errorf("%s: a damaged picture passed", name)
		}
	}
}

func TestAugmenterErrors(t *testing.T) {
	d, p := testPhotos(t), picture.DefaultPreprocessor(16, 16, 3)
	for _, bad := range []Augment{{Shift: -1}, {RandAugment: "auto"},
		{RandAugment: "rand-x3"}, {ColorJitter: -1}, {ColorJitter: math.NaN()},
		{RandomResizedCrop: &RandomResizedCrop{}}, {EraseMode: "const"},
		{EraseCount: 2}, {EraseMode: ErasePixels, EraseCount: 1000}} {
		if _, err := NewAugmenter(bad, d, p, 3, 16, 16); err == nil {
			t.Errorf("%+v passed", bad)
		}
	}
	if _, err := NewAugmenter(Augment{}, d, p, 3, 16, 17); err == nil {
		t.Error("a size that the preprocessor does not make passed")
	}
	crop := DefaultCrop()
	five, err := NewBlock("five", make([]byte, 5*4), make([]byte, 1), 5, 2, 2, []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewAugmenter(Augment{RandomResizedCrop: &crop},
		five, picture.DefaultPreprocessor(2, 2, 1), 1, 2, 2); err == nil {
		t.Error("a crop of five channels passed")
	}
	g := mustAugment(t, imagenet(), d, p, 3, 16, 16)
	if _, err := g.Load(make([]float32, 3), 0, Rand(1, 2, 3)); err == nil {
		t.Error("too little room passed")
	}
	empty := photos{pictures: []image.Image{image.NewGray(image.Rectangle{})}}
	if _, err := mustAugment(t, imagenet(), empty, p, 3, 16,
		16).Load(make([]float32, 3*16*16), 0, Rand(1, 2, 3)); err == nil {
		t.Error("a picture without pixels passed")
	}
}

// TestErasePixels: where, how much, how often, and with what.
func TestErasePixels(t *testing.T) {
	const h, w, channels, rounds = 20, 30, 2, 3000
	for _, count := range []int{0, 3} {
		a := Augment{EraseProb: 0.25, EraseMax: 0.3, EraseMode: ErasePixels, EraseCount: count}
		erased, area, sum, square, n := 0, 0., 0., 0., 0
		dst := make([]float32, channels*h*w)
		for i := range rounds {
			clear(dst)
			a.erase(dst, channels, h, w, nil, nil, Rand(1, 2, uint64(i)))
			hit := 0
			for k, v := range dst[:h*w] {
				if (v != 0) != (dst[h*w+k] != 0) {
					t.Fatal("the channels' rectangles differ")
				}
				if v != 0 {
					hit++
				}
				for _, v := range []float32{v, dst[h*w+k]} {
					if v != 0 {
						sum, square, n = sum+float64(v), square+float64(v)*float64(v), n+1
					}
				}
			}
			if hit > 0 {
				erased++
				area += float64(hit) / (h * w)
			}
			if float64(hit) > 0.3*h*w*1.12 {
				t.Fatalf("%d of %d pixels erased", hit, h*w)
			}
		}
		if share := float64(erased) / rounds; math.Abs(share-0.25) > 0.03 {
			t.Errorf("count %d: erased %v of the pictures", count, share)
		}
		// Evenly from 0.02 to 0.3; the largest flat ones do not fit and are drawn anew, and several overlap.
		if mean := area / float64(erased); mean < 0.13 || mean > 0.165 {
			t.Errorf("count %d: erased %v of a picture on average", count, mean)
		}
		mean := sum / float64(n)
		if deviation := math.Sqrt(square/float64(n) - mean*mean); math.Abs(mean) > 0.02 ||
			math.Abs(deviation-1) > 0.02 {
			t.Errorf("noise of mean %v, deviation %v", mean, deviation)
		}
	}
	// By hand: a tenth of 20×30 is 60 pixels, in two rectangles 30 each; a square has sides of √30, and of 3:10 √9 and
	// √100.
	for _, c := range []struct {
		shape         float64
		height, width int
	}{{0.5, 5, 5}, {0, 3, 10}, {1, 10, 3}} {
		if eh, ew := eraseSides(h, w, 0.1, c.shape, 2); eh != c.height || ew != c.width {
			t.Errorf("shape %v: %d×%d, want %d×%d", c.shape, eh, ew, c.height, c.width)
		}
	}
	var small [4]float32 // nothing fits inside of 2×2 without touching both edges but a pixel
	Augment{EraseProb: 1, EraseMax: 1, EraseMode: ErasePixels}.erase(small[:], 1, 2, 2, nil, nil, Rand(1, 2, 3))
}

func BenchmarkAugmenter(b *testing.B) {
	d := testPhotos(b)
	crop := DefaultCrop()
	for _, c := range []struct {
		name string
		a    Augment
	}{{"crop", Augment{RandomResizedCrop: &crop, Flip: true}}, {"imagenet", imagenet()}} {
		b.Run(c.name, func(b *testing.B) {
			g := mustAugment(b, c.a, d, picture.DefaultPreprocessor(224, 224, 3), 3, 224, 224)
			dst := make([]float32, 3*224*224)
			i := uint64(0)
			for b.Loop() {
				i++
				if _, err := g.Load(dst, int(i%2), Rand(1, 2, i)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	p := &canvas{pix: bytes.Repeat(spots(3, 32, 32), 49), spare: make([]byte, 3*224*224), c: 3, h: 224, w: 224}
	for op, name := range operationNames {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				operations[op].run(p, operations[op].argument(9./fullLevel, true, false),
					place{picture.Bicubic, []byte{124, 116, 104}})
			}
		})
	}
}
