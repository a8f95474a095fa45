package picture

import (
	"encoding/binary"
	"image"
)

// exifOrientation is the orientation, 1 to 8, in an EXIF block, which is a TIFF file without a picture; 1, upright, if
// the block is absent or makes no sense.
func exifOrientation(b []byte) int {
	if len(b) >= 6 && hasPrefix(b, "Exif\x00\x00") { // as in JPEG; some WebP writers keep it
		b = b[6:]
	}
	if len(b) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.LittleEndian
	if hasPrefix(b, "MM") {
		order = binary.BigEndian
	} else if !hasPrefix(b, "II") {
		return 1
	}
	at := int64(order.Uint32(b[4:]))
	if at+2 > int64(len(b)) {
		return 1
	}
	entries := int64(order.Uint16(b[at:]))
	for i := range entries {
		p := at + 2 + 12*i
		if p+12 > int64(len(b)) {
			return 1
		}
		const orientation, short = 0x112, 3
		if e := b[p : p+12]; order.Uint16(e) == orientation {
			if v := int(order.Uint16(e[8:])); order.Uint16(e[2:]) == short && v >= 1 && v <= 8 {
				return v
			}
			return 1
		}
	}
	return 1
}

// orient turns a picture that was stored with an EXIF orientation upright:
//
//	1 as it is         2 mirrored          3 by 180°           4 upside down
//	5 transposed       6 clockwise by 90°  7 transversed       8 counter-clockwise
//
// The result has no alpha.
func orient(img image.Image, orientation int) image.Image {
	if orientation < 2 || orientation > 8 {
		return img
	}
	src := readRows(img, 3)
	w, h := src.width, src.height
	size := image.Rect(0, 0, w, h)
	if orientation >= 5 {
		size = image.Rect(0, 0, h, w)
	}
	out := image.NewNRGBA(size)
	line := make([]byte, 3*w)
	for y := range h {
		src.row(y, line)
		// Where the row's first pixel goes, and how far on each next one.
		x0, y0, dx, dy := 0, y, 1, 0
		switch orientation {
		case 2:
			x0, dx = w-1, -1
		case 3:
			x0, y0, dx = w-1, h-1-y, -1
		case 4:
			y0 = h - 1 - y
		case 5:
			x0, y0, dx, dy = y, 0, 0, 1
		case 6:
			x0, y0, dx, dy = h-1-y, 0, 0, 1
		case 7:
			x0, y0, dx, dy = h-1-y, w-1, 0, -1
		case 8:
			x0, y0, dx, dy = y, w-1, 0, -1
		}
		at, step := out.PixOffset(x0, y0), 4*dx+out.Stride*dy
		for x := range w {
			p := out.Pix[at : at+4]
			p[0], p[1], p[2], p[3] = line[3*x], line[3*x+1], line[3*x+2], 255
			at += step
		}
	}
	return out
}
