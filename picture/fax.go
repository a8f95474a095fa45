package picture

import (
	"errors"
	"io"
	"strings"
	"sync"
)

// Fax codes of ITU-T T.4 (group 3) and T.6 (group 4), as TIFF files hold them. Why not golang.org/x/image/ccitt: it
// wants a mark before every row of group 3, where many writers leave out the first, and knows neither rows without
// marks nor two dimensions in group 3.

// faxWay is how rows follow one another.
type faxWay int

const (
	faxBytes faxWay = iota // each row begins on a byte (TIFF's compression 2)
	faxMarks               // marks go before rows: group 3
	faxMixed               // and say whether a row is coded alone or by the one above
	fax4                   // each row by the one above: group 4
)

var (
	errFax    = errors.New("damaged fax codes")
	errFaxEnd = errors.New("a fax that ends early")
)

// unfax decodes rows rows of width pixels into dst, a bit for each, 1 for black. A group 4 picture may end early, which
// leaves the other rows as they are.
func unfax(dst, src []byte, width, rows int, way faxWay) error {
	f := faxReader{b: src, width: width, codes: faxTables()}
	stride := (width + 7) / 8
	for y := range rows {
		err := f.row(way)
		if err == errFaxEnd && way == fax4 && y > 0 {
			return nil
		}
		if err != nil {
			return err
		}
		line := dst[y*stride:][:stride]
		clear(line)
		for i := 0; i+1 < len(f.changes); i += 2 {
			blacken(line, f.changes[i], f.changes[i+1])
		}
		f.above, f.changes = f.changes, f.above
	}
	return nil
}

// blacken sets bits from … to−1.
func blacken(line []byte, from, to int) {
	for ; from < to && from&7 != 0; from++ {
		line[from/8] |= 0x80 >> (from & 7)
	}
	for ; from+8 <= to; from += 8 {
		line[from/8] = 0xff
	}
	for ; from < to; from++ {
		line[from/8] |= 0x80 >> (from & 7)
	}
}

// faxReader reads rows as the columns where the colour changes, from white on.
type faxReader struct {
	b              []byte
	at             int // bit
	width          int
	unmarked       bool // no more marks
	codes          *[2][1 << faxLook]faxCode
	changes, above []int
}

// peek gives the next n bits, 24 at most; behind the data they are 0.
func (f *faxReader) peek(n int) int {
	var v uint32
	for i := range 4 {
		if v <<= 8; f.at/8+i < len(f.b) {
			v |= uint32(f.b[f.at/8+i])
		}
	}
	return int(v << (f.at & 7) >> (32 - n))
}

// row reads the next row into changes.
func (f *faxReader) row(way faxWay) error {
	f.changes = f.changes[:0]
	switch way {
	case faxBytes:
		f.at = (f.at + 7) &^ 7
	case fax4:
		return f.byAbove()
	default:
		f.toMark()
		if way == faxMarks {
			break
		}
		alone := f.peek(1) == 1
		if f.at++; !alone {
			return f.byAbove()
		}
	}
	for x, colour := 0, 0; x < f.width; colour ^= 1 {
		n, err := f.run(colour)
		if err != nil {
			return err
		}
		if x += n; x > f.width {
			return errFax
		}
		f.changes = append(f.changes, x)
	}
	f.changes = append(f.changes, f.width)
	return nil
}

// toMark passes the next mark, eleven zeros or more and a one, and what may come before it. If there is none, libtiff
// begins anew, does without marks from then on, and so do we: that reads pictures that have none.
func (f *faxReader) toMark() {
	for zeros := 0; !f.unmarked; f.at++ {
		switch {
		case f.at >= 8*len(f.b):
			f.at, f.unmarked = 0, true
			return
		case f.peek(1) == 0:
			zeros++
		case zeros >= 11:
			f.at++
			return
		default:
			zeros = 0
		}
	}
}

// bad is the error about the bits that come next, which are no code.
func (f *faxReader) bad() error {
	switch {
	case f.peek(12) == 1 || 8*len(f.b)-f.at < 8 && len(f.changes) == 0:
		return errFaxEnd
	case f.at+12 > 8*len(f.b):
		return io.ErrUnexpectedEOF
	}
	return errFax
}

// run reads how many pixels of a colour, 0 for white, 1 for black, come next.
func (f *faxReader) run(colour int) (n int, err error) {
	for {
		c := f.codes[colour][f.peek(faxLook)]
		if c.bits == 0 {
			return 0, f.bad()
		}
		f.at += int(c.bits)
		if n += int(c.run); c.run < 64 {
			return n, nil
		}
	}
}

