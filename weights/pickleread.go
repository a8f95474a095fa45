package weights

import (
	"bufio"
	"io"

	"github.com/adavit/adavit/internal/regular"
)

// pickleReader reads bytes in order and knows how many there are, so that no length is believed before it is checked.
// Its methods panic with a fault where there are not enough.
type pickleReader struct {
	r    *bufio.Reader
	pos  int64
	end  int64 // where reading stops
	size int64 // where the bytes stop; more than end if a limit does it
}

// need makes sure that n more bytes can be had.
func (p *pickleReader) need(n uint64) {
	left := p.end - p.pos
	switch {
	case n <= uint64(left):
	case p.end < p.size:
		panic(faultf("wants %d bytes, but %d are left of the %d that a pickle may have", n, left, maxPickle))
	default:
		panic(faultf("wants %d bytes, but %d are left: truncated?", n, left))
	}
}

func (p *pickleReader) byte() byte {
	p.need(1)
	b, err := p.r.ReadByte()
	if err != nil {
		panic(fault{regular.CutShort(err)})
	}
	p.pos++
	return b
}

// take reads n bytes, in memory of their own.
func (p *pickleReader) take(n uint64) []byte {
	p.need(n)
	b := make([]byte, n)
	if _, err := io.ReadFull(p.r, b); err != nil {
		panic(fault{regular.CutShort(err)})
	}
	p.pos += int64(n)
	return b
}

// uint reads a little-endian number of 1, 2, 4 or 8 bytes.
func (p *pickleReader) uint(width int) uint64 {
	v := uint64(0)
	for i := range width {
		v |= uint64(p.byte()) << (8 * i)
	}
	return v
}

// block reads bytes behind their number, which is a uint of that width.
func (p *pickleReader) block(width int) []byte { return p.take(p.uint(width)) }

// line reads part of a global's name up to a newline, which is taken too.
func (p *pickleReader) line() string {
	var line []byte
	for b := p.byte(); b != '\n'; b = p.byte() {
		if len(line) == maxGlobalName {
			panic(faultf("a name of more than %d bytes", maxGlobalName))
		}
		line = append(line, b)
	}
	return string(line)
}

// long is a whole number of any length in two's complement, little endian.
func long(b []byte) any {
	if len(b) > 8 {
		return bigInt(b)
	}
	v := int64(0)
	for i, x := range b {
		v |= int64(x) << (8 * i)
	}
	unused := 64 - 8*len(b)
	return v << unused >> unused // the last byte has the sign
}
