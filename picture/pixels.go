package picture

import (
	"image"
	"image/color"
)

// rows reads a picture line by line as bytes, so that a picture of any kind is converted without a second copy of it in
// memory: row writes [width, step], where step bytes begin with the pixel's channels, 3 (RGB) or 1 (grey).
//
// Colours are those of Pillow's convert: alpha is dropped and leaves the colour under it as it is; of 16 bits the upper
// 8 stay; a palette is looked up. Grey is Pillow's "L" (ITU-R 601), grey = (19595 R + 38470 G + 7471 B + 2¹⁵) / 2¹⁶.
type rows struct {
	height, width, step int
	row                 func(y int, dst []byte)
}

// readRows prepares img to be read with 1 or 3 channels.
func readRows(img image.Image, channels int) rows {
	r := rows{height: img.Bounds().Dy(), width: img.Bounds().Dx(), step: channels}
	switch m := img.(type) {
	case *image.Gray:
		r.row = bytesAt(m.Pix[m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y):], m.Stride, 1, make([]int, channels)...)
		return r
	case *image.Gray16:
		r.row = bytesAt(m.Pix[m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y):], m.Stride, 2, make([]int, channels)...)
		return r
	}
	step, colour := colourRow(img)
	if channels == 3 {
		r.step, r.row = step, colour
		return r
	}
	line := make([]byte, step*r.width)
	r.row = func(y int, dst []byte) {
		colour(y, line)
		for x := range dst[:r.width] {
			p := line[step*x:][:3]
			dst[x] = byte((19595*uint32(p[0]) + 38470*uint32(p[1]) + 7471*uint32(p[2]) + 1<<15) >> 16)
		}
	}
	return r
}

// columnsOf is img without most of what is beyond columns from … to−1. The first of these is then column skip; a few
// more stay for colour that is interpolated.
func columnsOf(img image.Image, from, to int) (part image.Image, skip int) {
	const margin = 8
	b := img.Bounds()
	left, right := max(from-margin, 0), min(to+margin, b.Dx())
	wide, ok := img.(interface {
		SubImage(image.Rectangle) image.Image
	})
	if b.Min.X, b.Max.X = b.Min.X+left, b.Min.X+right; ok && b != img.Bounds() {
		if part = wide.SubImage(b); part.Bounds() == b {
			return part, from - left
		}
	}
	return img, from
}

// isGrey reports whether all channels of a picture are the same.
func isGrey(img image.Image) bool {
	switch img.(type) {
	case *image.Gray, *image.Gray16:
		return true
	}
	return false
}

// bytesAt reads rows of pixels of step bytes each, of which channel c is the one at place[c].
func bytesAt(pix []byte, stride, step int, place ...int) func(y int, dst []byte) {
	if step == 1 && len(place) == 1 {
		return func(y int, dst []byte) { copy(dst, pix[y*stride+place[0]:][:len(dst)]) }
	}
	return func(y int, dst []byte) {
		for c, at := range place {
			line := pix[y*stride+at:]
			for x := range len(dst) / len(place) {
				dst[x*len(place)+c] = line[x*step]
			}
		}
	}
}

// colourRow reads the rows of any picture as RGB, one pixel every step bytes.
func colourRow(img image.Image) (step int, row func(y int, dst []byte)) {
	b := img.Bounds()
	switch m := img.(type) {
	case *image.NRGBA:
		return 4, bytesAt(m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, 1, 0)
	case *image.NRGBA64:
		return 3, bytesAt(m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, 8, 0, 2, 4)
	case *image.RGBA:
		copyRow := bytesAt(m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, 1, 0)
		return 4, func(y int, dst []byte) {
			copyRow(y, dst)
			for x := 0; x < len(dst); x += 4 {
				if p := dst[x : x+4]; p[3] != 255 {
					put(p, color.RGBA{p[0], p[1], p[2], p[3]})
				}
			}
		}
	case *image.CMYK: // each of red, green and blue is (1 − c)(1 − k), rounded as Pillow does
		return 3, func(y int, dst []byte) {
			line := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range b.Dx() {
				p := line[4*x : 4*x+4]
				white := 255 - int32(p[3])
				for c := range 3 {
					ink := int32(p[c])*white + 128
					dst[3*x+c] = byte(max(white-(ink+ink>>8)>>8, 0))
				}
			}
		}
	case *image.YCbCr:
		return 3, rowsOfYCbCr(m)
	case *image.NYCbCrA: // the colour does not depend on its alpha
		return 3, rowsOfYCbCr(&m.YCbCr)
	case *image.Paletted:
		var table [256][3]byte
		for i, c := range m.Palette[:min(len(m.Palette), 256)] {
			put(table[i][:], c)
		}
		return 3, func(y int, dst []byte) {
			line := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range b.Dx() {
				copy(dst[3*x:3*x+3], table[line[x]][:])
			}
		}
	}
	return 3, func(y int, dst []byte) {
		for x := range b.Dx() {
			put(dst[3*x:], img.At(b.Min.X+x, b.Min.Y+y))
		}
	}
}

// put stores one colour without its alpha.
func put(dst []byte, c color.Color) {
	if c, ok := c.(color.NRGBA); ok {
		dst[0], dst[1], dst[2] = c.R, c.G, c.B
		return
	}
	n := color.NRGBA64Model.Convert(c).(color.NRGBA64)
	dst[0], dst[1], dst[2] = byte(n.R>>8), byte(n.G>>8), byte(n.B>>8)
}

// newPalette makes a palette of red, green and blue in turn; colours that are not in the table are black.
func newPalette(table []byte) color.Palette {
	palette := make(color.Palette, 256)
	for i := range palette {
		c := color.NRGBA{A: 255}
		if 3*i+3 <= len(table) {
			c.R, c.G, c.B = table[3*i], table[3*i+1], table[3*i+2]
		}
		palette[i] = c
	}
	return palette
}

// unpack gives samples of 1, 2, 4 or 8 bits, of which a byte holds the first in its highest ones, a byte each.
func unpack(dst, src []byte, bits int) {
	perByte, most := 8/bits, byte(1<<bits-1)
	for x := range dst {
		dst[x] = src[x/perByte] >> (8 - bits*(x%perByte+1)) & most
	}
}
