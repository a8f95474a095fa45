package picture

// Why not golang.org/x/image/tiff: it knows neither JPEG compression nor planes, CMYK, YCbCr, 2, 4 or 32 bits. Of the
// 96 TIFF files among Pillow 13.0.0's test images that Pillow can read (2026-11-27):
//
//	                               Pillow's pixels   other pixels   refused
//	this decoder                                85              0        11
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

// tiffColours are the samples of a pixel that say its colour.
var tiffColours = map[int64]int{
	tiffWhiteIsZero: 1, tiffBlackIsZero: 1, tiffPalette: 1, tiffRGB: 3, tiffYCbCr: 3, tiffCMYK: 4,
}

// tiffField is the value of a tag.
type tiffField struct {
	order binary.ByteOrder
	kind  uint16
	count int
	data  []byte
}

// tiffSizes are the bytes of a field's numbers by its kind: bytes, undefined bytes, shorts, longs. Text and fractions,
// the other kinds, are nothing that a picture needs.
var tiffSizes = map[uint16]int64{1: 1, 7: 1, 3: 2, 4: 4}

// at is number i of the field.
func (f tiffField) at(i int) int64 {
	switch tiffSizes[f.kind] {
	case 1:
		return int64(f.data[i])
	case 2:
		return int64(f.order.Uint16(f.data[2*i:]))
	}
	return int64(f.order.Uint32(f.data[4*i:]))
}

// tiffEntries gives the byte order of a TIFF file or an EXIF block and the entries of its first directory, 12 bytes
// each. The error says that there should be more.
func tiffEntries(b []byte) (order binary.ByteOrder, entries []byte, err error) {
	if len(b) < 8 {
		return nil, nil, io.ErrUnexpectedEOF
	}
	order = binary.LittleEndian
	if b[0] == 'M' {
		order = binary.BigEndian
	}
	at := int64(order.Uint32(b[4:]))
	if at+2 > int64(len(b)) {
		return nil, nil, io.ErrUnexpectedEOF
	}
	n := 12 * int(order.Uint16(b[at:]))
	entries = b[at+2:]
	if n > len(entries) {
		return order, entries[:len(entries)/12*12], io.ErrUnexpectedEOF
	}
	return order, entries[:n], nil
}

