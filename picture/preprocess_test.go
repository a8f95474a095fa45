package picture

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The expected pictures in testdata were made by Pillow (decode, convert, resize) and torchvision's rules for the
// shortest edge and the centre crop.

func mustDecode(t testing.TB, path string) image.Image {
	t.Helper()
	img, err := DecodeFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func mustParse(t testing.TB, config string) Preprocessor {
	t.Helper()
	p, err := ParsePreprocessor("test", []byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// compare preprocesses img to the size of want, an opaque PNG, and returns the largest and the mean difference of a
// byte.
func compare(t *testing.T, p Preprocessor, img image.Image, channels int, want image.Image) (worst int, mean float64) {
	t.Helper()
	h, w := want.Bounds().Dy(), want.Bounds().Dx()
	got := make([]byte, channels*h*w)
	if err := p.Bytes(got, img, channels, h, w); err != nil {
		t.Fatal(err)
	}
	sum := 0
	for y := range h {
		for x := range w {
			r, g, b, _ := want.At(x, y).RGBA()
			for c, v := range []uint32{r, g, b}[:channels] {
				d := int(got[(c*h+y)*w+x]) - int(v>>8)
				worst = max(worst, d, -d)
				sum += max(d, -d)
			}
		}
	}
	return worst, float64(sum) / float64(len(got))
}

const deitConfig = `{"size": %s, "crop_size": %s, "do_center_crop": true, "resample": %d}`

func TestResizeAsPillow(t *testing.T) {
	for _, c := range []struct {
		source, want, config string
		channels, worst      int
		mean                 float64
	}{
		{"chelsea.png", "chelsea.png.bicubic_256_224", fmt.Sprintf(deitConfig, "256", "224", 3), 3, 0, 0},
		{"chelsea.png", "chelsea.png.bicubic_248_224", `{"size": 224, "crop_pct": 0.9, "resample": 3}`, 3, 0, 0},
		{"chelsea.png", "chelsea.png.bilinear_256_224",
			fmt.Sprintf(deitConfig, `{"shortest_edge": 256}`, `{"height": 224, "width": 224}`, 2), 3, 0, 0},
		{"rocket.jpg", "rocket.jpg.bicubic_256_224", fmt.Sprintf(deitConfig, "256", "224", 3), 3, 0, 0},
		{"pillow/alpha.png", "pillow/resize.crop24.rgb", fmt.Sprintf(deitConfig, "27", "24", 3), 3, 0, 0},
		{"pillow/alpha.png", "pillow/resize.crop24.l", fmt.Sprintf(deitConfig, "27", "24", 3), 1, 0, 0},
		{"pillow/alpha.png", "pillow/resize.pad48.rgb", fmt.Sprintf(deitConfig, "37", "48", 2), 3, 0, 0},
		{"pillow/alpha.png", "pillow/resize.up96.rgb", fmt.Sprintf(deitConfig, "109", "96", 3), 3, 0, 0},
		{"pillow/alpha.png", "pillow/resize.squash.rgb", `{"size": {"height": 90, "width": 20}, "resample": 3}`,
			3, 0, 0},
		{"pillow/alpha.png", "pillow/resize.squash.l", `{"size": {"height": 90, "width": 20}, "resample": 2}`, 1, 0, 0},
	} {
		img, want := mustDecode(t, "testdata/"+c.source), mustDecode(t, "testdata/"+c.want+".png")
		worst, mean := compare(t, mustParse(t, c.config), img, c.channels, want)
		t.Logf("%-32s largest difference %d, mean %.4f", c.want, worst, mean)
		if worst > c.worst || mean > c.mean {
			t.Errorf("%s: want at most %d, mean %v", c.want, c.worst, c.mean)
		}
	}
}

// TestResizeAgainstFloat checks odd sizes against the plain sum in floating point, and that a window of a resized
// picture is the part of the whole.
func TestResizeAgainstFloat(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		h, w, ch := 1+rng.IntN(60), 1+rng.IntN(60), 1+2*rng.IntN(2)
		filter := Bilinear + rng.IntN(2)
		win := window{fullHeight: 1 + rng.IntN(80), fullWidth: 1 + rng.IntN(80), acrossFirst: true}
		pix := make([]byte, h*w*ch)
		for i := range pix {
			pix[i] = byte(rng.Uint32()) | byte(rng.IntN(2)*255) // often white, so that bicubic overshoots
		}
		img := image.Image(&image.Gray{Pix: pix, Stride: w, Rect: image.Rect(0, 0, w, h)})
		if ch == 3 {
			img = rgb(pix, h, w)
		}
		all := Part{0, 0, h, w}

		win.height, win.width = win.fullHeight, win.fullWidth
		whole := make([]byte, ch*win.height*win.width)
		if err := resize(whole, win.width, 0, img, all, ch, win, filter); err != nil {
			t.Fatal(err)
		}
		for y := range win.height {
			for x := range win.width {
				for c := range ch {
					want := floatResize(pix, h, w, ch, win.fullHeight, win.fullWidth, y, x, c, filter)
					got := float64(whole[(c*win.height+y)*win.width+x])
					if math.Abs(got-want) > 1.3 { // half a byte of each pass, the first one's times Σ|w|
						t.Fatalf("%d×%d→%d×%d filter %d at %d,%d: %v, want %v",
							h, w, win.fullHeight, win.fullWidth, filter, y, x, got, want)
					}
				}
			}
		}

		part := win
		part.top, part.left = rng.IntN(win.height), rng.IntN(win.width)
		part.height, part.width = 1+rng.IntN(win.height-part.top), 1+rng.IntN(win.width-part.left)
		got := make([]byte, ch*part.height*part.width)
		if err := resize(got, part.width, 0, img, all, ch, part, filter); err != nil {
			t.Fatal(err)
		}
		for c := range ch {
			for y := range part.height {
				a := got[(c*part.height+y)*part.width:][:part.width]
				b := whole[(c*win.height+part.top+y)*win.width+part.left:][:part.width]
				if string(a) != string(b) {
					t.Fatalf("row %d of window %+v differs from the whole", y, part)
				}
			}
		}
	}
}

// rgb is a picture of pix [h, w, 3].
func rgb(pix []byte, h, w int) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range h * w {
		copy(img.Pix[4*i:], pix[3*i:3*i+3])
	}
	return img
}

// floatResize is one resized value, rounded to a byte's range between the passes only.
func floatResize(pix []byte, h, w, ch, toH, toW, y, x, c, filter int) float64 {
	kernel, radius := cubic, 2.0
	if filter == Bilinear {
		kernel, radius = triangle, 1.0
	}
	along := func(n, to, at int, value func(i int) float64) float64 {
		if n == to {
			return value(at)
		}
		scale := float64(n) / float64(to)
		s := max(scale, 1)
		centre := (float64(at) + 0.5) * scale
		sum, total := 0.0, 0.0
		for i := range n {
			if d := (float64(i) + 0.5 - centre) / s; math.Abs(d) < radius {
				sum += kernel(d) * value(i)
				total += kernel(d)
			}
		}
		return min(max(sum/total, 0), 255)
	}
	return along(h, toH, y, func(i int) float64 {
		return along(w, toW, x, func(j int) float64 { return float64(pix[(i*w+j)*ch+c]) })
	})
}

func TestNormalize(t *testing.T) {
	p := mustParse(t, `{"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3]}`)
	src := []byte{0, 255, 7, 8, 100, 200}
	want := []float32{
		-0.1, 0.9,
		(7.0/255 - 0.2) / 2, (8.0/255 - 0.2) / 2,
		(100.0/255 - 0.3) / 3, (200.0/255 - 0.3) / 3,
	}
	got := make([]float32, 6)
	p.Normalize(got, src, 3, 1, 2)
	for i := range got {
		if math.Abs(float64(got[i]-want[i])) > 1e-6 {
			t.Errorf("value %d: %v, want %v", i, got[i], want[i])
		}
	}
	off := mustParse(t, `{"do_rescale": false, "do_normalize": false}`)
	off.Normalize(got, src, 3, 1, 2)
	for i := range got {
		if got[i] != float32(src[i]) {
			t.Errorf("value %d: %v, want the byte %d", i, got[i], src[i])
		}
	}
}

func TestCheck(t *testing.T) {
	if err := DefaultPreprocessor(224, 160, 3).Check(3, 224, 160); err != nil {
		t.Error(err)
	}
	if err := DefaultPreprocessor(28, 28, 1).Check(1, 28, 28); err != nil {
		t.Error(err)
	}
	for want, err := range map[string]error{
		"makes pictures of 224×224, the model takes 32×32": mustParse(t, `{}`).Check(3, 32, 32),
		"makes pictures of 16×16, the model takes 32×32": mustParse(t, fmt.Sprintf(deitConfig, "40", "16", 3)).
			Check(3, 32, 32),
		"2 channels": mustParse(t, `{}`).Check(2, 224, 224),
		"image_mean has 3 numbers, the model 1 channels": mustParse(t, `{"image_mean": [1, 2, 3]}`).Check(1, 224, 224),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	// What only the picture can tell: the shortest edge without a crop.
	p := mustParse(t, `{"size": {"shortest_edge": 8}}`)
	if err := p.Check(1, 8, 8); err != nil {
		t.Error(err)
	}
	dst := make([]float32, 64)
	if err := p.Apply(dst, image.NewGray(image.Rect(0, 0, 10, 10)), 1, 8, 8); err != nil {
		t.Error(err)
	}
	if err := p.Apply(dst, image.NewGray(image.Rect(0, 0, 20, 10)), 1, 8, 8); err == nil ||
		!strings.Contains(err.Error(), "16×8") {
		t.Errorf("error %v, want one about 16×8", err)
	}
	if err := p.Apply(dst, image.NewGray(image.Rectangle{}), 1, 8, 8); err == nil {
		t.Error("an empty picture was accepted")
	}
}

// BenchmarkApply is DeiT's preprocessing of a photograph, decoding counted apart.
func BenchmarkApply(b *testing.B) {
	img := mustDecode(b, "testdata/rocket.jpg")
	p := DefaultPreprocessor(224, 224, 3)
	dst := make([]float32, 3*224*224)
	b.Run("resize", func(b *testing.B) {
		for b.Loop() {
			if err := p.Apply(dst, img, 3, 224, 224); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		file, err := os.ReadFile("testdata/rocket.jpg")
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := Decode("rocket.jpg", strings.NewReader(string(file))); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestCover compares pictures for a model that takes no squares with timm 1.0.31's evaluation transform
// (transforms_imagenet_eval, bicubic, Pillow 13), which made NAME_HxW_PCT.png of chelsea.png and of its transpose: no
// byte may differ, and there are no bars.
func TestCover(t *testing.T) {
	wide := mustDecode(t, "testdata/chelsea.png")
	tall := image.NewNRGBA(image.Rect(0, 0, wide.Bounds().Dy(), wide.Bounds().Dx()))
	for y := range wide.Bounds().Dy() {
		for x := range wide.Bounds().Dx() {
			tall.Set(y, x, wide.At(x, y))
		}
	}
	for name, img := range map[string]image.Image{"wide": wide, "tall": tall} {
		for _, c := range []struct {
			height, width int
			share         float64
			file          string
		}{{32, 48, 0.9, "32x48_0.9"}, {80, 56, 0.875, "80x56_0.875"}, {30, 31, 1, "30x31_1.0"}} {
			want := mustDecode(t, "testdata/rect/"+name+"_"+c.file+".png")
			p := DefaultPreprocessor(224, 224, 3).Keeping(c.share, c.height, c.width)
			if worst, mean := compare(t, p, img, 3, want); worst > 0 {
				t.Errorf("%s, %s: differs from timm by up to %d, by %.4f on average", name, c.file, worst, mean)
			}
		}
	}
}

// TestKeeping: a share of 1 keeps every edge of a square picture, one of 0.875 is DeiT's, and no other setting changes.
func TestKeeping(t *testing.T) {
	deit := DefaultPreprocessor(224, 224, 3)
	if diff := cmp.Diff(deit, deit.Keeping(1, 224, 224).Keeping(0.875, 224, 224)); diff != "" {
		t.Errorf("0.875 is not DeiT's (- want, + got):\n%s", diff)
	}
	for _, c := range []struct {
		share                float64
		height, width, above int // the rows of a picture twice the model's size, white above, that are seen
	}{{1, 20, 20, 2}, {0.5, 20, 20, 0}, {1, 20, 30, 2}} {
		img := image.NewGray(image.Rect(0, 0, 2*c.width, 2*c.height))
		for i := range 2 * c.width * 4 { // four rows, which become two
			img.Pix[i] = 255
		}
		p := Preprocessor{CropPct: 0.3, Resample: Bilinear}.Keeping(c.share, c.height, c.width)
		got := make([]byte, c.height*c.width)
		if err := p.Bytes(got, img, 1, c.height, c.width); err != nil {
			t.Fatal(err)
		}
		white := 0
		for y := range c.height {
			if got[y*c.width+c.width/2] > 127 {
				white++
			}
		}
		if white != c.above {
			t.Errorf("%v of a picture for %d×%d: %d white rows, want %d", c.share, c.width, c.height, white, c.above)
		}
	}
}

// TestCropDown: where a crop cannot lie in the middle, transformers (5.24.0) takes the pixel before it; torchvision and
// timm round half to even.
func TestCropDown(t *testing.T) {
	img := image.NewGray(image.Rect(0, 0, 27, 8))
	for i := range img.Pix {
		img.Pix[i] = byte(i % 27)
	}
	const config = `"do_resize": false, "do_center_crop": true, "crop_size": 8`
	for head, want := range map[string]byte{
		`{`: 10, `{"image_processor_type": "BitImageProcessor", `: 9, `{"feature_extractor_type": "DeiT", `: 9,
		`{"image_processor_type": "ViTImageProcessor", "crop_pct": 0.9, `: 10, `{"crop_down": true, `: 9,
		`{"image_processor_type": "BitImageProcessor", "crop_down": false, `: 10,
	} {
		p := mustParse(t, head+config+"}")
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []Preprocessor{p, mustParse(t, string(b))} {
			got := make([]byte, 64)
			if err := p.Bytes(got, img, 1, 8, 8); err != nil || got[0] != want {
				t.Errorf("%s: the crop begins at %d, want %d; %v", head, got[0], want, err)
			}
		}
	}
}
