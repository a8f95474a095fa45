package picture

import (
	"errors"
	"math/bits"
	"slices"

	"github.com/adavit/adavit/internal/kernels"
)

// Arithmetic coding of ITU-T T.81: the decoder of annex D and the models of annexes F.1.4 and G.1.3.

// jpegArith decodes decisions, each by a state that says which of two is likelier, and how much.
type jpegArith struct {
	width, code uint32 // of the interval; where in it the code lies
	more        int    // bits of code below those that count; below 0 before the first bytes, or jpegDamaged
	half        byte   // the state of decisions that are not predicted
	dc          [4][64]byte
	ac          [4][256]byte
}

// jpegDamaged is what jpegArith.more is after damage, until the next restart marker: nothing more is decoded.
const jpegDamaged = -100

// jpegBounds are the numbers of a DAC segment: which differences of means are small and large, as powers of two, and
// up to which coefficient magnitudes are one kind.
type jpegBounds struct{ small, large, low [4]byte }

var jpegUsualBounds = jpegBounds{large: [4]byte{1, 1, 1, 1}, low: [4]byte{5, 5, 5, 5}}

// newJPEGArith begins a scan, or goes on behind a restart marker, where everything begins anew.
func newJPEGArith() *jpegArith { return &jpegArith{more: -16, half: 113} }

// conditioning reads a DAC segment.
func (d *jpegDecoder) conditioning(p []byte) error {
	if d.bounds == nil {
		b := jpegUsualBounds
		d.bounds = &b
	}
	for pair := range slices.Chunk(p, 2) {
		id := pair[0] & 15
		if len(pair) < 2 || pair[0] > 0x1f || id > 3 || pair[0] < 16 && pair[1]&15 > pair[1]>>4 {
			return errors.New("bad DAC segment")
		}
		if pair[0] >= 16 {
			d.bounds.low[id] = pair[1]
		} else {
			d.bounds.small[id], d.bounds.large[id] = pair[1]&15, pair[1]>>4
		}
	}
	return nil
}

// decide decodes one decision, 0 or 1. Where the data end, at a marker, zeros follow.
func (s *jpegScan) decide(state *byte) int {
	a, r := s.arith, &s.bits
	for a.width < 1<<15 {
		if a.more--; a.more < 0 {
			var v byte
			if r.pos < len(r.b) {
				v = r.b[r.pos]
				next := r.pos + 1
				for v == 0xff && next < len(r.b) && r.b[next] == 0xff {
					next++
				}
				switch {
				case v != 0xff:
					r.pos = next
				case next < len(r.b) && r.b[next] == 0:
					r.pos = next + 1
				default:
					v = 0
				}
			}
			a.code = a.code<<8 | uint32(v)
			if a.more += 8; a.more < 0 { // the first bytes
				if a.more++; a.more == 0 {
					a.width = 1 << 15
				}
			}
		}
		a.width <<= 1
	}
	likelier, e := *state>>7, &jpegStates[*state&127]
	unlikely := uint32(e.size)
	a.width -= unlikely
	second := a.code >= a.width<<a.more // the upper part of the interval, which is the unlikely one if it is smaller
	if !second && a.width >= 1<<15 {
		return int(likelier)
	}
	smaller := a.width < unlikely
	if second {
		a.code -= a.width << a.more
		a.width = unlikely
	}
	if second != smaller {
		*state = likelier<<7 ^ e.less
		return int(likelier ^ 1)
	}
	*state = likelier<<7 ^ e.more
	return int(likelier)
}

// magnitude decodes a number above m, a power of two: how long it is by states from at on, and its bits below the
// highest one, all of one state 14 behind the last of these.
func (s *jpegScan) magnitude(states []byte, at int, m int32) int32 {
	for s.decide(&states[at]) == 1 {
		if m, at = m<<1, at+1; m == 1<<15 {
			s.arith.more = jpegDamaged
			return 0
		}
	}
	v := m
	for bit := m >> 1; bit > 0; bit >>= 1 {
		if s.decide(&states[at+14]) == 1 {
			v |= bit
		}
	}
	return v + 1
}

// difference decodes by how much a block's mean differs from that of the block before. That the last one was small or
// large, up or down, chooses the states.
func (s *jpegScan) difference(p *jpegPart) int32 {
	id := p.tables >> 4
	states := s.arith.dc[id][:]
	if s.decide(&states[p.context]) == 0 {
		p.context = 0
		return 0
	}
	sign := s.decide(&states[p.context+1])
	v := int32(1)
	if first := s.decide(&states[p.context+2+sign]); first == 1 {
		v = s.magnitude(states, 20, 1)
	}
	switch above := v - 1; { // only the highest bit of it counts
	case above < 1<<s.bounds.small[id]>>1:
		p.context = 0
	case above >= 1<<s.bounds.large[id]:
		p.context = 12 + 4*sign
	default:
		p.context = 4 + 4*sign
	}
	if sign == 1 {
		return -v
	}
	return v
}

