package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func activation() {
	each("gelu", "func(y, x []float32, ld, rows, cols int)", gelu)
	each("geluQuick", "func(y, x []float32, ld, rows, cols int)", func(s isa) { geluBy(s, s.quickBump()) })
	each("geluCoarse", "func(y, x []float32, ld, rows, cols int)", func(s isa) { geluBy(s, s.coarseBump()) })
	each("geluBackward", "func(dx, y, x, dy []float32)", geluBackward)
	each("softmaxRows", "func(x, inverse []float32, ld, rows, cols int, scale float32)", softmaxRows)
	each("softmaxBackward", "func(ds, p, dot []float32, ld, rows, cols int, scale float32)", softmaxBackward)
}

// gelu: y = h·erf(x/√2) + h, h = x/2.
func gelu(s isa) {
	if s.width == 8 {
		geluBump(s)
		return
	}
	erf, half, sqrtHalf := s.erfConstants(true), s.fill(0.5), s.fill(math.Sqrt(0.5))
	y, x, ld, count := pointer("y"), pointer("x"), number("ld"), number("rows")
	SHLQ(Imm(2), ld)
	p := s.newSpan(number("cols"))
	rows(count, func() {
		p.each(func(p span) {
			v, h := p.load(x), p.vec()
			VMULPS(v, half, h)
			VMULPS(v, sqrtHalf, v)
			e := p.erf(v, erf)
			VFMADD213PS(h, h, e)
			p.store(e, y)
		})
	}, [2]Register{y, ld}, [2]Register{x, ld})
}

// geluBackward: dx = dy·(Φ(x) + x·φ(x)), and y = x·Φ(x) unless y is nil.
func geluBackward(s isa) {
	dx, y, x, dy := pointer("dx"), pointer("y"), pointer("x"), pointer("dy")
	p := s.newSpan(length("x"))
	erf, exp := s.erfConstants(false), s.expConstants()
	p.each(func(p span) {
		v, z, t := p.load(x), p.vec(), p.vec()
		// The density is 0 from 15 on; the clamp keeps 0·∞ away.
		low, high := p.fill(-15), p.fill(15)
		VMAXPS(v, low, z)
		VMINPS(z, high, z)
		VMULPS(z, z, t)
		p.multiply(t, -0.5)
		p.exp(t, exp)
		VMULPS(z, t, t)
		VMOVAPS(v, z)
		p.multiply(z, math.Sqrt(0.5))
		cdf := p.erf(z, erf)
		half := p.fill(0.5)
		VFMADD213PS(half, half, cdf)
		p.multiply(t, invSqrt2Pi)
		VADDPS(cdf, t, t)
		g := p.load(dy)
		VMULPS(g, t, t)
		skip := label("skip")
		TESTQ(y, y)
		JEQ(LabelRef(skip))
		VMULPS(v, cdf, cdf)
		p.store(cdf, y)
		Label(skip)
		p.store(t, dx)
	})
}

// softmaxRows: x = exp(scale·x − largest), then either divided by its sum, or with the sum's reciprocal in inverse.
func softmaxRows(s isa) {
	if s.width == 8 {
		softmaxPairs(s)
		return
	}
	x, inverse, ld, count := pointer("x"), pointer("inverse"), number("ld"), number("rows")
	SHLQ(Imm(2), ld)
	p := s.newSpan(number("cols"))
	scale := s.broadcast(Param("scale"))
	lowest := s.fill(math.Inf(-1))
	exp := s.expConstants()
	rows(count, func() {
		largest := s.vec()
		VMOVAPS(lowest, largest)
		p.each(func(p span) {
			v := p.load(x)
			VMULPS(v, scale, v)
			if p.mask == nil {
				VMAXPS(v, largest, largest)
			} else {
				VMAXPS(v, largest, p.mask, largest)
			}
		})
		s.fold(VMAXPS, largest)
		total := s.cleared()
		p.each(func(p span) {
			v := p.load(x)
			VFMSUB213PS(largest, scale, v)
			p.exp(v, exp)
			p.store(v, x)
			p.keep(p.mask, v)
			VADDPS(v, total, total)
		})
		s.fold(VADDPS, total)
		one := XMM()
		VMOVSS(constant(1), one)
		VDIVSS(total.AsX(), one, one)
		normalise, done := label("normalise"), label("done")
		TESTQ(inverse, inverse)
		JEQ(LabelRef(normalise))
		VMOVSS(one, Mem{Base: inverse})
		ADDQ(Imm(4), inverse)
		JMP(LabelRef(done))
		Label(normalise)
		VBROADCASTSS(one, total)
		p.each(func(p span) {
			v := p.load(x)
			VMULPS(v, total, v)
			p.store(v, x)
		})
		Label(done)
	}, [2]Register{x, ld})
}

