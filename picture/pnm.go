package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"strconv"
)

// pnmSpace are the bytes between the words of a PNM file.
const pnmSpace = " \t\n\v\f\r"

// isPNM knows PBM, PGM and PPM in plain text (P1 to P3) and in bytes (P4 to P6), and the grey ones of floats (Pf). What
// follows must be a number or a comment, since P and a digit begin many a text.
func isPNM(b []byte) bool {
	if len(b) < 3 || b[0] != 'P' || b[1] != 'f' && (b[1] < '1' || b[1] > '6') || !bytes.ContainsRune([]byte(pnmSpace),
		rune(b[2])) {
		return false
	}
	rest := bytes.TrimLeft(b[2:], pnmSpace)
	return len(rest) > 0 && (rest[0] == '#' || rest[0] >= '0' && rest[0] <= '9')
}

// pnmFile is a PNM file's header.
type pnmFile struct {
	kind          byte // '1' to '6' and 'f'
	width, height int
	channels      int
	most          int // the value that is white
	little        bool
	data          []byte
}

// pnmWord cuts the next word from b, and one byte of space behind it. Comments, from # to the end of the line, are
// passed over, even within a word.
func pnmWord(b []byte) (word, rest []byte, err error) {
	for i := 0; i < len(b) && len(word) <= 10; i++ {
		switch c := b[i]; {
		case c == '#':
			for i++; i < len(b) && b[i] != '\n' && b[i] != '\r'; i++ {
			}
		case bytes.IndexByte([]byte(pnmSpace), c) < 0:
			word = append(word, c)
		case len(word) > 0:
			return word, b[i+1:], nil
		}
	}
	if len(word) == 0 {
		return nil, nil, io.ErrUnexpectedEOF
	}
	if len(word) > 10 {
		return nil, nil, fmt.Errorf("%.20q is too long for a number", word)
	}
	return word, nil, nil
}

func parsePNM(b []byte) (*pnmFile, error) {
	f := &pnmFile{kind: b[1], channels: 1, most: 1, data: b[3:]}
	if f.kind == '3' || f.kind == '6' {
		f.channels = 3
	}
	number := func() (int, error) {
		word, rest, err := pnmWord(f.data)
		if err != nil {
			return 0, err
		}
		f.data = rest
		n, err := strconv.ParseUint(string(word), 10, 31)
		if err != nil {
			return 0, fmt.Errorf("%q is no number", word)
		}
		return int(n), nil
	}
	var err error
	if f.width, err = number(); err != nil {
		return nil, err
	}
	if f.height, err = number(); err != nil {
		return nil, err
	}
	switch f.kind {
	case '1', '4':
	case 'f':
		word, rest, err := pnmWord(f.data)
		if err != nil {
			return nil, err
		}
		scale, err := strconv.ParseFloat(string(word), 64)
		if err != nil || scale == 0 || math.IsInf(scale, 0) || math.IsNaN(scale) {
			return nil, fmt.Errorf("%q is no scale", word)
		}
		f.little, f.data = scale < 0, rest
	default:
		if f.most, err = number(); err == nil && (f.most < 1 || f.most > 65535) {
			err = fmt.Errorf("white is %d, want 1 to 65535", f.most)
		}
	}
	return f, err
}

// row is the bytes of a row of a file that is no plain text.
func (f *pnmFile) row() int64 {
	samples := int64(f.width) * int64(f.channels)
	switch {
	case f.kind == '4':
		return (samples + 7) / 8
	case f.kind == 'f':
		return 4 * samples
	case f.most > 255:
		return 2 * samples
	}
	return samples
}

// plain reports whether the samples are text.
func (f *pnmFile) plain() bool { return f.kind <= '3' }

func openPNM(b []byte, _ limits) (header, error) {
	f, err := parsePNM(b)
	if err != nil {
		return header{}, err
	}
	h := header{width: f.width, height: f.height, decode: f.decode, least: f.row() * int64(f.height)}
	if f.plain() {
		h.least = int64(f.width) * int64(f.height) * int64(f.channels)
		if f.kind != '1' { // there is space between
			h.least = 2*h.least - 1
		}
	}
	return h, nil
}

