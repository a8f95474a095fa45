package picture

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"golang.org/x/image/ccitt"
	"golang.org/x/image/tiff/lzw"
)

// block decompresses one strip or tile of rows rows into dst, which is as long as those rows are. What is beyond them
// is not read.
func (f *tiffFile) block(dst, src []byte, rows int) error {
	if f.number(tiffFillOrder, 1) == 2 && f.compression != tiffJPEG {
		if f.compression == tiffRaw || f.compression == tiffCCITT3 || f.compression == tiffCCITT4 {
			turned := make([]byte, len(src))
			for i, v := range src {
				turned[i] = bits.Reverse8(v)
			}
			src = turned
		} else {
			return errors.New("reversed bits are supported in raw and CCITT data only")
		}
	}
	var r io.Reader = bytes.NewReader(src)
	switch f.compression {
	case tiffRaw:
	case tiffLZW:
		z := lzw.NewReader(r, lzw.MSB, 8)
		defer z.Close()
		r = z
	case tiffDeflate, tiffOldDeflate:
		z, err := zlib.NewReader(r)
		if err != nil {
			return err
		}
		defer z.Close()
		r = z
	case tiffPackBits:
		return unpackBits(dst, src)
	case tiffJPEG:
		return f.jpeg(dst, src, rows)
	case tiffCCITT3, tiffCCITT4:
		if f.bits != 1 || f.samples != 1 {
			return errors.New("CCITT data of more than one bit a pixel")
		}
		format := ccitt.Group4
		if f.compression == tiffCCITT3 {
			if f.number(tiffGroup3, 0)&1 != 0 {
				return errors.New("CCITT group 3 in two dimensions is not supported")
			}
			format = ccitt.Group3
		}
		// The reader's 1 is white; the file's black is 1 whatever its name for that colour.
		r = ccitt.NewReader(r, ccitt.MSB, format, f.blockWidth, rows, &ccitt.Options{Invert: true})
	default:
		return fmt.Errorf("compression %d is not supported", f.compression)
	}
	if _, err := io.ReadFull(r, dst); err != nil {
		return err
	}
	switch f.number(tiffPredictor, 1) {
	case 1:
	case 2:
		return f.unpredict(dst, rows)
	default:
		return fmt.Errorf("predictor %d is not supported", f.number(tiffPredictor, 1))
	}
	return nil
}

// unpackBits expands runs: n up to 127 says that n+1 bytes follow, −n that the next one stands n+1 times.
func unpackBits(dst, src []byte) error {
	for len(dst) > 0 {
		if len(src) == 0 {
			return io.ErrUnexpectedEOF
		}
		n := int(int8(src[0]))
		src = src[1:]
		switch {
		case n >= 0:
			if len(src) < n+1 {
				return io.ErrUnexpectedEOF
			}
			dst = dst[copy(dst, src[:n+1]):]
			src = src[n+1:]
		case n > -128:
			if len(src) == 0 {
				return io.ErrUnexpectedEOF
			}
			k := min(1-n, len(dst))
			for i := range dst[:k] {
				dst[i] = src[0]
			}
			dst, src = dst[k:], src[1:]
		}
	}
	return nil
}

// unpredict adds up samples that are kept as differences from the pixel to the left.
func (f *tiffFile) unpredict(b []byte, rows int) error {
	step := f.samples
	if f.separate {
		step = 1
	}
	row := int(f.row())
	for y := range rows {
		line := b[y*row:][:row]
		switch f.bits {
		case 8:
			for i := step; i < len(line); i++ {
				line[i] += line[i-step]
			}
		case 16:
			for i := 2 * step; i+1 < len(line); i += 2 {
				f.order.PutUint16(line[i:], f.order.Uint16(line[i:])+f.order.Uint16(line[i-2*step:]))
			}
		case 32:
			for i := 4 * step; i+3 < len(line); i += 4 {
				f.order.PutUint32(line[i:], f.order.Uint32(line[i:])+f.order.Uint32(line[i-4*step:]))
			}
		default:
			return fmt.Errorf("differences of %d bits are not supported", f.bits)
		}
	}
	return nil
}

// jpeg decodes a block that is a JPEG picture, less the tables that all blocks share. Luma and chroma become RGB.
func (f *tiffFile) jpeg(dst, src []byte, rows int) error {
	if f.bits != 8 {
		return fmt.Errorf("JPEG data of %d bits", f.bits)
	}
	if !isJPEG(src) {
		return errors.New("a block is no JPEG picture")
	}
	h, err := headerJPEG(src, defaultLimits)
	if err != nil {
		return err
	}
	if h.width != f.blockWidth && h.width != f.width || h.height < rows || h.height > f.blockHeight ||
		h.least > int64(len(src)) {
		return fmt.Errorf("a block is a JPEG picture of %d×%d pixels", h.width, h.height)
	}
	var d jpegDecoder
	if t, ok := f.fields[tiffJPEGTables]; ok && t.kind == 7 && isJPEG(t.data) {
		if err := d.read(t.data); err != nil {
			return fmt.Errorf("JPEG tables: %w", err)
		}
	}
	if err := d.read(src); err != nil {
		return err
	}
	if err := d.finish(); err != nil {
		return err
	}
	samples := f.samples
	if f.separate {
		samples = 1
	}
	if len(d.components) != samples {
		return fmt.Errorf("JPEG data of %d components where a pixel has %d samples", len(d.components), samples)
	}
	row := int(f.row())
	width := min(h.width, f.blockWidth)
	if f.photometric == tiffYCbCr && samples == 3 {
		d.jfif = true
		colour := colourRow(d.picture())
		line := make([]byte, 3*h.width)
		for y := range rows {
			colour(y, line)
			copy(dst[y*row:][:3*width], line)
		}
		return nil
	}
	line := make([]byte, h.width)
	for i := range samples {
		p := d.plane(i)
		for y := range rows {
			p.row(y, line)
			out := dst[y*row:][:row]
			for x, v := range line[:width] {
				out[x*samples+i] = v
			}
		}
	}
	return nil
}
