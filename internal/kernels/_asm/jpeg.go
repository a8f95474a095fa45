package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// jpeg emits routines of 256 bits, on integers of 16 and 32: a block has eight columns.
func jpeg() {
	each("inverseDCT", "func(dst []byte, stride int, b, q *[64]int16)", inverseDCT, avx2)
	each("upsample16", "func(dst, near, far []byte, even, odd, n int)", upsample16, avx2)
	each("rgb16", "func(dst, y, cb, cr []byte, n int)", rgb16, avx2)
}

// pair is a constant of two numbers of 16 bits, by which VPMADDWD multiplies what it adds up.
func pair(a, b int) Mem { return constantBits(uint32(uint16(int16(a))) | uint32(uint16(int16(b)))<<16) }

// words is a constant of 16 bits in all lanes.
func words(v int) Mem { return pair(v, v) }

// bytes16 is a constant of 16 bytes in both halves of a vector.
func bytes16(name string, at func(i int) byte) Mem {
	return table(name, 8, func(i int) (v uint32) {
		for k := range 4 {
			v |= uint32(at((4*i+k)%16)) << (8 * k)
		}
		return v
	})
}

// broadcast16 returns a new vector with the low 16 bits of a parameter in all lanes.
func broadcast16(name string) VecVirtual {
	v := YMM()
	VMOVQ(number(name), v.AsX())
	VPBROADCASTW(v.AsX(), v)
	return v
}

// op returns a new vector of what an instruction makes of operands.
func op(f func(...Op), operands ...Op) VecVirtual {
	v := YMM()
	f(append(operands, v)...)
	return v
}

// four is an instruction of four operands for op.
func four(f func(a, b, c, d Op)) func(...Op) {
	return func(o ...Op) { f(o[0], o[1], o[2], o[3]) }
}

// dctPass is the transform of eight columns or rows: of each the pairs (0, 4), (2, 6), (1, 3) and (5, 7) of 16 bits to
// eight vectors of 32. half is added before the shift.
func dctPass(c [4]VecVirtual, half, shift int) (out [8]VecVirtual) {
	madd := func(v VecVirtual, a, b int) VecVirtual { return op(VPMADDWD, pair(a, b), v) }
	first := op(VPSLLD, Imm(16), c[0]) // sums are in the upper 16 bits
	p, m := madd(op(VPADDW, c[0], first), 0, 8192), madd(op(VPSUBW, c[0], first), 0, 8192)
	VPADDD(constantBits(uint32(half)), p, p)
	VPADDD(constantBits(uint32(half)), m, m)
	u, v := madd(c[1], 10703, 4433), madd(c[1], 4433, -10704)
	even := [4]VecVirtual{op(VPADDD, u, p), op(VPADDD, v, m), op(VPSUBD, v, m), op(VPSUBD, u, p)}
	zw := op(VPADDW, c[3], c[2])
	const upper = 0xaa // the numbers in the upper 16 bits
	blend := four(VPBLENDW)
	c17, c53 := op(blend, Imm(upper), c[3], c[2]), op(blend, Imm(upper), c[2], c[3])
	y, x := madd(zw, 6437, 9633), madd(zw, 9633, -6436)
	odd := [4]VecVirtual{madd(c17, 4926, -7373), madd(c53, -20995, 4177), madd(c53, -4176, -20995),
		madd(c17, -7373, -4927)}
	for i, rest := range [4]VecVirtual{y, x, y, x} {
		o := odd[i]
		VPADDD(rest, o, o)
		out[i], out[7-i] = op(VPADDD, o, even[i]), op(VPSUBD, o, even[i])
		VPSRAD(Imm(uint64(shift)), out[i], out[i])
		VPSRAD(Imm(uint64(shift)), out[7-i], out[7-i])
	}
	return out
}

