package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// exp2Poly6 is 2^f for |f| ≤ ½, exactly 1 for 0, its largest relative error (2.6e-9 before rounding) minimised.
var exp2Poly6 = []float64{1, 0.6931472420692444, 0.24022652208805084, 0.055503103882074356, 0.009617692790925503,
	0.0013406643411144614, 0.00015594677824992687}

const (
	exp2Min   = -127        // from here on the result is 0
	exp2Shift = 3<<22 + 127 // a sum with it has the nearest integer + 127 in its lowest bits: the exponent of 2^that
)

// exp2 replaces each lane of the vectors by two to the power of it, for numbers up to 126; low is exp2Min. NaN stays.
func (s isa) exp2(poly []float64, low VecVirtual, vectors ...VecVirtual) {
	var powers, sums []VecVirtual
	for _, v := range vectors {
		power, sum := s.vec(), s.vec()
		VMAXPS(v, low, v) // the operands' order keeps NaN
		VADDPS(constant(exp2Shift), v, power)
		VSUBPS(constant(exp2Shift), power, sum)
		VSUBPS(sum, v, v)
		VBROADCASTSS(constant(poly[len(poly)-1]), sum)
		powers, sums = append(powers, power), append(sums, sum)
	}
	for i := len(poly) - 2; i >= 0; i-- {
		c := s.fill(poly[i])
		for u, v := range vectors {
			VFMADD213PS(c, v, sums[u])
		}
	}
	for u, v := range vectors {
		VPSLLD(Imm(23), powers[u], powers[u])
		VMULPS(powers[u], sums[u], v)
	}
}

// pairs emits a loop over count rows, ld bytes apart, two at a time, for folding a vector to one number takes long. Of
// an odd count the last row is its own neighbour: body must read both before it writes. to are inverse's elements.
func (s isa) pairs(x, inverse, ld, count Register, body func(row, to []Register)) {
	turns, x2, inverse2 := GP64(), GP64(), GP64()
	LEAQ(Mem{Base: count, Disp: 1}, turns)
	SHRQ(Imm(1), turns)
	rows(turns, func() {
		LEAQ(Mem{Base: x, Index: ld, Scale: 1}, x2)
		LEAQ(Mem{Base: inverse, Disp: 4}, inverse2)
		CMPQ(count, Imm(1))
		CMOVQEQ(x, x2)
		CMOVQEQ(inverse, inverse2)
		body([]Register{x, x2}, []Register{inverse, inverse2})
		SUBQ(Imm(2), count)
		LEAQ(Mem{Base: x2, Index: ld, Scale: 1}, x)
		LEAQ(Mem{Base: inverse2, Disp: 4}, inverse)
	})
}

// reciprocal returns 1/v of v's first lane.
func reciprocal(v VecVirtual) VecVirtual {
	one := XMM()
	VMOVSS(constant(1), one)
	VDIVSS(v.AsX(), one, one)
	return one
}

// softmaxPairs is softmaxRows, as powers of two and of two rows side by side. A power's error is that of a polynomial
// and what rounding the exponent, to 24 bits, makes of it: less than rounding scale·x, which comes before.
func softmaxPairs(s isa) {
	x, inverse, ld, count := pointer("x"), pointer("inverse"), number("ld"), number("rows")
	SHLQ(Imm(2), ld)
	p := s.newSpan(number("cols"))
	scale, low := s.broadcast(Param("scale")), s.fill(exp2Min)
	s.multiply(scale, math.Log2E)
	toInverse := GP64()
	MOVQ(inverse, toInverse)
	s.pairs(x, inverse, ld, count, func(row, to []Register) {
		lowest, most, total := s.fill(math.Inf(-1)), []VecVirtual{s.vec(), s.vec()}, s.sums(2)
		for _, m := range most {
			VMOVAPS(lowest, m)
		}
		load := func(p span) (v []VecVirtual) {
			for _, x := range row {
				v = append(v, p.load(x))
			}
			return v
		}
		p.each(func(p span) {
			for r, v := range load(p) {
				VMULPS(v, scale, v)
				if p.mask != nil {
					VBLENDVPS(p.mask, v, lowest, v)
				}
				VMAXPS(v, most[r], most[r])
			}
		})
		for _, m := range most {
			s.fold(VMAXPS, m)
		}
		p.each(func(p span) {
			v := load(p)
			for r := range v {
				VFMSUB213PS(most[r], scale, v[r])
			}
			s.exp2(exp2Poly6, low, v...)
			for r, x := range row {
				p.store(v[r], x)
				p.keep(p.mask, v[r])
				VADDPS(v[r], total[r], total[r])
			}
		})
		normalise, done := label("normalise"), label("done")
		for r := range row {
			s.fold(VADDPS, total[r])
		}
		TESTQ(toInverse, toInverse)
		JEQ(LabelRef(normalise))
		for r := range row {
			VMOVSS(reciprocal(total[r]), Mem{Base: to[r]})
		}
		JMP(LabelRef(done))
		Label(normalise)
		for r := range row {
			VBROADCASTSS(reciprocal(total[r]), total[r])
		}
		p.each(func(p span) {
			v := load(p)
			for r, x := range row {
				VMULPS(v[r], total[r], v[r])
				p.store(v[r], x)
			}
		})
		Label(done)
	})
}
