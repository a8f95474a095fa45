package kernels

// What decoding JPEG does to many samples. All of it is integer arithmetic: every path gives the same bytes.

// DCTBlock is the coefficients of 8×8 samples, or what they are multiplied by; DCTPlace is the order. It suits vectors:
// the two coefficients of a column that the transform adds up first lie side by side, so that one instruction
// multiplies and adds them, and so do those of a row once the columns are done.
type DCTBlock = [64]int16

// DCTPlace is the place in a DCTBlock of row v and column u.
func DCTPlace(v, u int) int { return 16*(dctOrder[v]/2) + 2*dctOrder[u] + dctOrder[v]%2 }

// dctOrder is the place of each row or column; they lie in the order 0, 4, 2, 6, 1, 3, 5, 7.
var dctOrder = [8]int{0, 4, 2, 5, 1, 6, 3, 7}

// InverseDCT turns a block's coefficients, times q, into samples 0 to 255 in dst, whose 8 rows are stride bytes apart.
// It gives the very bytes of libjpeg's default ("islow") transform, through which nearly all training data was read:
// columns before rows, constants of 13 bits, 2 bits of fraction kept between the passes, each pass rounding once.
//
// This is Loeffler, Ligtenberg and Moschytz's factorisation (1989) with some products gathered. With c of a column or
// row, outputs i and 7 − i, i up to 3, are e[i] + o[i] and e[i] − o[i], times 2¹³·√8:
//
//	e[0], e[3] = 8192 (c0 + c4) ± (10703 c2 + 4433 c6)     z = c1 + c5,  w = c3 + c7
//	e[1], e[2] = 8192 (c0 − c4) ± (4433 c2 − 10704 c6)     y = 6437 z + 9633 w,  x = 9633 z − 6436 w
//
//	o[0] = y + 4926 c1 − 7373 c7                           o[1] = x + 4177 c3 − 20995 c5
//	o[3] = x − 7373 c1 − 4927 c7                           o[2] = y − 20995 c3 − 4176 c5
//
// Damaged files have numbers of more than 16 bits. As in libjpeg-turbo's vectors, products with q wrap around, and so
// do c0 ± c4, z and w. What lies between the passes is clamped, but wraps if only the first row has coefficients.
func InverseDCT(dst []byte, stride int, b, q *DCTBlock) {
	checkMatrix("InverseDCT", "dst", len(dst), stride, 8, 8)
	active.inverseDCT(dst, stride, b, q)
}

// Upsample doubles a row of n chroma samples to dst [2n]. A sample lies in the middle of the pixels that share it; the
// value between two samples is ¾ of the nearer one and ¼ of the farther one, on both axes. far is the row of samples
// next to near on the other side of the pixels' row, or near itself where only the columns are halved. With
// s = 3·near + far, replicated at both ends:
//
//	dst[2i] = (3 s[i] + s[i−1] + even) / 16,   dst[2i+1] = (3 s[i] + s[i+1] + odd) / 16
//
// The two roundings are less than 16.
func Upsample(dst, near, far []byte, even, odd int) {
	n := len(near)
	checkLen("Upsample", "far", len(far), n)
	checkLen("Upsample", "dst", len(dst), 2*n)
	if n > 0 {
		active.upsample(dst[:2*n], near, far[:n], even, odd)
	}
}

// RGB converts a row of n pixels from luma and chroma to dst, red, green and blue in turn [3n], each by PixelRGB.
func RGB(dst, y, cb, cr []byte) {
	n := len(y)
	checkLen("RGB", "cb", len(cb), n)
	checkLen("RGB", "cr", len(cr), n)
	checkLen("RGB", "dst", len(dst), 3*n)
	active.rgb(dst[:3*n], y, cb[:n], cr[:n])
}

// PixelRGB is JFIF's conversion of a pixel, in fixed point and rounded: with u = cb − 128 and v = cr − 128
//
//	r = y + 1.402 v,   g = y − 0.344136 u − 0.714136 v,   b = y + 1.772 u
func PixelRGB(y, cb, cr byte) (r, g, b byte) {
	red, green, blue := unclampedRGB(y, cb, cr)
	return clamp8(red), clamp8(green), clamp8(blue)
}

func unclampedRGB(y, cb, cr byte) (r, g, b int32) {
	const half = 1 << 15
	l, u, v := int32(y)<<16+half, int32(cb)-128, int32(cr)-128
	return (l + 91881*v) >> 16, (l - 22554*u - 46802*v) >> 16, (l + 116130*u) >> 16
}
