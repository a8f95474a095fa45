package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"

	"github.com/adavit/adavit/internal/kernels"
)

// Go's own JPEG decoder differs from libjpeg by up to 3 and refuses colour that is subsampled in an uncommon way,
// CMYK's above all. This one gives libjpeg's bytes: baseline and progressive, Huffman and arithmetic coding, 8
// bits, 1, 3 or 4 components. 12 bits and lossless JPEG are not supported.

func isJPEG(b []byte) bool { return hasPrefix(b, "\xff\xd8\xff") }

// Markers.
const (
	jpegSOF0  = 0xc0 // baseline; 0xc1 is extended, which for 8 bits is the same
	jpegSOF2  = 0xc2 // progressive
	jpegSOF9  = 0xc9 // arithmetic coding
	jpegSOF10 = 0xca // both
	jpegDAC   = 0xcc
	jpegDHT   = 0xc4
	jpegRST0  = 0xd0 // to 0xd7
	jpegEOI   = 0xd9
	jpegSOS   = 0xda
	jpegDQT   = 0xdb
	jpegDRI   = 0xdd
	jpegAPP0  = 0xe0
	jpegAPP1  = 0xe1
	jpegAPP14 = 0xee
)

// jpegXMP begins the segment of XMP data.
const jpegXMP = "http://ns.adobe.com/xap/1.0/\x00"

// jpegFind finds the next marker from pos on, and the place behind it. Bytes before a marker, entropy-coded ones too,
// are skipped. kind is 0 where the file ends first.
func jpegFind(b []byte, pos int) (kind byte, next int) {
	for {
		i := bytes.IndexByte(b[pos:], 0xff)
		if i < 0 || pos+i+1 >= len(b) {
			return 0, len(b)
		}
		pos += i + 1
		if kind = b[pos]; kind != 0 && kind != 0xff {
			return kind, pos + 1
		}
	}
}

// jpegMarker is jpegFind with the marker's segment, and the place behind it. A file that ends within it ends before it.
func jpegMarker(b []byte, pos int) (kind byte, segment []byte, next int) {
	kind, pos = jpegFind(b, pos)
	if kind < jpegSOF0 || kind >= jpegRST0 && kind <= jpegEOI { // TEM and what is none, RST, SOI, EOI stand alone
		return kind, nil, pos
	}
	if pos+2 > len(b) {
		return 0, nil, len(b)
	}
	n := int(binary.BigEndian.Uint16(b[pos:]))
	if n < 2 || pos+n > len(b) {
		return 0, nil, len(b)
	}
	return kind, b[pos+2 : pos+n], pos + n
}

// jpegDecoder decodes one file.
type jpegDecoder struct {
	b             []byte
	pos           int
	scan          []byte // the SOS segment before pos; nil at the end of the file
	exif, xmp     []byte
	width, height int
	progressive   bool
	arithmetic    bool
	components    []jpegComponent

	most                   struct{ h, v int } // the largest sampling factors
	unitsAcross, unitsDown int
	quantisation           [4]*kernels.DCTBlock
	huffman                [2][4]*jpegHuffman // DC, AC
	restart                int                // units between restart markers; 0 for none
	scans, lastGood        int                // scans so far; the last row of units for which the last one has data
	bounds                 *jpegBounds        // nil for the usual ones
	jfif, adobe            bool
	transform              byte // Adobe's
}

// jpegComponent is one channel.
type jpegComponent struct {
	id, table     byte
	h, v          int // sampling factors
	width, height int // in samples
	pix           []byte
	stride        int                // whole units; so are the rows
	coefficients  []kernels.DCTBlock // of a progressive file, block by block, row by row
	there         []uint64           // those of each block that are not 0, the first apart; bit k for the k-th in a file
	quantisation  kernels.DCTBlock
	latched, seen bool     // has its table; has been in a scan
	left          [10]int8 // bits that are missing of the first coefficients in a progressive file; −1: all
	leftBefore    [10]int8 // the same before the component's last scan; 0 if that is the file's first
}

