package picture

// Why not golang.org/x/image/tiff: it knows neither JPEG compression nor planes, CMYK, YCbCr, 2, 4 or 32 bits. Of the
// 96 TIFF files among Pillow 13.0.0's test images that Pillow can read (2026-11-27):
//
//	                               Pillow's pixels   other pixels   refused
//	this decoder                                96              0         0
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

// What a pixel's samples mean: values of tiffPhotometric.
const (
	tiffWhiteIsZero = 0
	tiffBlackIsZero = 1
	tiffRGB         = 2
	tiffPalette     = 3
	tiffCMYK        = 5
	tiffYCbCr       = 6
	tiffCIELab      = 8
)

// tiffColours are the samples of a pixel that say its colour.
var tiffColours = map[int64]int{
	tiffWhiteIsZero: 1, tiffBlackIsZero: 1, tiffPalette: 1, tiffRGB: 3, tiffYCbCr: 3, tiffCIELab: 3, tiffCMYK: 4,
}

// tiffUnread are other colour models and compressions that are met, for errors.
var tiffUnread = struct{ models, compressions map[int64]string }{
	map[int64]string{
		4: "a mask", 9: "ICC's L*a*b*", 10: "ITU's L*a*b*", 32803: "a camera's raw pixels", 34892: "a camera's raw pixels",
		32844: "LogL", 32845: "LogLuv",
	},
	map[int64]string{
		32766: "NeXT", 32771: "CCITT rows of whole words", 32809: "ThunderScan", 33003: "JPEG 2000", 33005: "JPEG 2000",
		34661: "JBIG", 34676: "SGILog", 34677: "SGILog", 34712: "JPEG 2000", 34887: "LERC", 34892: "lossy JPEG of DNG",
		50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
	},
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
	premultiplied bool // Pillow takes alpha that is not explained for that, if it has a plane of its own
	photometric   int64
	compression   int64
	float, signed bool
	separate      bool // each sample in blocks of its own
	joint         int  // samples of a pixel in one block
	shareX        int  // pixels, across and down, that share their chroma in YCbCr data; else 1
	shareY        int
	blockWidth    int
	blockHeight   int
	across, down  int       // blocks
	starts, sizes tiffField // of the blocks, in bytes

	ycc  *tiffYCC // where it is needed
	pix  []byte   // the picture, 8 bits a sample
	step int      // samples of a pixel in pix: 1 for grey and indices, 4 for RGB with alpha and for CMYK
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
	d, err := readTIFFDirectory(b)
	if err != nil {
		return nil, err
	}
	f := &tiffFile{b: b, order: d.order, fields: map[uint16]tiffField{}}
	for e := range slices.Chunk(d.entries, d.size) {
		if v, ok := d.field(b, e); ok {
			f.fields[d.order.Uint16(e)] = v
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
	f.compression = f.number(tiffCompression, tiffRaw)
	if f.photometric = f.number(tiffPhotometric, tiffWhiteIsZero); f.compression == tiffOldJPEG {
		f.photometric = tiffYCbCr // whatever the file calls it
	}
	if f.separate = f.number(tiffPlanar, 1) == 2 && f.samples > 1; f.separate {
		f.joint = 1
	}
	format := f.number(tiffSampleFormat, 1)
	f.signed, f.float = format == 2, format == 3
	f.colours = tiffColours[f.photometric]
	_, known := tiffRatios[f.compression]
	switch {
	case !known:
		return fmt.Errorf("compression %d%s is not supported", f.compression, named(tiffUnread.compressions[f.compression]))
	case f.colours == 0:
		return fmt.Errorf("colour model %d%s is not supported", f.photometric, named(tiffUnread.models[f.photometric]))
	case f.samples < f.colours:
		return fmt.Errorf("%d samples a pixel in colour model %d", f.samples, f.photometric)
	}
	if f.step = 1; f.colours > 1 {
		f.step = 4
	}
	_, said := f.fields[tiffExtraSamples]
	extra := f.number(tiffExtraSamples, 0)
	f.alpha = f.photometric == tiffRGB && f.samples > 3 && f.compression != tiffJPEG && (!said || extra > 0)
	f.premultiplied = f.alpha && (extra == 1 || !said && f.separate && f.compression != tiffRaw)
	grey := f.photometric == tiffWhiteIsZero || f.photometric == tiffBlackIsZero
	ok := f.bits == 8
	switch f.bits {
	case 1, 2, 4:
		ok = f.colours == 1 && f.samples == 1
	case 12:
		ok = f.photometric == tiffBlackIsZero && f.samples == 1
	case 16:
		ok = grey && f.samples == 1 || f.photometric == tiffRGB || f.photometric == tiffCMYK
	case 32:
		ok = grey && f.samples == 1
	}
	if !ok || f.float && f.bits != 32 || f.signed && (f.bits < 8 || f.bits == 12) {
		return fmt.Errorf("%d samples of %d bits in colour model %d are not supported",
			f.samples, f.bits, f.photometric)
	}
	if f.separate && f.compression == tiffRaw && // Pillow misreads these
		(f.bits != 8 || f.number(tiffFillOrder, 1) == 2 || f.samples > f.colours && !said) {
		return fmt.Errorf("raw planes of %d bits, of reversed bits or of unknown samples are not supported", f.bits)
	}
	if err := f.sharing(); err != nil {
		return err
	}
	return f.blocks()
}

// named puts a name behind a number.
func named(name string) string {
	if name == "" {
		return ""
	}
	return " (" + name + ")"
}

// sharing reads how many pixels share their chroma.
func (f *tiffFile) sharing() error {
	f.shareX, f.shareY = 1, 1
	if f.photometric != tiffYCbCr {
		return nil
	}
	if f.separate {
		return errors.New("luma and chroma in planes are not supported")
	}
	if f.compression == tiffJPEG || f.compression == tiffOldJPEG {
		return nil // the JPEG picture says it
	}
	f.shareX, f.shareY = 2, 2
	if s := f.fields[tiffYCbCrSampling]; s.count == 2 {
		f.shareX, f.shareY = int(s.at(0)), int(s.at(1))
	}
	// Of the others Pillow or libtiff makes something else than was meant.
	share := [2]int{f.shareX, f.shareY}
	known := slices.Contains([][2]int{{1, 1}, {1, 2}, {2, 1}, {2, 2}, {4, 1}, {4, 2}}, share)
	if !known || f.shared() && f.compression == tiffRaw || f.samples != 3 {
		return fmt.Errorf("chroma for %d×%d pixels, %d samples a pixel, in compression %d is not supported",
			f.shareX, f.shareY, f.samples, f.compression)
	}
	return nil
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

// row is the bytes of a row of a block before compression; of a row of units, where pixels share their chroma.
func (f *tiffFile) row() int {
	if f.shared() {
		return (f.blockWidth + f.shareX - 1) / f.shareX * (f.shareX*f.shareY + 2)
	}
	return (f.blockWidth*f.bits*f.joint + 7) / 8
}

// shared reports whether a block is a row of units after the other, each some pixels' luma and their chroma.
func (f *tiffFile) shared() bool { return f.shareX*f.shareY > 1 }

// size is the bytes of so many rows of a block.
func (f *tiffFile) size(rows int) int { return f.row() * ((rows + f.shareY - 1) / f.shareY) }

func openTIFF(b []byte, _ limits) (header, error) {
	f, err := parseTIFF(b)
	if err != nil {
		return header{}, err
	}
	ratio := tiffRatios[f.compression]
	h := header{width: f.width, height: f.height, decode: f.decode}
	bits := int64(f.samples) * int64(f.bits)
	if f.shared() {
		bits = 8 + 16/int64(f.shareX*f.shareY)
	}
	bytes := (int64(f.width)*bits + 7) / 8
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
	read := f.readBlocks
	if f.compression == tiffOldJPEG {
		read = f.oldJPEG
	}
	if err := read(); err != nil {
		return nil, err
	}
	return orient(f.image(), int(min(f.number(tiffOrientation, 1), 9))), nil
}

// readBlocks decodes all strips or tiles.
func (f *tiffFile) readBlocks() error {
	plane := f.across * f.down // blocks
	n := plane * (f.samples / f.joint)
	if f.starts.count < n || f.sizes.count < n && n > 1 {
		return fmt.Errorf("%d blocks, where %d make the picture", min(f.starts.count, f.sizes.count), n)
	}
	if f.separate { // alpha, or what else there may be, is looked at if it counts
		n = plane * f.stored()
	}
	read := 0 // blocks that share their data could cost their number squared
	buf := make([]byte, f.size(min(f.blockHeight, f.height)))
	for i := range n {
		src, err := f.data(i)
		if err != nil {
			return err
		}
		if read += len(src); read > 2*len(f.b) {
			return errors.New("its blocks overlap")
		}
		k := i % plane
		x, y := k%f.across*f.blockWidth, k/f.across*f.blockHeight
		rows := min(f.blockHeight, f.height-y)
		block := buf[:f.size(rows)]
		if err := f.block(block, src, rows); err != nil {
			return err
		}
		f.store(block, x, y, rows, i/plane)
	}
	return nil
}

// data is the bytes of block i.
func (f *tiffFile) data(i int) ([]byte, error) {
	from, to := f.starts.at(i), int64(len(f.b))
	if f.sizes.count > i && f.sizes.at(i) < to-from {
		to = from + f.sizes.at(i)
	} else if f.sizes.count > i && f.compression != tiffRaw && f.sizes.at(i) > to-from {
		return nil, io.ErrUnexpectedEOF // of raw data the size is known, whatever the file says of it
	}
	if from > to {
		return nil, io.ErrUnexpectedEOF
	}
	return f.b[from:to], nil
}