// tiffFile is the first page of a TIFF file.
type tiffFile struct {
	b      []byte
	order  binary.ByteOrder
	fields map[uint16]tiffField

	width, height int
	bits, samples int // of a sample; of a pixel, those beyond the colours counted
	colours       int // samples of a pixel that say its colour: 1, 3 or 4
	alpha         bool
	photometric   int64
	compression   int64
	float, signed bool
	separate      bool // each sample in blocks of its own
	joint         int  // samples of a pixel in one block
	blockWidth    int
	blockHeight   int
	across, down  int       // blocks
	starts, sizes tiffField // of the blocks, in bytes

	pix  []byte // the picture, 8 bits a sample
	step int    // samples of a pixel in pix: 1 for grey and indices, 4 for RGB with alpha and for CMYK
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
	order, entries, err := tiffEntries(b)
	if err != nil {
		return nil, err
	}
	f := &tiffFile{b: b, order: order, fields: map[uint16]tiffField{}}
	for e := range slices.Chunk(entries, 12) {
		v := tiffField{order: order, kind: order.Uint16(e[2:]), count: int(order.Uint32(e[4:])), data: e[8:12]}
		unit := tiffSizes[v.kind]
		if size := unit * int64(order.Uint32(e[4:])); size > 4 {
			from := int64(order.Uint32(e[8:]))
			if from+size > int64(len(b)) {
				continue // no matter unless it is asked for
			}
			v.data = b[from : from+size]
		}
		if unit > 0 {
			f.fields[order.Uint16(e)] = v
		}
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
	f.samples, f.joint = int(samples), int(samples)
	f.bits = int(f.number(tiffBits, 1))
	for i := range min(f.fields[tiffBits].count, f.samples) {
		if f.fields[tiffBits].at(i) != int64(f.bits) {
			return errors.New("samples of several depths are not supported")
		}
	}
	f.photometric = f.number(tiffPhotometric, tiffWhiteIsZero)
	f.compression = f.number(tiffCompression, tiffRaw)
	if f.separate = f.number(tiffPlanar, 1) == 2 && f.samples > 1; f.separate {
		f.joint = 1
	}
	format := f.number(tiffSampleFormat, 1)
	f.signed, f.float = format == 2, format == 3
	f.colours = tiffColours[f.photometric]
	_, known := tiffRatios[f.compression]
	switch {
	case !known:
		return fmt.Errorf("compression %d is not supported", f.compression)
	case f.colours == 0:
		return fmt.Errorf("colour model %d is not supported", f.photometric)
	case f.samples < f.colours:
		return fmt.Errorf("%d samples a pixel in colour model %d", f.samples, f.photometric)
	}
	if f.step = 1; f.colours > 1 {
		f.step = 4
	}
	extra := f.number(tiffExtraSamples, 0)
	f.alpha = f.photometric == tiffRGB && f.samples > 3 && f.compression != tiffJPEG && (extra == 1 || extra == 2)
	grey := f.photometric == tiffWhiteIsZero || f.photometric == tiffBlackIsZero
	ok := f.bits == 8
	switch f.bits {
	case 1, 2, 4:
		ok = f.colours == 1 && f.samples == 1
	case 16:
		ok = grey && f.samples == 1 || f.photometric == tiffRGB || f.photometric == tiffCMYK
	case 32:
		ok = grey && f.samples == 1
	}
	ycbcr, s := f.photometric == tiffYCbCr, f.fields[tiffYCbCrSampling]
	switch {
	case !ok || f.float && f.bits != 32 || f.signed && f.bits < 8:
		return fmt.Errorf("%d samples of %d bits in colour model %d are not supported",
			f.samples, f.bits, f.photometric)
	case ycbcr && f.compression != tiffJPEG && (s.count != 2 || s.at(0) != 1 || s.at(1) != 1):
		return errors.New("subsampled colour is supported in JPEG compression only")
	case ycbcr && f.separate:
		return errors.New("luma and chroma in planes are not supported")
	}
	return f.blocks()
}

// blocks reads how the picture is cut.
func (f *tiffFile) blocks() error {
	w, h := int64(f.width), f.number(tiffRowsPerStrip, int64(f.height))
	f.starts, f.sizes = f.fields[tiffStripOffsets], f.fields[tiffStripCounts]
	if _, tiled := f.fields[tiffTileWidth]; tiled {
		f.starts, f.sizes = f.fields[tiffTileOffsets], f.fields[tiffTileCounts]
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
func (f *tiffFile) row() int { return (f.blockWidth*f.bits*f.joint + 7) / 8 }

func openTIFF(b []byte, _ limits) (header, error) {
	f, err := parseTIFF(b)
	if err != nil {
		return header{}, err
	}
	ratio := tiffRatios[f.compression]
	h := header{width: f.width, height: f.height, decode: f.decode}
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

// decode decodes the page and turns it as its orientation says, which in a TIFF file belongs to the picture.
func (f *tiffFile) decode() (image.Image, error) {
	f.pix = make([]byte, f.step*f.width*f.height)
	plane := f.across * f.down // blocks
	n := plane * (f.samples / f.joint)
	if f.starts.count < n || f.sizes.count < n && n > 1 {
		return nil, fmt.Errorf("%d blocks, where %d make the picture", min(f.starts.count, f.sizes.count), n)
	}
	if f.separate { // alpha, or what else there may be, is looked at if it counts
		n = plane * f.stored()
	}
	read := int64(0) // blocks that share their data could cost their number squared
	buf := make([]byte, f.row()*min(f.blockHeight, f.height))
	for i := range n {
		from, to := f.starts.at(i), int64(len(f.b))
		if f.sizes.count > i {
			to = from + f.sizes.at(i)
		}
		if f.compression == tiffRaw { // the sizes are known, whatever the file says of them
			to = min(to, int64(len(f.b)))
		}
		if from > to || to > int64(len(f.b)) {
			return nil, io.ErrUnexpectedEOF
		}
		if read += to - from; read > 2*int64(len(f.b)) {
			return nil, errors.New("its blocks overlap")
		}
		k := i % plane
		x, y := k%f.across*f.blockWidth, k/f.across*f.blockHeight
		rows := min(f.blockHeight, f.height-y)
		block := buf[:f.row()*rows]
		if err := f.block(block, f.b[from:to], rows); err != nil {
			return nil, err
		}
		f.store(block, x, y, rows, i/plane)
	}
	return orient(f.image(), int(min(f.number(tiffOrientation, 1), 9))), nil
}
