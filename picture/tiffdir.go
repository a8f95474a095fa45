package picture

import (
	"encoding/binary"
	"io"
)

// isTIFF knows TIFF and BigTIFF files.
func isTIFF(b []byte) bool {
	return hasPrefix(b, "II*\x00") || hasPrefix(b, "MM\x00*") || hasPrefix(b, "II+\x00") || hasPrefix(b, "MM\x00+")
}

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
	tiffOldProcess    = 512
	tiffOldFile       = 513
	tiffOldFileSize   = 514
	tiffOldQTables    = 519
	tiffOldDCTables   = 520
	tiffOldACTables   = 521
	tiffCoefficients  = 529
	tiffYCbCrSampling = 530
	tiffBlackWhite    = 532
)

// tiffField is the value of a tag.
type tiffField struct {
	order binary.ByteOrder
	kind  uint16
	count int
	data  []byte
}

// tiffSizes are the bytes of a field's numbers by its kind: bytes, undefined bytes, shorts, longs, fractions, and
// BigTIFF's long longs. Text and the other kinds are nothing that a picture needs.
var tiffSizes = map[uint16]int{1: 1, 7: 1, 3: 2, 4: 4, 5: 8, 16: 8}

// at is number i of the field, the upper part of a fraction.
func (f tiffField) at(i int) int64 {
	switch f.kind {
	case 1, 7:
		return int64(f.data[i])
	case 3:
		return int64(f.order.Uint16(f.data[2*i:]))
	case 5:
		return int64(f.order.Uint32(f.data[8*i:]))
	case 16:
		return int64(f.order.Uint64(f.data[8*i:]) & (1<<63 - 1)) // no place in a file is that far
	}
	return int64(f.order.Uint32(f.data[4*i:]))
}

// fraction is number i of the field, where it may be a fraction.
func (f tiffField) fraction(i int) float32 {
	if f.kind != 5 {
		return float32(f.at(i))
	}
	return float32(float64(f.at(i)) / float64(max(f.order.Uint32(f.data[8*i+4:]), 1)))
}

// tiffDirectory is what a page says of itself.
type tiffDirectory struct {
	order   binary.ByteOrder
	big     bool // of a BigTIFF file, where counts and offsets have 8 bytes instead of 4
	size    int  // of an entry
	entries []byte
}

// readTIFFDirectory finds the first directory of a TIFF file or an EXIF block. With the error that says that there
// should be more of it comes what there is.
func readTIFFDirectory(b []byte) (d tiffDirectory, err error) {
	d = tiffDirectory{order: binary.LittleEndian, size: 12}
	if len(b) < 8 {
		return d, io.ErrUnexpectedEOF
	}
	if b[0] == 'M' {
		d.order = binary.BigEndian
	}
	at, wide := uint64(d.order.Uint32(b[4:])), uint64(2) // bytes that say how many entries there are
	if d.big = d.order.Uint16(b[2:]) == 43 && len(b) >= 16; d.big {
		at, wide, d.size = d.order.Uint64(b[8:]), 8, 20
	}
	if size := uint64(len(b)); at > size || wide > size-at {
		return d, io.ErrUnexpectedEOF
	}
	n := uint64(d.order.Uint16(b[at:]))
	if d.big {
		n = d.order.Uint64(b[at:])
	}
	d.entries = b[at+wide:]
	if most := uint64(len(d.entries) / d.size); n > most {
		n, err = most, io.ErrUnexpectedEOF
	}
	d.entries = d.entries[:n*uint64(d.size)]
	return d, err
}

// field reads an entry of file b. It is not ok if the value is none of numbers, or not within the file; both do not
// matter unless the tag is asked for.
func (d tiffDirectory) field(b, e []byte) (v tiffField, ok bool) {
	v = tiffField{order: d.order, kind: d.order.Uint16(e[2:])}
	count, word := uint64(d.order.Uint32(e[4:])), uint64(4) // bytes of an offset, instead of which a value can stand
	if d.big {
		count, word = d.order.Uint64(e[4:]), 8
	}
	v.data = e[4+word:]
	unit := uint64(tiffSizes[v.kind])
	if unit == 0 || count > uint64(len(b)) {
		return v, false
	}
	v.count = int(count)
	if count*unit <= word {
		return v, true
	}
	from := uint64(d.order.Uint32(v.data))
	if d.big {
		from = d.order.Uint64(v.data)
	}
	if size := uint64(len(b)); from > size || count*unit > size-from {
		return v, false
	}
	v.data = b[from:][:count*unit]
	return v, true
}
