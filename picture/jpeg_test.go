package picture

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/kernels"
)

// encoded is a JPEG file of a picture as image/jpeg writes it: 4:2:0, or grey.
func encoded(tb testing.TB, img image.Image, quality int) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// pixelsOf reads all rows of a picture.
func pixelsOf(img image.Image) []byte {
	r := readRows(img, 3)
	n := r.step * r.width
	pix := make([]byte, n*r.height)
	for y := range r.height {
		r.row(y, pix[n*y:][:n])
	}
	return pix
}

// TestJPEGPaths: pictures of many sizes, down to a pixel, have the same bytes on all paths, and samples that Go's own
// decoder does not see differently by more than its transform does.
func TestJPEGPaths(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 11))
	for trial := range 200 {
		width, height := 1+rng.IntN(50), 1+rng.IntN(20)
		img := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
		for _, plane := range [][]byte{img.Y, img.Cb, img.Cr} {
			level := rng.IntN(256)
			for i := range plane {
				plane[i] = clampByte(int32(level + rng.IntN(1+2*trial) - trial))
			}
		}
		file := encoded(t, img, 1+rng.IntN(100))
		want, err := jpeg.Decode(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		var first []byte
		for _, path := range kernels.Paths() {
			restore, err := kernels.Use(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode("x", bytes.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			pix := pixelsOf(got)
			restore()
			if first == nil {
				first = pix
			}
			if !bytes.Equal(pix, first) {
				t.Fatalf("%d×%d: %s differs from %s", width, height, path, kernels.Paths()[0])
			}
			a, b := got.(*image.YCbCr), want.(*image.YCbCr)
			for y := range height {
				for x := range width {
					i, j := a.COffset(x, y), b.COffset(x, y)
					for _, d := range []int{int(a.Y[a.YOffset(x, y)]) - int(b.Y[b.YOffset(x, y)]),
						int(a.Cb[i]) - int(b.Cb[j]), int(a.Cr[i]) - int(b.Cr[j])} {
						if d < -2 || d > 2 {
							t.Fatalf("%d×%d, %s: a sample at %d,%d differs by %d", width, height, path, x, y, d)
						}
					}
				}
			}
		}
	}
}

// BenchmarkJPEG decodes photographs and reads their rows as RGB, on all paths of this machine.
func BenchmarkJPEG(b *testing.B) {
	photo, err := os.ReadFile("testdata/rocket.jpg")
	if err != nil {
		b.Fatal(err)
	}
	small := image.NewRGBA(image.Rect(0, 0, 400, 300))
	planes := make([]byte, 3*400*300)
	whole := Part{Height: 427, Width: 640}
	if err := ResizePart(planes, mustDecode(b, "testdata/rocket.jpg"), whole, 3, 300, 400, Bicubic); err != nil {
		b.Fatal(err)
	}
	for i := range planes[:400*300] {
		copy(small.Pix[4*i:], []byte{planes[i], planes[400*300+i], planes[2*400*300+i], 255})
	}
	for _, c := range []struct {
		name string
		file []byte
	}{{"640×427", photo}, {"400×300", encoded(b, small, 75)}} {
		for _, path := range kernels.Paths() {
			b.Run(fmt.Sprintf("%s/%s", c.name, path), func(b *testing.B) {
				restore, err := kernels.Use(path)
				if err != nil {
					b.Fatal(err)
				}
				defer restore()
				for b.Loop() {
					img, err := Decode("x", bytes.NewReader(c.file))
					if err != nil {
						b.Fatal(err)
					}
					r := readRows(img, 3)
					line := make([]byte, r.step*r.width)
					for y := range r.height {
						r.row(y, line)
					}
				}
			})
		}
	}
}

// FuzzJPEG decodes files of all kinds of coding.
func FuzzJPEG(f *testing.F) {
	files, err := filepath.Glob("testdata/pillow/*.jpg")
	if err != nil || len(files) < 30 {
		f.Fatal(len(files), err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		most := limits{file: 1 << 16, pixels: 1 << 16, side: 1 << 12, scans: 20}
		if _, err := decodeImage("x", bytes.NewReader(b), most, true); err != nil &&
			strings.Contains(err.Error(), "panicked") {
			t.Fatal(err)
		}
	})
}
