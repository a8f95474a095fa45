package weights

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// pickleReader reads bytes in order and knows how many there are, so that no length is believed before it is checked.
type pickleReader struct {
	r    *bufio.Reader
	pos  int64
	end  int64 // where reading stops
	size int64 // where the bytes stop; more than end if a limit does it
}

func newPickleReader(r io.ReaderAt, size int64) *pickleReader {
	return &pickleReader{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 1<<16), end: size, size: size}
}

// short says why n bytes cannot be had.
func (p *pickleReader) short(n uint64) error {
	left := p.end - p.pos
	if p.end < p.size {
		return fmt.Errorf("wants %d bytes, but %d are left of the %d that a pickle may have", n, left, maxPickle)
	}
	return fmt.Errorf("wants %d bytes, but %d are left: truncated?", n, left)
}

func (p *pickleReader) byte() (byte, error) {
	if p.pos >= p.end {
		return 0, p.short(1)
	}
	b, err := p.r.ReadByte()
	if err != nil {
		return 0, noEOF(err)
	}
	p.pos++
	return b, nil
}

// take reads n bytes, in memory of their own.
func (p *pickleReader) take(n uint64) ([]byte, error) {
	if n > uint64(p.end-p.pos) {
		return nil, p.short(n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(p.r, b); err != nil {
		return nil, noEOF(err)
	}
	p.pos += int64(n)
	return b, nil
}

// uint reads a little-endian number of 1, 2, 4 or 8 bytes.
func (p *pickleReader) uint(width int) (uint64, error) {
	v := uint64(0)
	for i := range width {
		b, err := p.byte()
		if err != nil {
			return 0, err
		}
		v |= uint64(b) << (8 * i)
	}
	return v, nil
}

// line reads up to a newline, which is taken too.
func (p *pickleReader) line(limit int) (string, error) {
	var line []byte
	for {
		b, err := p.byte()
		if err != nil {
			return "", err
		}
		if b == '\n' {
			return string(line), nil
		}
		if len(line) == limit {
			return "", fmt.Errorf("a name of more than %d bytes", limit)
		}
		line = append(line, b)
	}
}

// number reads a whole number or a float and pushes it.
func (u *unpickler) number(op byte) error {
	switch op {
	case opBinInt1, opBinInt2:
		width := 1
		if op == opBinInt2 {
			width = 2
		}
		v, err := u.in.uint(width)
		if err != nil {
			return err
		}
		u.push(int64(v))
	case opBinInt:
		v, err := u.in.uint(4)
		if err != nil {
			return err
		}
		u.push(int64(int32(v)))
	case opBinFloat:
		b, err := u.in.take(8)
		if err != nil {
			return err
		}
		u.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	default:
		width := 1
		if op == opLong4 {
			width = 4
		}
		n, err := u.in.uint(width)
		if err != nil {
			return err
		}
		b, err := u.in.take(n)
		if err != nil {
			return err
		}
		if n > 8 {
			u.push(bigInt(b))
			return nil
		}
		v := int64(0)
		for i, x := range b { // two's complement, the last byte with the sign
			v |= int64(x) << (8 * i)
		}
		if shift := 64 - 8*n; n > 0 {
			v = v << shift >> shift
		}
		u.push(v)
	}
	return nil
}

// text reads a string or bytes behind its length.
func (u *unpickler) text(op byte) error {
	width := 4
	switch op {
	case opShortBinUnicode, opShortBinString, opShortBinBytes:
		width = 1
	case opBinUnicode8, opBinBytes8, opByteArray8:
		width = 8
	}
	n, err := u.in.uint(width)
	if err != nil {
		return err
	}
	b, err := u.in.take(n)
	if err != nil {
		return err
	}
	switch op {
	case opBinBytes, opShortBinBytes, opBinBytes8, opByteArray8:
		u.push(pyBytes(b))
	default: // also Python 2's byte strings, which its checkpoints have for names
		u.push(string(b))
	}
	return nil
}

// noEOF says in our words that a file ends too early.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("unexpected end")
	}
	return err
}
