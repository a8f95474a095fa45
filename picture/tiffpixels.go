package picture

import (
	"image"
	"image/color"
	"math"
)

// tiffPicture is the picture that blocks are stored in, 8 bits a sample.
type tiffPicture struct {
	f          *tiffFile
	pix        []byte // row by row
	step       int    // samples of a pixel: 1 for grey and indices, 4 for RGB with alpha and for CMYK
	alpha      bool   // the fourth sample is alpha
	associated bool   // and the colours are multiplied by it
}

func newTIFFPicture(f *tiffFile) *tiffPicture {
	p := &tiffPicture{f: f, step: 1}
	if f.colours > 1 {
		p.step = 4
	}
	extra := f.number(tiffExtraSamples, 0)
	if f.photometric == tiffRGB && f.samples > 3 && !f.separate && f.compression != tiffJPEG {
		p.alpha, p.associated = extra == 1 || extra == 2, extra == 1
	}
	p.pix = make([]byte, p.step*f.width*f.height)
	return p
}

// store puts a decompressed block of rows rows at column x0 and row y0. If samples are kept apart, it holds number
// plane alone.
func (p *tiffPicture) store(block []byte, x0, y0, rows, plane int) {
	f := p.f
	n, first, last := f.samples, 0, f.colours
	if p.alpha {
		last = 4
	}
	if f.separate {
		n, first, last = 1, plane, plane+1
	}
	width := min(f.blockWidth, f.width-x0)
	row := int(f.row())
	for y := range rows {
		line := block[y*row:][:row]
		dst := p.pix[((y0+y)*f.width+x0)*p.step:]
		for s := first; s < last; s++ {
			p.samples(dst[s:], line, width, n, s-first)
		}
	}
}

// samples puts sample s of each pixel of a row, one of n, into every step-th byte of dst.
func (p *tiffPicture) samples(dst, line []byte, width, n, s int) {
	f := p.f
	switch f.bits {
	case 8:
		for x := range width {
			dst[x*p.step] = line[x*n+s]
		}
	case 16:
		for x := range width {
			v := f.order.Uint16(line[2*(x*n+s):])
			switch {
			case f.colours > 1:
				dst[x*p.step] = byte(v >> 8)
			case f.signed:
				dst[x] = clampByte(int32(int16(v)))
			default:
				dst[x] = byte(min(v, 255)) // as Pillow does it; see Decoding.Image
			}
		}
	case 32:
		for x := range width {
			v := f.order.Uint32(line[4*(x*n+s):])
			switch {
			case f.float:
				dst[x*p.step] = 0 // so is a NaN
				if v := math.Float32frombits(v); v > 0 {
					dst[x*p.step] = byte(min(v, 255))
				}
			case f.signed:
				dst[x] = clampByte(int32(v))
			default:
				dst[x] = byte(min(v, 255))
			}
		}
	default: // 1, 2 or 4 bits
		most := byte(1<<f.bits - 1)
		scale := byte(1)
		if f.photometric != tiffPalette {
			scale = 255 / most
		}
		perByte := 8 / f.bits
		for x := range width {
			dst[x] = line[x/perByte] >> (8 - f.bits*(x%perByte+1)) & most * scale
		}
	}
	if f.photometric == tiffWhiteIsZero && f.bits <= 8 {
		for x := range width {
			dst[x] = 255 - dst[x]
		}
	}
}

// image is the picture.
func (p *tiffPicture) image() image.Image {
	f := p.f
	bounds := image.Rect(0, 0, f.width, f.height)
	switch {
	case f.photometric == tiffPalette:
		palette := make(color.Palette, 256)
		for i, c := range f.palette() {
			palette[i] = color.NRGBA{c[0], c[1], c[2], 255}
		}
		return &image.Paletted{Pix: p.pix, Stride: f.width, Rect: bounds, Palette: palette}
	case f.colours == 1:
		return &image.Gray{Pix: p.pix, Stride: f.width, Rect: bounds}
	case f.photometric == tiffCMYK:
		return &image.CMYK{Pix: p.pix, Stride: 4 * f.width, Rect: bounds}
	}
	for i := 0; i < len(p.pix); i += 4 {
		q := p.pix[i : i+4]
		if f.photometric == tiffYCbCr && f.compression != tiffJPEG {
			q[0], q[1], q[2] = fullRange(int32(q[0]), int32(q[1])-128, int32(q[2])-128)
		}
		if !p.alpha {
			q[3] = 255
		} else if p.associated && q[3] != 0 && q[3] != 255 {
			for c := range 3 {
				q[c] = byte(min(255*int(q[c])/int(q[3]), 255))
			}
		}
	}
	return &image.NRGBA{Pix: p.pix, Stride: 4 * f.width, Rect: bounds}
}