// byAbove reads a row that is coded by the changes of the one above.
func (f *faxReader) byAbove() error {
	above := append(f.above, f.width, f.width, f.width)
	f.above = above[:len(f.above)]
	x, colour, i := -1, 0, 0 // above[i] is the first change to the other colour behind x, above[i+1] the next one back
	for x < f.width {
		for i > 0 && above[i-1] > x {
			i--
		}
		for above[i] < f.width && (above[i] <= x || i&1 != colour) {
			i++
		}
		shift := 0
		switch next := f.peek(7); {
		case next>>6 == 1:
			f.at++
		case next>>4 == 3:
			shift, f.at = 1, f.at+3
		case next>>4 == 2:
			shift, f.at = -1, f.at+3
		case next>>4 == 1: // two runs
			f.at += 3
			x = max(x, 0)
			for k := range 2 {
				n, err := f.run(colour ^ k)
				if err != nil {
					return err
				}
				if x += n; x > f.width {
					return errFax
				}
				f.changes = append(f.changes, x)
			}
			continue
		case next>>3 == 1: // no change before above[i+1]
			x, f.at = above[i+1], f.at+4
			continue
		case next>>1 == 3:
			shift, f.at = 2, f.at+6
		case next>>1 == 2:
			shift, f.at = -2, f.at+6
		case next == 3:
			shift, f.at = 3, f.at+7
		case next == 2:
			shift, f.at = -3, f.at+7
		default:
			return f.bad()
		}
		to := above[i] + shift
		if to < max(x, 0) || to > f.width {
			return errFax
		}
		x, colour = to, colour^1
		f.changes = append(f.changes, x)
	}
	f.changes = append(f.changes, f.width)
	return nil
}

// faxLook is how many bits the longest code has.
const faxLook = 13

// faxCode is what the next bits begin with: a code of so many bits for a run of so many pixels; 0 bits for none.
type faxCode struct {
	run  int16
	bits uint8
}

// faxTables looks codes up, of white and black runs.
var faxTables = sync.OnceValue(func() *[2][1 << faxLook]faxCode {
	tables := new([2][1 << faxLook]faxCode)
	for colour, list := range faxRuns {
		for i, code := range strings.Fields(list + faxLongRuns) {
			run := i
			if i >= 64 {
				run = 64 * (i - 63)
			}
			first := 0
			for _, bit := range code {
				first = first<<1 | int(bit-'0')
			}
			spread := faxLook - len(code)
			for k := range 1 << spread {
				tables[colour][first<<spread+k] = faxCode{int16(run), uint8(len(code))}
			}
		}
	}
	return tables
})

// faxRuns are the codes of runs of 0, 1, 2 … 63 pixels, then of 64, 128 … 1728, for white and black; faxLongRuns, for
// both, go on to 2560.
var faxRuns = [2]string{`
	00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 110101
	101010 101011 0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011 0010011 0100100 0011000
	00000010 00000011 00011010 00011011 00010010 00010011 00010100 00010101 00010110 00010111 00101000
	00101001 00101010 00101011 00101100 00101101 00000100 00000101 00001010 00001011 01010010 01010011
	01010100 01010101 00100100 00100101 01011000 01011001 01011010 01011011 01001010 01001011 00110010
	00110011 00110100
	11011 10010 010111 0110111 00110110 00110111 01100100 01100101 01101000 01100111 011001100 011001101
	011010010 011010011 011010100 011010101 011010110 011010111 011011000 011011001 011011010 011011011
	010011000 010011001 010011010 011000 010011011 `, `
	0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 00000111
	000011000 0000010111 0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 00000101000
	00000010111 00000011000 000011001010 000011001011 000011001100 000011001101 000001101000 000001101001
	000001101010 000001101011 000011010010 000011010011 000011010100 000011010101 000011010110 000011010111
	000001101100 000001101101 000011011010 000011011011 000001010100 000001010101 000001010110 000001010111
	000001100100 000001100101 000001010010 000001010011 000000100100 000000110111 000000111000 000000100111
	000000101000 000001011000 000001011001 000000101011 000000101100 000001011010 000001100110 000001100111
	0000001111 000011001000 000011001001 000001011011 000000110011 000000110100 000000110101 0000001101100
	0000001101101 0000001001010 0000001001011 0000001001100 0000001001101 0000001110010 0000001110011
	0000001110100 0000001110101 0000001110110 0000001110111 0000001010010 0000001010011 0000001010100
	0000001010101 0000001011010 0000001011011 0000001100100 0000001100101 `}

const faxLongRuns = `00000001000 00000001100 00000001101 000000010010 000000010011 000000010100 000000010101
	000000010110 000000010111 000000011100 000000011101 000000011110 000000011111`
