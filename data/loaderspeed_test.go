package data

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/adavit/adavit/picture"
)

// BenchmarkLoader is a run's supply of training images on all CPUs: photographs of 500×375 in JPEG files of quality 90
// are read, decoded, augmented and made to 3×224×224 numbers, by cropping alone and in the way of ImageNet's recipe.
// ADAVIT_PHOTOS names a folder of other pictures, of which there are 64 or more.
func BenchmarkLoader(b *testing.B) {
	const batch = 64
	dir := os.Getenv("ADAVIT_PHOTOS")
	if dir == "" {
		dir = b.TempDir()
		writePhotos(b, dir, batch)
	}
	source, err := Find(dir)
	if err != nil {
		b.Fatal(err)
	}
	set, err := source.Open(Train)
	if err != nil {
		b.Fatal(err)
	}
	crop := DefaultCrop()
	for _, c := range []struct {
		name string
		a    Augment
	}{{"crop", Augment{RandomResizedCrop: &crop, Flip: true}}, {"imagenet", imagenet()}} {
		b.Run(c.name, func(b *testing.B) {
			g := mustAugment(b, c.a, set, picture.DefaultPreprocessor(224, 224, 3), 3, 224, 224)
			l := NewLoader(LoaderOptions{Items: batch, Batch: batch, Workers: runtime.GOMAXPROCS(0), Ahead: 2,
				Floats: 3 * 224 * 224, Load: func(_ context.Context, dst []float32, epoch, i int) (int, error) {
					return g.Load(dst, i, Rand(1, uint64(epoch), uint64(i)))
				}}, 0, 0)
			defer l.Close()
			for b.Loop() {
				if _, _, err := l.Next(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}

// writePhotos writes so many JPEG files into folders of four classes.
func writePhotos(b *testing.B, dir string, count int) {
	b.Helper()
	pix := make([]byte, 3*375*500)
	photo := mustDecode(b, "../picture/testdata/rocket.jpg")
	for i := range count {
		part := picture.Part{Top: i % 8 * 3, Left: i / 8 * 4, Height: 400, Width: 600}
		if err := picture.ResizePart(pix, photo, part, 3, 375, 500, picture.Bicubic); err != nil {
			b.Fatal(err)
		}
		img := image.NewRGBA(image.Rect(0, 0, 500, 375))
		for p := range 375 * 500 {
			copy(img.Pix[4*p:], []byte{pix[p], pix[375*500+p], pix[2*375*500+p], 255})
		}
		var file bytes.Buffer
		if err := jpeg.Encode(&file, img, &jpeg.Options{Quality: 90}); err != nil {
			b.Fatal(err)
		}
		name := filepath.Join(dir, fmt.Sprintf("class %d", i%4), fmt.Sprintf("%d.jpg", i))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(name, file.Bytes(), 0o666); err != nil {
			b.Fatal(err)
		}
	}
}
