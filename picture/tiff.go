package picture

// Why not golang.org/x/image/tiff: it knows neither JPEG compression nor planes, CMYK, YCbCr, 2, 4 or 32 bits. Of the
// 96 TIFF files among Pillow 13.0.0's test images that Pillow can read (2026-11-26):
//
//	                               Pillow's pixels   other pixels   refused
//	this decoder                                79              2        15
//	x/image/tiff 0.48.0                         28             22        46
//	turned, and 16-bit grey cut off             46              4        46

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"
)

func isTIFF(b []byte) bool { return hasPrefix(b, "II*\x00") || hasPrefix(b, "MM\x00*") }

// Tags of a TIFF file.
const (
	tiffWidth         = 256
	tiffHeight        = 257
	tiffBits          = 258
	tiffCompression   = 259
	tiffPhotometric   = 262
	tiffFillOrder     = 266
	tiffStripOffsets  = 273
	tiffOrientation   = 274
	tiffSamples       = 277
	tiffRowsPerStrip  = 278
	tiffStripCounts   = 279
	tiffPlanar        = 284
	tiffGroup3        = 292
	tiffPredictor     = 317
	tiffColourMap     = 320
	tiffTileWidth     = 322
	tiffTileHeight    = 323
	tiffTileOffsets   = 324
	tiffTileCounts    = 325
	tiffExtraSamples  = 338
	tiffSampleFormat  = 339
	tiffJPEGTables    = 347
	tiffYCbCrSampling = 530
)

// What a pixel's samples mean: values of tiffPhotometric.
const (
	tiffWhiteIsZero = 0
	tiffBlackIsZero = 1
	tiffRGB         = 2
	tiffPalette     = 3
	tiffCMYK        = 5
	tiffYCbCr       = 6
)

// Compressions.
const (
	tiffRaw        = 1
	tiffCCITT3     = 3
	tiffCCITT4     = 4
	tiffLZW        = 5
	tiffJPEG       = 7
	tiffDeflate    = 8
	tiffOldDeflate = 32946
	tiffPackBits   = 32773
)

// tiffField is the value of a tag.
type tiffField struct {
	order binary.ByteOrder
	kind  uint16 // byte 1, short 3, long 4
	count int
	data  []byte
}

// at is number i of the field.
func (f tiffField) at(i int) int64 {
	switch f.kind {
	case 1, 7:
		return int64(f.data[i])
	case 3:
		return int64(f.order.Uint16(f.data[2*i:]))
	}
	return int64(f.order.Uint32(f.data[4*i:]))
}

// tiffFile is the first page of a TIFF file.
type tiffFile struct {
	b      []byte
	order  binary.ByteOrder
	fields map[uint16]tiffField

	width, height int
	bits, samples int // of a sample; of a pixel, those beyond the colours counted
	colours       int // samples of a pixel that are used: 1, 3 or 4
	photometric   int64
	compression   int64
	float, signed bool
	separate      bool // each sample in blocks of its own
	tiled         bool
	blockWidth    int
	blockHeight   int
	across, down  int // blocks
}

// number is a tag's first number, or what stands for an absent one.
func (f *tiffFile) number(tag uint16, absent int64) int64 {
	if v, ok := f.fields[tag]; ok && v.count > 0 {
		return v.at(0)
	}
	return absent
}

// parseTIFF reads the first directory.
func parseTIFF(b []byte) (*tiffFile, error) {
	f := &tiffFile{b: b, order: binary.LittleEndian, fields: map[uint16]tiffField{}}
	if b[0] == 'M' {
		f.order = binary.BigEndian
	}
	if len(b) < 8 {
		return nil, io.ErrUnexpectedEOF
	}
	at := int64(f.order.Uint32(b[4:]))
	if at+2 > int64(len(b)) {
		return nil, io.ErrUnexpectedEOF
	}
	n := int64(f.order.Uint16(b[at:]))
	if at+2+12*n > int64(len(b)) {
		return nil, io.ErrUnexpectedEOF
	}
	for i := range n {
		e := b[at+2+12*i:][:12]
		v := tiffField{order: f.order, kind: f.order.Uint16(e[2:]), count: int(f.order.Uint32(e[4:]))}
		size := int64(0)
		switch v.kind {
		case 1, 7:
			size = 1
		case 3:
			size = 2
		case 4:
			size = 4
		default:
			continue // text, fractions: nothing that a picture needs
		}
		size *= int64(f.order.Uint32(e[4:]))
		v.data = e[8:12]
		if size > 4 {
			from := int64(f.order.Uint32(e[8:]))
			if from+size > int64(len(b)) {
				continue // no matter unless it is asked for
			}
			v.data = b[from : from+size]
		}
		f.fields[f.order.Uint16(e)] = v
	}
	return f, f.check()
}

