package picture

import (
	"encoding/binary"
	"image"
	"math"
	"slices"
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
	if f.photometric == tiffYCbCr && f.compression != tiffJPEG {
		f.storeYCC(block, x0, y0, rows)
		return
	}
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
	case f.bits == 12: // grey, of which more than 255 is cut off
		for x := range width {
			three := line[x/2*3:]
			if dst[x] = 255; x&1 == 0 && three[0] < 16 {
				dst[x] = three[0]<<4 | three[1]>>4
			} else if x&1 == 1 && three[1]&15 == 0 {
				dst[x] = three[2]
			}
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
// Decoding.Image. Numbers with signs and fractions of a compressed file it takes for little-endian after libtiff has
// made them so.
func (f *tiffFile) byteOf(p []byte) byte {
	var v int64
	order := f.order
	if f.compression != tiffRaw && (f.float || f.signed) && order == binary.ByteOrder(binary.BigEndian) {
		order = binary.LittleEndian
	}
	switch {
	case f.float:
		if v := math.Float32frombits(order.Uint32(p)); v > 0 {
			return byte(min(v, 255))
		}
		return 0 // so is a NaN
	case f.colours > 1:
		return byte(order.Uint16(p) >> 8)
	case f.bits == 32 && f.signed:
		v = int64(int32(order.Uint32(p)))
	case f.bits == 32:
		v = int64(order.Uint32(p))
	case f.signed:
		v = int64(int16(order.Uint16(p)))
	default:
		v = int64(order.Uint16(p))
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
	var sign byte // of a* and b*; Pillow does not heed it where samples are kept apart
	if !f.separate {
		sign = 128
	}
	for p := range slices.Chunk(f.pix, 4) {
		if f.photometric == tiffCIELab {
			rgb := labRGB(p[0], p[1]^sign, p[2]^sign)
			copy(p, rgb[:])
		}
		if f.premultiplied {
			for c := range 3 {
				p[c] = byte(min(255*int(p[c])/max(int(p[3]), 1), 255) * min(int(p[3]), 1))
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