func inverseDCT(isa) {
	b, q := number("b"), number("q")
	var c [4]VecVirtual
	for i := range c {
		c[i] = YMM()
		VMOVDQU(Mem{Base: b, Disp: 32 * i}, c[i])
	}
	below := op(VPSRLD, Imm(16), c[0])
	for _, v := range c[1:] {
		VPOR(v, below, below)
	}
	for i, v := range c {
		VPMULLW(Mem{Base: q, Disp: 32 * i}, v, v)
	}
	VPTEST(below, below)
	flat, rowsDone := label("flat"), label("rows")
	JEQ(LabelRef(flat))
	r := dctPass(c, 1<<10, 11)
	// Vector i has row i, its columns in the block's order. So each half of two rows, packed, has two pairs of each,
	// which are sorted: pairs (0, 4) and (1, 3) of four rows go to one vector, (2, 6) and (5, 7) to another.
	var sorted [2][2]VecVirtual
	for i := range 2 {
		low, high := op(VPACKSSDW, r[4*i+1], r[4*i]), op(VPACKSSDW, r[4*i+3], r[4*i+2])
		sorted[0][i], sorted[1][i] = op(VSHUFPS, Imm(0x88), high, low), op(VSHUFPS, Imm(0xdd), high, low)
	}
	for i, v := range sorted {
		VPERM2I128(Imm(0x20), v[1], v[0], c[i])
		VPERM2I128(Imm(0x31), v[1], v[0], c[2+i])
	}
	JMP(LabelRef(rowsDone))
	Label(flat) // all rows are the first one
	VPSLLD(Imm(18), c[0], c[0])
	VPSRAD(Imm(16), c[0], c[0])
	VPACKSSDW(c[0], c[0], c[0])
	for i, v := range [2]VecVirtual{op(VPSHUFD, Imm(0x00), c[0]), op(VPSHUFD, Imm(0x55), c[0])} {
		VPERM2I128(Imm(0x00), v, v, c[i])
		VPERM2I128(Imm(0x11), v, v, c[2+i])
	}
	Label(rowsDone)
	r = dctPass(c, 1<<17, 18)
	// Vector i has column i. Packed, each half of a vector has four columns of four rows, which are transposed.
	var square [2]VecVirtual
	transpose := bytes16("transpose4", func(i int) byte { return byte(i%4*4 + i/4) })
	for i := range square {
		low, high := op(VPACKSSDW, r[4*i+1], r[4*i]), op(VPACKSSDW, r[4*i+3], r[4*i+2])
		square[i] = op(VPACKSSWB, high, low)
		VPSHUFB(transpose, square[i], square[i])
		VPADDB(constantBits(0x80808080), square[i], square[i])
	}
	dst, stride, thrice := pointer("dst"), number("stride"), GP64()
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, thrice)
	rows01, rows23 := op(VPUNPCKLDQ, square[1], square[0]), op(VPUNPCKHDQ, square[1], square[0])
	for half := range 2 {
		if half == 1 {
			LEAQ(Mem{Base: dst, Index: stride, Scale: 4}, dst)
			VEXTRACTI128(Imm(1), rows01, rows01.AsX())
			VEXTRACTI128(Imm(1), rows23, rows23.AsX())
		}
		VMOVQ(rows01.AsX(), Mem{Base: dst})
		VMOVHPS(rows01.AsX(), Mem{Base: dst, Index: stride, Scale: 1})
		VMOVQ(rows23.AsX(), Mem{Base: dst, Index: stride, Scale: 2})
		VMOVHPS(rows23.AsX(), Mem{Base: dst, Index: thrice, Scale: 1})
	}
}

// sixteen emits a loop over n ≥ 16 things, 16 of them at a time, the last ones again where n is no multiple of 16.
func sixteen(n Register, body func(at Register)) {
	head, done, at := label("sixteen"), label("done"), GP64()
	XORQ(at, at)
	SUBQ(Imm(16), n)
	Label(head)
	body(at)
	CMPQ(at, n)
	JGE(LabelRef(done))
	ADDQ(Imm(16), at)
	CMPQ(at, n)
	JLE(LabelRef(head))
	MOVQ(n, at)
	JMP(LabelRef(head))
	Label(done)
}

