package picture

import (
	"bytes"
	"image"
	"regexp"
	"slices"
)

// xmpOrientation finds the orientation in XMP data, as Pillow does.
var xmpOrientation = regexp.MustCompile(`tiff:Orientation(="|>)([0-9])`)

// orientation is the orientation, 1 to 8, in an EXIF block or, where that has none, in XMP data; 1, upright, if neither
// says it or makes sense.
func orientation(exif, xmp []byte) int {
	if v := exifOrientation(exif); v != 0 {
		return v
	}
	if m := xmpOrientation.FindSubmatch(xmp); m != nil && m[2][0] >= '1' && m[2][0] <= '8' {
		return int(m[2][0] - '0')
	}
	return 1
}

// exifOrientation is the orientation, 1 to 8, in an EXIF block, which is a TIFF file without a picture; 1 if its value
// makes no sense, 0 if there is none.
func exifOrientation(b []byte) int {
	b = bytes.TrimPrefix(b, []byte("Exif\x00\x00")) // as in JPEG; some WebP writers keep it
	if !hasPrefix(b, "MM") && !hasPrefix(b, "II") {
		return 0
	}
	d, _ := readTIFFDirectory(b) // what there is of it
	for e := range slices.Chunk(d.entries, d.size) {
		if d.order.Uint16(e) != tiffOrientation {
			continue
		}
		if v, ok := d.field(b, e); ok && v.count == 1 && v.at(0) >= 1 && v.at(0) <= 8 {
			return int(v.at(0))
		}
		return 1
	}
	return 0
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
	transposed, mirrored, flipped := orientation >= 5, orientation/2&1 == 1, (orientation-1)/2&1 == 1
	if transposed {
		w, h = h, w
	}
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	line := make([]byte, src.step*src.width)
	for y := range src.height {
		src.row(y, line)
		// Where the row's first pixel goes, and how far on each next one.
		x0, y0, dx, dy := 0, y, 1, 0
		if transposed {
			x0, y0, dx, dy = y, 0, 0, 1
		}
		if mirrored {
			x0, dx = w-1-x0, -dx
		}
		if flipped {
			y0, dy = h-1-y0, -dy
		}
		at, step := out.PixOffset(x0, y0), 4*dx+out.Stride*dy
		for x := range src.width {
			copy(out.Pix[at:at+3], line[src.step*x:])
			out.Pix[at+3] = 255
			at += step
		}
	}
	return out
}
