package data

import "image"

// JPEG and lossy WebP keep colour at half the resolution or less. Go's own
// conversion repeats each chroma sample; libjpeg and libwebp, which models are
// trained through, interpolate: a chroma sample sits in the middle of the pixels
// that share it, and the value between two of them is ¾ of the nearer one and ¼
// of the farther one, on each halved axis. Small pictures differ visibly.

// ycbcr reads the rows of a luma-chroma picture.
type ycbcr struct {
	img *image.YCbCr
	// video marks WebP's range (ITU-R 601: luma 16 … 235, chroma 16 … 240); JPEG
	// uses 0 … 255 for both.
	video  bool
	column []int32 // chroma of one row, blended vertically
	cb, cr []byte  // chroma of one row, one sample a pixel
}

func newYCbCr(img *image.YCbCr, video bool) *ycbcr {
	w := img.Rect.Dx()
	return &ycbcr{img, video, make([]int32, w/2+2), make([]byte, w), make([]byte, w)}
}

// row writes row y as RGB.
func (r *ycbcr) row(y int, dst []byte) {
	m := r.img
	r.chroma(r.cb, m.Cb, y)
	r.chroma(r.cr, m.Cr, y)
	line := m.Y[m.YOffset(m.Rect.Min.X, m.Rect.Min.Y+y):][:len(r.cb)]
	cr := r.cr[:len(r.cb)]
	for x, cb := range r.cb {
		p := dst[3*x : 3*x+3]
		if r.video {
			p[0], p[1], p[2] = videoRange(int32(line[x]), int32(cb)-128, int32(cr[x])-128)
		} else {
			p[0], p[1], p[2] = fullRange(int32(line[x]), int32(cb)-128, int32(cr[x])-128)
		}
	}
}

// chroma gives one sample a pixel of row y to dst.
func (r *ycbcr) chroma(dst, plane []byte, y int) {
	m, b := r.img, r.img.Rect
	halfX := m.SubsampleRatio == image.YCbCrSubsampleRatio422 || m.SubsampleRatio == image.YCbCrSubsampleRatio420
	halfY := m.SubsampleRatio == image.YCbCrSubsampleRatio440 || m.SubsampleRatio == image.YCbCrSubsampleRatio420
	y += b.Min.Y
	first := b.Min.X / 2
	count := (b.Max.X-1)/2 - first + 1
	if m.SubsampleRatio == image.YCbCrSubsampleRatio444 {
		copy(dst, plane[m.COffset(b.Min.X, y):])
		return
	}
	if !halfX && !halfY || halfX && count <= 2 { // so narrow a picture libjpeg does not interpolate either
		for x := range dst {
			dst[x] = plane[m.COffset(b.Min.X+x, y)]
		}
		return
	}
	// Along the columns: value · 4 if they are halved, else value.
	near := plane[m.COffset(b.Min.X, y):]
	far, unit := near, int32(1)
	if halfY {
		unit = 4
		other := y - 1 // the pixel row that looks at the farther chroma row
		if y&1 == 1 {
			other = y + 1
		}
		far = plane[m.COffset(b.Min.X, min(max(other, b.Min.Y), b.Max.Y-1)):]
	}
	if !halfX {
		bias := 1 + int32(y&1)
		for x := range dst {
			dst[x] = byte((3*int32(near[x]) + int32(far[x]) + bias) >> 2)
		}
		return
	}
	column := r.column[:count]
	for i := range column {
		column[i] = int32(near[i])
		if halfY {
			column[i] = 3*int32(near[i]) + int32(far[i])
		}
	}
	// Along the rows. The two roundings alternate, so that no drift remains.
	even, odd, shift := int32(1), int32(2), 2
	if unit == 4 {
		even, odd, shift = 8, 7, 4
	}
	for x := range dst {
		i := (b.Min.X+x)/2 - first
		if (b.Min.X+x)&1 == 0 {
			dst[x] = byte((3*column[i] + column[max(i-1, 0)] + even) >> shift)
		} else {
			dst[x] = byte((3*column[i] + column[min(i+1, count-1)] + odd) >> shift)
		}
	}
}

// fullRange is JFIF's conversion, rounded: cb and cr have 128 taken off.
func fullRange(y, cb, cr int32) (r, g, b byte) {
	const half = 1 << 15
	return clampByte(y + (91881*cr+half)>>16), // 1.402
		clampByte(y + (-22554*cb-46802*cr+half)>>16), // 0.344136, 0.714136
		clampByte(y + (116130*cb+half)>>16) // 1.772
}

// videoRange is ITU-R 601's conversion of studio levels, rounded.
func videoRange(y, cb, cr int32) (r, g, b byte) {
	const half = 1 << 15
	y = 76309*(y-16) + half                  // 255/219
	return clampByte((y + 104597*cr) >> 16), // 1.402 · 255/224
		clampByte((y - 25675*cb - 53279*cr) >> 16),
		clampByte((y + 132201*cb) >> 16)
}

func clampByte(v int32) byte { return byte(min(max(v, 0), 255)) }

// fromVideo converts a lossy WebP picture, which Go's decoder hands out as if it
// were a JPEG's, into what it shows.
func fromVideo(m *image.YCbCr) *image.NRGBA {
	b := m.Rect
	out := image.NewNRGBA(b)
	reader := newYCbCr(m, true)
	line := make([]byte, 3*b.Dx())
	for y := range b.Dy() {
		reader.row(y, line)
		dst := out.Pix[y*out.Stride:]
		for x := range b.Dx() {
			copy(dst[4*x:4*x+3], line[3*x:])
			dst[4*x+3] = 255
		}
	}
	return out
}