// softmaxBackward: ds = p·(ds − dot[row])·scale.
func softmaxBackward(s isa) {
	ds, pr, dot, ld, count := pointer("ds"), pointer("p"), pointer("dot"), number("ld"), number("rows")
	SHLQ(Imm(2), ld)
	p := s.newSpan(number("cols"))
	scale := s.broadcast(Param("scale"))
	rows(count, func() {
		d := s.vec()
		VBROADCASTSS(Mem{Base: dot}, d)
		ADDQ(Imm(4), dot)
		p.each(func(p span) {
			g, q := p.load(ds), p.load(pr)
			VSUBPS(d, g, g)
			VMULPS(q, g, g)
			VMULPS(scale, g, g)
			p.store(g, ds)
		})
	}, [2]Register{ds, ld}, [2]Register{pr, ld})
}

// The constants are those of activation_generic.go, which says where they come from.
var (
	geluBumpPoly = []float64{0.012220983, -0.031710345, 0.03574155, -0.021631464, 0.0060958276,
		0.00064377516, -0.0009893096, 0.00017060371, 4.3906733e-05, -1.2893748e-05}
	geluCoarsePoly = []float64{0.49932952, -0.38519542, -0.05218324, 0.14727491, -0.06046698, 0.01049046, -0.00068655}
)

const (
	geluBumpEnd   = 4.5
	geluCoarseEnd = 3.9
)

// bump is what GELU as max(x, 0) − t·P(t − middle), t = min(|x|, end), needs; middle is nil for 0.
type bump struct {
	isa
	abs, end, middle, zero VecVirtual
	poly                   polynomial
}

func (s isa) quickBump() bump {
	b := s.newBump(geluBumpPoly, geluBumpEnd)
	b.middle = s.fill(geluBumpEnd / 2)
	return b
}

func (s isa) coarseBump() bump { return s.newBump(geluCoarsePoly, geluCoarseEnd) }

func (s isa) newBump(poly []float64, end float64) bump {
	return bump{isa: s, abs: s.spread(constantBits(absBits)), end: s.fill(end), zero: s.cleared(),
		poly: s.polynomial(poly, s.width == 16)}
}

// gelu replaces v by its GELU.
func (b bump) gelu(v VecVirtual) {
	t, g := b.vec(), b.vec()
	VANDPS(b.abs, v, t)
	VMINPS(t, b.end, t) // the operands' order keeps NaN
	u := t
	if b.middle != nil {
		u = b.vec()
		VSUBPS(b.middle, t, u)
	}
	VMAXPS(v, b.zero, v)
	last := len(b.poly.c) - 1
	VBROADCASTSS(constant(b.poly.c[last]), g)
	for i := last - 1; i >= 0; i-- {
		b.poly.step(i, g, u)
	}
	VFNMADD231PS(g, t, v)
}

// geluBy writes y = gelu(x) for count rows of cols floats, ld apart.
func geluBy(s isa, b bump) {
	y, x, ld, count := pointer("y"), pointer("x"), number("ld"), number("rows")
	SHLQ(Imm(2), ld)
	p := s.newSpan(number("cols"))
	rows(count, func() {
		p.eachUnrolled(2, func(p span, _ int) {
			v := p.load(x)
			b.gelu(v)
			p.store(v, y)
		})
	}, [2]Register{y, ld}, [2]Register{x, ld})
}
