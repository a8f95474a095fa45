package picture

import (
	"image"
	"image/color"
)

// rows reads a picture line by line as bytes, [width, channels], channels being 3 (RGB) or 1 (grey), so that a picture
// of any kind is converted without a second copy of it in memory.
//
// Colours are those of Pillow's convert: alpha is dropped and leaves the colour under it as it is; of 16 bits the upper
// 8 stay; a palette is looked up. Grey is Pillow's "L" (ITU-R 601), grey = (19595 R + 38470 G + 7471 B + 2¹⁵) / 2¹⁶.
type rows struct {
	height, width, channels int
	row                     func(y int, dst []byte)
}

// readRows prepares img to be read with 1 or 3 channels.
func readRows(img image.Image, channels int) rows {
	r := rows{height: img.Bounds().Dy(), width: img.Bounds().Dx(), channels: channels}
	switch m := img.(type) {
	case *image.Gray:
		r.row = bytesAt(m.Pix[m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y):], m.Stride, 1, make([]int, channels)...)
		return r
	case *image.Gray16:
		r.row = bytesAt(m.Pix[m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y):], m.Stride, 2, make([]int, channels)...)
		return r
	}
	colour := colourRow(img)
	if r.row = colour; channels == 3 {
		return r
	}
	line := make([]byte, 3*r.width)
	r.row = func(y int, dst []byte) {
		colour(y, line)
		for x := range dst[:r.width] {
			p := line[3*x : 3*x+3]
			dst[x] = byte((19595*uint32(p[0]) + 38470*uint32(p[1]) + 7471*uint32(p[2]) + 1<<15) >> 16)
		}
	}
	return r
}

// bytesAt reads rows of pixels of step bytes each, of which channel c is the one at place[c].
func bytesAt(pix []byte, stride, step int, place ...int) func(y int, dst []byte) {
	return func(y int, dst []byte) {
		for c, at := range place {
			line := pix[y*stride+at:]
			for x := range len(dst) / len(place) {
				dst[x*len(place)+c] = line[x*step]
			}
		}
	}
}

// colourRow reads the rows of any picture as RGB.
func colourRow(img image.Image) func(y int, dst []byte) {
	b := img.Bounds()
	switch m := img.(type) {
	case *image.NRGBA:
		return bytesAt(m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, 4, 0, 1, 2)
	case *image.NRGBA64:
		return bytesAt(m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, 8, 0, 2, 4)
	case *image.RGBA:
		return func(y int, dst []byte) {
			line := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range b.Dx() {
				if p := line[4*x : 4*x+4]; p[3] == 255 {
					copy(dst[3*x:3*x+3], p)
				} else {
					put(dst[3*x:], color.RGBA{p[0], p[1], p[2], p[3]})
				}
			}
		}
	case *image.CMYK: // each of red, green and blue is (1 − c)(1 − k), rounded as Pillow does
		return func(y int, dst []byte) {
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
		return rowsOfYCbCr(m)
	case *image.NYCbCrA: // the colour does not depend on its alpha
		return rowsOfYCbCr(&m.YCbCr)
	case *image.Paletted:
		var table [256][3]byte
		for i, c := range m.Palette[:min(len(m.Palette), 256)] {
			put(table[i][:], c)
		}
		return func(y int, dst []byte) {
			line := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range b.Dx() {
				copy(dst[3*x:3*x+3], table[line[x]][:])
			}
		}
	}
	return func(y int, dst []byte) {
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
