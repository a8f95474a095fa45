package picture

// Luma and chroma that are in no JPEG picture of today. Raw ones Pillow reads itself; others it leaves to libtiff,
// which repeats chroma where pixels share it, and heeds the file's weights of the colours and its values of black and
// white. Each has an arithmetic of its own.

// tiffYCC turns luma and chroma into RGB by tables.
type tiffYCC struct{ luma, red, greenCr, greenCb, blue [256]int32 }

// newTIFFYCC makes the tables of a file, in 2⁻¹⁶ where two are added for green.
func newTIFFYCC(f *tiffFile) *tiffYCC {
	if f.compression == tiffRaw {
		return rawYCC()
	}
	weights, ends := [3]float32{0.299, 0.587, 0.114}, [6]float32{0, 255, 128, 255, 128, 255}
	for tag, into := range map[uint16][]float32{tiffCoefficients: weights[:], tiffBlackWhite: ends[:]} {
		if v := f.fields[tag]; v.count == len(into) {
			for i := range into {
				into[i] = v.fraction(i)
			}
		}
	}
	r, g, b := weights[0], weights[1], weights[2]
	toRed, toBlue := 2-2*r, 2-2*b
	fixed := func(v float32) int32 { return int32(float64(min(max(v, 0), 2)*(1<<16)) + 0.5) }
	red, blue, greenCr, greenCb := fixed(toRed), fixed(toBlue), -fixed(r*toRed/g), -fixed(b*toBlue/g)
	level := func(v, black, white, most float32) int32 {
		width := white - black
		if width == 0 {
			width = 1
		}
		return int32(min(max((v-float32(int32(black)))*most/width, -128*32), 128*32))
	}
	t := new(tiffYCC)
	for i := range 256 {
		cb := level(float32(i-128), ends[2]-128, ends[3]-128, 127)
		cr := level(float32(i-128), ends[4]-128, ends[5]-128, 127)
		t.luma[i] = level(float32(i), ends[0], ends[1], 255)
		t.red[i], t.blue[i] = (red*cr+1<<15)>>16, (blue*cb+1<<15)>>16
		t.greenCr[i], t.greenCb[i] = greenCr*cr, greenCb*cb+1<<15
	}
	return t
}

// rawYCC makes Pillow's tables, of six binary places.
func rawYCC() *tiffYCC {
	t := new(tiffYCC)
	for i := range 256 {
		of := func(weight float64) int32 { return int32(weight*64*float64(i-128) + 0.5) }
		t.luma[i], t.red[i], t.blue[i] = int32(i), of(1.402)>>6, of(1.772)>>6
		t.greenCr[i], t.greenCb[i] = of(-0.71414)<<10, of(-0.34414)<<10
	}
	return t
}

// put stores a pixel, opaque.
func (t *tiffYCC) put(dst []byte, y, cb, cr byte) {
	luma := t.luma[y]
	dst[0] = clampByte(luma + t.red[cr])
	dst[1] = clampByte(luma + (t.greenCb[cb]+t.greenCr[cr])>>16)
	dst[2] = clampByte(luma + t.blue[cb])
	dst[3] = 255
}

// storeYCC puts a block of units, each the luma of some pixels and their chroma, at column x0 and row y0.
func (f *tiffFile) storeYCC(block []byte, x0, y0, rows int) {
	if f.ycc == nil {
		f.ycc = newTIFFYCC(f)
	}
	width, pixels := min(f.blockWidth, f.width-x0), f.shareX*f.shareY
	for y := range rows {
		units := block[y/f.shareY*f.row():][:f.row()]
		dst := f.pix[4*((y0+y)*f.width+x0):]
		for x := range width {
			unit := units[x/f.shareX*(pixels+2):]
			f.ycc.put(dst[4*x:4*x+4], unit[y%f.shareY*f.shareX+x%f.shareX], unit[pixels], unit[pixels+1])
		}
	}
}
