package picture

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/adavit/adavit/internal/kernels"
)

// jpegScan is one scan: some components, and of a progressive file some coefficients, first..last in zig-zag order,
// down to bit low.
type jpegScan struct {
	progressive bool
	parts       []jpegPart
	first, last int
	high, low   int  // high is 0 in a coefficient's first scan, else low+1
	run         int  // of blocks that have no more coefficients in this scan
	dry         bool // the data ran out, and nothing more comes before the next restart marker
	bits        jpegBits
	arith       *jpegArith // of a file in arithmetic coding
	bounds      jpegBounds
	work        kernels.DCTBlock // of a file that is not progressive
}

// jpegPart is what a scan has of one component.
type jpegPart struct {
	*jpegComponent
	tables       byte // the numbers of its tables, for DC and AC
	dc, ac       *jpegHuffman
	across, down int   // blocks in a unit
	previous     int32 // the last block's first coefficient
	context      int   // of its difference, in arithmetic coding
}

// startScan reads an SOS segment.
func (d *jpegDecoder) startScan(p []byte) (*jpegScan, error) {
	if len(p) < 1 || int(p[0]) < 1 || int(p[0]) > len(d.components) || len(p) != 4+2*int(p[0]) {
		return nil, errors.New("bad SOS segment")
	}
	s := &jpegScan{progressive: d.progressive}
	if d.arithmetic {
		if s.arith, s.bounds = newJPEGArith(), jpegUsualBounds; d.bounds != nil {
			s.bounds = *d.bounds
		}
	}
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
		s.parts = append(s.parts, jpegPart{jpegComponent: c, tables: tables, dc: d.huffman[0][tables>>4],
			ac: d.huffman[1][tables&15], across: c.h, down: c.v})
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
	for i := range s.parts {
		p := &s.parts[i]
		if id := p.tables; !d.progressive {
			if id>>4 < 2 && p.dc == nil {
				p.dc = jpegStandard()[0][id>>4]
			}
			if id&15 < 2 && p.ac == nil {
				p.ac = jpegStandard()[1][id&15]
			}
		}
		c, needDC := p.jpegComponent, s.first == 0 && s.high == 0
		if !d.arithmetic && (needDC && p.dc == nil || s.last > 0 && p.ac == nil) {
			return nil, errors.New("a scan without its Huffman table")
		}
		if !c.latched { // later tables are for other components
			t := d.quantisation[c.table]
			if t == nil {
				return nil, errors.New("a component without its quantisation table")
			}
			c.quantisation, c.latched = *t, true
		}
		if c.seen = c.seen || s.first == 0; d.scans > 0 {
			c.leftBefore = c.left
		}
		for k := s.first; k <= min(s.last, len(c.left)-1); k++ {
			c.left[k] = int8(s.low)
		}
	}
	return s, nil
}

// decode reads the entropy-coded data behind an SOS segment.
func (s *jpegScan) decode(d *jpegDecoder) error {
	s.bits = jpegBits{b: d.b, pos: d.pos}
	// A scan of one component has its blocks alone, row by row; else each unit has h·v blocks of each component, and
	// the units cover the edges.
	across, down, unit := d.unitsAcross, d.unitsDown, 1
	if len(s.parts) == 1 {
		p := &s.parts[0]
		across, down, unit, p.across, p.down = (p.width+7)/8, (p.height+7)/8, p.v, 1, 1
	}
	block := s.blocks()
	left, marker := d.restart, byte(0)
	for y := range down {
		row := y / unit
		for x := range across {
			if d.restart > 0 && left == 0 {
				if err := s.restart(marker); err != nil {
					return err
				}
				left, marker = d.restart, (marker+1)&7
			}
			left--
			if s.dry {
				s.blank(x, y)
				continue
			}
			d.lastGood = row
			for i := range s.parts {
				p := &s.parts[i]
				for v := range p.down {
					for u := range p.across {
						block(s, p, x*p.across+u, y*p.down+v)
					}
				}
			}
			if s.bits.n < 0 {
				s.bits.acc, s.bits.n, s.dry = 0, 0, true
			}
		}
	}
	d.pos = s.bits.pos
	d.scans++
	return nil
}

// restart passes the restart marker of that number, 0 to 7. Where another marker stands in its place, libjpeg tells a
// lost one from a surplus one by the number, and so do we: one of the next two is left for later, so that what comes
// before it is empty, and so is any marker that is none of a restart; what looks like one of the last two, or makes no
// sense, is passed over; and any other is taken for the one that is due.
func (s *jpegScan) restart(number byte) error {
	s.bits.acc, s.bits.n, s.run = 0, 0, 0 // what is left before the marker does not count
	for i := range s.parts {
		s.parts[i].previous, s.parts[i].context = 0, 0
	}
	if s.arith != nil {
		s.arith = newJPEGArith()
	}
	for {
		kind, at := jpegFind(s.bits.b, s.bits.pos)
		if kind == 0 {
			return io.ErrUnexpectedEOF
		}
		off := (kind - number) & 7 // of a restart marker
		switch restarts := kind >= jpegRST0 && kind < jpegRST0+8; {
		case restarts && (off == 1 || off == 2) || !restarts && kind >= jpegSOF0:
			s.bits.pos = at - 2 // where there are no bits
			return nil
		case restarts && (off == 6 || off == 7) || kind < jpegSOF0:
			s.bits.pos = at
			continue
		}
		s.bits.pos, s.dry = at, false
		return nil
	}
}

// blank makes a unit of blocks, for which there are no data, grey; of a progressive file it leaves what there is.
func (s *jpegScan) blank(x, y int) {
	if s.progressive {
		return
	}
	for i := range s.parts {
		p := &s.parts[i]
		for v := range p.down {
			for u := range p.across {
				p.flat(x*p.across+u, y*p.down+v, &kernels.DCTBlock{})
			}
		}
	}
}
