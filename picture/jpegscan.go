package picture

import (
	"errors"
	"fmt"
	"slices"

	"github.com/adavit/adavit/internal/kernels"
)

// jpegScan is one scan: some components, and of a progressive file some coefficients, first..last in zig-zag order,
// down to bit low.
type jpegScan struct {
	progressive bool
	parts       []jpegPart
	first, last int
	high, low   int // high is 0 in a coefficient's first scan, else low+1
	run         int // of blocks that have no more coefficients in this scan
	bits        jpegBits
	work        kernels.DCTBlock // of a file that is not progressive
}

// jpegPart is what a scan has of one component.
type jpegPart struct {
	*jpegComponent
	dc, ac       *jpegHuffman
	across, down int   // blocks in a unit
	previous     int32 // the last block's first coefficient
}

// startScan reads an SOS segment.
func (d *jpegDecoder) startScan(p []byte) (*jpegScan, error) {
	if len(p) < 1 || int(p[0]) < 1 || int(p[0]) > len(d.components) || len(p) != 4+2*int(p[0]) {
		return nil, errors.New("bad SOS segment")
	}
	s := &jpegScan{progressive: d.progressive}
	n, blocks := int(p[0]), 0
	for i := range n {
		id, tables := p[1+2*i], p[2+2*i]
		k := slices.IndexFunc(d.components, func(c jpegComponent) bool { return c.id == id })
		if k < 0 || tables>>4 > 3 || tables&15 > 3 {
			return nil, errors.New("bad SOS segment")
		}
		c := &d.components[k]
		if slices.ContainsFunc(s.parts, func(p jpegPart) bool { return p.jpegComponent == c }) {
			return nil, errors.New("a component twice in a scan")
		}
		s.parts = append(s.parts, jpegPart{jpegComponent: c, dc: d.huffman[0][tables>>4], ac: d.huffman[1][tables&15],
			across: c.h, down: c.v})
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
	for _, p := range s.parts {
		c, needDC := p.jpegComponent, s.first == 0 && s.high == 0
		if needDC && p.dc == nil || s.last > 0 && p.ac == nil {
			return nil, errors.New("a scan without its Huffman table")
		}
		if !c.latched { // later tables are for other components
			t := d.quantisation[c.table]
			if t == nil {
				return nil, errors.New("a component without its quantisation table")
			}
			c.quantisation, c.latched = *t, true
		}
		c.seen = c.seen || s.first == 0
	}
	return s, nil
}

// decode reads the entropy-coded data behind an SOS segment.
func (s *jpegScan) decode(d *jpegDecoder) error {
	s.bits = jpegBits{b: d.b, pos: d.pos}
	// A scan of one component has its blocks alone, row by row; else each unit has h·v blocks of each component, and
	// the units cover the edges.
	across, down := d.unitsAcross, d.unitsDown
	if len(s.parts) == 1 {
		p := &s.parts[0]
		across, down, p.across, p.down = (p.width+7)/8, (p.height+7)/8, 1, 1
	}
	block := s.blocks()
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
			for i := range s.parts {
				p := &s.parts[i]
				for v := range p.down {
					for u := range p.across {
						block(s, p, x*p.across+u, y*p.down+v)
					}
				}
			}
			if s.bits.n < 0 {
				return s.bits.err()
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
	for i := range s.parts {
		s.parts[i].previous = 0
	}
	s.run = 0
	return nil
}