// coefficient decodes the k-th coefficient, which is not 0.
func (s *jpegScan) coefficient(p *jpegPart, k int) int32 {
	id := p.tables & 15
	states := s.arith.ac[id][:]
	negative, at := s.decide(&s.arith.half) == 1, 3*k-1
	v := int32(1)
	if s.decide(&states[at]) == 1 {
		if v = 2; s.decide(&states[at]) == 1 {
			if at = 217; k <= int(s.bounds.low[id]) {
				at = 189
			}
			v = s.magnitude(states, at, 2)
		}
	}
	if negative {
		return -v
	}
	return v
}

// blocksArith is blocks.
func (s *jpegScan) blocksArith() func(s *jpegScan, p *jpegPart, bx, by int) {
	switch {
	case !s.progressive:
		return (*jpegScan).wholeArith
	case s.first == 0 && s.high == 0:
		return (*jpegScan).meanArith
	case s.first == 0:
		return (*jpegScan).refineMeanArith
	case s.high == 0:
		return (*jpegScan).newBandArith
	}
	return (*jpegScan).refineBandArith
}

// wholeArith, meanArith, refineMeanArith, newBandArith and refineBandArith do what the functions without Arith do.
func (s *jpegScan) wholeArith(p *jpegPart, bx, by int) {
	b := &s.work
	clear(b[:])
	if s.newMean(p) {
		b[0] = int16(p.previous)
	}
	if s.bandArith(p, b) == 0 {
		p.flat(bx, by, b)
		return
	}
	p.inverse(bx, by, b)
}

func (s *jpegScan) meanArith(p *jpegPart, bx, by int) {
	if s.newMean(p) {
		p.coefficients[p.block(bx, by)][0] = int16(p.previous << s.low)
	}
}

// newMean decodes a block's mean, if nothing is damaged.
func (s *jpegScan) newMean(p *jpegPart) bool {
	if s.arith.more != jpegDamaged {
		p.previous += s.difference(p)
	}
	return s.arith.more != jpegDamaged
}

func (s *jpegScan) refineMeanArith(p *jpegPart, bx, by int) {
	if s.arith.more != jpegDamaged && s.decide(&s.arith.half) == 1 {
		p.coefficients[p.block(bx, by)][0] |= 1 << s.low
	}
}

func (s *jpegScan) newBandArith(p *jpegPart, bx, by int) {
	at := p.block(bx, by)
	p.there[at] |= s.bandArith(p, &p.coefficients[at])
}

// bandArith is band.
func (s *jpegScan) bandArith(p *jpegPart, b *kernels.DCTBlock) (there uint64) {
	states := s.arith.ac[p.tables&15][:]
	for k := max(s.first, 1); k <= s.last && s.arith.more != jpegDamaged; k++ {
		if s.decide(&states[3*k-3]) == 1 { // no more of them
			break
		}
		for s.decide(&states[3*k-2]) == 0 {
			if k++; k > s.last {
				s.arith.more = jpegDamaged
				return there
			}
		}
		v := s.coefficient(p, k)
		if s.arith.more == jpegDamaged {
			break
		}
		b[jpegPlace[k]] = int16(v << s.low)
		there |= 1 << k
	}
	return there
}

func (s *jpegScan) refineBandArith(p *jpegPart, bx, by int) {
	at, states := p.block(bx, by), s.arith.ac[p.tables&15][:]
	b, there := &p.coefficients[at], p.there[at]
	last := bits.Len64(there&(2<<s.last-1)) - 1 // up to there the band goes on
	for k := s.first; k <= s.last && s.arith.more != jpegDamaged; k++ {
		if k > last && s.decide(&states[3*k-3]) == 1 {
			break
		}
		for there>>k&1 == 0 && s.decide(&states[3*k-2]) == 0 {
			if k++; k > s.last {
				s.arith.more = jpegDamaged
				return
			}
		}
		c := &b[jpegPlace[k]]
		switch {
		case there>>k&1 == 1:
			if s.decide(&states[3*k-1]) == 1 {
				*c += (1 | *c>>15) << s.low
			}
			continue
		case s.decide(&s.arith.half) == 1:
			*c = -1 << s.low
		default:
			*c = 1 << s.low
		}
		p.there[at] |= 1 << k
	}
}

