package picture

import (
	"image"
	"slices"

	"github.com/adavit/adavit/internal/kernels"
)

// luma reports whether the first three components are luma and chroma. Without a marker that says so, libjpeg goes by
// the components' names, and so do we.
func (d *jpegDecoder) luma() bool {
	c := d.components
	switch {
	case len(c) == 4:
		return d.adobe && d.transform != 0
	case d.jfif:
		return true
	case d.adobe:
		return d.transform != 0
	}
	return c[0].id != 'R' || c[1].id != 'G' || c[2].id != 'B'
}

// picture makes an image of the components. Four are the complements of cyan, magenta, yellow and black, as Adobe's
// programs write them and as Pillow takes all such files. YCCK is red, green and blue in their stead, in luma and
// chroma, and the complement of red is cyan, so that what libjpeg takes for red is cyan.
func (d *jpegDecoder) picture() image.Image {
	bounds := image.Rect(0, 0, d.width, d.height)
	c := d.components
	if len(c) == 1 {
		return &image.Gray{Pix: c[0].pix, Stride: c[0].stride, Rect: bounds}
	}
	luma, inks := d.luma(), len(c) == 4
	if ratio, ok := d.ratio(); ok && luma && !inks {
		return &image.YCbCr{Y: c[0].pix, Cb: c[1].pix, Cr: c[2].pix,
			YStride: c[0].stride, CStride: c[1].stride, SubsampleRatio: ratio, Rect: bounds}
	}
	pix := d.pixels(4)
	for p := range slices.Chunk(pix, 4) {
		switch {
		case luma:
			p[0], p[1], p[2] = kernels.PixelRGB(p[0], p[1], p[2])
		case inks:
			p[0], p[1], p[2] = 255-p[0], 255-p[1], 255-p[2]
		}
		p[3] = 255 - p[3] // black or, of three components, the alpha of an opaque pixel
	}
	if inks {
		return &image.CMYK{Pix: pix, Stride: 4 * d.width, Rect: bounds}
	}
	return &image.NRGBA{Pix: pix, Stride: 4 * d.width, Rect: bounds}
}

// ratio is the name that package image has for the subsampling, if it has one.
func (d *jpegDecoder) ratio() (image.YCbCrSubsampleRatio, bool) {
	c := d.components
	if c[0].h != d.most.h || c[0].v != d.most.v || c[1].h != c[2].h || c[1].v != c[2].v {
		return 0, false
	}
	for ratio, step := range chromaSteps {
		if step == image.Pt(d.most.h/c[1].h, d.most.v/c[1].v) {
			return ratio, true
		}
	}
	return 0, false
}

// pixels interleaves the components' samples, one of each a pixel, in step bytes a pixel.
func (d *jpegDecoder) pixels(step int) []byte {
	pix := make([]byte, d.height*d.width*step)
	for i, c := range d.components {
		p := plane{pix: c.pix, stride: c.stride, width: c.width, height: c.height,
			across: d.most.h / c.h, down: d.most.v / c.v}
		for y := range d.height {
			dst := pix[y*d.width*step+i:]
			for x, v := range p.row(y)[:d.width] {
				dst[x*step] = v
			}
		}
	}
	return pix
}
