package picture

import (
	"image"

	"github.com/adavit/adavit/internal/kernels"
)

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
	line      []byte // the last row that had to be computed, from its first sample on
}

// row gives one sample a pixel of the picture's row y, which are not to be changed and stay until the next call. It
// interpolates as libjpeg does: where an axis is halved; any other fraction is repeated, and so is a plane of 2 columns
// or less whose columns are halved.
func (p *plane) row(y int) []byte {
	y += p.top
	near := p.pix[y/p.down*p.stride:][:p.width]
	if p.across == 1 && p.down == 1 {
		return near
	}
	if p.line == nil {
		p.line = make([]byte, p.width*p.across)
	}
	far := near
	if p.down == 2 {
		other := y/2 - 1 + y&1*2 // of two rows, the upper one looks up
		far = p.pix[min(max(other, 0), p.height-1)*p.stride:][:p.width]
	}
	switch { // the roundings alternate, so that no drift remains
	case p.across > 2 || p.down > 2 || p.across == 2 && p.width <= 2:
		for i, v := range near {
			for x := range p.across {
				p.line[i*p.across+x] = v
			}
		}
	case p.across == 1:
		bias := 1 + y&1
		for x, v := range near {
			p.line[x] = byte((3*int(v) + int(far[x]) + bias) >> 2)
		}
	case p.down == 1:
		kernels.Upsample(p.line, near, near, 4, 8)
	default:
		kernels.Upsample(p.line, near, far, 8, 7)
	}
	return p.line[p.left:]
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
	return func(y int, dst []byte) {
		luma := m.Y[m.YOffset(at.X, at.Y+y):][:w]
		kernels.RGB(dst, luma, cb.row(y)[:w], cr.row(y)[:w])
	}
}

func clampByte(v int32) byte { return byte(min(max(v, 0), 255)) }
