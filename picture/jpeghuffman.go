package picture

import (
	"encoding/binary"
	"errors"
	"io"
)

// jpegLook is how many bits are looked up at once: most codes, together with the number that follows, have no more.
const jpegLook = 10

// jpegCode is what a table says of the next bits: a code, and the number behind it where both are looked up at once.
//
//	bits 0–4    how many bits it takes
//	bits 5–9    how many bits has the number that follows; 0 if it is here, or there is none
//	bits 10–13  run: how many coefficients are passed
//	bits 16–31  the number; never 0 if it is here
//
// 0 is no code.
type jpegCode uint32

func newJPEGCode(length int, symbol byte, dc bool) jpegCode {
	if dc {
		return jpegCode(length | min(int(symbol), 16)<<5)
	}
	return jpegCode(length | int(symbol&15)<<5 | int(symbol>>4)<<10)
}

func (c jpegCode) length() int   { return int(c & 31) }
func (c jpegCode) size() int     { return int(c >> 5 & 31) }
func (c jpegCode) run() int      { return int(c >> 10 & 15) }
func (c jpegCode) number() int32 { return int32(c) >> 16 }

// jpegHuffman is a Huffman table.
type jpegHuffman struct {
	look   [1 << jpegLook]jpegCode // by the next bits; 0 where the code is longer or there is none
	most   [17]int32               // the last code of each length; where there is none, the last that begins a shorter one
	offset [17]int32               // from a code of that length to its symbol's place
	symbol []byte
	dc     bool
}

// newJPEGHuffman makes the table of a DHT segment: how many codes there are of each length from 1 to 16, and the
// symbols in the order of the codes.
func newJPEGHuffman(counts [16]byte, symbols []byte, dc bool) (*jpegHuffman, error) {
	h := &jpegHuffman{symbol: symbols, dc: dc}
	code, n := 0, 0 // the next code, and the place of its symbol
	for length := 1; length <= 16; length++ {
		count := int(counts[length-1])
		if code+count > 1<<length {
			return nil, errors.New("a Huffman table with too many codes")
		}
		h.offset[length] = int32(n - code)
		for range count {
			if length <= jpegLook {
				h.fill(code, newJPEGCode(length, symbols[n], dc))
			}
			code, n = code+1, n+1
		}
		h.most[length] = int32(code - 1)
		code <<= 1
	}
	return h, nil
}

// fill sets all places that begin with a code.
func (h *jpegHuffman) fill(code int, c jpegCode) {
	spread := jpegLook - c.length()
	look := h.look[code<<spread:][:1<<spread]
	for i := range look {
		look[i] = c
	}
	rest := spread - c.size()
	if c.size() == 0 || rest < 0 {
		return
	}
	for i := range 1 << c.size() {
		number := jpegNumber(uint64(i)<<(64-c.size()), c.size())
		whole := c&^(1<<10-1) | jpegCode(c.length()+c.size()) | jpegCode(number)<<16 // the number's size becomes 0
		for k := range 1 << rest {
			look[i<<rest+k] = whole
		}
	}
}

// find is the code that the highest bits of acc begin with, or 0.
func (h *jpegHuffman) find(acc uint64) jpegCode {
	if c := h.look[acc>>(64-jpegLook)]; c != 0 {
		return c
	}
	return h.long(acc)
}

// long is find for the codes that look does not hold.
func (h *jpegHuffman) long(acc uint64) jpegCode {
	top := int32(acc >> 48)
	for length := jpegLook + 1; length <= 16; length++ {
		if code := top >> (16 - length); code <= h.most[length] {
			return newJPEGCode(length, h.symbol[code+h.offset[length]], h.dc)
		}
	}
	return 0
}

// jpegNumber is the signed number in the highest bits of acc, 1 to 16 of them: those that begin with 0 are negative.
func jpegNumber(acc uint64, size int) int32 {
	v, positive := int32(acc>>((64-size)&63)), int32(int64(acc)>>63)
	return v + (-1<<(size&31)+1)&^positive
}

// jpegBits reads the entropy-coded bits of a scan.
type jpegBits struct {
	b   []byte
	pos int    // of the next byte; stops at a marker
	acc uint64 // bits read and not used, from the highest; what follows them is 0 or comes next
	n   int    // how many they are; below 0 when more were used than there are
}

// fill tops the bits up to at least 32, but for the end of the scan.
func (r *jpegBits) fill() {
	if r.n < 0 {
		return
	}
	if r.pos+8 <= len(r.b) {
		v := binary.BigEndian.Uint64(r.b[r.pos:])
		const low, high = 0x0101010101010101, 0x8080808080808080
		if (^v-low)&v&high == 0 { // no byte is 0xff
			r.acc |= v >> (r.n & 63)
			r.pos += (63 - r.n) >> 3
			r.n |= 56
			return
		}
	}
	for r.n <= 56 && r.pos < len(r.b) {
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

// code takes a code. Where none fits, all bits are used up, so that err reports it.
func (r *jpegBits) code(h *jpegHuffman) jpegCode {
	if r.n < 32 {
		r.fill()
	}
	c := h.find(r.acc)
	r.acc <<= c.length()
	if r.n -= c.length(); c == 0 {
		r.n = -1
	}
	return c
}

// number takes a code and the number behind it.
func (r *jpegBits) number(h *jpegHuffman) int32 {
	c := r.code(h)
	if size := c.size(); size > 0 {
		v := jpegNumber(r.acc, size)
		r.acc <<= size
		r.n -= size
		return v
	}
	return c.number()
}

// bits takes k bits, 16 at most.
func (r *jpegBits) bits(k int) int {
	if r.n < k {
		r.fill()
	}
	v := int(r.acc >> (64 - k))
	r.acc <<= k
	r.n -= k
	return v
}
