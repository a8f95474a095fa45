package picture

import (
	"errors"
	"fmt"
	"slices"
)

// jpegZigZag is the place in a block, by rows, of the k-th coefficient in a file.
var jpegZigZag = [64]byte{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

// jpegScan is one scan: some components, and of a progressive file some coefficients, first..last in zig-zag order,
// down to bit low.
type jpegScan struct {
	components  []*jpegComponent
	dc, ac      []*jpegHuffman // for each of them
	first, last int
	high, low   int // high is 0 in a coefficient's first scan, else low+1
	run         int // of blocks that have no more coefficients in this scan
	bits        jpegBits
}

// startScan reads an SOS segment.
func (d *jpegDecoder) startScan(p []byte) (*jpegScan, error) {
	if len(p) < 1 || int(p[0]) < 1 || int(p[0]) > len(d.components) || len(p) != 4+2*int(p[0]) {
		return nil, errors.New("bad SOS segment")
	}
	s := &jpegScan{}
	n, blocks := int(p[0]), 0
	for i := range n {
		id, tables := p[1+2*i], p[2+2*i]
		k := slices.IndexFunc(d.components, func(c jpegComponent) bool { return c.id == id })
		if k < 0 || tables>>4 > 3 || tables&15 > 3 {
			return nil, errors.New("bad SOS segment")
		}
		c := &d.components[k]
		if slices.Contains(s.components, c) {
			return nil, errors.New("a component twice in a scan")
		}
		s.components = append(s.components, c)
		s.dc = append(s.dc, d.huffman[0][tables>>4])
		s.ac = append(s.ac, d.huffman[1][tables&15])
		blocks += c.h * c.v
	}
	if n > 1 && blocks > 10 {
		return nil, errors.New("a scan interleaves more than 10 blocks")
	}
	s.first, s.last, s.high, s.low = int(p[1+2*n]), int(p[2+2*n]), int(p[3+2*n]>>4), int(p[3+2*n]&15)
	if !d.progressive {
		s.first, s.last, s.high, s.low = 0, 63, 0, 0 // whatever some writers put there
	} else if s.last > 63 || s.first > s.last || s.first == 0 && s.last != 0 || s.first > 0 && n > 1 ||
		s.low > 13 || s.high != 0 && s.high != s.low+1 {
		return nil, fmt.Errorf("a scan of coefficients %d to %d, bits %d to %d", s.first, s.last, s.high, s.low)
	}
	for i, c := range s.components {
		needDC := s.first == 0 && s.high == 0
		if needDC && s.dc[i] == nil || s.last > 0 && s.ac[i] == nil {
			return nil, errors.New("a scan without its Huffman table")
		}
		if !c.latched { // later tables are for other components
			t := d.quantisation[c.table]
			if t == nil {
				return nil, errors.New("a component without its quantisation table")
			}
			c.quantisation, c.latched = *t, true
		}
		c.seen, c.previous = c.seen || s.first == 0, 0
	}
	return s, nil
}

// decode reads the entropy-coded data behind an SOS segment.
func (s *jpegScan) decode(d *jpegDecoder) error {
	s.bits = jpegBits{b: d.b, pos: d.pos}
	// A scan of one component has its blocks alone, row by row; else each unit has h·v blocks of each component, and
	// the units cover the edges.
	across, down := d.unitsAcross, d.unitsDown
	alone := len(s.components) == 1
	if alone {
		across, down = (s.components[0].width+7)/8, (s.components[0].height+7)/8
	}
	left, marker := d.restart, byte(0)
	for y := range down {
		for x := range across {
			if d.restart > 0 && left == 0 {
				if err := s.restart(marker); err != nil {
					return err
				}
				left, marker = d.restart, (marker+1)&7
			}
			left--
			for i, c := range s.components {
				h, v := c.h, c.v
				if alone {
					h, v = 1, 1
				}
				for k := range h * v {
					s.block(d, i, c, x*h+k%h, y*v+k/h)
				}
			}
			if err := s.bits.err(); err != nil {
				return err
			}
		}
	}
	d.pos = s.bits.pos
	return nil
}

// restart passes a restart marker.
func (s *jpegScan) restart(number byte) error {
	s.bits.acc, s.bits.n = 0, 0 // what is left before the marker does not count
	kind, _, next := jpegMarker(s.bits.b, s.bits.pos)
	if kind != 0xd0+number {
		return errors.New("a restart marker is missing")
	}
	s.bits.pos = next
	for _, c := range s.components {
		c.previous = 0
	}
	s.run = 0
	return nil
}

// block reads what the scan has of one block of component i at column bx and row by.
func (s *jpegScan) block(d *jpegDecoder, i int, c *jpegComponent, bx, by int) {
	if !d.progressive {
		var b jpegBlock
		s.whole(i, c, &b)
		b.inverse(c.pix[8*(by*c.stride+bx):], c.stride)
		return
	}
	b := (*[64]int16)(c.coefficients[64*(by*(c.stride/8)+bx):])
	switch {
	case s.first == 0 && s.high == 0:
		c.previous += s.bits.number(min(s.bits.next(s.dc[i]), 16))
		b[0] = int16(c.previous << s.low)
	case s.first == 0:
		if s.bits.bit() {
			b[0] |= 1 << s.low
		}
	case s.high == 0:
		s.bands(s.ac[i], b)
	default:
		s.refine(s.ac[i], b)
	}
}

// whole reads all of a block of a file that is not progressive.
func (s *jpegScan) whole(i int, c *jpegComponent, b *jpegBlock) {
	r, q := &s.bits, &c.quantisation
	c.previous += r.number(min(r.next(s.dc[i]), 16))
	b[0] = c.previous * q[0]
	ac := s.ac[i]
	for k := 1; k < 64; k++ {
		v := r.next(ac)
		zeros, size := v>>4, v&15
		if size == 0 {
			if zeros != 15 {
				return
			}
			k += 15
			continue
		}
		if k += zeros; k > 63 {
			r.n = -1
			return
		}
		z := jpegZigZag[k]
		b[z] = r.number(size) * q[z]
	}
}

// bands reads the first bits of some coefficients of a block.
func (s *jpegScan) bands(h *jpegHuffman, b *[64]int16) {
	if s.run > 0 {
		s.run--
		return
	}
	r := &s.bits
	for k := s.first; k <= s.last; k++ {
		v := r.next(h)
		zeros, size := v>>4, v&15
		if size == 0 {
			if zeros < 15 {
				s.run = 1<<zeros - 1 + int(r.bits(zeros))
				return
			}
			k += 15
			continue
		}
		if k += zeros; k > s.last {
			r.n = -1
			return
		}
		b[jpegZigZag[k]] = int16(r.number(size) << s.low)
	}
}

// refine reads one more bit of coefficients that are not 0 yet, and those that this bit makes so.
func (s *jpegScan) refine(h *jpegHuffman, b *[64]int16) {
	r, bit := &s.bits, int16(1)<<s.low
	more := func(p *int16) { // the next bit of a coefficient that is there
		if r.bit() && *p&bit == 0 {
			if *p > 0 {
				*p += bit
			} else {
				*p -= bit
			}
		}
	}
	k := s.first
	if s.run == 0 {
		for ; k <= s.last; k++ {
			v := r.next(h)
			zeros, fresh := v>>4, int16(0)
			switch v & 15 {
			case 0:
				if zeros < 15 {
					s.run = 1<<zeros + int(r.bits(zeros))
				}
			case 1:
				if fresh = -bit; r.bit() {
					fresh = bit
				}
			default:
				r.n = -1
				return
			}
			if s.run > 0 {
				break
			}
			// Pass that many coefficients that stay 0, refining the others.
			for ; k <= s.last; k++ {
				p := &b[jpegZigZag[k]]
				if *p != 0 {
					more(p)
				} else if zeros--; zeros < 0 {
					*p = fresh
					break
				}
			}
			if r.n < 0 {
				return
			}
		}
	}
	if s.run > 0 {
		for ; k <= s.last; k++ {
			if p := &b[jpegZigZag[k]]; *p != 0 {
				more(p)
			}
		}
		s.run--
	}
}
