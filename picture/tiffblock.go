package picture

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"golang.org/x/image/ccitt"
	"golang.org/x/image/tiff/lzw"

	"github.com/adavit/adavit/internal/kernels"
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

// tiffRatios are the best ratios of the compressions.
var tiffRatios = map[int64]int64{
	tiffRaw: 1, tiffCCITT3: 1 << 20, tiffCCITT4: 1 << 20, tiffLZW: 4096, tiffJPEG: 8 * 64 * 4,
	tiffDeflate: 1032, tiffOldDeflate: 1032, tiffPackBits: 64,
}

// block decompresses one strip or tile of rows rows into dst, which is as long as those rows are. What is beyond them
// is not read.
func (f *tiffFile) block(dst, src []byte, rows int) error {
	if f.number(tiffFillOrder, 1) == 2 && f.compression != tiffJPEG {
		if !slices.Contains([]int64{tiffRaw, tiffCCITT3, tiffCCITT4}, f.compression) {
			return errors.New("reversed bits are supported in raw and CCITT data only")
		}
		src = bytes.Clone(src)
		for i, v := range src {
			src[i] = bits.Reverse8(v)
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
	}
	if _, err := io.ReadFull(r, dst); err != nil {
		return err
	}
	switch predictor := f.number(tiffPredictor, 1); predictor {
	case 1:
		return nil
	case 2:
		return f.unpredict(dst)
	default:
		return fmt.Errorf("predictor %d is not supported", predictor)
	}
}

// unpackBits expands runs: n up to 127 says that n+1 bytes follow, −n that the next one stands n+1 times.
func unpackBits(dst, src []byte) error {
	for len(dst) > 0 {
		if len(src) < 2 {
			return io.ErrUnexpectedEOF
		}
		n := int(int8(src[0]))
		src = src[1:]
		switch {
		case n >= 0:
			if len(src) < n+1 {
				return io.ErrUnexpectedEOF
			}
			dst, src = dst[copy(dst, src[:n+1]):], src[n+1:]
		case n > -128:
			run := dst[:min(1-n, len(dst))]
			for i := range run {
				run[i] = src[0]
			}
			dst, src = dst[len(run):], src[1:]
		}
	}
	return nil
}

// unpredict adds up samples that are kept as differences from the pixel to the left.
func (f *tiffFile) unpredict(b []byte) error {
	if f.bits < 8 {
		return fmt.Errorf("differences of %d bits are not supported", f.bits)
	}
	size := f.bits / 8
	step := f.joint * size
	for line := range slices.Chunk(b, f.row()) {
		for i := step; i+size <= len(line); i += size {
			left, p := line[i-step:], line[i:]
			switch size {
			case 1:
				p[0] += left[0]
			case 2:
				f.order.PutUint16(p, f.order.Uint16(p)+f.order.Uint16(left))
			case 4:
				f.order.PutUint32(p, f.order.Uint32(p)+f.order.Uint32(left))
			}
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
	var d jpegDecoder
	if t, ok := f.fields[tiffJPEGTables]; ok && t.kind == 7 && isJPEG(t.data) {
		if err := d.segments(t.data, 2); err != nil {
			return fmt.Errorf("JPEG tables: %w", err)
		}
	}
	h, err := d.open(src, defaultLimits)
	if err != nil {
		return err
	}
	if h.width != f.blockWidth && h.width != f.width || h.height < rows || h.height > f.blockHeight ||
		h.least > int64(len(src)) {
		return fmt.Errorf("a block is a JPEG picture of %d×%d pixels", h.width, h.height)
	}
	n := len(d.components)
	if n != f.joint {
		return fmt.Errorf("JPEG data of %d components where a pixel has %d samples", n, f.joint)
	}
	if err := d.samples(); err != nil {
		return err
	}
	pix := d.pixels(n)
	if f.photometric == tiffYCbCr && n == 3 {
		for p := range slices.Chunk(pix, 3) {
			p[0], p[1], p[2] = kernels.PixelRGB(p[0], p[1], p[2])
		}
	}
	width := min(h.width, f.blockWidth)
	for y := range rows {
		copy(dst[y*f.row():][:n*width], pix[y*h.width*n:])
	}
	return nil
}