func openJPEG(b []byte, most limits) (header, error) { return new(jpegDecoder).open(b, most) }

// open reads a file up to its first scan, and counts the others.
func (d *jpegDecoder) open(b []byte, most limits) (header, error) {
	if err := d.segments(b, 2); err != nil {
		return header{}, err
	}
	if len(d.components) == 0 || d.scan == nil {
		return header{}, errors.New("no picture in it")
	}
	scans := 1
	for kind, pos := byte(jpegSOS), d.pos; kind != jpegEOI; {
		switch kind, _, pos = jpegMarker(b, pos); kind {
		case 0:
			return header{}, io.ErrUnexpectedEOF
		case jpegSOS:
			scans++
		}
	}
	if scans > most.scans {
		return header{}, fmt.Errorf("more than %d scans", most.scans)
	}
	// A block has one bit at least; in arithmetic coding hardly any.
	least := int64(d.unitsAcross) * int64(d.unitsDown) * int64(d.most.h*d.most.v) / 8
	if d.arithmetic {
		least /= 1 << 10
	}
	return header{
		width: d.width, height: d.height, exif: d.exif, xmp: d.xmp, least: least,
		decode: func() (image.Image, error) {
			if err := d.samples(); err != nil {
				return nil, err
			}
			return d.picture(), nil
		},
	}, nil
}

// segments reads b from pos on up to the next scan or the end mark.
func (d *jpegDecoder) segments(b []byte, pos int) (err error) {
	for d.b, d.pos = b, pos; err == nil; {
		var kind byte
		var p []byte
		kind, p, d.pos = jpegMarker(b, d.pos)
		switch {
		case kind == 0:
			err = io.ErrUnexpectedEOF
		case kind == jpegSOS, kind == jpegEOI:
			d.scan = p
			return nil
		case kind != 1 && kind < jpegSOF0:
			err = fmt.Errorf("unknown marker %#x", kind)
		case kind == jpegDHT:
			err = d.codes(p)
		case kind == jpegDAC:
			err = d.conditioning(p)
		case kind >= jpegSOF0 && kind <= 0xcf && kind != 0xc8: // a frame of any kind
			err = d.frame(kind, p)
		case kind == jpegDQT:
			err = d.tables(p)
		case kind == jpegDRI && len(p) != 2:
			err = errors.New("bad DRI segment")
		case kind == jpegDRI:
			d.restart = int(binary.BigEndian.Uint16(p))
		case kind == jpegAPP0 && hasPrefix(p, "JFIF\x00"):
			d.jfif = true
		case kind == jpegAPP1 && d.exif == nil && hasPrefix(p, "Exif\x00\x00"):
			d.exif = p
		case kind == jpegAPP1 && hasPrefix(p, jpegXMP):
			d.xmp = p[len(jpegXMP):]
		case kind == jpegAPP14 && len(p) >= 12 && hasPrefix(p, "Adobe"):
			d.adobe, d.transform = true, p[11]
		}
	}
	return err
}

