package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// bf16 is what rounds to bfloat16: by the machine's conversion where there is one, else by arithmetic on the bits.
func bf16() {
	ways := []isa{avx512BF16, avx512, avx2}
	each("roundHalf", "func(y []uint16, ldy int, x []float32, ldx, rows, k int)", roundHalf, ways...)
	each("layerNormHalf", "func(y []uint16, ldy int, x, gamma, beta []float32, rows, dim int, eps float32)",
		layerNormHalf, ways...)
	each("packPairs", "func(dst []uint16, x []float32, ldx, pairs, cols int)", packPairs, avx512BF16)
	each("softmaxHalf", "func(x, inverse []float32, ld, rows, cols int, scale float32)", softmaxHalf, avx512BF16)
}

// roundHalf writes y = x rounded, row by row, with a zero behind a row of odd length.
func roundHalf(s isa) {
	y, ldy, x, ldx, count := pointer("y"), number("ldy"), pointer("x"), number("ldx"), number("rows")
	SHLQ(Imm(1), ldy)
	SHLQ(Imm(2), ldx)
	p := s.newSpan(number("k"))
	c := s.roundConstants()
	rows(count, func() {
		p.eachUnrolled(4, func(p span, _ int) { p.storeHalf(p.load(x), y, c) })
		p.evenHalf(y)
	}, [2]Register{y, ldy}, [2]Register{x, ldx})
}

// roundConstants are the vectors that rounding by arithmetic needs.
type roundConstants struct{ exponent, sign, one, almostHalf, quiet, none VecVirtual }

func (s isa) roundConstants() roundConstants {
	if s.bf16 {
		return roundConstants{}
	}
	fill := func(bits uint32) VecVirtual { return s.spread(constantBits(bits)) }
	return roundConstants{fill(0x7f800000), fill(0x80000000), fill(1), fill(0x7fff), fill(0x00400000), s.cleared()}
}

// roundUpper rounds each lane of v: the upper half of it becomes the bfloat16, the lower half is left with anything.
func (s isa) roundUpper(v VecVirtual, c roundConstants) {
	r := s.vec()
	if s.width == 16 {
		subnormal, unordered := K(), K()
		VPTESTNMD(c.exponent, v, subnormal)
		VPANDD(c.sign, v, subnormal, v)
		VPSRLD(Imm(16), v, r)
		VPANDD(c.one, r, r)
		VPADDD(v, r, r)
		VPADDD(c.almostHalf, r, r)
		VCMPPS(Imm(3), v, v, unordered)
		VPORD(c.quiet, v, unordered, r)
		VMOVAPS(r, v)
		return
	}
	t := s.vec()
	VPAND(c.exponent, v, t)
	VPCMPEQD(c.none, t, t)
	VPSRLD(Imm(1), t, t) // all bits but the sign
	VPANDN(v, t, v)
	VPSRLD(Imm(16), v, r)
	VPAND(c.one, r, r)
	VPADDD(v, r, r)
	VPADDD(c.almostHalf, r, r)
	VCMPPS(Imm(3), v, v, t)
	VPOR(c.quiet, v, v)
	VBLENDVPS(t, v, r, v)
}

// half is where the current place of a row of halves is.
func (p span) half(base Register) Mem {
	offset := GP64()
	MOVQ(p.offset, offset)
	SHRQ(Imm(1), offset)
	return Mem{Base: base, Index: offset, Scale: 1, Disp: p.disp / 2}
}

// storeHalf rounds the lanes of v that exist and stores them at the current place of a row of halves. v is changed.
func (p span) storeHalf(v VecVirtual, base Register, c roundConstants) {
	at := p.half(base)
	if p.width == 16 {
		halves := Op(Y31)
		if p.bf16 {
			VMOVAPS(v, Z30)
			vcvtneps2bf16(Z30, Z31)
		} else {
			p.roundUpper(v, c)
			VPSRLD(Imm(16), v, v)
			halves = v.AsY()
			VPMOVDW(v, halves)
		}
		if p.mask != nil {
			VMOVDQU16(halves, p.mask, at)
		} else {
			VMOVDQU16(halves, at)
		}
		return
	}
	p.roundUpper(v, c)
	VPSRLD(Imm(16), v, v)
	VPACKUSDW(v, v, v)
	VPERMQ(Imm(8), v, v)
	low := v.AsX()
	if p.mask == nil {
		VMOVDQU(low, at)
		return
	}
	// One to seven lanes: four, two and one of them, as the number's bits say.
	left, to := GP64(), GP64()
	MOVQ(p.size, left)
	SUBQ(p.full, left)
	LEAQ(at, to)
	for i, move := range []func(to Mem){
		func(to Mem) { VMOVQ(low, to) },
		func(to Mem) { VMOVD(low, to) },
		func(to Mem) { VPEXTRW(Imm(0), low, to) },
	} {
		lanes, skip := uint64(4)>>i, label("skip")
		TESTQ(U32(4*lanes), left)
		JEQ(LabelRef(skip))
		move(Mem{Base: to})
		if lanes > 1 {
			ADDQ(Imm(2*lanes), to)
			VPSRLDQ(Imm(2*lanes), low, low)
		}
		Label(skip)
	}
}

// evenHalf puts a zero behind a row of halves whose length is odd.
func (p span) evenHalf(base Register) {
	end, done := GP64(), label("even")
	MOVQ(p.size, end)
	SHRQ(Imm(1), end)
	TESTQ(U32(2), end)
	JEQ(LabelRef(done))
	MOVW(U16(0), Mem{Base: base, Index: end, Scale: 1})
	Label(done)
}

