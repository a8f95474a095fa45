package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The constants are those of activation_generic.go, which says where they come from.
var (
	expPoly = []float64{0.49999994, 0.16666521, 0.04166839, 0.008368717, 0.0013814599}
	erfPoly = []float64{0.403873, -0.20070104, 0.14675018, -0.11461275, 0.088402174, -0.064770654, 0.04501544,
		-0.030031752, 0.017049624, -0.007227924, 0.0044742813, -0.003987361, 0.0014809371}
)

const (
	ln2Hi      = 0.693145751953125
	ln2Lo      = 1.42860682030941723212e-6
	expMin     = -87.3365447
	erfEnd     = 3.52
	erfScale   = 2 / (3.5 * 3.5)
	invSqrt2Pi = 0.39894228040143267794
)

// horner replaces p by p·x + c.
func (s isa) horner(p, x VecVirtual, c float64) {
	if s.width == 16 {
		VFMADD213PS_BCST(constant(c), x, p)
	} else {
		VFMADD213PS(constant(c), x, p)
	}
}

// polynomial is coefficients, the constant first, in registers where there are enough of those, else in memory.
type polynomial struct {
	isa
	c    []float64
	kept []VecVirtual
}

func (s isa) polynomial(c []float64, keep bool) polynomial {
	p := polynomial{isa: s, c: c}
	for i := 0; keep && i < len(c); i++ {
		p.kept = append(p.kept, s.fill(c[i]))
	}
	return p
}

// start gives y the value c[i].
func (p polynomial) start(i int, y VecVirtual) {
	if p.kept != nil {
		VMOVAPS(p.kept[i], y)
	} else {
		VBROADCASTSS(constant(p.c[i]), y)
	}
}

// step replaces y by y·x + c[i].
func (p polynomial) step(i int, y, x VecVirtual) {
	if p.kept != nil {
		VFMADD213PS(p.kept[i], x, y)
	} else {
		p.horner(y, x, p.c[i])
	}
}

// multiply replaces x by x·c.
func (s isa) multiply(x VecVirtual, c float64) {
	if s.width == 16 {
		VMULPS_BCST(constant(c), x, x)
	} else {
		VMULPS(constant(c), x, x)
	}
}

// clamp replaces x by what lies nearest to it between low and high, two vectors. The operands' order keeps NaN.
func clamp(x, low, high VecVirtual) {
	VMAXPS(x, low, x)
	VMINPS(x, high, x)
}

// expConstants are the vectors that exp needs beside what it reads from memory.
type expConstants struct{ low, log2E, ln2Hi, ln2Lo VecVirtual }

func (s isa) expConstants() expConstants {
	if s.width == 16 {
		return expConstants{s.fill(-150), s.fill(math.Log2E), s.fill(ln2Hi), s.fill(ln2Lo)}
	}
	return expConstants{low: s.fill(expMin), log2E: s.fill(math.Log2E)}
}

// exp replaces each lane of x ≤ 0.5 by its exponential. Far below 0 the result is 0 (in AVX-512 it becomes subnormal
// first); NaN stays.
func (s isa) exp(x VecVirtual, c expConstants) {
	n, p, keep := s.vec(), s.vec(), s.vec()
	if s.width == 16 {
		VMAXPS(x, c.low, x)
		VMULPS(x, c.log2E, n)
		VRNDSCALEPS(Imm(8), n, n)
		VFNMADD231PS(n, c.ln2Hi, x)
		VFNMADD231PS(n, c.ln2Lo, x)
	} else {
		VCMPPS(Imm(5), c.low, x, keep) // not less than: true for NaN
		VMAXPS(x, c.low, x)
		VMULPS(x, c.log2E, n)
		VROUNDPS(Imm(8), n, n)
		VFNMADD231PS(constant(ln2Hi), n, x)
		VFNMADD231PS(constant(ln2Lo), n, x)
	}
	VBROADCASTSS(constant(expPoly[4]), p)
	for i := 3; i >= 0; i-- {
		s.horner(p, x, expPoly[i])
	}
	// 1 + x + p·x²
	s.horner(p, x, 1)
	s.horner(p, x, 1)
	if s.width == 16 {
		VSCALEFPS(n, p, x)
		return
	}
	VCVTPS2DQ(n, n)
	VPSLLD(Imm(23), n, n)
	VPADDD(n, p, x) // the exponent goes up by n
	VANDPS(keep, x, x)
}

// erfConstants are what erf needs.
type erfConstants struct {
	low, high, minusOne, one, scale VecVirtual
	poly                            polynomial
}

func (s isa) erfConstants(keepPoly bool) erfConstants {
	return erfConstants{s.fill(-erfEnd), s.fill(erfEnd), s.fill(-1), s.fill(1), s.fill(erfScale),
		s.polynomial(erfPoly, keepPoly && s.width == 16)}
}

// erf returns erf(x) and leaves x clamped.
func (s isa) erf(x VecVirtual, c erfConstants) VecVirtual {
	clamp(x, c.low, c.high)
	w, w2, even, odd := s.vec(), s.vec(), s.vec(), s.vec()
	VMULPS(x, x, w)
	VFMADD213PS(c.minusOne, c.scale, w)
	VMULPS(w, w, w2)
	VBROADCASTSS(constant(erfPoly[12]), even)
	VBROADCASTSS(constant(erfPoly[11]), odd)
	for i := 10; i >= 0; i -= 2 {
		c.poly.step(i, even, w2)
		if i > 0 {
			c.poly.step(i-1, odd, w2)
		}
	}
	VFMADD231PS(odd, w, even)
	VMULPS(x, even, even)
	clamp(even, c.minusOne, c.one)
	return even
}
