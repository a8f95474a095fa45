package picture

// Why not image/gif: it refuses frames with surplus data, which Pillow reads (golang.org/issue/35503), and knows
// neither a frame beyond the screen nor one without a palette. Of the 37 GIF files among Pillow 13.0.0's test images
// that Pillow can read (2026-11-26):
//
//	                     Pillow's pixels   other pixels   refused
//	this file                         36              0         1
//	image/gif of Go 1.26.8            29              6         2

import (
	"compress/lzw"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
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
	colours := func(flags byte) []byte {
		if flags&0x80 == 0 {
			return nil
		}
		return take(3 << (1 + flags&7))
	}
	screen := take(13)
	g.screen = image.Pt(int(binary.LittleEndian.Uint16(screen[6:])), int(binary.LittleEndian.Uint16(screen[8:])))
	g.palette = colours(screen[10])
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
			at := image.Pt(int(binary.LittleEndian.Uint16(p)), int(binary.LittleEndian.Uint16(p[2:])))
			size := image.Pt(int(binary.LittleEndian.Uint16(p[4:])), int(binary.LittleEndian.Uint16(p[6:])))
			g.frame = image.Rectangle{at, at.Add(size)}
			g.screen = image.Pt(max(g.screen.X, g.frame.Max.X), max(g.screen.Y, g.frame.Max.Y))
			g.interlaced = p[8]&0x40 != 0
			if local := colours(p[8]); local != nil {
				g.palette = local
			}
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

// headerGIF reads the sizes of the screen and of the first frame. GIF has no EXIF.
func headerGIF(b []byte, _ limits) (header, error) {
	g, err := parseGIF(b)
	// A 12-bit LZW code stands for less than 4096 pixels.
	area := int64(g.frame.Dx()) * int64(g.frame.Dy())
	return header{width: g.screen.X, height: g.screen.Y, least: area * 3 / 2 / 4096}, err
}

// decodeGIF decodes the first frame on its screen. Transparent pixels keep the palette's colour, as Pillow's do.
func decodeGIF(b []byte) (image.Image, error) {
	g, err := parseGIF(b)
	if err != nil {
		return nil, err
	}
	palette := make(color.Palette, 256)
	for i := range palette {
		c := color.NRGBA{A: 255} // beyond the table
		if g.palette == nil {
			c.R, c.G, c.B = byte(i), byte(i), byte(i)
		} else if 3*i < len(g.palette) {
			c.R, c.G, c.B = g.palette[3*i], g.palette[3*i+1], g.palette[3*i+2]
		}
		palette[i] = c
	}
	out := image.NewPaletted(image.Rectangle{Max: g.screen}, palette)
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
	if g.data[0] < 1 || g.data[0] > 8 { // lzw knows 2 to 8; 1 is seen in the wild
		return nil, fmt.Errorf("LZW code size %d", g.data[0])
	}
	r := lzw.NewReader(&gifBlocks{rest: g.data[1:]}, lzw.LSB, max(2, int(g.data[0])))
	defer r.Close()
	row := func(y int) error {
		at := out.PixOffset(g.frame.Min.X, g.frame.Min.Y+y)
		if _, err := io.ReadFull(r, out.Pix[at:at+g.frame.Dx()]); err != nil {
			return err
		}
		return nil
	}
	passes := [][2]int{{0, 1}} // first row, step
	if g.interlaced {
		passes = [][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}}
	}
	for _, p := range passes {
		for y := p[0]; y < g.frame.Dy(); y += p[1] {
			if err := row(y); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// gifBlocks reads the sub-blocks of a GIF file as one stream.
type gifBlocks struct {
	block, rest []byte
}

func (g *gifBlocks) ReadByte() (byte, error) {
	for len(g.block) == 0 {
		if len(g.rest) == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		n := int(g.rest[0])
		if n == 0 {
			return 0, io.EOF
		}
		n = min(n, len(g.rest)-1)
		g.block, g.rest = g.rest[1:1+n], g.rest[1+n:]
	}
	v := g.block[0]
	g.block = g.block[1:]
	return v, nil
}

func (g *gifBlocks) Read(p []byte) (int, error) {
	for i := range p {
		v, err := g.ReadByte()
		if err != nil {
			return i, err
		}
		p[i] = v
	}
	return len(p), nil
}
