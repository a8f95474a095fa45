package picture

import (
	"image"
	"math"
	"slices"

	"github.com/adavit/adavit/internal/kernels"
)

// stored is how many samples of a pixel go into the picture: the colours, and alpha.
func (f *tiffFile) stored() int {
	if f.alpha {
		return 4
	}
	return f.colours
}

// store puts a decompressed block of rows rows at column x0 and row y0. If samples are kept apart, it holds number
// plane alone.
func (f *tiffFile) store(block []byte, x0, y0, rows, plane int) {
	first, last := 0, f.stored()
	if f.separate {
		first, last = plane, plane+1
	}
	width := min(f.blockWidth, f.width-x0)
	for y := range rows {
		line := block[y*f.row():][:f.row()]
		dst := f.pix[((y0+y)*f.width+x0)*f.step:]
		for s := first; s < last; s++ {
			f.row8(dst[s:], line, width, s-first)
		}
	}
}

// row8 puts sample s of each pixel of a row of a block, 8 bits of it, into every step-th byte of dst.
func (f *tiffFile) row8(dst, line []byte, width, s int) {
	switch {
	case f.bits == 8:
		for x := range width {
			dst[x*f.step] = line[x*f.joint+s]
		}
	case f.bits > 8:
		for x := range width {
			dst[x*f.step] = f.byteOf(line[f.bits/8*(x*f.joint+s):])
		}
	default: // one sample a pixel
		unpack(dst[:width], line, f.bits)
		if f.photometric != tiffPalette {
			for x := range width {
				dst[x] *= 255 / (1<<f.bits - 1)
			}
		}
	}
	if f.photometric == tiffWhiteIsZero && f.bits <= 8 {
		for x := range width {
			dst[x] = 255 - dst[x]
		}
	}
}

// byteOf is Pillow's byte of a sample of 16 or 32 bits: of colours the upper 8 of them; grey is cut off, see
// Decoding.Image.
func (f *tiffFile) byteOf(p []byte) byte {
	var v int64
	switch {
	case f.float:
		if v := math.Float32frombits(f.order.Uint32(p)); v > 0 {
			return byte(min(v, 255))
		}
		return 0 // so is a NaN
	case f.colours > 1:
		return byte(f.order.Uint16(p) >> 8)
	case f.bits == 32 && f.signed:
		v = int64(int32(f.order.Uint32(p)))
	case f.bits == 32:
		v = int64(f.order.Uint32(p))
	case f.signed:
		v = int64(int16(f.order.Uint16(p)))
	default:
		v = int64(f.order.Uint16(p))
	}
	return byte(min(max(v, 0), 255))
}

// image is the picture.
func (f *tiffFile) image() image.Image {
	bounds := image.Rect(0, 0, f.width, f.height)
	switch {
	case f.photometric == tiffPalette:
		return &image.Paletted{Pix: f.pix, Stride: f.width, Rect: bounds, Palette: newPalette(f.palette())}
	case f.colours == 1:
		return &image.Gray{Pix: f.pix, Stride: f.width, Rect: bounds}
	case f.photometric == tiffCMYK:
		return &image.CMYK{Pix: f.pix, Stride: 4 * f.width, Rect: bounds}
	}
	premultiplied := f.number(tiffExtraSamples, 0) == 1
	for p := range slices.Chunk(f.pix, 4) {
		switch {
		case f.photometric == tiffYCbCr && f.compression != tiffJPEG:
			p[0], p[1], p[2] = kernels.PixelRGB(p[0], p[1], p[2])
		case f.alpha && premultiplied && p[3] != 0:
			for c := range 3 {
				p[c] = byte(min(255*int(p[c])/int(p[3]), 255))
			}
		}
		if !f.alpha {
			p[3] = 255
		}
	}
	return &image.NRGBA{Pix: f.pix, Stride: 4 * f.width, Rect: bounds}
}

// palette is the colour map: 16-bit reds, then greens, then blues; the upper 8 count.
func (f *tiffFile) palette() (table []byte) {
	m := f.fields[tiffColourMap]
	if tiffSizes[m.kind] < 2 {
		return nil
	}
	n := m.count / 3
	for i := range min(n, 256) {
		table = append(table, byte(m.at(i)>>8), byte(m.at(n+i)>>8), byte(m.at(2*n+i)>>8))
	}
	return table
}