// decode decodes the picture. 0 is black in all but bitmaps. Grey of more than 8 bits becomes 16 bits and is cut off,
// as everywhere (see Decoding.Image), but colour is scaled and rounded.
func (f *pnmFile) decode() (image.Image, error) {
	bounds := image.Rect(0, 0, f.width, f.height)
	var table [1 << 16]byte // of values
	for v := range f.most + 1 {
		table[v] = f.byteOf(v)
	}
	samples := make([]byte, f.width*f.channels) // of a row
	row := f.bytesRow
	if f.plain() {
		words := &pnmWords{b: f.data}
		row = func(dst []byte, _ int, table *[1 << 16]byte) error { return f.plainRow(dst, words, table) }
	}
	grey, colour := image.NewGray(bounds), (*image.NRGBA)(nil)
	if f.channels == 3 {
		grey, colour = nil, image.NewNRGBA(bounds)
	}
	for y := range f.height {
		if err := row(samples, y, &table); err != nil {
			return nil, err
		}
		if grey != nil {
			copy(grey.Pix[y*grey.Stride:], samples)
			continue
		}
		for x := range f.width {
			p, q := colour.Pix[y*colour.Stride+4*x:][:4], samples[3*x:][:3]
			p[0], p[1], p[2], p[3] = q[0], q[1], q[2], 255
		}
	}
	if grey != nil {
		return grey, nil
	}
	return colour, nil
}

// byteOf is Pillow's byte of a value.
func (f *pnmFile) byteOf(v int) byte {
	scaled := func(top float64) float64 { return math.RoundToEven(float64(v) / float64(f.most) * top) }
	switch {
	case f.kind == '1' || f.kind == '4':
		return byte(255 - 255*v)
	case f.channels == 1 && f.most > 255:
		return byte(min(scaled(65535), 255))
	}
	return byte(scaled(255))
}

// bytesRow reads row y of a file whose samples are bytes.
func (f *pnmFile) bytesRow(dst []byte, y int, table *[1 << 16]byte) error {
	n := int(f.row())
	if f.kind == 'f' {
		y = f.height - 1 - y // from the bottom up
	}
	if len(f.data) < n*(y+1) {
		return io.ErrUnexpectedEOF
	}
	line := f.data[n*y:][:n]
	white := byte(min(f.most, 255))
	for x := range dst {
		switch {
		case f.kind == '4':
			dst[x] = table[line[x/8]>>(7-x%8)&1]
		case f.kind == 'f':
			bits := binary.BigEndian.Uint32(line[4*x:])
			if f.little {
				bits = binary.LittleEndian.Uint32(line[4*x:])
			}
			if v := math.Float32frombits(bits); v > 0 { // no NaN
				dst[x] = byte(min(v, 255))
			} else {
				dst[x] = 0
			}
		case f.most > 255:
			dst[x] = table[min(int(binary.BigEndian.Uint16(line[2*x:])), f.most)]
		default:
			dst[x] = table[min(line[x], white)]
		}
	}
	return nil
}

// pnmWords reads the words of plain text.
type pnmWords struct {
	b    []byte
	word []byte
}

// comment passes over a comment, with the end of its line.
func (w *pnmWords) comment() {
	i := bytes.IndexAny(w.b, "\n\r")
	if i < 0 {
		i = len(w.b) - 1
	}
	w.b = w.b[i+1:]
}

// next gives the next word; "" at the end.
func (w *pnmWords) next() []byte {
	w.word = w.word[:0]
	for len(w.b) > 0 {
		switch c := w.b[0]; {
		case c == '#':
			w.comment()
			continue
		case bytes.IndexByte([]byte(pnmSpace), c) < 0:
			w.word = append(w.word, c)
		case len(w.word) > 0:
			return w.word
		}
		w.b = w.b[1:]
		if len(w.word) > 10 {
			break
		}
	}
	return w.word
}

// digit gives the next byte that is no space, of a bitmap; 0 at the end.
func (w *pnmWords) digit() byte {
	for len(w.b) > 0 {
		c := w.b[0]
		if c == '#' {
			w.comment()
			continue
		}
		w.b = w.b[1:]
		if bytes.IndexByte([]byte(pnmSpace), c) < 0 {
			return c
		}
	}
	return 0
}

// plainRow reads the next row of a file in plain text.
func (f *pnmFile) plainRow(dst []byte, words *pnmWords, table *[1 << 16]byte) error {
	for x := range dst {
		if f.kind == '1' {
			c := words.digit()
			switch c {
			case 0:
				return io.ErrUnexpectedEOF
			case '0', '1':
				dst[x] = table[c-'0']
			default:
				return fmt.Errorf("%q is neither 0 nor 1", c)
			}
			continue
		}
		word := words.next()
		if len(word) == 0 {
			return io.ErrUnexpectedEOF
		}
		v := 0
		for _, c := range word {
			if c < '0' || c > '9' || len(word) > 10 {
				return fmt.Errorf("%.20q is no number", word)
			}
			if v = 10*v + int(c-'0'); v > f.most {
				return errors.New("a number beyond white")
			}
		}
		dst[x] = table[v]
	}
	return nil
}
