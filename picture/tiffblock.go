package picture

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/image/tiff/lzw"
)

// Compressions.
const (
	tiffRaw        = 1
	tiffCCITTBytes = 2
	tiffCCITT3     = 3
	tiffCCITT4     = 4
	tiffLZW        = 5
	tiffOldJPEG    = 6
	tiffJPEG       = 7
	tiffDeflate    = 8
	tiffPackBits   = 32773
	tiffOldDeflate = 32946
	tiffLZMA       = 34925
	tiffZstd       = 50000
)

// tiffRatios are the best ratios of the compressions.
var tiffRatios = map[int64]int64{
	tiffRaw: 1, tiffCCITTBytes: 1 << 20, tiffCCITT3: 1 << 20, tiffCCITT4: 1 << 20,
	tiffLZW: 4096, tiffJPEG: 8 * 64 * 4, tiffOldJPEG: 8 * 64 * 4, tiffDeflate: 1032, tiffOldDeflate: 1032,
	tiffPackBits: 64, tiffLZMA: 1 << 20, tiffZstd: 1 << 20,
}

// block decompresses one strip or tile of rows rows into dst, which is as long as those rows are. What is beyond them
// is not read.
func (f *tiffFile) block(dst, src []byte, rows int) error {
	if f.number(tiffFillOrder, 1) == 2 && f.compression != tiffJPEG {
		src = bytes.Clone(src)
		for i, v := range src {
			src[i] = bits.Reverse8(v)
		}
	}
	var r io.Reader = bytes.NewReader(src)
	switch f.compression {
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
	case tiffLZMA:
		z, err := unXZ(src, len(dst))
		if err != nil {
			return err
		}
		r = z
	case tiffZstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(64<<20))
		if err != nil {
			return err
		}
		defer z.Close()
		r = z
	case tiffPackBits:
		if err := unpackBits(dst, src); err != nil {
			return err
		}
		return f.unpredict(dst)
	case tiffJPEG:
		return f.jpeg(dst, src, rows)
	case tiffCCITTBytes, tiffCCITT3, tiffCCITT4:
		if f.bits != 1 || f.samples != 1 {
			return errors.New("CCITT data of more than one bit a pixel")
		}
		return unfax(dst, src, f.blockWidth, rows, f.faxWay())
	}
	if _, err := io.ReadFull(r, dst); err != nil {
		return err
	}
	return f.unpredict(dst)
}

// faxWay is how the rows of CCITT data follow one another.
func (f *tiffFile) faxWay() faxWay {
	switch {
	case f.compression == tiffCCITTBytes:
		return faxBytes
	case f.compression == tiffCCITT4:
		return fax4
	case f.number(tiffGroup3, 0)&1 != 0:
		return faxMixed
	}
	return faxMarks
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

// unpredict adds up samples that are kept as differences from the pixel to the left, and of floating point numbers the
// bytes of a row, which are kept apart, the highest of all numbers first.
func (f *tiffFile) unpredict(b []byte) error {
	kind := f.number(tiffPredictor, 1)
	switch f.compression {
	case tiffLZW, tiffDeflate, tiffOldDeflate, tiffLZMA, tiffZstd:
	default:
		return nil // says nothing there
	}
	if kind == 1 {
		return nil
	}
	if kind == 2 && (f.bits == 8 || f.bits == 16 || f.bits == 32) && !f.shared() {
		for line := range slices.Chunk(b, f.row()) {
			f.addUp(line, f.joint, f.bits/8)
		}
		return nil
	}
	if kind != 3 || !f.float {
		return fmt.Errorf("predictor %d of %d bits is not supported", kind, f.bits)
	}
	sums := make([]byte, f.row())
	for line := range slices.Chunk(b, f.row()) {
		copy(sums, line)
		f.addUp(sums, f.joint, 1)
		n := len(line) / 4
		for i := range n {
			f.order.PutUint32(line[4*i:],
				uint32(sums[i])<<24|uint32(sums[n+i])<<16|uint32(sums[2*n+i])<<8|uint32(sums[3*n+i]))
		}
	}
	return nil
}

// addUp adds to each number of a row, of size bytes, the one step numbers before.
func (f *tiffFile) addUp(line []byte, step, size int) {
	for i := step * size; i+size <= len(line); i += size {
		left, p := line[i-step*size:], line[i:]
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
