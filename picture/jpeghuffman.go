package picture

import (
	"errors"
	"io"
)

// jpegLook is how many bits of a code are looked up at once; most codes have no more.
const jpegLook = 9

// jpegHuffman is a Huffman table.
type jpegHuffman struct {
	look   [1 << jpegLook]uint16 // length·256 + symbol for the next bits; 0 where the code is longer or there is none
	most   [17]int32             // the last code of each length; where there is none, the last that begins a shorter one
	offset [17]int32             // from a code of that length to its symbol's place
	symbol []byte
}

// newJPEGHuffman makes the table of a DHT segment: how many codes there are of each length from 1 to 16, and the
// symbols in the order of the codes.
func newJPEGHuffman(counts [16]byte, symbols []byte) (*jpegHuffman, error) {
	h := &jpegHuffman{symbol: symbols}
	code, n := 0, 0 // the next code, and the place of its symbol
	for length := 1; length <= 16; length++ {
		count := int(counts[length-1])
		if code+count > 1<<length {
			return nil, errors.New("a Huffman table with too many codes")
		}
		h.offset[length] = int32(n - code)
		for range count {
			if spread := jpegLook - length; spread >= 0 {
				for k := range 1 << spread {
					h.look[code<<spread+k] = uint16(length<<8) | uint16(symbols[n])
				}
			}
			code, n = code+1, n+1
		}
		h.most[length] = int32(code - 1)
		code <<= 1
	}
	return h, nil
}

// jpegBits reads the entropy-coded bits of a scan.
type jpegBits struct {
	b   []byte
	pos int    // of the next byte; stops at a marker
	acc uint64 // bits read and not used, from the highest; zeros follow
	n   int    // how many they are; below 0 when more were used than there are
}

// fill tops the bits up to at least 32, but for the end of the scan.
func (r *jpegBits) fill() {
	for r.n >= 0 && r.n <= 56 && r.pos < len(r.b) {
		v := r.b[r.pos]
		if v == 0xff {
			if r.pos+1 >= len(r.b) || r.b[r.pos+1] != 0 {
				return
			}
			r.pos++
		}
		r.pos++
		r.acc |= uint64(v) << (56 - r.n)
		r.n += 8
	}
}

// err reports whether more bits were used than the scan has.
func (r *jpegBits) err() error {
	switch {
	case r.n >= 0:
		return nil
	case r.pos >= len(r.b)-1:
		return io.ErrUnexpectedEOF
	}
	return errors.New("a scan ends too early")
}

// bits takes k bits, 16 at most, of those that fill got.
func (r *jpegBits) bits(k int) int32 {
	v := int32(r.acc >> (64 - k))
	r.acc <<= k
	r.n -= k
	return v
}

// bit takes one bit.
func (r *jpegBits) bit() bool {
	if r.n < 1 {
		r.fill()
	}
	return r.bits(1) != 0
}

// number takes a signed number of k bits: those that begin with 0 are negative.
func (r *jpegBits) number(k int) int32 {
	if k == 0 {
		return 0
	}
	v := r.bits(k)
	if v < 1<<(k-1) {
		v += -1<<k + 1
	}
	return v
}

// next takes a symbol and leaves at least 16 bits behind it, as far as the scan has them. Where no code fits, all bits
// are used up, so that err reports it.
func (r *jpegBits) next(h *jpegHuffman) int {
	if r.n < 32 {
		r.fill()
	}
	if v := h.look[r.acc>>(64-jpegLook)]; v != 0 {
		r.acc <<= v >> 8
		r.n -= int(v >> 8)
		return int(v & 0xff)
	}
	top := int32(r.acc >> 48)
	for length := jpegLook + 1; length <= 16; length++ {
		if code := top >> (16 - length); code <= h.most[length] {
			r.acc <<= length
			r.n -= length
			return int(h.symbol[code+h.offset[length]])
		}
	}
	r.n = -1
	return 0
}
