package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/draw"
	"io"
	"iter"

	"golang.org/x/image/vp8"
	"golang.org/x/image/vp8l"
)

func isWebP(b []byte) bool { return len(b) >= 12 && hasPrefix(b, "RIFF") && string(b[8:12]) == "WEBP" }

// webPFrame is the first frame of a WebP file. Alpha is not looked at: it does not change the colours under it.
type webPFrame struct {
	canvas   image.Point
	at       image.Point // of the frame on the canvas
	size     image.Point
	animated bool
	lossless bool
	data     []byte // a VP8 or VP8L bit stream
	exif     []byte
	xmp      []byte
}

// riffChunks gives the chunks in b. One that is cut short comes as "", and is the last.
func riffChunks(b []byte) iter.Seq2[string, []byte] {
	return func(yield func(kind string, data []byte) bool) {
		for len(b) > 0 {
			if len(b) < 8 || int64(binary.LittleEndian.Uint32(b[4:])) > int64(len(b))-8 {
				yield("", nil)
				return
			}
			n := int(binary.LittleEndian.Uint32(b[4:]))
			if !yield(string(b[:4]), b[8:8+n]) {
				return
			}
			b = b[min(8+n+n&1, len(b)):]
		}
	}
}

// parseWebP finds the first frame and its size.
func parseWebP(b []byte) (f webPFrame, err error) {
	for kind, data := range riffChunks(b[12:]) {
		switch {
		case kind == "" && f.data == nil: // else it is cut short behind the picture
			err = io.ErrUnexpectedEOF
		case kind == "VP8X" && len(data) >= 10:
			f.animated = data[0]&2 != 0
			f.canvas = image.Pt(1+uint24(data[4:]), 1+uint24(data[7:]))
		case kind == "EXIF":
			f.exif = data
		case kind == "XMP ":
			f.xmp = data
		case kind == "ANMF" && f.data == nil && len(data) >= 16:
			f.at = image.Pt(2*uint24(data), 2*uint24(data[3:]))
			for kind, data := range riffChunks(data[16:]) {
				if err = f.frame(kind, data); err != nil || f.data != nil {
					break
				}
			}
			if f.data == nil && err == nil {
				err = errors.New("a frame without a picture")
			}
		case f.data == nil:
			err = f.frame(kind, data)
		}
		if err != nil {
			return f, err
		}
	}
	if f.data == nil {
		return f, errors.New("no picture in it")
	}
	if f.canvas == (image.Point{}) {
		f.canvas = f.size
	}
	if !(image.Rectangle{f.at, f.at.Add(f.size)}).In(image.Rectangle{Max: f.canvas}) ||
		!f.animated && f.size != f.canvas {
		return f, errors.New("the frame and the canvas differ in size")
	}
	return f, nil
}

// frame notes a bit stream and its size; other chunks pass.
func (f *webPFrame) frame(kind string, data []byte) error {
	switch kind {
	case "VP8 ": // a 3-byte tag, a start code, then 14 bits each
		if len(data) < 10 {
			return io.ErrUnexpectedEOF
		}
		f.size = image.Pt(int(binary.LittleEndian.Uint16(data[6:]))&0x3fff,
			int(binary.LittleEndian.Uint16(data[8:]))&0x3fff)
	case "VP8L": // a signature byte, then 14 bits each, less one
		if len(data) < 5 {
			return io.ErrUnexpectedEOF
		}
		v := int(binary.LittleEndian.Uint32(data[1:]))
		f.size, f.lossless = image.Pt(1+v&0x3fff, 1+v>>14&0x3fff), true
	default:
		return nil
	}
	f.data = data
	return nil
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

func openWebP(b []byte, _ limits) (header, error) {
	f, err := parseWebP(b)
	// Of VP8L nothing is known: one code can stand for the whole picture.
	return header{width: f.canvas.X, height: f.canvas.Y, exif: f.exif, xmp: f.xmp, decode: f.decode}, err
}

// decode decodes the first frame. Around an animation's frame the canvas is black.
func (f webPFrame) decode() (img image.Image, err error) {
	if f.lossless {
		img, err = vp8l.Decode(bytes.NewReader(f.data))
	} else {
		img, err = decodeVP8(f.data)
	}
	if err != nil {
		return nil, err
	}
	if img.Bounds() != (image.Rectangle{Max: f.size}) {
		return nil, errors.New("the picture and its header differ in size")
	}
	if f.size == f.canvas {
		return img, nil
	}
	canvas := image.NewNRGBA(image.Rectangle{Max: f.canvas})
	draw.Draw(canvas, image.Rectangle{f.at, f.at.Add(f.size)}, img, image.Point{}, draw.Src)
	return canvas, nil
}

func decodeVP8(b []byte) (image.Image, error) {
	d := vp8.NewDecoder()
	d.Init(bytes.NewReader(b), len(b))
	if _, err := d.DecodeFrameHeader(); err != nil {
		return nil, err
	}
	img, err := d.DecodeFrame()
	if err != nil {
		return nil, err
	}
	return fromVideo(img), nil
}

// fromVideo converts a lossy picture, which Go's decoder hands out as if it were a JPEG's, into the bytes that libwebp
// makes of it. The levels are ITU-R 601's, luma 16 … 235 and chroma 16 … 240; chroma, halved on both axes, is
// interpolated, but not rounded as in JPEG.
func fromVideo(m *image.YCbCr) *image.NRGBA {
	b := m.Rect
	w, h := b.Dx(), b.Dy()
	out := image.NewNRGBA(b)
	cb, cr := make([]byte, w), make([]byte, w)
	columns, rows := (w+1)/2, (h+1)/2
	for y := range h {
		near, far := y/2*m.CStride, (y/2-1)*m.CStride
		if y&1 == 1 {
			far = (y/2 + 1) * m.CStride
		}
		far = min(max(far, 0), (rows-1)*m.CStride)
		blendVideo(cb, m.Cb[near:][:columns], m.Cb[far:][:columns])
		blendVideo(cr, m.Cr[near:][:columns], m.Cr[far:][:columns])
		luma, dst := m.Y[y*m.YStride:][:w], out.Pix[y*out.Stride:]
		for x, v := range luma {
			p := dst[4*x : 4*x+4]
			// In 1/64; each product is cut off, not rounded.
			l, u, v := int32(v)*19077>>8, int32(cb[x]), int32(cr[x])
			p[0] = clampByte((l + v*26149>>8 - 14234) >> 6)
			p[1] = clampByte((l - u*6419>>8 - v*13320>>8 + 8708) >> 6)
			p[2] = clampByte((l + u*33050>>8 - 17685) >> 6)
			p[3] = 255
		}
	}
	return out
}

// blendVideo makes a row of chroma, one sample a pixel, of the nearer and the farther row of samples. Weights are 9, 3,
// 3 and 1 of 16, rounded in two steps.
func blendVideo(dst, near, far []byte) {
	for x := range dst {
		i, j := x/2, x/2-1
		if x&1 == 1 {
			j = x/2 + 1
		}
		a, c := int32(near[i]), int32(far[i])
		if j < 0 || j >= len(near) {
			dst[x] = byte((3*a + c + 2) >> 2)
			continue
		}
		b, d := int32(near[j]), int32(far[j])
		dst[x] = byte(((a+3*b+3*c+d+8)>>3 + a) >> 1)
	}
}
