package picture

import (
	"errors"
	"io"
)

// Why not compress/lzw: it knows first codes of 2 to 8 bits only, and tells damage otherwise than Pillow.

// gifTable is how many codes there can be, of at most 12 bits.
const gifTable = 1 << 12

// unpackGIF expands LZW codes, whose literals have that many bits, 0 to 12, to dst. Data may go on behind it.
func unpackGIF(dst, data []byte, bits int) error {
	var (
		link  [gifTable]uint16 // the code that a code goes on from
		last  [gifTable]byte   // the byte it adds
		first [gifTable]byte   // the byte it begins with
		long  [gifTable]int32  // how many bytes it is
	)
	clear := 1 << bits
	for i := range min(clear, gifTable) {
		last[i], first[i], long[i] = byte(i), byte(i), 1
	}
	next, size, before := clear+2, bits+1, -1 // the code that comes next, the bits of a code, the code before
	acc, n := uint32(0), 0
	for at := 0; at < len(dst); {
		for n < size {
			if len(data) == 0 {
				return io.ErrUnexpectedEOF
			}
			acc |= uint32(data[0]) << n
			data, n = data[1:], n+8
		}
		code := int(acc & (1<<size - 1))
		acc, n = acc>>size, n-size
		switch {
		case code == clear:
			next, size, before = clear+2, bits+1, -1
			continue
		case code == clear+1: // the end
			return io.ErrUnexpectedEOF
		case code > next || before < 0 && code > clear || code >= gifTable || code == next && before >= gifTable:
			return errors.New("an LZW code that is not known yet")
		}
		if before >= 0 && next < gifTable {
			link[next], first[next], long[next] = uint16(before), first[before], long[before]+1
			last[next] = first[code]
			if code == next {
				last[next] = first[before]
			}
			if next++; next == 1<<size && size < 12 {
				size++
			}
		}
		end := at + int(long[code])
		for i, c := end-1, code; i >= at; i-- {
			if i < len(dst) {
				dst[i] = last[c]
			}
			c = int(link[c])
		}
		at, before = end, code
	}
	return nil
}