// check reads the fields that say how pixels are kept.
func (f *tiffFile) check() error {
	w, h := f.number(tiffWidth, 0), f.number(tiffHeight, 0)
	if w < 1 || h < 1 || w > 1<<30 || h > 1<<30 {
		return fmt.Errorf("a picture of %d×%d pixels", w, h)
	}
	f.width, f.height = int(w), int(h)
	samples := f.number(tiffSamples, 1)
	if bits := f.fields[tiffBits]; f.fields[tiffSamples].count == 0 && bits.count > 0 {
		samples = int64(bits.count)
	}
	if samples < 1 || samples > 16 {
		return fmt.Errorf("%d samples a pixel are not supported", samples)
	}
	f.samples = int(samples)
	f.bits = int(f.number(tiffBits, 1))
	for i := range min(f.fields[tiffBits].count, f.samples) {
		if f.fields[tiffBits].at(i) != int64(f.bits) {
			return errors.New("samples of several depths are not supported")
		}
	}
	f.photometric = f.number(tiffPhotometric, -1)
	f.compression = f.number(tiffCompression, tiffRaw)
	f.separate = f.number(tiffPlanar, 1) == 2 && f.samples > 1
	switch f.number(tiffSampleFormat, 1) {
	case 2:
		f.signed = true
	case 3:
		f.float = true
	}
	grey := false
	switch f.photometric {
	case tiffWhiteIsZero, tiffBlackIsZero:
		f.colours, grey = 1, true
	case tiffPalette:
		f.colours = 1
	case tiffRGB, tiffYCbCr:
		f.colours = 3
	case tiffCMYK:
		f.colours = 4
	default:
		return fmt.Errorf("colour model %d is not supported", f.photometric)
	}
	if f.samples < f.colours {
		return fmt.Errorf("%d samples a pixel in colour model %d", f.samples, f.photometric)
	}
	ok := f.bits == 8
	switch f.bits {
	case 1, 2, 4:
		ok = f.colours == 1 && f.samples == 1
	case 16:
		ok = grey && f.samples == 1 || f.photometric == tiffRGB || f.photometric == tiffCMYK
	case 32:
		ok = grey && f.samples == 1
	}
	if !ok || f.float && f.bits != 32 || f.signed && f.bits < 16 {
		return fmt.Errorf("%d samples of %d bits in colour model %d are not supported",
			f.samples, f.bits, f.photometric)
	}
	if f.photometric == tiffYCbCr && f.compression != tiffJPEG {
		if s := f.fields[tiffYCbCrSampling]; s.count != 2 || s.at(0) != 1 || s.at(1) != 1 {
			return errors.New("subsampled colour is supported in JPEG compression only")
		}
	}
	if f.photometric == tiffYCbCr && f.separate {
		return errors.New("luma and chroma in planes are not supported")
	}
	return f.blocks()
}

// blocks reads how the picture is cut.
func (f *tiffFile) blocks() error {
	_, f.tiled = f.fields[tiffTileWidth]
	w, h := int64(f.width), f.number(tiffRowsPerStrip, int64(f.height))
	if f.tiled {
		w, h = f.number(tiffTileWidth, 0), f.number(tiffTileHeight, 0)
		if w < 8 || h < 8 || w > int64(f.width)+1024 || h > int64(f.height)+1024 {
			return fmt.Errorf("tiles of %d×%d pixels", w, h)
		}
	} else if h < 1 {
		return errors.New("strips of no rows")
	} else {
		h = min(h, int64(f.height))
	}
	f.blockWidth, f.blockHeight = int(w), int(h)
	f.across, f.down = (f.width+f.blockWidth-1)/f.blockWidth, (f.height+f.blockHeight-1)/f.blockHeight
	return nil
}

