package report

import (
	"errors"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// gradient returns a sample of w×h pixels whose tokens have depths 1, 2, … layers
// again and again.
func gradient(w, h, channels, gridW, gridH, layers int) Sample {
	s := Sample{
		Width: w, Height: h, Channels: channels, GridW: gridW, GridH: gridH, Layers: layers, ClassDepth: layers,
		Pixels: make([]byte, w*h*channels), Depth: make([]int, gridW*gridH),
		Label: "coat", Predicted: "coat", Probability: 0.75,
	}
	for i := range s.Pixels {
		s.Pixels[i] = byte(i * 37)
	}
	for k := range s.Depth {
		s.Depth[k] = 1 + k%layers
	}
	return s
}

func distance(a, b color.RGBA) int {
	d := func(x, y uint8) int { return max(int(x), int(y)) - min(int(x), int(y)) }
	return max(d(a.R, b.R), d(a.G, b.G), d(a.B, b.B))
}

// oklab is a colour in B. Ottosson's Oklab space (2020): lightness and two opponent axes.
type oklab struct{ L, A, B float64 }

func toOklab(c color.RGBA) oklab {
	linear := func(v uint8) float64 { // undoes the sRGB transfer curve
		if x := float64(v) / 255; x > 0.04045 {
			return math.Pow((x+0.055)/1.055, 2.4)
		}
		return float64(v) / 255 / 12.92
	}
	r, g, b := linear(c.R), linear(c.G), linear(c.B)
	l := math.Cbrt(0.4122214708*r + 0.5363325363*g + 0.0514459929*b)
	m := math.Cbrt(0.2119034982*r + 0.6806995451*g + 0.1073969566*b)
	s := math.Cbrt(0.0883024619*r + 0.2817188376*g + 0.6299787005*b)
	return oklab{
		0.2104542553*l + 0.7936177850*m - 0.0040720468*s,
		1.9779984951*l - 2.4285922050*m + 0.4505937099*s,
		0.0259040371*l + 0.7827717662*m - 0.8086757660*s,
	}
}

func TestScaleIsOrderedByLightness(t *testing.T) {
	last := -1.0
	for i := range 101 {
		l := toOklab(scaleColor(float64(i) / 100)).L
		if l <= last {
			t.Fatalf("lightness %.4f at %d %% is not above %.4f", l, i, last)
		}
		last = l
	}
	if scaleColor(-5) != scaleColor(0) || scaleColor(7) != scaleColor(1) || scaleColor(math.NaN()) != goneRGB {
		t.Error("values off the scale are not clamped, or NaN is not grey")
	}
}

func TestDepthColorsDiffer(t *testing.T) {
	for _, layers := range []int{1, 2, 6, 12, 24} {
		seen := map[color.RGBA]int{}
		for d := range layers + 1 {
			c := depthColor(float64(d), layers)
			if other, ok := seen[c]; ok {
				t.Errorf("%d blocks: depths %d and %d have the same colour", layers, other, d)
			}
			seen[c] = d
		}
	}
}

func TestFrame(t *testing.T) {
	for _, channels := range []int{1, 3} {
		s := gradient(28, 28, channels, 7, 7, 12)
		plain := resize(s, 84)
		for layer := 1; layer <= 12; layer++ {
			img := frame(s, layer, 84)
			for y := range 84 {
				for x := range 84 {
					got, alive := img.RGBAAt(x, y), s.Depth[y/12*7+x/12] >= layer
					switch {
					case alive && got != plain.RGBAAt(x, y):
						t.Fatalf("block %d: pixel %d,%d of a token that runs is %v, in the image %v",
							layer, x, y, got, plain.RGBAAt(x, y))
					case !alive && distance(got, goneRGB) > 30:
						t.Fatalf("block %d: pixel %d,%d of a token that is gone is %v", layer, x, y, got)
					}
				}
			}
		}
	}
}

// TestFrameOfEndedImage: an image that has ended is pale as a whole, unlike one whose patches halted.
func TestFrameOfEndedImage(t *testing.T) {
	s := gradient(28, 28, 3, 7, 7, 12)
	s.ClassDepth = 5
	if img := frame(s, 5, 84); img.RGBAAt(50, 2) != resize(s, 84).RGBAAt(50, 2) ||
		distance(img.RGBAAt(2, 2), goneRGB) > 30 {
		t.Error("in its last block the image does not look as while it runs")
	}
	img := frame(s, 6, 84)
	for i := 0; i < len(img.Pix); i += 4 {
		if distance(color.RGBA{img.Pix[i], img.Pix[i+1], img.Pix[i+2], 255}, rgb(0xffffff)) > 31 {
			t.Fatalf("byte %d of an image that has ended: %v", i, img.Pix[i:i+4])
		}
	}
}

func TestDepthMapColors(t *testing.T) {
	s := gradient(28, 28, 1, 7, 7, 12)
	for i := range s.Pixels { // both extremes of the ground
		s.Pixels[i] = byte(255 * (i % 2))
	}
	img := depthMap(s, 224)
	for k, d := range s.Depth {
		// The middle of the patch, away from the lines between patches.
		got := img.RGBAAt(k%7*32+16, k/7*32+16)
		nearest, best := 0, math.MaxInt
		for e := 1; e <= 12; e++ {
			a, b := toOklab(got), toOklab(depthColor(float64(e), 12))
			// Chroma only: lightness is the image's as well.
			if q := int(1e6 * (math.Pow(a.A-b.A, 2) + math.Pow(a.B-b.B, 2))); q < best {
				nearest, best = e, q
			}
		}
		if distance(got, depthColor(float64(d), 12)) > 64 || nearest < d-2 || nearest > d+2 {
			t.Errorf("token %d of depth %d looks like depth %d: %v", k, d, nearest, got)
		}
	}
}

func TestNearestNeighbour(t *testing.T) {
	s := gradient(5, 3, 3, 1, 1, 2)
	img := resize(s, 23)
	if img.Rect.Dx() != 20 || img.Rect.Dy() != 12 {
		t.Fatalf("5×3 at size 23 gave %v, want 20×12", img.Rect)
	}
	for y := range 12 {
		for x := range 20 {
			i := 3 * (y/4*5 + x/4)
			if want := (color.RGBA{s.Pixels[i], s.Pixels[i+1], s.Pixels[i+2], 255}); img.RGBAAt(x, y) != want {
				t.Fatalf("pixel %d,%d is %v, want %v", x, y, img.RGBAAt(x, y), want)
			}
		}
	}
}

func TestShrinking(t *testing.T) {
	s := gradient(224, 160, 3, 14, 10, 12)
	for i := range s.Pixels {
		s.Pixels[i] = 200
	}
	img := resize(s, 56)
	if img.Rect.Dx() != 56 || img.Rect.Dy() != 40 {
		t.Fatalf("got %v, want 56×40", img.Rect)
	}
	if c := img.RGBAAt(20, 20); distance(c, color.RGBA{200, 200, 200, 255}) > 1 {
		t.Errorf("an even grey of 200 became %v", c)
	}
}

// TestPicturesOfOddSamples draws everything for samples at the edges.
func TestPicturesOfOddSamples(t *testing.T) {
	never := gradient(8, 8, 1, 2, 2, 3)
	never.Depth = []int{0, 0, 0, 0}
	long := gradient(28, 28, 1, 7, 7, 12)
	long.Title = strings.Repeat("a very long title ", 50)
	long.Predicted = "line\nbreak\x1b[31m"
	unknown := gradient(28, 28, 1, 7, 7, 12)
	unknown.Label, unknown.Predicted, unknown.Probability = "", "", math.NaN()
	for name, s := range map[string]Sample{
		"one token":        gradient(4, 4, 1, 1, 1, 1),
		"one pixel":        gradient(1, 1, 3, 1, 1, 2),
		"no patch token":   gradient(6, 6, 3, 0, 0, 4),
		"none ran":         never,
		"long title":       long,
		"nothing known":    unknown,
		"uneven grid":      gradient(30, 17, 3, 7, 5, 12),
		"wide":             gradient(400, 3, 3, 20, 1, 5),
		"tall":             gradient(3, 400, 3, 1, 20, 5),
		"deeper than 24":   gradient(28, 28, 1, 7, 7, 40),
		"photograph sized": gradient(224, 224, 3, 14, 14, 12),
	} {
		t.Run(name, func(t *testing.T) {
			for what, draw := range map[string]func() (*image.RGBA, error){
				"map":   func() (*image.RGBA, error) { return depthMap(s, 64), nil },
				"panel": func() (*image.RGBA, error) { return Panel(s, 100) },
				"montage": func() (*image.RGBA, error) {
					return Montage([]Sample{s, s}, FigureOptions{Title: "t", Size: 40})
				},
			} {
				img, err := draw()
				if err != nil {
					t.Errorf("%s: %v", what, err)
				} else if img.Rect.Empty() {
					t.Errorf("%s: empty", what)
				}
			}
		})
	}
}

func TestBadSamples(t *testing.T) {
	good := func() Sample { return gradient(28, 28, 1, 7, 7, 12) }
	for name, spoil := range map[string]func(*Sample){
		"no size":          func(s *Sample) { s.Width = 0 },
		"negative":         func(s *Sample) { s.Height = -28 },
		"huge":             func(s *Sample) { s.Width = 1 << 40 },
		"two channels":     func(s *Sample) { s.Channels = 2 },
		"few pixels":       func(s *Sample) { s.Pixels = s.Pixels[1:] },
		"no pixels":        func(s *Sample) { s.Pixels = nil },
		"no blocks":        func(s *Sample) { s.Layers = 0 },
		"too many blocks":  func(s *Sample) { s.Layers = 1 << 30 },
		"grid and depth":   func(s *Sample) { s.GridW = 8 },
		"negative grid":    func(s *Sample) { s.GridW, s.GridH = -7, -7 },
		"finer than image": func(s *Sample) { s.GridW, s.GridH = 49, 1 },
		"too deep":         func(s *Sample) { s.Depth[3] = 13 },
		"negative depth":   func(s *Sample) { s.Depth[3] = -1 },
		"class too deep":   func(s *Sample) { s.ClassDepth = 13 },
	} {
		s := good()
		spoil(&s)
		for what, f := range map[string]func() error{
			"panel":   func() error { _, err := Panel(s, 0); return err },
			"montage": func() error { _, err := Montage([]Sample{good(), s}, FigureOptions{}); return err },
			"page":    func() error { _, err := HTML(Page{Samples: []Sample{s}}); return err },
		} {
			if err := f(); !errors.Is(err, ErrSample) {
				t.Errorf("%s, %s: error %v, want ErrSample", name, what, err)
			}
		}
	}
	other := gradient(28, 28, 1, 7, 7, 6)
	if _, err := Montage([]Sample{good(), other}, FigureOptions{}); !errors.Is(err, ErrSample) {
		t.Errorf("models of different depth in one montage: error %v", err)
	}
	if _, err := Montage(nil, FigureOptions{}); err == nil {
		t.Error("a montage of nothing: no error")
	}
	if _, err := Montage(make([]Sample, 1), FigureOptions{}); err == nil {
		t.Error("a montage of an empty sample: no error")
	}
}

// TestMontageLegend finds every depth's own colour in the figure, which the
// blended maps do not hold.
func TestMontageLegend(t *testing.T) {
	for i, layers := range []int{1, 2, 12, 24} {
		s, first := gradient(28, 28, 1, 7, 7, layers), i%2
		s.Depth[0] = first // 0 as where a cap lets no more tokens start
		for name, draw := range map[string]func() (*image.RGBA, error){
			"montage": func() (*image.RGBA, error) { return Montage([]Sample{s}, FigureOptions{}) },
			"panel":   func() (*image.RGBA, error) { return Panel(s, 0) },
		} {
			img, err := draw()
			if err != nil {
				t.Fatal(err)
			}
			seen := map[color.RGBA]int{}
			for y := range img.Rect.Dy() {
				for x := range img.Rect.Dx() {
					seen[img.RGBAAt(x, y)]++
				}
			}
			for d := range layers + 1 {
				if n := seen[depthColor(float64(d), layers)]; (n < 20) != (d < first) {
					t.Errorf("%s of %d blocks from %d: %d pixels of depth %d's own colour", name, layers, first, n, d)
				}
			}
		}
	}
}

func TestPickFrames(t *testing.T) {
	for layers := 1; layers < 60; layers++ {
		for _, most := range []int{1, 2, 6, 12, 24} {
			got := pickFrames(layers, most)
			if len(got) != min(layers, most) || got[0] != 1 || most > 1 && got[len(got)-1] != layers {
				t.Fatalf("%d blocks, at most %d: %v", layers, most, got)
			}
			for i := 1; i < len(got); i++ {
				if got[i] <= got[i-1] {
					t.Fatalf("%d blocks, at most %d: %v is not rising", layers, most, got)
				}
			}
		}
	}
}

func TestDescribe(t *testing.T) {
	s := gradient(28, 28, 1, 7, 7, 12)
	s.Depth = make([]int, 49)
	for k := range s.Depth {
		s.Depth[k] = 3
	}
	s.ClassDepth = 8
	if got, want := s.meanDepth(), (49*3+8)/50.0; got != want {
		t.Errorf("mean depth %v, want %v", got, want)
	}
	if s.alive(3) != 49 || s.alive(4) != 0 {
		t.Errorf("alive in block 3: %d, in 4: %d", s.alive(3), s.alive(4))
	}
	text := func() string {
		var all []string
		for _, l := range s.describe() {
			all = append(all, l.Text)
		}
		return strings.Join(all, "|")
	}
	if got, want := text(), "coat|coat 75 %|3.1 of 12 blocks|ended in block 8"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.Predicted = "shirt"
	if got, want := text(), "coat|wrong: shirt 75 %|3.1 of 12 blocks|ended in block 8"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.Title = "a.png"
	if got, want := text(), "a.png|shirt 75 %, not coat|3.1 of 12 blocks|ended in block 8"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.Label, s.Probability, s.ClassDepth = "", math.NaN(), 12
	if got, want := text(), "a.png|shirt|3.2 of 12 blocks"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestInterleave(t *testing.T) {
	got := Interleave([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 3, 2, 2)
	if want := "\x01\x05\x09\x02\x06\x0a\x03\x07\x0b\x04\x08\x0c"; string(got) != want {
		t.Errorf("got % x, want % x", got, want)
	}
}

func TestWritePNG(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.png")
	img := depthMap(gradient(28, 28, 3, 7, 7, 12), 112)
	if err := WritePNG(path, img); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	back, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	for y := range 112 {
		for x := range 112 {
			if color.RGBAModel.Convert(back.At(x, y)) != img.At(x, y) {
				t.Fatalf("pixel %d,%d is %v, was %v", x, y, back.At(x, y), img.At(x, y))
			}
		}
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := encodePNG(img)
	if err != nil {
		t.Fatal(err)
	}
	if !WrotePNG(written) || WrotePNG(foreign) || WrotePNG(nil) {
		t.Errorf("it wrote %v, %v, %v; want the first alone", WrotePNG(written), WrotePNG(foreign), WrotePNG(nil))
	}
	missing := filepath.Join(dir, "no", "such", "folder.png")
	if err := WritePNG(missing, img); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("into a folder that is not there: error %v", err)
	}
	for _, bad := range []*image.RGBA{nil, image.NewRGBA(image.Rectangle{})} {
		if err := WritePNG(filepath.Join(dir, "b.png"), bad); err == nil {
			t.Error("an empty picture was written")
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("the folder holds %v, want a.png alone", left)
	}
}
