package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/png"
	"io"
)

const pngMagic = "\x89PNG\r\n\x1a\n"

func isPNG(b []byte) bool { return hasPrefix(b, pngMagic) }

// pngChannels is the samples of a pixel for each colour type.
var pngChannels = [7]int64{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}

// openPNG reads IHDR, and eXIf wherever it is. The picture is the still one of a PNG or APNG file.
func openPNG(b []byte, _ limits) (header, error) {
	const ihdr = len(pngMagic) + 8
	if len(b) < ihdr+13 {
		return header{}, io.ErrUnexpectedEOF
	}
	if string(b[ihdr-4:ihdr]) != "IHDR" {
		return header{}, errors.New("its first chunk is not IHDR")
	}
	width, height := binary.BigEndian.Uint32(b[ihdr:]), binary.BigEndian.Uint32(b[ihdr+4:])
	depth, kind := int64(b[ihdr+8]), b[ihdr+9]
	if width > 1<<31-1 || height > 1<<31-1 || depth > 16 || int(kind) >= len(pngChannels) {
		return header{}, errors.New("impossible size, depth or colour type")
	}
	h := header{width: int(width), height: int(height)}
	row := (int64(width)*depth*pngChannels[kind] + 7) / 8
	h.least = row / 1032 * int64(height) // deflate's best ratio
	if row < 1032 {
		h.least = row * int64(height) / 1032
	}
	for rest := b[len(pngMagic):]; len(rest) >= 12; {
		n := int64(binary.BigEndian.Uint32(rest))
		if n > int64(len(rest))-12 {
			break
		}
		if string(rest[4:8]) == "eXIf" {
			h.exif = rest[8 : 8+n]
		}
		rest = rest[12+n:]
	}
	h.decode = func() (image.Image, error) {
		img, err := png.Decode(bytes.NewReader(b))
		if depth == 16 && kind == 0 && err == nil {
			switch m := img.(type) {
			case *image.Gray16:
				img = saturate(m.Rect, m.Pix, m.Stride, 2)
			case *image.NRGBA64: // one grey is declared transparent
				img = saturate(m.Rect, m.Pix, m.Stride, 8)
			}
		}
		return img, err
	}
	return h, nil
}

// saturate makes 8-bit grey of 16-bit grey as Pillow does, which cuts values off at 255 instead of scaling them. pix
// holds each value in the first two of step bytes, the higher byte first.
func saturate(bounds image.Rectangle, pix []byte, stride, step int) *image.Gray {
	out := image.NewGray(bounds)
	for y := range bounds.Dy() {
		line := pix[y*stride:]
		for x := range bounds.Dx() {
			out.Pix[y*out.Stride+x] = byte(min(binary.BigEndian.Uint16(line[step*x:]), 255))
		}
	}
	return out
}
