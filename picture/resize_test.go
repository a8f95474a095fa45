package picture

import (
	"bufio"
	"bytes"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/adavit/adavit/internal/kernels"
)

// eachPath runs f on every implementation of the kernels that this machine has.
func eachPath(t *testing.T, f func(t *testing.T)) {
	for _, name := range kernels.Paths() {
		restore, err := kernels.Use(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, f)
		restore()
	}
}

// TestResizeAsPillowVersions resizes pictures of noise to sizes of all kinds. Pillow 13.0.0 and 12.3.0 made the
// checksums with Image.resize: a line has mode, width and height before and after, filter, and the checksums of both.
func TestResizeAsPillowVersions(t *testing.T) {
	file, err := os.ReadFile("testdata/resized.txt")
	if err != nil {
		t.Fatal(err)
	}
	eachPath(t, func(t *testing.T) {
		cases, differ := 0, 0
		for lines := bufio.NewScanner(bytes.NewReader(file)); lines.Scan(); cases++ {
			var mode string
			var w, h, toW, toH, filter int
			var newest, before uint32
			if _, err := fmt.Sscanf(lines.Text(), "%s %d %d %d %d %d %x %x",
				&mode, &w, &h, &toW, &toH, &filter, &newest, &before); err != nil {
				t.Fatal(err)
			}
			if newest != before {
				differ++
			}
			img, channels := noise(h, w, len(mode)), len(mode)
			p := Preprocessor{DoResize: true, Size: Size{Height: toH, Width: toW}, Resample: filter}
			for version, want := range map[int]uint32{0: newest, 13: newest, 12: before} {
				p.Pillow = version
				got := make([]byte, channels*toH*toW)
				if err := p.Bytes(got, img, channels, toH, toW); err != nil {
					t.Fatal(err)
				}
				if crc32.ChecksumIEEE(interleaved(got, channels)) != want {
					t.Errorf("%s: not the bytes of Pillow %d", lines.Text(), version)
				}
			}
		}
		if cases != 360 || differ != 96 {
			t.Errorf("%d pictures, of which %d depend on the version; want 360 and 96", cases, differ)
		}
	})
}

// noise is the picture of a generator that Python can follow, with a quarter of the bytes black and one white.
func noise(h, w, channels int) image.Image {
	pix := make([]byte, h*w*channels)
	s := uint32(len(pix))
	for i := range pix {
		s = s*1664525 + 1013904223
		pix[i] = [4]byte{0, 255, byte(s >> 24), byte(s >> 24)}[s>>8&3]
	}
	if channels == 1 {
		return &image.Gray{Pix: pix, Stride: w, Rect: image.Rect(0, 0, w, h)}
	}
	return rgb(pix, h, w)
}

// interleaved turns [channels, n] into [n, channels].
func interleaved(planes []byte, channels int) []byte {
	n := len(planes) / channels
	out := make([]byte, len(planes))
	for i, v := range planes {
		out[i%n*channels+i/n] = v
	}
	return out
}

// TestPartsOfPictures: a part of a picture of any kind, resized, is what comes of all of its pixels read first, and
// neighbours that interpolated colour needs count. That some columns are never read must not show.
func TestPartsOfPictures(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	fill := func(pix ...[]byte) {
		for _, b := range pix {
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
		}
	}
	for range 60 {
		h, w := 1+rng.IntN(60), 1+rng.IntN(60)
		at := image.Pt(rng.IntN(4), rng.IntN(4))
		bounds := image.Rectangle{at, at.Add(image.Pt(w, h))}
		gray, nrgba, rgba := image.NewGray(bounds), image.NewNRGBA(bounds), image.NewRGBA(bounds)
		deep, cmyk, paletted := image.NewNRGBA64(bounds), image.NewCMYK(bounds), image.NewPaletted(bounds, nil)
		fill(gray.Pix, nrgba.Pix, deep.Pix, cmyk.Pix, paletted.Pix)
		for i := range 256 {
			paletted.Palette = append(paletted.Palette, color.NRGBA{byte(i), byte(i * 7), byte(255 - i), 255})
		}
		for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
			for x := bounds.Min.X; x < bounds.Max.X; x++ {
				rgba.Set(x, y, nrgba.At(x, y))
			}
		}
		images := []image.Image{gray, nrgba, rgba, deep, cmyk, paletted, struct{ image.Image }{nrgba}}
		for ratio := image.YCbCrSubsampleRatio444; ratio <= image.YCbCrSubsampleRatio410; ratio++ {
			m := image.NewYCbCr(bounds, ratio)
			fill(m.Y, m.Cb, m.Cr)
			images = append(images, m)
		}
		p := Part{Top: rng.IntN(h), Left: rng.IntN(w)}
		p.Height, p.Width = 1+rng.IntN(h-p.Top), 1+rng.IntN(w-p.Left)
		toH, toW, filter := 1+rng.IntN(40), 1+rng.IntN(40), Bilinear+rng.IntN(2)
		for _, img := range images {
			for _, channels := range []int{1, 3} {
				got, want := make([]byte, channels*toH*toW), make([]byte, channels*toH*toW)
				if err := ResizePart(got, img, p, channels, toH, toW, filter); err != nil {
					t.Fatal(err)
				}
				if err := ResizePart(want, cutOut(img, p, channels), Part{0, 0, p.Height, p.Width},
					channels, toH, toW, filter); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%T of %v: part %+v to %d×%d×%d differs", img, bounds, p, channels, toW, toH)
				}
			}
		}
	}
}

// cutOut reads all of a picture, and keeps a part.
func cutOut(img image.Image, p Part, channels int) image.Image {
	src := readRows(img, channels)
	line := make([]byte, src.step*src.width)
	var pix []byte
	for y := range p.Height {
		src.row(p.Top+y, line)
		for x := range p.Width {
			pix = append(pix, line[(p.Left+x)*src.step:][:channels]...)
		}
	}
	if channels == 1 {
		return &image.Gray{Pix: pix, Stride: p.Width, Rect: image.Rect(0, 0, p.Width, p.Height)}
	}
	return rgb(pix, p.Height, p.Width)
}

// TestResizeAllocates: what stays of a picture's work is used for the next one.
func TestResizeAllocates(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 400, 300))
	p, dst := DefaultPreprocessor(224, 224, 3), make([]float32, 3*224*224)
	apply := func() {
		if err := p.Apply(dst, img, 3, 224, 224); err != nil {
			t.Fatal(err)
		}
	}
	apply()
	if got := testing.AllocsPerRun(20, apply); got > 8 {
		t.Errorf("%v allocations for a picture", got)
	}
}
