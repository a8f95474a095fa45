package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"image"
	"io"
)

// pngPass is a pass over a picture: its first row and column, and the steps to the next ones.
type pngPass struct{ y, x, down, across int }

// pngPasses are those of an interlaced picture.
var pngPasses = []pngPass{
	{0, 0, 8, 8}, {0, 4, 8, 8}, {4, 0, 8, 4}, {0, 2, 4, 4}, {2, 0, 4, 2}, {0, 1, 2, 2}, {1, 0, 2, 1},
}

// decode decodes the pixels. Data may go on behind the picture; where they end with a row, the rows that are missing
// are black, as in Pillow. Alpha stays where there is colour.
func (f *pngFile) decode() (image.Image, error) {
	z, err := zlib.NewReader(bytes.NewReader(f.data))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	img, canvas := f.canvas()
	passes := []pngPass{{0, 0, 1, 1}}
	origin := f.frame.Min
	if f.interlaced {
		passes, origin = pngPasses, image.Point{} // which is where Pillow has such a frame
	}
	row := func(pixels int) int { return 1 + (pixels*f.bits()+7)/8 }
	line, last := make([]byte, row(f.frame.Dx())), make([]byte, row(f.frame.Dx()))
	rows := 0
	for _, p := range passes {
		n := (f.frame.Dx() - p.x + p.across - 1) / p.across
		if n <= 0 {
			continue
		}
		clear(last)
		for y := p.y; y < f.frame.Dy(); y += p.down {
			b := line[:row(n)]
			if _, err := io.ReadFull(z, b); err == io.EOF && rows > 0 {
				return img, nil
			} else if err != nil {
				return nil, err
			}
			if err := pngUnfilter(b[0], b[1:], last[1:len(b)], max(1, f.bits()/8)); err != nil {
				return nil, err
			}
			at := (origin.Y+y)*canvas.stride + (origin.X+p.x)*canvas.step
			f.store(canvas.pix[at:], b[1:], n, p.across*canvas.step)
			line, last = last, line
			rows++
		}
	}
	return img, nil
}

// pngCanvas is the memory of a picture.
type pngCanvas struct {
	pix          []byte
	stride, step int // bytes to the next row and the next pixel
}

// canvas makes the picture: indices, grey, or RGB with alpha.
func (f *pngFile) canvas() (image.Image, pngCanvas) {
	bounds := image.Rectangle{Max: f.size}
	switch f.kind {
	case pngPalette:
		img := image.NewPaletted(bounds, newPalette(f.palette))
		return img, pngCanvas{img.Pix, img.Stride, 1}
	case pngGrey, pngGreyAlpha:
		img := image.NewGray(bounds)
		return img, pngCanvas{img.Pix, img.Stride, 1}
	}
	img := image.NewNRGBA(bounds)
	return img, pngCanvas{img.Pix, img.Stride, 4}
}

// store puts the n pixels of a row into every step-th byte of dst, 8 bits a sample. Of 16 bits the upper 8 stay, but
// grey without alpha is cut off, see Decoding.Image.
func (f *pngFile) store(dst, line []byte, n, step int) {
	size := f.depth / 8
	switch {
	case f.depth < 8:
		scale := byte(1)
		if f.kind == pngGrey {
			scale = 255 / (1<<f.depth - 1)
		}
		perByte, most := 8/f.depth, byte(1<<f.depth-1)
		for x := range n {
			dst[x*step] = line[x/perByte] >> (8 - f.depth*(x%perByte+1)) & most * scale
		}
	case f.kind == pngRGB:
		for x := range n {
			p, q := dst[x*step:][:4], line[3*size*x:][:3*size]
			p[0], p[1], p[2], p[3] = q[0], q[size], q[2*size], 255
		}
	case f.kind == pngRGBA:
		for x := range n {
			p, q := dst[x*step:][:4], line[4*size*x:][:4*size]
			p[0], p[1], p[2], p[3] = q[0], q[size], q[2*size], q[3*size]
		}
	case f.kind == pngGrey && f.depth == 16:
		for x := range n {
			dst[x*step] = byte(min(binary.BigEndian.Uint16(line[2*x:]), 255))
		}
	case f.kind != pngGreyAlpha && step == 1:
		copy(dst, line[:n])
	default:
		unit := size * pngSamples[f.kind]
		for x := range n {
			dst[x*step] = line[x*unit]
		}
	}
}

// pngUnfilter adds to the bytes of a line what they were predicted from: the pixel on the left, unit bytes before, and
// the last line.
func pngUnfilter(filter byte, line, last []byte, unit int) error {
	switch filter {
	case 0:
	case 1:
		for i := unit; i < len(line); i++ {
			line[i] += line[i-unit]
		}
	case 2:
		for i, v := range last[:len(line)] {
			line[i] += v
		}
	case 3:
		for i := range min(unit, len(line)) {
			line[i] += last[i] / 2
		}
		for i := unit; i < len(line); i++ {
			line[i] += byte((int(line[i-unit]) + int(last[i])) / 2)
		}
	case 4:
		for first := range min(unit, len(line)) {
			paeth(line[first:], last[first:len(line)], unit)
		}
	default:
		return errors.New("unknown filter")
	}
	return nil
}

// paeth adds to every unit-th byte the one of its three neighbours (left, above, above left) that is the nearest to
// left + above − above left.
func paeth(line, last []byte, unit int) {
	var left, corner int32
	for i := 0; i < len(line); i += unit {
		above := int32(last[i])
		toLeft, toAbove := above-corner, left-corner
		toCorner := toLeft + toAbove
		toLeft, toAbove, toCorner = max(toLeft, -toLeft), max(toAbove, -toAbove), max(toCorner, -toCorner)
		near := corner
		if toLeft <= toAbove && toLeft <= toCorner {
			near = left
		} else if toAbove <= toCorner {
			near = above
		}
		left, corner = (near+int32(line[i]))&255, above
		line[i] = byte(left)
	}
}