// frame reads a SOF segment.
func (d *jpegDecoder) frame(kind byte, p []byte) error {
	switch {
	case len(d.components) > 0:
		return errors.New("a second frame")
	case kind > jpegSOF2 && kind != jpegSOF9 && kind != jpegSOF10:
		return fmt.Errorf("coding process %d, lossless or hierarchical JPEG, is not supported", kind-jpegSOF0)
	case len(p) < 6 || len(p) != 6+3*int(p[5]):
		return errors.New("bad SOF segment")
	case p[0] != 8:
		return fmt.Errorf("%d bits a sample are not supported", p[0])
	case p[5] != 1 && p[5] != 3 && p[5] != 4:
		return fmt.Errorf("%d components are not supported", p[5])
	}
	d.progressive, d.arithmetic = kind == jpegSOF2 || kind == jpegSOF10, kind >= jpegSOF9
	d.height, d.width = int(binary.BigEndian.Uint16(p[1:])), int(binary.BigEndian.Uint16(p[3:]))
	if d.height < 1 || d.width < 1 {
		return fmt.Errorf("a picture of %d×%d pixels", d.width, d.height)
	}
	components := make([]jpegComponent, 0, p[5])
	for q := range slices.Chunk(p[6:], 3) {
		c := jpegComponent{id: q[0], h: int(q[1] >> 4), v: int(q[1] & 15), table: q[2]}
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 || c.table > 3 {
			return errors.New("bad SOF segment")
		}
		if slices.ContainsFunc(components, func(other jpegComponent) bool { return other.id == c.id }) {
			return errors.New("two components of one name")
		}
		components = append(components, c)
		d.most.h, d.most.v = max(d.most.h, c.h), max(d.most.v, c.v)
	}
	d.unitsAcross = (d.width + 8*d.most.h - 1) / (8 * d.most.h)
	d.unitsDown = (d.height + 8*d.most.v - 1) / (8 * d.most.v)
	for i := range components {
		c := &components[i]
		if d.most.h%c.h != 0 || d.most.v%c.v != 0 {
			return errors.New("subsampling by a fraction is not supported")
		}
		for k := range c.left {
			c.left[k] = -1
		}
		c.width = (d.width*c.h + d.most.h - 1) / d.most.h
		c.height = (d.height*c.v + d.most.v - 1) / d.most.v
		c.stride = d.unitsAcross * c.h * 8
	}
	d.components = components
	return nil
}

// tables reads a DQT segment.
func (d *jpegDecoder) tables(p []byte) error {
	for len(p) > 0 {
		wide, id := p[0]>>4, p[0]&15
		if wide > 1 || id > 3 || len(p) < 1+64*(1+int(wide)) {
			return errors.New("bad DQT segment")
		}
		p = p[1:]
		t := new(kernels.DCTBlock)
		for k := range t {
			q := &t[jpegPlace[k]]
			*q = int16(p[0])
			if wide == 1 {
				*q = *q<<8 | int16(p[1])
			}
			p = p[1+wide:]
		}
		d.quantisation[id] = t
	}
	return nil
}

// codes reads a DHT segment.
func (d *jpegDecoder) codes(p []byte) error {
	for len(p) > 0 {
		if len(p) < 17 || p[0]>>4 > 1 || p[0]&15 > 3 {
			return errors.New("bad DHT segment")
		}
		class, id, counts := p[0]>>4, p[0]&15, [16]byte(p[1:17])
		p = p[17:]
		n := 0
		for _, count := range counts {
			n += int(count)
		}
		if n > 256 || n > len(p) {
			return errors.New("bad DHT segment")
		}
		h, err := newJPEGHuffman(counts, p[:n], class == 0)
		if err != nil {
			return err
		}
		d.huffman[class][id] = h
		p = p[n:]
	}
	return nil
}

// samples reads all scans and makes samples of all components.
func (d *jpegDecoder) samples() error {
	for i := range d.components {
		c := &d.components[i]
		n := c.stride * d.unitsDown * c.v * 8
		if c.pix = make([]byte, n); d.progressive {
			c.coefficients, c.there = make([]kernels.DCTBlock, n/64), make([]uint64, n/64)
		}
	}
	for d.scan != nil {
		s, err := d.startScan(d.scan)
		if err != nil {
			return err
		}
		if err := s.decode(d); err != nil {
			return err
		}
		if err := d.segments(d.b, d.pos); err != nil {
			return err
		}
	}
	smoothed := d.smoothed()
	for i := range d.components {
		c := &d.components[i]
		if smoothed {
			d.smooth(c)
			c.coefficients, c.there = nil, nil
			continue
		}
		if !c.seen && !d.progressive { // as libjpeg leaves it
			for i := range c.pix {
				c.pix[i] = 128
			}
		}
		across := c.stride / 8
		for at, there := range c.there {
			if b := &c.coefficients[at]; there == 0 {
				c.flat(at%across, at/across, b)
			} else {
				c.inverse(at%across, at/across, b)
			}
		}
		c.coefficients, c.there = nil, nil
	}
	return nil
}
