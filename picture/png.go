package picture

// Why not image/png: it stops at surplus pixel data, at a palette in a grey picture, at chunks out of order and at a
// wrong checksum of the pixels, all of which Pillow reads, and knows no APNG frame.

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"io"
	"slices"
	"strings"
)

const pngMagic = "\x89PNG\r\n\x1a\n"

func isPNG(b []byte) bool { return hasPrefix(b, pngMagic) }

// Colour types of a PNG file.
const (
	pngGrey      = 0
	pngRGB       = 2
	pngPalette   = 3
	pngGreyAlpha = 4
	pngRGBA      = 6
)

// pngSamples is the samples of a pixel for each colour type.
var pngSamples = [7]int{pngGrey: 1, pngRGB: 3, pngPalette: 1, pngGreyAlpha: 2, pngRGBA: 4}

// pngFile is what comes before the pixels.
type pngFile struct {
	size       image.Point
	depth      int // bits of a sample
	kind       byte
	interlaced bool
	palette    []byte
	frame      image.Rectangle // that the pixels fill: all but in some APNG files
	data       []byte          // zlib's
	exif, xmp  []byte
}

// bits is the bits of a pixel.
func (f *pngFile) bits() int { return f.depth * pngSamples[f.kind] }

// pngChunk cuts the first chunk from b: its kind, its data, as far as they are there, and what follows its checksum.
func pngChunk(b []byte) (kind string, data, sum, rest []byte, err error) {
	if len(b) < 8 {
		return "", nil, nil, nil, io.ErrUnexpectedEOF
	}
	kind = string(b[4:8])
	if strings.ContainsFunc(kind, func(r rune) bool { // Pillow's idea of a name
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_')
	}) {
		return "", nil, nil, nil, errors.New("a chunk without a name")
	}
	n := int(min(int64(binary.BigEndian.Uint32(b)), int64(len(b)-8)))
	data, rest = b[8:8+n], b[8+n:]
	k := min(4, len(rest))
	return kind, data, rest[:k], rest[k:], nil
}

// parsePNG reads the chunks before the pixels, finds those with the pixels, and looks for EXIF in all.
func parsePNG(b []byte) (*pngFile, error) {
	f := &pngFile{depth: -1}
	rest := b[len(pngMagic):]
	for {
		kind, data, sum, next, err := pngChunk(rest)
		if err != nil {
			return f, err
		}
		if kind == "IDAT" || kind == "DDAT" || kind == "fdAT" {
			break
		}
		switch kind {
		case "IHDR":
			err = f.head(data)
		case "PLTE":
			if f.depth > 0 { // before IHDR it does not count
				f.palette = data
			}
		case "fcTL":
			err = f.control(data)
		case "IEND":
			err = errors.New("no picture in it")
		default:
			f.note(kind, data)
		}
		if critical := kind[0]&0x20 == 0; err == nil && critical && (len(sum) < 4 ||
			binary.BigEndian.Uint32(sum) != crc32.Update(crc32.ChecksumIEEE([]byte(kind)), crc32.IEEETable, data)) {
			err = fmt.Errorf("wrong checksum of chunk %s", kind)
		}
		if err != nil {
			return f, err
		}
		rest = next
	}
	if f.depth < 0 {
		return f, errors.New("no IHDR chunk before the pixels")
	}
	if f.kind == pngPalette && len(f.palette) == 0 {
		return f, errors.New("no palette")
	}
	if f.frame.Empty() {
		f.frame.Max = f.size
	}
	if !f.frame.In(image.Rectangle{Max: f.size}) {
		return f, errors.New("a frame beyond the picture")
	}
	f.pixels(rest)
	return f, nil
}

// head reads IHDR.
func (f *pngFile) head(p []byte) error {
	if len(p) < 13 {
		return io.ErrUnexpectedEOF
	}
	w, h := binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])
	f.depth, f.kind, f.interlaced = int(p[8]), p[9], p[12] != 0
	known := f.depth == 8 || f.depth == 16 && f.kind != pngPalette ||
		(f.depth == 1 || f.depth == 2 || f.depth == 4) && (f.kind == pngGrey || f.kind == pngPalette)
	if !known || int(f.kind) >= len(pngSamples) || pngSamples[f.kind] == 0 || p[11] != 0 || w > 1<<31-1 || h > 1<<31-1 {
		return errors.New("impossible size, depth, colour type or filter")
	}
	f.size = image.Pt(int(w), int(h))
	return nil
}

// control reads fcTL, the place of an APNG frame.
func (f *pngFile) control(p []byte) error {
	if len(p) < 26 {
		return io.ErrUnexpectedEOF
	}
	at := func(i int) int { return int(binary.BigEndian.Uint32(p[i:])) }
	f.frame = image.Rect(0, 0, at(4), at(8)).Add(image.Pt(at(12), at(16)))
	return nil
}

// note keeps EXIF and XMP data.
func (f *pngFile) note(kind string, data []byte) {
	switch {
	case kind == "eXIf":
		f.exif = data
	case kind == "iTXt" && hasPrefix(data, "XML:com.adobe.xmp\x00\x00\x00"): // not compressed
		f.xmp = data
	case kind == "tEXt" && hasPrefix(data, "Raw profile type exif\x00") && f.exif == nil:
		// ImageMagick's: a line break, a name, a length, then lines of hexadecimal digits.
		if lines := bytes.SplitN(data, []byte("\n"), 4); len(lines) == 4 {
			digits := bytes.ReplaceAll(lines[3], []byte("\n"), nil)
			raw := make([]byte, hex.DecodedLen(len(digits)))
			n, _ := hex.Decode(raw, digits) // what there is of it
			f.exif = raw[:n]
		}
	}
}

// pixels joins the data of the chunks at the beginning of b that hold pixels, and looks for EXIF behind them.
func (f *pngFile) pixels(b []byte) {
	var parts [][]byte
	for more := true; ; {
		kind, data, _, rest, err := pngChunk(b)
		if err != nil {
			break
		}
		switch {
		case more && (kind == "IDAT" || kind == "DDAT"):
			parts = append(parts, data)
		case more && kind == "fdAT":
			parts = append(parts, data[min(4, len(data)):]) // a number goes before
		default:
			f.note(kind, data)
			more = false
		}
		b = rest
	}
	if f.data = parts[0]; len(parts) > 1 {
		f.data = slices.Concat(parts...)
	}
}

// openPNG reads all but the pixels. The picture is the still one of a PNG or APNG file.
func openPNG(b []byte, most limits) (header, error) {
	f, err := parsePNG(b)
	switch {
	case err != nil && most.tooLarge(f.size.X, f.size.Y):
		return header{width: f.size.X, height: f.size.Y}, nil // which says more than what else is wrong with it
	case err != nil:
		return header{}, err
	}
	h := header{width: f.size.X, height: f.size.Y, exif: f.exif, xmp: f.xmp, decode: f.decode}
	const ratio = 1032 // deflate's best
	if row := (int64(f.size.X)*int64(f.bits()) + 7) / 8; row < ratio {
		h.least = row * int64(f.size.Y) / ratio
	} else {
		h.least = row / ratio * int64(f.size.Y)
	}
	return h, nil
}
