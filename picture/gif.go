package picture

// Why not image/gif: it refuses frames with surplus data, which Pillow reads (golang.org/issue/35503), and knows
// neither a frame beyond the screen nor one without a palette. Of the 37 GIF files among Pillow 13.0.0's test images
// that Pillow can read (2026-11-26):
//
//	                     Pillow's pixels   other pixels   refused
//	this file                         37              0         0
//	image/gif of Go 1.26.8            29              6         2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
)

func isGIF(b []byte) bool { return hasPrefix(b, "GIF87a") || hasPrefix(b, "GIF89a") }

// gifFrame is the first frame of a GIF file.
type gifFrame struct {
	screen     image.Point // grown to hold the frame, as Pillow does
	frame      image.Rectangle
	palette    []byte // 3 bytes a colour; nil means grey
	background byte   // the index of pixels outside of the frame
	interlaced bool
	data       []byte // from the LZW code size on
}

// parseGIF reads up to the pixels of the first frame.
func parseGIF(b []byte) (g gifFrame, err error) {
	take := func(n int) []byte {
		if err != nil || n > len(b) {
			err = io.ErrUnexpectedEOF
			return make([]byte, n)
		}
		p := b[:n]
		b = b[n:]
		return p
	}
	point := func(p []byte) image.Point {
		return image.Pt(int(binary.LittleEndian.Uint16(p)), int(binary.LittleEndian.Uint16(p[2:])))
	}
	colours := func(flags byte) {
		if flags&0x80 != 0 {
			g.palette = take(3 << (1 + flags&7))
		}
	}
	screen := take(13)
	g.screen = point(screen[6:])
	colours(screen[10])
	for err == nil {
		switch take(1)[0] {
		case 0x21: // an extension: its kind, then sub-blocks
			kind := take(1)[0]
			for first := true; err == nil; first = false {
				n := int(take(1)[0])
				if n == 0 {
					break
				}
				if block := take(n); kind == 0xf9 && first && n >= 4 && block[0]&1 != 0 {
					g.background = block[3] // the transparent index
				}
			}
		case 0x2c:
			p := take(9)
			g.frame = image.Rectangle{point(p), point(p).Add(point(p[4:]))}
			g.screen = image.Pt(max(g.screen.X, g.frame.Max.X), max(g.screen.Y, g.frame.Max.Y))
			g.interlaced = p[8]&0x40 != 0
			colours(p[8])
			g.data = b
			return g, err
		case 0x3b:
			return g, errors.New("no frame in it")
		case 0x00: // padding, which some writers leave
		default:
			if err == nil {
				err = errors.New("unknown block")
			}
		}
	}
	return g, err
}

// openGIF reads the sizes of the screen and of the first frame. GIF has no EXIF.
func openGIF(b []byte, _ limits) (header, error) {
	g, err := parseGIF(b)
	// A 12-bit LZW code stands for less than 4096 pixels.
	area := int64(g.frame.Dx()) * int64(g.frame.Dy())
	return header{width: g.screen.X, height: g.screen.Y, least: area * 3 / 2 / 4096, decode: g.decode}, err
}

// decode decodes the first frame on its screen. Transparent pixels keep the palette's colour, as Pillow's do.
func (g gifFrame) decode() (image.Image, error) {
	table := g.palette
	if table == nil {
		for i := range 256 {
			table = append(table, byte(i), byte(i), byte(i))
		}
	}
	out := image.NewPaletted(image.Rectangle{Max: g.screen}, newPalette(table))
	if g.background != 0 && g.frame != out.Rect {
		for i := range out.Pix {
			out.Pix[i] = g.background
		}
	}
	if g.frame.Empty() {
		return out, nil
	}
	if len(g.data) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	if g.data[0] > 12 {
		return nil, fmt.Errorf("LZW code size %d", g.data[0])
	}
	var data []byte // of the sub-blocks, as far as they are there
	for rest := g.data[1:]; len(rest) > 0 && rest[0] > 0; {
		n := min(1+int(rest[0]), len(rest))
		data, rest = append(data, rest[1:n]...), rest[n:]
	}
	pixels := make([]byte, g.frame.Dx()*g.frame.Dy())
	if err := unpackGIF(pixels, data, int(g.data[0])); err != nil {
		return nil, err
	}
	passes := [][2]int{{0, 1}} // first row, step
	if g.interlaced {
		passes = [][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}}
	}
	for _, p := range passes {
		for y := p[0]; y < g.frame.Dy(); y += p[1] {
			at := out.PixOffset(g.frame.Min.X, g.frame.Min.Y+y)
			pixels = pixels[copy(out.Pix[at:at+g.frame.Dx()], pixels):]
		}
	}
	return out, nil
}
