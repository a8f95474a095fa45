package picture

import (
	"math/bits"

	"github.com/adavit/adavit/internal/kernels"
)

// A progressive file has a block's coefficients in parts: its first coefficient apart from bands of the others, and of
// each the upper bits in one scan, then a bit more in every further one.

// blocks returns what reads the scan's part of the block at column bx and row by.
func (s *jpegScan) blocks() func(s *jpegScan, p *jpegPart, bx, by int) {
	if s.arith != nil {
		return s.blocksArith()
	}
	switch {
	case !s.progressive:
		return (*jpegScan).whole
	case s.first == 0 && s.high == 0:
		return (*jpegScan).mean
	case s.first == 0:
		return (*jpegScan).refineMean
	case s.high == 0:
		return (*jpegScan).newBand
	}
	return (*jpegScan).refineBand
}

// mean reads the upper bits of a block's first coefficient.
func (s *jpegScan) mean(p *jpegPart, bx, by int) {
	p.previous += s.bits.number(p.dc)
	p.coefficients[p.block(bx, by)][0] = int16(p.previous << s.low)
}

// refineMean reads one more bit of it.
func (s *jpegScan) refineMean(p *jpegPart, bx, by int) {
	if s.bits.bits(1) == 1 {
		p.coefficients[p.block(bx, by)][0] |= 1 << s.low
	}
}

// block is the number of a block.
func (c *jpegComponent) block(bx, by int) int { return by*(c.stride/8) + bx }

// newBand reads the upper bits of some other coefficients.
func (s *jpegScan) newBand(p *jpegPart, bx, by int) {
	if s.run > 0 {
		s.run--
		return
	}
	at := p.block(bx, by)
	p.there[at] |= s.band(p.ac, &p.coefficients[at])
}

// refineBand reads one more bit of the coefficients of a block that are there, and those that this bit makes be there.
func (s *jpegScan) refineBand(p *jpegPart, bx, by int) {
	at, r, k := p.block(bx, by), &s.bits, s.first
	b, there := &p.coefficients[at], p.there[at]&(2<<s.last-1)
	for s.run == 0 && k <= s.last {
		if r.n < 32 {
			r.fill()
		}
		acc, n := r.acc, r.n
		c := r.code(p.ac)
		v, size, pass := c.number(), c.size(), c.run()
		switch {
		case v > 1 || v < -1: // damage: but one bit of it counts, its sign
			length := c.length() - bits.Len32(uint32(max(v, -v))) + 1
			r.acc, r.n = acc<<length, n-length
			v = min(max(v, -1), 1)
		case size > 0: // its number is not looked up
			if v = -1; r.bits(1) == 1 {
				v = 1
			}
		case v == 0 && pass < 15:
			s.run = 1<<pass + r.bits(pass)
		}
		if s.run > 0 {
			break
		}
		// Pass that many coefficients that stay 0, refining the others.
		from := k
		for zeros := bits.TrailingZeros64(there >> k); zeros <= pass; zeros = bits.TrailingZeros64(there >> k) {
			pass -= zeros
			k += zeros + 1
		}
		k = min(k+pass, s.last+1) // a run beyond the band is damage, and ends behind it
		s.correct(b, there>>from<<from&(1<<k-1))
		if v != 0 {
			b[jpegPlace[min(k, 63)]] = int16(v << s.low)
			p.there[at] |= 1 << min(k, 63)
		}
		k++
	}
	if s.run > 0 {
		s.correct(b, there>>k<<k)
		s.run--
	}
}

// correct reads one more bit of some coefficients, in turn.
func (s *jpegScan) correct(b *kernels.DCTBlock, which uint64) {
	r := &s.bits
	acc, n := r.acc, r.n
	for ; which != 0; which &= which - 1 {
		if n < 1 {
			r.acc, r.n = acc, n
			r.fill()
			acc, n = r.acc, r.n
		}
		c := &b[jpegPlace[bits.TrailingZeros64(which)]&63]
		if int64(acc) < 0 && *c>>(s.low&15)&1 == 0 {
			*c += (1 | *c>>15) << (s.low & 15)
		}
		acc <<= 1
		n--
	}
	r.acc, r.n = acc, n
}
