package picture

import (
	"encoding/binary"

	"github.com/adavit/adavit/internal/kernels"
)

// jpegZigZag is the place in a block, by rows, of the k-th coefficient in a file.
var jpegZigZag = [64]byte{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

// jpegPlace is its place in a kernels.DCTBlock.
var jpegPlace = func() (place [64]byte) {
	for k, z := range jpegZigZag {
		place[k] = byte(kernels.DCTPlace(int(z/8), int(z%8)))
	}
	return place
}()

// inverse makes samples of a block at column bx and row by.
func (c *jpegComponent) inverse(bx, by int, b *kernels.DCTBlock) {
	kernels.InverseDCT(c.pix[8*(by*c.stride+bx):], c.stride, b, &c.quantisation)
}

// flat is inverse for a block that has only its first coefficient, eight times the mean; InverseDCT says how it rounds.
func (c *jpegComponent) flat(bx, by int, b *kernels.DCTBlock) {
	mean := (int32(b[0]*c.quantisation[0]<<2)+1<<4)>>5 + 128
	eight := uint64(clampByte(mean)) * 0x0101010101010101
	dst := c.pix[8*(by*c.stride+bx):]
	for y := range 8 {
		binary.LittleEndian.PutUint64(dst[y*c.stride:], eight)
	}
}

// whole reads a block of a file that is not progressive.
func (s *jpegScan) whole(p *jpegPart, bx, by int) {
	b := &s.work
	p.previous += s.bits.number(p.dc)
	b[0] = int16(p.previous)
	if s.band(p.ac, b) == 0 {
		p.flat(bx, by, b)
		return
	}
	p.inverse(bx, by, b)
	clear(b[:])
}

// band reads the coefficients of a block that the scan has, but for the first one: their bits from low on. It returns
// which are not 0, bit k for the k-th.
func (s *jpegScan) band(h *jpegHuffman, b *kernels.DCTBlock) (there uint64) {
	r, k, last, low := &s.bits, max(s.first, 1), s.last, s.low
	acc, n := r.acc, r.n
	for k <= last {
		if n < 32 {
			r.acc, r.n = acc, n
			r.fill()
			acc, n = r.acc, r.n
		}
		c := h.look[acc>>(64-jpegLook)]
		if c == 0 {
			if c = h.long(acc); c == 0 {
				n = -1
				break
			}
		}
		acc <<= c.length()
		n -= c.length()
		v, run := c.number(), c.run()
		if v == 0 {
			size := c.size()
			if size == 0 && run < 15 { // no more of them, in a progressive file in some further blocks, too
				if s.progressive {
					s.run = 1<<run - 1 + int(acc>>1>>(63-run))
					acc <<= run
					n -= run
				}
				break
			}
			if size == 0 {
				k += 16
				continue
			}
			v = jpegNumber(acc, size)
			acc <<= size
			n -= size
		}
		if k += run; k > last {
			n = -1
			break
		}
		b[jpegPlace[k&63]&63] = int16(v << (low & 15))
		there |= 1 << (k & 63)
		k++
	}
	r.acc, r.n = acc, n
	return there
}
