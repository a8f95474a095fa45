package picture

// jpegBlock is one 8×8 block in the order of rows: coefficients, then samples.
type jpegBlock [64]int32

// inverse turns a block's dequantised coefficients into samples, 0 to 255, in dst, whose rows are stride bytes apart.
// It gives the very bytes of libjpeg's default ("islow") transform, through which nearly all training data was read:
// columns before rows, constants of 13 bits, 2 bits of fraction kept between the passes, each pass rounding once.
//
// Loeffler, Ligtenberg and Moschytz's factorisation, whose twelve constants libjpeg rounds, is multiplied out here: the
// sums of the rounded constants are the coefficients below. Integers add up to the same either way.
func (b *jpegBlock) inverse(dst []byte, stride int) {
	for x := range 8 {
		c := b[x:]
		if c[8]|c[16]|c[24]|c[32]|c[40]|c[48]|c[56] == 0 {
			v := c[0] << 2
			c[0], c[8], c[16], c[24], c[32], c[40], c[48], c[56] = v, v, v, v, v, v, v, v
			continue
		}
		e, o := idct8(c[0], c[8], c[16], c[24], c[32], c[40], c[48], c[56])
		const half = 1 << 10
		c[0], c[56] = (e[0]+o[0]+half)>>11, (e[0]-o[0]+half)>>11
		c[8], c[48] = (e[1]+o[1]+half)>>11, (e[1]-o[1]+half)>>11
		c[16], c[40] = (e[2]+o[2]+half)>>11, (e[2]-o[2]+half)>>11
		c[24], c[32] = (e[3]+o[3]+half)>>11, (e[3]-o[3]+half)>>11
	}
	for y := range 8 {
		r, out := (*[8]int32)(b[8*y:]), (*[8]byte)(dst[y*stride:])
		e, o := idct8(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7])
		const half = 128<<18 + 1<<17 // and samples are stored less 128
		out[0], out[7] = clampByte((e[0]+o[0]+half)>>18), clampByte((e[0]-o[0]+half)>>18)
		out[1], out[6] = clampByte((e[1]+o[1]+half)>>18), clampByte((e[1]-o[1]+half)>>18)
		out[2], out[5] = clampByte((e[2]+o[2]+half)>>18), clampByte((e[2]-o[2]+half)>>18)
		out[3], out[4] = clampByte((e[3]+o[3]+half)>>18), clampByte((e[3]-o[3]+half)>>18)
	}
}

// idct8 is the 8-point inverse transform times 2¹³·√8: output i is e[i] + o[i], output 7 − i is e[i] − o[i], for i up
// to 3.
func idct8(c0, c1, c2, c3, c4, c5, c6, c7 int32) (e, o [4]int32) {
	p, m := (c0+c4)<<13, (c0-c4)<<13
	u, v := 10703*c2+4433*c6, 4433*c2-10704*c6
	e = [4]int32{p + u, m + v, m - v, p - u}
	o = [4]int32{
		11363*c1 + 9633*c3 + 6437*c5 + 2260*c7,
		9633*c1 - 2259*c3 - 11362*c5 - 6436*c7,
		6437*c1 - 11362*c3 + 2261*c5 + 9633*c7,
		2260*c1 - 6436*c3 + 9633*c5 - 11363*c7,
	}
	return e, o
}
