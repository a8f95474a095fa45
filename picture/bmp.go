package picture

// Why not golang.org/x/image/bmp: it knows neither run lengths nor 16 bits nor other masks nor OS/2's files. Of the 54
// BMP files among Pillow 13.0.0's test images that Pillow can read (2026-11-26):
//
//	                     Pillow's pixels   other pixels   refused
//	this file                         54              0         0
//	x/image/bmp 0.48.0                27              0        27

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"math/bits"
	"slices"
)

// BMP's ways to store pixels.
const (
	bmpRaw = iota
	bmpRLE8
	bmpRLE4
	bmpFields // raw, and each channel's bits are told by masks
)

// bmpBits are the bits of a pixel that each of them can have.
var bmpBits = [][]int{bmpRaw: {1, 2, 4, 8, 16, 24, 32}, bmpRLE8: {8}, bmpRLE4: {4}, bmpFields: {16, 24, 32}}

// bmpHeaders are the sizes of the information headers: OS/2's two, and Windows' five.
var bmpHeaders = []uint32{12, 64, 40, 52, 56, 108, 124}

// isBMP looks at the header's size too: "BM" alone begins many a text.
func isBMP(b []byte) bool {
	return len(b) >= 18 && hasPrefix(b, "BM") && slices.Contains(bmpHeaders, binary.LittleEndian.Uint32(b[14:]))
}

// bmpFile is a BMP file's header.
type bmpFile struct {
	width, height int
	topDown       bool
	bits          int // of a pixel
	compression   uint32
	masks         [3]uint32 // red, green, blue
	palette       []byte    // up to 8 bits: red, green and blue in turn
	data          []byte    // the pixels, rows padded to 4 bytes
}

// row is the bytes of a row that is not compressed.
func (f *bmpFile) row() int64 { return (int64(f.width)*int64(f.bits) + 31) / 32 * 4 }

// parseBMP reads the headers, the masks and the palette.
func parseBMP(b []byte) (f bmpFile, err error) {
	le := binary.LittleEndian
	size := int64(le.Uint32(b[14:]))
	if int64(len(b)) < 14+size {
		return f, io.ErrUnexpectedEOF
	}
	info := b[14 : 14+size]
	colours, entry := int64(0), int64(4)
	if size == 12 {
		f.width, f.height = int(le.Uint16(info[4:])), int(le.Uint16(info[6:]))
		f.bits, entry = int(le.Uint16(info[10:])), 3
	} else {
		w, h := int64(int32(le.Uint32(info[4:]))), int64(int32(le.Uint32(info[8:])))
		f.topDown = h < 0
		if h = max(h, -h); w > 1<<31-1 || h > 1<<31-1 || w < 1 || h < 1 {
			return f, errors.New("impossible size")
		}
		f.width, f.height = int(w), int(h)
		f.bits, f.compression = int(le.Uint16(info[14:])), le.Uint32(info[16:])
		colours = int64(le.Uint32(info[32:]))
	}
	end := 14 + size // of the headers
	switch f.bits {
	case 16:
		f.masks = [3]uint32{0x7c00, 0x3e0, 0x1f}
	case 24, 32:
		f.masks = [3]uint32{0xff0000, 0xff00, 0xff}
	}
	if f.compression == bmpFields && size >= 40 {
		if int64(len(b)) < 14+40+12 {
			return f, io.ErrUnexpectedEOF
		}
		p := b[14+40:] // within a long header or behind a short one
		if masks := [3]uint32{le.Uint32(p), le.Uint32(p[4:]), le.Uint32(p[8:])}; masks != [3]uint32{} {
			f.masks = masks
		}
		end = max(end, 14+40+12)
	}
	if int(f.compression) >= len(bmpBits) || !slices.Contains(bmpBits[f.compression], f.bits) {
		return f, fmt.Errorf("%d bits a pixel in compression %d are not supported", f.bits, f.compression)
	}
	for _, m := range f.masks {
		run := m >> bits.TrailingZeros32(m) // all ones, where the bits of m are neighbours
		if f.bits > 8 && (m == 0 || run&(run+1) != 0 || f.bits < 32 && m>>f.bits != 0) {
			return f, fmt.Errorf("channel masks %#x", f.masks)
		}
	}
	at := max(int64(le.Uint32(b[10:])), end) // of the pixels
	if f.bits <= 8 {
		if colours == 0 || colours > 1<<f.bits {
			colours = 1 << f.bits
		}
		if at > end { // some writers leave the unused end of the table out
			colours = min(colours, (at-end)/entry)
		}
		for p := end; colours > 0; p, colours = p+entry, colours-1 {
			if p+entry > int64(len(b)) {
				return f, io.ErrUnexpectedEOF
			}
			f.palette = append(f.palette, b[p+2], b[p+1], b[p])
			at = max(at, p+entry)
		}
	}
	if at > int64(len(b)) {
		return f, io.ErrUnexpectedEOF
	}
	f.data = b[at:]
	return f, nil
}