// upsample16 makes pixels 2i and 2i + 1 of i from 1 to n, n ≥ 16, each of which has neighbours.
func upsample16(isa) {
	dst, near, far, n := pointer("dst"), pointer("near"), pointer("far"), number("n")
	even, odd := broadcast16("even"), broadcast16("odd")
	sixteen(n, func(at Register) {
		sum := func(disp int) VecVirtual { // 3·near + far, of 16 bits
			a, b := YMM(), YMM()
			VPMOVZXBW(Mem{Base: near, Index: at, Scale: 1, Disp: disp}, a)
			VPMOVZXBW(Mem{Base: far, Index: at, Scale: 1, Disp: disp}, b)
			VPADDW(a, b, b)
			VPADDW(a, a, a)
			VPADDW(a, b, b)
			return b
		}
		before, here, after := sum(0), sum(1), sum(2)
		VPADDW(even, before, before)
		VPADDW(odd, after, after)
		VPADDW(here, before, before)
		VPADDW(here, after, after)
		VPADDW(here, here, here)
		VPADDW(here, before, before)
		VPADDW(here, after, after)
		VPSRLW(Imm(4), before, before)
		VPSRLW(Imm(4), after, after)
		VPSLLW(Imm(8), after, after)
		VPOR(before, after, after)
		VMOVDQU(after, Mem{Base: dst, Index: at, Scale: 2, Disp: 2})
	})
}

// rgb16 converts n ≥ 16 pixels. Whole multiples of 2¹⁶ are taken out of the constants, so that these have 16 bits.
func rgb16(isa) {
	dst, y, cb, cr, n := pointer("dst"), pointer("y"), pointer("cb"), pointer("cr"), number("n")
	middle, ones, half := YMM(), YMM(), YMM()
	VMOVDQU(words(128), middle)
	VMOVDQU(words(1), ones)
	VMOVDQU(constantBits(1<<15), half)
	sixteen(n, func(at Register) {
		at16 := Mem{Index: at, Scale: 1}
		load := func(base Register) VecVirtual {
			at16.Base = base
			return op(VPMOVZXBW, at16)
		}
		l, u, v := load(y), load(cb), load(cr)
		VPSUBW(middle, u, u)
		VPSUBW(middle, v, v)
		// scaled is (k·x + 2¹⁵) / 2¹⁶ = (2·k·x / 2¹⁶ + 1) / 2, all rounded down.
		scaled := func(k int, x VecVirtual) VecVirtual {
			t := op(VPADDW, x, x)
			VPMULHW(words(k), t, t)
			VPADDW(ones, t, t)
			VPSRAW(Imm(1), t, t)
			return t
		}
		r := scaled(91881-1<<16, v)
		VPADDW(l, r, r)
		VPADDW(v, r, r)
		b := scaled(116130-2<<16, u)
		VPADDW(l, b, b)
		VPADDW(u, b, b)
		VPADDW(u, b, b)
		low, high := op(VPUNPCKLWD, v, u), op(VPUNPCKHWD, v, u)
		for _, t := range []VecVirtual{low, high} {
			VPMADDWD(pair(-22554, -46802+1<<16), t, t)
			VPADDD(half, t, t)
			VPSRAD(Imm(16), t, t)
		}
		g := op(VPACKSSDW, high, low)
		VPADDW(l, g, g)
		VPSUBW(v, g, g)
		// Each half has eight pixels: red and green side by side, blue twice. 24 bytes are mixed of them.
		redGreen, blue := op(VPACKUSWB, g, r), op(VPACKUSWB, b, b)
		mix := func(name string, first int) VecVirtual {
			const none = 0x80
			place := func(i int) (colour, pixel int) { return (first + i) % 3, (first + i) / 3 % 8 }
			t := op(VPSHUFB, bytes16(name+"RG", func(i int) byte {
				if colour, pixel := place(i); colour < 2 {
					return byte(8*colour + pixel)
				}
				return none
			}), redGreen)
			VPOR(op(VPSHUFB, bytes16(name+"B", func(i int) byte {
				if colour, pixel := place(i); colour == 2 {
					return byte(pixel)
				}
				return none
			}), blue), t, t)
			return t
		}
		first, rest, out := mix("first16", 0), mix("last8", 16), Mem{Base: dst, Index: GP64(), Scale: 1}
		LEAQ(Mem{Base: at, Index: at, Scale: 2}, out.Index)
		for half := range 2 {
			if half == 1 {
				VEXTRACTI128(Imm(1), first, first.AsX())
				VEXTRACTI128(Imm(1), rest, rest.AsX())
			}
			VMOVDQU(first.AsX(), out.Offset(24*half))
			VMOVQ(rest.AsX(), out.Offset(24*half+16))
		}
	})
}
