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
	b := img.Bounds()
	r := rows{height: b.Dy(), width: b.Dx(), channels: channels}
	if grey := greyRow(img); grey != nil {
		if channels == 1 {
			r.row = grey
			return r
		}
		r.row = func(y int, dst []byte) {
			grey(y, dst[:r.width])
			for x := r.width - 1; x >= 0; x-- { // backwards, for it spreads in place
				v := dst[x]
				dst[3*x], dst[3*x+1], dst[3*x+2] = v, v, v
			}
		}
		return r
	}
	colour := colourRow(img)
	if channels == 3 {
		r.row = colour
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

// greyRow reads the rows of a grey picture; nil if img is not one.
func greyRow(img image.Image) func(y int, dst []byte) {
	b := img.Bounds()
	switch m := img.(type) {
	case *image.Gray:
		return func(y int, dst []byte) {
			copy(dst[:b.Dx()], m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):])
		}
	case *image.Gray16:
		return func(y int, dst []byte) {
			line := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range b.Dx() {
				dst[x] = line[2*x]
			}
		}
	}
	return nil
}

// colourRow reads the rows of any picture as RGB.
func colourRow(img image.Image) func(y int, dst []byte) {
	b := img.Bounds()
	width := b.Dx()
	switch m := img.(type) {
	case *image.NRGBA:
		return func(y int, dst []byte) {
			line := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range width {
				copy(dst[3*x:3*x+3], line[4*x:])
			}
		}
	case *image.RGBA:
		return func(y int, dst []byte) {
			line := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range width {
				if p := line[4*x : 4*x+4]; p[3] == 255 {
					copy(dst[3*x:3*x+3], p)
				} else {
					put(dst[3*x:], color.RGBA{p[0], p[1], p[2], p[3]})
				}
			}
		}
	case *image.NRGBA64:
		return func(y int, dst []byte) {
			line := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range width {
				p := line[8*x : 8*x+8]
				dst[3*x], dst[3*x+1], dst[3*x+2] = p[0], p[2], p[4]
			}
		}
	case *image.CMYK: // each of red, green and blue is (1 − c)(1 − k), rounded as Pillow does
		return func(y int, dst []byte) {
			line := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range width {
				p := line[4*x : 4*x+4]
				white := 255 - int32(p[3])
				for c := range 3 {
					ink := int32(p[c])*white + 128
					dst[3*x+c] = byte(max(white-(ink+ink>>8)>>8, 0))
				}
			}
		}
	case *image.YCbCr:
		return newYCbCr(m).row
	case *image.NYCbCrA: // the colour does not depend on its alpha
		return newYCbCr(&m.YCbCr).row
	case *image.Paletted:
		var table [256][3]byte
		for i, c := range m.Palette[:min(len(m.Palette), 256)] {
			put(table[i][:], c)
		}
		return func(y int, dst []byte) {
			line := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range width {
				copy(dst[3*x:3*x+3], table[line[x]][:])
			}
		}
	}
	return func(y int, dst []byte) {
		for x := range width {
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
