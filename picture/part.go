package picture

import (
	"fmt"
	"image"
)

// Part is a rectangle of a picture, in pixels.
type Part struct{ Top, Left, Height, Width int }

// cut shows a part of a picture. Rows are read whole, so that colour that is kept at half the resolution is
// interpolated as in the whole picture.
func (r rows) cut(p Part) rows {
	line := make([]byte, r.width*r.channels)
	return rows{height: p.Height, width: p.Width, channels: r.channels, row: func(y int, dst []byte) {
		r.row(p.Top+y, line)
		copy(dst[:p.Width*r.channels], line[p.Left*r.channels:])
	}}
}

// ResizePart writes the part of img, resized, to dst [channels, height, width].
func ResizePart(dst []byte, img image.Image, p Part, channels, height, width, filter int) error {
	win := window{fullHeight: height, fullWidth: width, height: height, width: width}
	return resizePlanes(dst, width, 0, readRows(img, channels).cut(p), win, filter)
}

// resizePlanes writes that window of the source, resized, to dst [channels, height, width], where its first pixel is
// number at; the rest is black.
func resizePlanes(dst []byte, width, at int, src rows, win window, filter int) error {
	if src.channels == 1 {
		clear(dst)
		return resize(dst[at:], width, src, win, filter)
	}
	mixed := make([]byte, len(dst)) // [height, width, 3]
	if err := resize(mixed[3*at:], 3*width, src, win, filter); err != nil {
		return err
	}
	n := len(mixed) / 3
	r, g, b := dst[:n], dst[n:2*n], dst[2*n:3*n]
	for i := range n {
		r[i], g[i], b[i] = mixed[3*i], mixed[3*i+1], mixed[3*i+2]
	}
	return nil
}

// Sides returns height and width of a picture that can be cropped; other sides are an error.
func Sides(img image.Image) (h, w int, err error) {
	h, w = img.Bounds().Dy(), img.Bounds().Dx()
	if most := defaultLimits; h < 1 || w < 1 || int64(h) > most.side || int64(w) > most.side {
		return 0, 0, fmt.Errorf("picture of %d×%d pixels", w, h)
	}
	return h, w, nil
}
