package kernels

func inverseDCTGeneric(dst []byte, stride int, b, q *DCTBlock) {
	var t [64]int32 // row by row, the columns in the block's order
	below := int16(0)
	for l := range 8 {
		c, f, r := (*[50]int16)(b[2*l:]), (*[50]int16)(q[2*l:]), (*[57]int32)(t[l:])
		c0, rest := int32(c[0]*f[0]), c[1]|c[16]|c[17]|c[32]|c[33]|c[48]|c[49]
		if rest == 0 {
			v := clamp16(c0 << 2)
			r[0], r[8], r[16], r[24], r[32], r[40], r[48], r[56] = v, v, v, v, v, v, v, v
			continue
		}
		below |= rest
		const half, shift = 1 << 10, 11
		s0, s1, s2, s3, s4, s5, s6, s7 := dct8(half, c0, int32(c[1]*f[1]), int32(c[16]*f[16]), int32(c[17]*f[17]),
			int32(c[32]*f[32]), int32(c[33]*f[33]), int32(c[48]*f[48]), int32(c[49]*f[49]))
		r[0], r[8], r[16], r[24] = clamp16(s0>>shift), clamp16(s1>>shift), clamp16(s2>>shift), clamp16(s3>>shift)
		r[32], r[40], r[48], r[56] = clamp16(s4>>shift), clamp16(s5>>shift), clamp16(s6>>shift), clamp16(s7>>shift)
	}
	if below == 0 {
		for i := range t {
			t[i] = int32(b[i%8*2] * q[i%8*2] << 2)
		}
	}
	for y := range 8 {
		r, out := (*[8]int32)(t[8*y:]), (*[8]byte)(dst[y*stride:])
		const half, shift = 1 << 17, 18
		s0, s1, s2, s3, s4, s5, s6, s7 := dct8(half, r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7])
		out[0], out[1], out[2], out[3] = sample(s0>>shift), sample(s1>>shift), sample(s2>>shift), sample(s3>>shift)
		out[4], out[5], out[6], out[7] = sample(s4>>shift), sample(s5>>shift), sample(s6>>shift), sample(s7>>shift)
	}
}

// dct8 is the eight sums of a column or row, half added to each.
func dct8(half, c0, c4, c2, c6, c1, c3, c5, c7 int32) (s0, s1, s2, s3, s4, s5, s6, s7 int32) {
	p, m := int32(int16(c0+c4))<<13+half, int32(int16(c0-c4))<<13+half
	u, v := 10703*c2+4433*c6, 4433*c2-10704*c6
	e0, e1, e2, e3 := p+u, m+v, m-v, p-u
	z, w := int32(int16(c1+c5)), int32(int16(c3+c7))
	y, x := 6437*z+9633*w, 9633*z-6436*w
	o0, o1 := y+4926*c1-7373*c7, x+4177*c3-20995*c5
	o3, o2 := x-7373*c1-4927*c7, y-20995*c3-4176*c5
	return e0 + o0, e1 + o1, e2 + o2, e3 + o3, e3 - o3, e2 - o2, e1 - o1, e0 - o0
}

// sample is the byte of a sample that is stored less 128.
func sample(v int32) byte { return clamp8(v + 128) }

func clamp16(v int32) int32 { return min(max(v, -1<<15), 1<<15-1) }

func clamp8(v int32) byte {
	if uint32(v) < 256 {
		return byte(v)
	}
	return byte(^v >> 31) // 0 or 255
}

func upsampleGeneric(dst, near, far []byte, even, odd int) {
	far, dst = far[:len(near)], dst[:2*len(near)]
	here := 3*int(near[0]) + int(far[0])
	before := here
	for i := 1; i < len(near); i++ {
		after, d := 3*int(near[i])+int(far[i]), dst[2*i-2:2*i]
		d[0], d[1] = byte((3*here+before+even)>>4), byte((3*here+after+odd)>>4)
		before, here = here, after
	}
	d := dst[2*len(near)-2:]
	d[0], d[1] = byte((3*here+before+even)>>4), byte((4*here+odd)>>4)
}

func rgbGeneric(dst, y, cb, cr []byte) {
	cb, cr = cb[:len(y)], cr[:len(y)]
	for i, l := range y {
		d := (*[3]byte)(dst[3*i:])
		r, g, b := unclampedRGB(l, cb[i], cr[i])
		d[0], d[1], d[2] = clamp8(r), clamp8(g), clamp8(b)
	}
}