// row is the bytes of a row of a block before compression.
func (f *tiffFile) row() int64 {
	n := int64(f.blockWidth) * int64(f.bits)
	if !f.separate {
		n *= int64(f.samples)
	}
	return (n + 7) / 8
}

// tiffRatios are the best ratios of the compressions.
var tiffRatios = map[int64]int64{
	tiffRaw: 1, tiffCCITT3: 1 << 20, tiffCCITT4: 1 << 20, tiffLZW: 4096, tiffJPEG: 8 * 64 * 4,
	tiffDeflate: 1032, tiffOldDeflate: 1032, tiffPackBits: 64,
}

func headerTIFF(b []byte, _ limits) (header, error) {
	f, err := parseTIFF(b)
	if err != nil {
		return header{}, err
	}
	ratio, ok := tiffRatios[f.compression]
	if !ok {
		return header{}, fmt.Errorf("compression %d is not supported", f.compression)
	}
	h := header{width: f.width, height: f.height}
	bytes := (int64(f.width)*int64(f.samples)*int64(f.bits) + 7) / 8
	if bytes/ratio > int64(len(b)) { // before the product can overflow
		h.least = bytes / ratio
	} else {
		h.least = bytes * int64(f.height) / ratio
	}
	if f.number(tiffOrientation, 1) >= 5 {
		h.width, h.height = h.height, h.width
	}
	return h, nil
}

// decodeTIFF decodes the first page and turns it as its orientation says, which in a TIFF file belongs to the picture.
func decodeTIFF(b []byte) (image.Image, error) {
	f, err := parseTIFF(b)
	if err != nil {
		return nil, err
	}
	p := newTIFFPicture(f)
	planes := 1
	if f.separate {
		planes = f.samples
	}
	offsets, counts := f.fields[tiffStripOffsets], f.fields[tiffStripCounts]
	if f.tiled {
		offsets, counts = f.fields[tiffTileOffsets], f.fields[tiffTileCounts]
	}
	n := f.across * f.down * planes
	if offsets.count < n || counts.count < n && n > 1 {
		return nil, fmt.Errorf("%d blocks, where %d make the picture", min(offsets.count, counts.count), n)
	}
	read := int64(0) // blocks that share their data could cost their number squared
	buf := make([]byte, f.row()*int64(min(f.blockHeight, f.height)))
	for i := range n {
		if f.separate && i/(f.across*f.down) >= f.colours {
			break // alpha and the like
		}
		from, to := offsets.at(i), int64(len(b))
		if counts.count > i {
			to = from + counts.at(i)
		}
		if from > to || to > int64(len(b)) {
			return nil, io.ErrUnexpectedEOF
		}
		if read += to - from; read > 2*int64(len(b)) {
			return nil, errors.New("its blocks overlap")
		}
		k := i % (f.across * f.down)
		x, y := k%f.across*f.blockWidth, k/f.across*f.blockHeight
		rows := min(f.blockHeight, f.height-y)
		block := buf[:f.row()*int64(rows)]
		if err := f.block(block, b[from:to], rows); err != nil {
			return nil, err
		}
		p.store(block, x, y, rows, i/(f.across*f.down))
	}
	orientation := f.number(tiffOrientation, 1)
	return orient(p.image(), int(min(orientation, 9))), nil
}

// palette is the colour map: 16-bit reds, then greens, then blues; the upper 8 count.
func (f *tiffFile) palette() [256][3]byte {
	var table [256][3]byte
	m := f.fields[tiffColourMap]
	n := m.count / 3
	if !slices.Contains([]uint16{3, 4}, m.kind) {
		n = 0
	}
	for i := range min(n, 256) {
		for c := range 3 {
			table[i][c] = byte(m.at(c*n+i) >> 8)
		}
	}
	return table
}
