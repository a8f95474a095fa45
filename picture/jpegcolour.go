package picture

import "image"

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

// plane is a component's samples.
func (d *jpegDecoder) plane(i int) plane {
	c := &d.components[i]
	return plane{pix: c.pix, stride: c.stride, width: c.width,
		height: c.height, across: d.most.h / c.h, down: d.most.v / c.v}
}

// picture makes an image of the components.
func (d *jpegDecoder) picture() image.Image {
	bounds := image.Rect(0, 0, d.width, d.height)
	c := d.components
	switch {
	case len(c) == 1:
		return &image.Gray{Pix: c[0].pix, Stride: c[0].stride, Rect: bounds}
	case len(c) == 4:
		return d.cmyk(bounds)
	case !d.luma():
		return d.rgb(bounds)
	}
	if ratio, ok := d.ratio(); ok {
		return &image.YCbCr{Y: c[0].pix, Cb: c[1].pix, Cr: c[2].pix,
			YStride: c[0].stride, CStride: c[1].stride, SubsampleRatio: ratio, Rect: bounds}
	}
	out := image.NewYCbCr(bounds, image.YCbCrSubsampleRatio444)
	for i, pix := range [][]byte{out.Y, out.Cb, out.Cr} {
		p := d.plane(i)
		for y := range d.height {
			p.row(y, pix[y*out.YStride:][:d.width])
		}
	}
	return out
}

// ratio is the name that package image has for the subsampling, if it has one.
func (d *jpegDecoder) ratio() (image.YCbCrSubsampleRatio, bool) {
	c := d.components
	if c[0].h != d.most.h || c[0].v != d.most.v || c[1].h != c[2].h || c[1].v != c[2].v {
		return 0, false
	}
	ratio, ok := map[[2]int]image.YCbCrSubsampleRatio{
		{1, 1}: image.YCbCrSubsampleRatio444, {2, 1}: image.YCbCrSubsampleRatio422,
		{2, 2}: image.YCbCrSubsampleRatio420, {1, 2}: image.YCbCrSubsampleRatio440,
		{4, 1}: image.YCbCrSubsampleRatio411, {4, 2}: image.YCbCrSubsampleRatio410,
	}[[2]int{d.most.h / c[1].h, d.most.v / c[1].v}]
	return ratio, ok
}

// rgb interleaves three components.
func (d *jpegDecoder) rgb(bounds image.Rectangle) image.Image {
	out := image.NewNRGBA(bounds)
	line := make([]byte, d.width)
	for i := range 3 {
		p := d.plane(i)
		for y := range d.height {
			p.row(y, line)
			dst := out.Pix[y*out.Stride:]
			for x, v := range line {
				dst[4*x+i], dst[4*x+3] = v, 255
			}
		}
	}
	return out
}

// cmyk interleaves four components: the file holds the complements of cyan, magenta, yellow and black, as Adobe's
// programs write them and as Pillow takes all such files. YCCK is red, green and blue in their stead, in luma and
// chroma, and the complement of red is cyan, so that what libjpeg takes for red is cyan.
func (d *jpegDecoder) cmyk(bounds image.Rectangle) image.Image {
	out := image.NewCMYK(bounds)
	var planes [4]plane
	var lines [4][]byte
	for i := range planes {
		planes[i], lines[i] = d.plane(i), make([]byte, d.width)
	}
	luma := d.luma()
	for y := range d.height {
		for i := range planes {
			planes[i].row(y, lines[i])
		}
		dst := out.Pix[y*out.Stride:]
		for x := range d.width {
			p := dst[4*x : 4*x+4]
			if luma {
				p[0], p[1], p[2] = fullRange(int32(lines[0][x]), int32(lines[1][x])-128, int32(lines[2][x])-128)
			} else {
				p[0], p[1], p[2] = 255-lines[0][x], 255-lines[1][x], 255-lines[2][x]
			}
			p[3] = 255 - lines[3][x]
		}
	}
	return out
}
