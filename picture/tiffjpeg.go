package picture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/adavit/adavit/internal/kernels"
)

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

// oldJPEG decodes a picture in the way of TIFF 6.0: one JPEG file behind a tag of its own or, without that, its parts.
func (f *tiffFile) oldJPEG() error {
	stream, err := f.oldStream()
	if err != nil {
		return err
	}
	var d jpegDecoder
	h, err := d.open(append(stream, 0xff, jpegEOI), defaultLimits)
	if err != nil {
		return err
	}
	if h.width != f.width || h.height != f.height || len(d.components) != 3 || h.least > int64(len(stream)) {
		return fmt.Errorf("JPEG data of %d×%d pixels and %d components", h.width, h.height, len(d.components))
	}
	ratio, ok := d.ratio()
	if !ok {
		return errors.New("JPEG data of uncommon sampling")
	}
	if err := d.samples(); err != nil {
		return err
	}
	f.ycc = newTIFFYCC(f)
	c, share := d.components, chromaSteps[ratio]
	for y := range f.height {
		luma, at := c[0].pix[y*c[0].stride:], y/share.Y*c[1].stride
		for x := range f.width {
			f.ycc.put(f.pix[4*(y*f.width+x):][:4], luma[x], c[1].pix[at+x/share.X], c[2].pix[at+x/share.X])
		}
	}
	return nil
}

// oldStream is the JPEG file of a picture in the way of TIFF 6.0. From several blocks, between which there can be
// marks, and need not, libtiff makes different things.
func (f *tiffFile) oldStream() ([]byte, error) {
	if f.across*f.down > 1 {
		return nil, errors.New("JPEG data in the way of TIFF 6.0 in several blocks are not supported")
	}
	if f.starts.count < 1 || f.sizes.count < 1 {
		return nil, errors.New("no picture in it")
	}
	data, err := f.data(0)
	if err != nil {
		return nil, err
	}
	if from := f.number(tiffOldFile, 0); from > 0 && from < int64(len(f.b)) {
		to := max(from+f.number(tiffOldFileSize, 0), f.starts.at(0)+int64(len(data)))
		return slices.Clip(f.b[from:max(from, min(to, int64(len(f.b))))]), nil
	}
	if f.number(tiffOldProcess, 1) != 1 || f.samples != 3 {
		return nil, errors.New("JPEG data without loss, or of other than three samples a pixel, are not supported")
	}
	sampling := []byte{2, 2}
	if s := f.fields[tiffYCbCrSampling]; s.count == 2 {
		sampling = []byte{byte(s.at(0)), byte(s.at(1))}
	}
	stream := []byte("\xff\xd8")
	segment := func(marker byte, parts ...[]byte) {
		p := slices.Concat(parts...)
		stream = append(binary.BigEndian.AppendUint16(append(stream, 0xff, marker), uint16(len(p)+2)), p...)
	}
	for i := range byte(3) {
		for _, t := range []struct {
			tag        uint16
			counts     int
			marker, id byte
		}{{tiffOldQTables, 0, jpegDQT, i}, {tiffOldDCTables, 16, jpegDHT, i}, {tiffOldACTables, 16, jpegDHT, 0x10 | i}} {
			table, err := f.oldTable(t.tag, i, t.counts)
			if err != nil {
				return nil, err
			}
			segment(t.marker, []byte{t.id}, table)
		}
	}
	size := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, uint16(f.height)), uint16(f.width))
	segment(jpegSOF0, []byte{8}, size, []byte{3, 1, sampling[0]<<4 | sampling[1], 0, 2, 0x11, 1, 3, 0x11, 2})
	segment(jpegSOS, []byte{3, 1, 0, 2, 0x11, 3, 0x22, 0, 63, 0})
	return append(stream, data...), nil
}

// oldTable is table i of a tag that says where they are: 64 bytes or, if it has counts, these and what they count.
func (f *tiffFile) oldTable(tag uint16, i byte, counts int) ([]byte, error) {
	v := f.fields[tag]
	if v.count <= int(i) || v.at(int(i)) > int64(len(f.b)) {
		return nil, errors.New("JPEG data without their tables")
	}
	p := f.b[v.at(int(i)):]
	n := 64
	if counts > 0 && len(p) >= counts {
		n = counts
		for _, count := range p[:counts] {
			n += int(count)
		}
	}
	if len(p) < n {
		return nil, io.ErrUnexpectedEOF
	}
	return p[:n], nil
}