// packPairs writes pairs·2 rows of x [pairs·2, cols], cols ≤ 32, as [pairs][32][2] halves, the two being of
// neighbouring rows, with zeros in the columns from cols on.
func packPairs(s isa) {
	dst, x, ldx, pairs := pointer("dst"), pointer("x"), number("ldx"), number("pairs")
	SHLQ(Imm(2), ldx)
	p := s.newSpan(number("cols"))
	interleave := s.vec()
	// The words 0, 16, 1, 17, …
	VMOVDQU16(table("wordPairs", 16, func(i int) uint32 { return uint32(i | (i+16)<<16) }), interleave)
	rows(pairs, func() {
		next := GP64()
		MOVQ(x, next)
		ADDQ(ldx, next)
		for i := range PanelWidth / s.width {
			store := func(p span) {
				a, b := p.load(x), p.load(next)
				VMOVAPS(a, Z29)
				VMOVAPS(b, Z30)
				vcvtne2ps2bf16(Z29, Z30, Z31)
				VPERMW(Z31, interleave, a)
				VMOVUPS(a, Mem{Base: dst, Disp: i * s.bytes()})
			}
			p.disp = i * s.bytes()
			part, none, done := label("part"), label("none"), label("stored")
			XORQ(p.offset, p.offset)
			CMPQ(p.full, I32((i+1)*s.bytes()))
			JLT(LabelRef(part))
			whole := p
			whole.mask = nil
			store(whole)
			JMP(LabelRef(done))
			Label(part)
			CMPQ(p.size, I32(i*s.bytes()))
			JLE(LabelRef(none))
			store(p)
			JMP(LabelRef(done))
			Label(none)
			VMOVUPS(s.cleared(), Mem{Base: dst, Disp: i * s.bytes()})
			Label(done)
		}
		ADDQ(I32(4*PanelWidth), dst)
		MOVQ(next, x)
	}, [2]Register{x, ldx})
}

// PanelWidth is the package's.
const PanelWidth = 32

// exp2Poly is 2^f for 0 ≤ f < 1, its largest relative error (2.6e-6, far less than bfloat16's) minimised.
var exp2Poly = []float64{1.00000262, 0.693003833, 0.241442695, 0.0520114936, 0.013534179}

// softmaxHalf: the first half of each row of x becomes exp(scale·(x − largest)) rounded, and inverse the reciprocal
// of the sum before rounding. scale is positive. With y = scale·log2 e·(x − largest), 2^y is a power of two by y's
// floor and a polynomial by the rest. Two rows go side by side, for folding a vector to one number takes long; the
// last of an odd count is its own neighbour.
func softmaxHalf(s isa) {
	x, inverse, ld, count := pointer("x"), pointer("inverse"), number("ld"), number("rows")
	SHLQ(Imm(2), ld)
	p := s.newSpan(number("cols"))
	scale := s.broadcast(Param("scale"))
	s.multiply(scale, math.Log2E)
	lowest := s.fill(math.Inf(-1))
	poly := s.polynomial(exp2Poly, true)
	pairs := GP64()
	LEAQ(Mem{Base: count, Disp: 1}, pairs)
	SHRQ(Imm(1), pairs)
	rows(pairs, func() {
		x2, inverse2 := GP64(), GP64()
		MOVQ(x, x2)
		ADDQ(ld, x2)
		LEAQ(Mem{Base: inverse, Disp: 4}, inverse2)
		CMPQ(count, Imm(1))
		CMOVQEQ(x, x2)
		CMOVQEQ(inverse, inverse2)
		const unroll = 2
		row := []Register{x, x2}
		var most, total [2][unroll]VecVirtual
		for r := range row {
			for u := range unroll {
				most[r][u], total[r][u] = s.vec(), s.cleared()
				VMOVAPS(lowest, most[r][u])
			}
		}
		p.eachUnrolled(unroll, func(p span, u int) {
			for r, x := range row {
				if m := most[r][u]; p.mask == nil {
					VMAXPS(p.at(x), m, m)
				} else {
					VMAXPS(p.load(x), m, p.mask, m)
				}
			}
		})
		for r := range row {
			VMAXPS(most[r][1], most[r][0], most[r][0])
		}
		for r := range row {
			s.fold(VMAXPS, most[r][0])
			VMULPS(scale, most[r][0], most[r][0])
		}
		p.eachUnrolled(unroll, func(p span, u int) {
			// Both rows are read before either is written, for they may be the same.
			var y, f, e [2]VecVirtual
			for r, x := range row {
				y[r], f[r], e[r] = p.load(x), p.vec(), p.vec()
				VFMSUB213PS(most[r][0], scale, y[r])
			}
			for r := range row {
				VREDUCEPS(Imm(1), y[r], f[r]) // what is left of the floor
				VMOVAPS(poly.kept[4], e[r])
			}
			for i := 3; i >= 0; i-- {
				for r := range row {
					poly.step(i, e[r], f[r])
				}
			}
			for r, x := range row {
				VSCALEFPS(y[r], e[r], e[r])
				p.keep(p.mask, e[r])
				VADDPS(e[r], total[r][u], total[r][u])
				p.storeHalf(e[r], x, roundConstants{})
			}
		})
		one := XMM()
		VMOVSS(constant(1), one)
		for r, to := range []Register{inverse, inverse2} {
			p.evenHalf(row[r])
			q := XMM()
			VDIVSS(s.fold(VADDPS, total[r][:]...).AsX(), one, q)
			VMOVSS(q, Mem{Base: to})
		}
		ADDQ(ld, x)
		ADDQ(Imm(8), inverse)
		SUBQ(Imm(2), count)
	}, [2]Register{x, ld})
}