// raw reports whether rows are kept as they are.
func (f *bmpFile) raw() bool { return f.compression == bmpRaw || f.compression == bmpFields }

// openBMP knows nothing of the size of a compressed file: it may leave pixels out.
func openBMP(b []byte, _ limits) (header, error) {
	f, err := parseBMP(b)
	h := header{width: f.width, height: f.height, decode: f.decode}
	if f.raw() {
		h.least = f.row() * int64(f.height)
	}
	return h, err
}

// decode decodes a BMP file: 1 to 32 bits a pixel, run-length coded, with masks, from OS/2 or Windows. Alpha is left
// out. An index beyond the palette is black.
func (f *bmpFile) decode() (image.Image, error) {
	used := (int64(f.width)*int64(f.bits) + 7) / 8 // the last row's padding may be missing
	if f.raw() && f.row()*int64(f.height-1)+used > int64(len(f.data)) {
		return nil, io.ErrUnexpectedEOF
	}
	bounds := image.Rect(0, 0, f.width, f.height)
	if f.bits > 8 {
		out := image.NewNRGBA(bounds)
		for y := range f.height {
			f.colours(out.Pix[f.fromTop(y)*out.Stride:][:4*f.width], f.data[f.row()*int64(y):])
		}
		return out, nil
	}
	out := image.NewPaletted(bounds, newPalette(f.palette))
	if !f.raw() {
		return out, f.runs(out)
	}
	for y := range f.height {
		unpack(out.Pix[f.fromTop(y)*out.Stride:][:f.width], f.data[f.row()*int64(y):], f.bits)
	}
	return out, nil
}

// fromTop is the row of the picture that row y of the file is.
func (f *bmpFile) fromTop(y int) int {
	if f.topDown {
		return y
	}
	return f.height - 1 - y
}

// colours reads a row of pixels that hold their channels.
func (f *bmpFile) colours(dst, line []byte) {
	bytes := f.bits / 8
	for x := range f.width {
		v := uint32(0)
		for i, b := range line[x*bytes : (x+1)*bytes] {
			v |= uint32(b) << (8 * i)
		}
		p := dst[4*x : 4*x+4]
		for c, mask := range f.masks {
			low := bits.TrailingZeros32(mask)
			p[c] = byte(uint64(v&mask>>low) * 255 / uint64(mask>>low))
		}
		p[3] = 255
	}
}

// runs reads run-length coding as Pillow does: a run ends with its row, but indices that stand one by one go on in the
// next. Pixels that the codes leave out have index 0.
func (f *bmpFile) runs(out *image.Paletted) error {
	b := f.data
	pix := out.Pix // from the file's first row on, as yet
	at, x := 0, 0  // the next pixel; where a row's codes are
	for at < len(pix) {
		if len(b) < 2 {
			return io.ErrUnexpectedEOF
		}
		count, v := int(b[0]), b[1]
		b = b[2:]
		switch {
		case count > 0: // a run of one index or, in 4 bits, of two in turn
			pair := [2]byte{v, v}
			if f.bits == 4 {
				pair = [2]byte{v >> 4, v & 15}
			}
			count = min(count, max(f.width-x, 0), len(pix)-at)
			for i := range count {
				pix[at+i] = pair[i%2]
			}
			at, x = at+count, x+count
		case v == 0: // the end of a row
			at, x = (at+f.width-1)/f.width*f.width, 0
		case v == 1: // the end of the picture
			at = len(pix)
		case v == 2: // move on
			if len(b) < 2 {
				return io.ErrUnexpectedEOF
			}
			at = min(at+int(b[0])+int(b[1])*f.width, len(pix))
			b, x = b[2:], at%f.width
		default: // v indices one by one, padded to 2 bytes
			n := (int(v)*f.bits + 7) / 8
			k := min(int(v), len(pix)-at)
			if len(b) < (k*f.bits+7)/8 {
				return io.ErrUnexpectedEOF
			}
			unpack(pix[at:at+k], b, f.bits)
			at, x = at+k, x+int(v)
			b = b[min(n+n%2, len(b)):]
		}
	}
	for y := 0; y < f.height/2 && !f.topDown; y++ {
		upper, lower := pix[y*f.width:][:f.width], pix[f.fromTop(y)*f.width:][:f.width]
		for x, v := range upper {
			upper[x], lower[x] = lower[x], v
		}
	}
	return nil
}