// jpegStates are those of table D.3: the size of the unlikelier part of an interval of 2¹⁶ at most, and the states
// that follow after an unlikely and a likely decision. The last stands for what stays even.
var jpegStates = func() (states [114]struct {
	size       uint16
	less, more byte
}) {
	const flip = 128 // and the likelier decision becomes the other
	for i, e := range [114][4]uint16{
		{0x5a1d, 1, 1, flip}, {0x2586, 14, 2, 0}, {0x1114, 16, 3, 0}, {0x080b, 18, 4, 0}, {0x03d8, 20, 5, 0},
		{0x01da, 23, 6, 0}, {0x00e5, 25, 7, 0}, {0x006f, 28, 8, 0}, {0x0036, 30, 9, 0}, {0x001a, 33, 10, 0},
		{0x000d, 35, 11, 0}, {0x0006, 9, 12, 0}, {0x0003, 10, 13, 0}, {0x0001, 12, 13, 0}, {0x5a7f, 15, 15, flip},
		{0x3f25, 36, 16, 0}, {0x2cf2, 38, 17, 0}, {0x207c, 39, 18, 0}, {0x17b9, 40, 19, 0}, {0x1182, 42, 20, 0},
		{0x0cef, 43, 21, 0}, {0x09a1, 45, 22, 0}, {0x072f, 46, 23, 0}, {0x055c, 48, 24, 0}, {0x0406, 49, 25, 0},
		{0x0303, 51, 26, 0}, {0x0240, 52, 27, 0}, {0x01b1, 54, 28, 0}, {0x0144, 56, 29, 0}, {0x00f5, 57, 30, 0},
		{0x00b7, 59, 31, 0}, {0x008a, 60, 32, 0}, {0x0068, 62, 33, 0}, {0x004e, 63, 34, 0}, {0x003b, 32, 35, 0},
		{0x002c, 33, 9, 0}, {0x5ae1, 37, 37, flip}, {0x484c, 64, 38, 0}, {0x3a0d, 65, 39, 0}, {0x2ef1, 67, 40, 0},
		{0x261f, 68, 41, 0}, {0x1f33, 69, 42, 0}, {0x19a8, 70, 43, 0}, {0x1518, 72, 44, 0}, {0x1177, 73, 45, 0},
		{0x0e74, 74, 46, 0}, {0x0bfb, 75, 47, 0}, {0x09f8, 77, 48, 0}, {0x0861, 78, 49, 0}, {0x0706, 79, 50, 0},
		{0x05cd, 48, 51, 0}, {0x04de, 50, 52, 0}, {0x040f, 50, 53, 0}, {0x0363, 51, 54, 0}, {0x02d4, 52, 55, 0},
		{0x025c, 53, 56, 0}, {0x01f8, 54, 57, 0}, {0x01a4, 55, 58, 0}, {0x0160, 56, 59, 0}, {0x0125, 57, 60, 0},
		{0x00f6, 58, 61, 0}, {0x00cb, 59, 62, 0}, {0x00ab, 61, 63, 0}, {0x008f, 61, 32, 0}, {0x5b12, 65, 65, flip},
		{0x4d04, 80, 66, 0}, {0x412c, 81, 67, 0}, {0x37d8, 82, 68, 0}, {0x2fe8, 83, 69, 0}, {0x293c, 84, 70, 0},
		{0x2379, 86, 71, 0}, {0x1edf, 87, 72, 0}, {0x1aa9, 87, 73, 0}, {0x174e, 72, 74, 0}, {0x1424, 72, 75, 0},
		{0x119c, 74, 76, 0}, {0x0f6b, 74, 77, 0}, {0x0d51, 75, 78, 0}, {0x0bb6, 77, 79, 0}, {0x0a40, 77, 48, 0},
		{0x5832, 80, 81, flip}, {0x4d1c, 88, 82, 0}, {0x438e, 89, 83, 0}, {0x3bdd, 90, 84, 0}, {0x34ee, 91, 85, 0},
		{0x2eae, 92, 86, 0}, {0x299a, 93, 87, 0}, {0x2516, 86, 71, 0}, {0x5570, 88, 89, flip}, {0x4ca9, 95, 90, 0},
		{0x44d9, 96, 91, 0}, {0x3e22, 97, 92, 0}, {0x3824, 99, 93, 0}, {0x32b4, 99, 94, 0}, {0x2e17, 93, 86, 0},
		{0x56a8, 95, 96, flip}, {0x4f46, 101, 97, 0}, {0x47e5, 102, 98, 0}, {0x41cf, 103, 99, 0},
		{0x3c3d, 104, 100, 0}, {0x375e, 99, 93, 0}, {0x5231, 105, 102, 0}, {0x4c0f, 106, 103, 0},
		{0x4639, 107, 104, 0}, {0x415e, 103, 99, 0}, {0x5627, 105, 106, flip}, {0x50e7, 108, 107, 0},
		{0x4b85, 109, 103, 0}, {0x5597, 110, 109, 0}, {0x504f, 111, 107, 0}, {0x5a10, 110, 111, flip},
		{0x5522, 112, 109, 0}, {0x59eb, 112, 111, flip}, {0x5a1d, 113, 113, 0},
	} {
		states[i].size, states[i].less, states[i].more = e[0], byte(e[1]|e[3]), byte(e[2])
	}
	return states
}()
