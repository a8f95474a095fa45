package report

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"slices"

	"golang.org/x/image/draw"

	"github.com/adavit/adavit/internal/atomicfile"
)

// How strongly a picture is covered, in 1/256: by the depth colours, and by the grey over a token that is gone.
const (
	depthShare = 190
	goneShare  = 225
)

// depthMap returns the image, in grey, under the map of its token depths. size is as for fit.
func depthMap(s Sample, size int) *image.RGBA {
	img := resize(s, size)
	eachPatch(s, img.Bounds(), func(k int, r image.Rectangle) {
		// Grey is pressed into the middle of its range: no black or white ground drags the colour off the legend's.
		cover(img, r, depthColor(float64(s.Depth[k]), s.Layers), depthShare, func(luma int) int { return 64 + luma/2 })
		seam(img, r)
	})
	return img
}

// frame returns the image with the patches greyed out whose token does not run in block layer; all of it is pale where
// the image had ended. size is as for fit.
func frame(s Sample, layer, size int) *image.RGBA {
	img := resize(s, size)
	if s.ended(layer) {
		cover(img, img.Rect, rgb(0xffffff), goneShare, func(luma int) int { return luma })
		return img
	}
	eachPatch(s, img.Bounds(), func(k int, r image.Rectangle) {
		if s.Depth[k] < layer {
			cover(img, r, goneRGB, goneShare, func(luma int) int { return luma })
		}
	})
	return img
}

// cover puts a colour over r, below which the image becomes grey.
func cover(img *image.RGBA, r image.Rectangle, c color.RGBA, share int, grey func(luma int) int) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			g := uint8(grey(luma(img.RGBAAt(x, y))))
			img.SetRGBA(x, y, blend(color.RGBA{g, g, g, 255}, c, share))
		}
	}
}

// eachPatch calls f with each patch token and its rectangle in bounds.
func eachPatch(s Sample, bounds image.Rectangle, f func(k int, r image.Rectangle)) {
	w, h := bounds.Dx(), bounds.Dy()
	for k := range s.Depth {
		x, y := k%s.GridW, k/s.GridW
		f(k, image.Rect(x*w/s.GridW, y*h/s.GridH, (x+1)*w/s.GridW, (y+1)*h/s.GridH).Add(bounds.Min))
	}
}

// seam darkens the left and upper edge of a patch a little, where patches are large enough for a line between them.
func seam(img *image.RGBA, r image.Rectangle) {
	if r.Dx() < 12 || r.Dy() < 12 {
		return
	}
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if x == r.Min.X && x > 0 || y == r.Min.Y && y > 0 {
				img.SetRGBA(x, y, blend(img.RGBAAt(x, y), rgb(0), 48))
			}
		}
	}
}

// fit returns the size at which a w×h image is drawn when its longer side should be about size: enlarged by a
// whole factor with every pixel kept sharp (so it may be smaller than size), or reduced to exactly size. size ≤ 0
// leaves it as it is.
func fit(w, h, size int) (int, int) {
	longer := max(w, h)
	switch {
	case size <= 0 || size == longer:
		return w, h
	case size > longer:
		k := max(min(size, maxSide)/longer, 1)
		return w * k, h * k
	default:
		return max(1, (w*size+longer/2)/longer), max(1, (h*size+longer/2)/longer)
	}
}

// resize returns the sample's image as RGBA at the size that fit gives.
func resize(s Sample, size int) *image.RGBA {
	src := image.NewRGBA(image.Rect(0, 0, s.Width, s.Height))
	for i := range s.Width * s.Height {
		p := s.Pixels[i*s.Channels:]
		copy(src.Pix[4*i:], []byte{p[0], p[s.Channels/2], p[s.Channels-1], 255})
	}
	w, h := fit(s.Width, s.Height, size)
	if w == s.Width && h == s.Height {
		return src
	}
	dst := image.NewRGBA(image.Rect(0, 0, w, h))
	var scaler draw.Scaler = draw.CatmullRom
	if w > s.Width {
		scaler = draw.NearestNeighbor
	}
	scaler.Scale(dst, dst.Rect, src, src.Rect, draw.Src, nil)
	return dst
}

// WritePNG stores img as a PNG file that says whose it is. The file appears whole or not at all.
func WritePNG(path string, img *image.RGBA) error {
	if img == nil {
		return fmt.Errorf("report: writing %s: no picture", path)
	}
	b, err := encodePNG(img)
	if err != nil {
		return fmt.Errorf("report: writing %s: %w", path, err)
	}
	return writeFile(path, slices.Insert(b, pngHead, software...))
}

// pngHead is where the chunks of a PNG file begin that may be left out: behind the signature and the image's header.
const pngHead = 8 + 25

// software is the chunk of a PNG file that says which program made it (PNG specification, 11.3.3.3).
var software = func() []byte {
	const content = "tEXtSoftware\x00adavit"
	b := binary.BigEndian.AppendUint32(nil, uint32(len(content)-4)) // the type does not count
	return binary.BigEndian.AppendUint32(append(b, content...), crc32.ChecksumIEEE([]byte(content)))
}()

// WrotePNG reports whether a file that begins with these bytes is one of WritePNG's.
func WrotePNG(b []byte) bool { return len(b) > pngHead && bytes.HasPrefix(b[pngHead:], software) }

func encodePNG(img *image.RGBA) ([]byte, error) {
	var b bytes.Buffer
	e := png.Encoder{CompressionLevel: png.BestCompression}
	err := e.Encode(&b, img)
	return b.Bytes(), err
}

func writeFile(path string, data []byte) error {
	if err := atomicfile.WriteFile(path, data); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
