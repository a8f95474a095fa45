package picture

import "image"

// JPEG keeps colour at half the resolution or less. Go's own conversion repeats each chroma sample; libjpeg, which
// models are trained through, interpolates: a chroma sample sits in the middle of the pixels that share it, and the
// value between two of them is ¾ of the nearer one and ¼ of the farther one, on each halved axis. Small pictures differ
// visibly.

// plane is one channel, kept at a whole fraction of the picture's resolution.
type plane struct {
	pix           []byte
	stride        int
	width, height int // in samples
	across, down  int // pixels of the picture that share a sample, on each axis
	// Where the picture's first pixel lies in its sample: 0 but for a part of a picture.
	left, top int
	column    []int32 // one row, blended vertically
}

// row gives one sample a pixel of the picture's row y to dst. It interpolates as libjpeg does: where an axis is halved,
// along the columns before the rows; any other fraction is repeated, and so is a plane of 2 columns or less.
func (p *plane) row(y int, dst []byte) {
	y += p.top
	near := p.pix[y/p.down*p.stride:][:p.width]
	if p.across == 1 && p.down == 1 {
		copy(dst, near)
		return
	}
	if p.across > 2 || p.down > 2 || p.across == 2 && p.width <= 2 {
		for x := range dst {
			dst[x] = near[(p.left+x)/p.across]
		}
		return
	}
	far := near
	if p.down == 2 {
		other := y/2 - 1 // of two rows, the upper one looks up
		if y&1 == 1 {
			other = y/2 + 1
		}
		far = p.pix[min(max(other, 0), p.height-1)*p.stride:][:p.width]
	}
	if p.column == nil {
		p.column = make([]int32, p.width)
	}
	column := p.column
	for i, v := range near {
		if column[i] = int32(v); p.down == 2 {
			column[i] = 3*int32(v) + int32(far[i])
		}
	}
	if p.across == 1 {
		bias := 1 + int32(y&1)
		for x := range dst {
			dst[x] = byte((column[x] + bias) >> 2)
		}
		return
	}
	// The two roundings alternate, so that no drift remains.
	even, odd, shift := int32(1), int32(2), 2
	if p.down == 2 {
		even, odd, shift = 8, 7, 4
	}
	for x := range dst {
		i := (p.left + x) / 2
		if (p.left+x)&1 == 0 {
			dst[x] = byte((3*column[i] + column[max(i-1, 0)] + even) >> shift)
		} else {
			dst[x] = byte((3*column[i] + column[min(i+1, p.width-1)] + odd) >> shift)
		}
	}
}

// chromaSteps are the pixels, across and down, that share a chroma sample.
var chromaSteps = map[image.YCbCrSubsampleRatio]image.Point{
	image.YCbCrSubsampleRatio444: {X: 1, Y: 1}, image.YCbCrSubsampleRatio422: {X: 2, Y: 1},
	image.YCbCrSubsampleRatio420: {X: 2, Y: 2}, image.YCbCrSubsampleRatio440: {X: 1, Y: 2},
	image.YCbCrSubsampleRatio411: {X: 4, Y: 1}, image.YCbCrSubsampleRatio410: {X: 4, Y: 2},
}

// rowsOfYCbCr reads the rows of a luma-chroma picture as JPEG has them, all of 0 … 255, as RGB.
func rowsOfYCbCr(m *image.YCbCr) func(y int, dst []byte) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	at, step := m.Rect.Min, chromaSteps[m.SubsampleRatio]
	cb := plane{pix: m.Cb[m.COffset(at.X, at.Y):], stride: m.CStride, across: step.X, down: step.Y,
		left: at.X % step.X, top: at.Y % step.Y}
	cb.width, cb.height = (cb.left+w+step.X-1)/step.X, (cb.top+h+step.Y-1)/step.Y
	cr := cb
	cr.pix = m.Cr[m.COffset(at.X, at.Y):]
	u, v := make([]byte, w), make([]byte, w)
	return func(y int, dst []byte) {
		cb.row(y, u)
		cr.row(y, v)
		for x, l := range m.Y[m.YOffset(at.X, at.Y+y):][:w] {
			fullRange(dst[3*x:3*x+3], l, u[x], v[x])
		}
	}
}

// fullRange writes red, green and blue by JFIF's conversion, rounded.
func fullRange(dst []byte, y, cb, cr byte) {
	const half = 1 << 15
	l, u, v := int32(y), int32(cb)-128, int32(cr)-128
	dst[0] = clampByte(l + (91881*v+half)>>16)          // 1.402
	dst[1] = clampByte(l + (-22554*u-46802*v+half)>>16) // 0.344136, 0.714136
	dst[2] = clampByte(l + (116130*u+half)>>16)         // 1.772
}

func clampByte(v int32) byte { return byte(min(max(v, 0), 255)) }
