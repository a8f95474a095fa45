package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func norm() {
	each("layerNorm", "func(y, mean, rstd, x, gamma, beta []float32, rows, dim int, eps float32)", layerNorm)
	each("layerNormBackward", "func(dx, dgamma, dbeta, dy, x, gamma, mean, rstd []float32, rows, dim int)",
		layerNormBackward)
}

// inverse returns 1/n in all lanes.
func (s isa) inverse(n Register) VecVirtual {
	x, one, v := XMM(), XMM(), s.vec()
	VXORPS(x, x, x)
	VCVTSI2SSQ(n, x, x)
	VMOVSS(constant(1), one)
	VDIVSS(x, one, x)
	VBROADCASTSS(x, v)
	return v
}

// layerNorm reads a row three times, from the first cache: its sum, the sum of its squared deviations, the result.
func layerNorm(s isa) {
	y, mean, rstd := pointer("y"), pointer("mean"), pointer("rstd")
	s.layerNorm(y, nil, mean, rstd, func(p span, v VecVirtual) { p.store(v, y) })
}

// layerNormHalf is layerNorm that stores its result rounded to bfloat16, with rows of y ldy apart.
func layerNormHalf(s isa) {
	y, ldy := pointer("y"), number("ldy")
	SHLQ(Imm(1), ldy)
	c := s.roundConstants()
	s.layerNorm(y, ldy, nil, nil, func(p span, v VecVirtual) { p.storeHalf(v, y, c) })
}

// layerNorm emits layer norm with rows of y a step of bytes apart (nil: contiguous, as x's) and their vectors stored
// by store; mean and rstd may be nil.
func (s isa) layerNorm(y, step, mean, rstd Register, store func(p span, v VecVirtual)) {
	x, gamma, beta := pointer("x"), pointer("gamma"), pointer("beta")
	count, dim := number("rows"), number("dim")
	perDim, eps := s.inverse(dim), s.broadcast(Param("eps"))
	p := s.newSpan(dim)
	half := step != nil
	if !half {
		step = dim
	}
	// moments returns mean and 1/deviation of the row at x, the first in all lanes, the second in one.
	moments := func(x Register) (mu VecVirtual, one Register) {
		mu, t := s.cleared(), s.cleared()
		p.eachUnrolled(2, func(p span, u int) {
			a := []VecVirtual{mu, t}[u]
			VADDPS(p.load(x), a, a)
		})
		s.fold(VADDPS, mu, t)
		VMULPS(perDim, mu, mu)
		r := s.cleared()
		s.zero(t)
		p.eachUnrolled(2, func(p span, u int) {
			a := []VecVirtual{r, t}[u]
			v := p.load(x)
			VSUBPS(mu, v, v)
			p.keep(p.mask, v)
			VFMADD231PS(v, v, a)
		})
		s.fold(VADDPS, r, t)
		// Only one lane's root and division, for they are slow.
		x1 := r.AsX()
		one = XMM()
		VFMADD213SS(eps.AsX(), perDim.AsX(), x1)
		VSQRTSS(x1, x1, x1)
		VMOVSS(constant(1), one)
		VDIVSS(x1, one, one)
		if mean != nil {
			skip := label("skip")
			TESTQ(mean, mean)
			JEQ(LabelRef(skip))
			VMOVSS(mu.AsX(), Mem{Base: mean})
			VMOVSS(one, Mem{Base: rstd})
			ADDQ(Imm(4), mean)
			ADDQ(Imm(4), rstd)
			Label(skip)
		}
		return mu, one
	}
	result := func(mu, r VecVirtual) {
		p.each(func(p span) {
			v := p.load(x)
			VSUBPS(mu, v, v)
			VMULPS(r, v, v)
			b := p.load(beta)
			VFMADD132PS(p.load(gamma), b, v)
			store(p, v)
		})
		if half {
			p.evenHalf(y)
		}
	}
	if s.width != 16 {
		rows(count, func() {
			mu, one := moments(x)
			r := s.vec()
			VBROADCASTSS(one, r)
			result(mu, r)
		}, [2]Register{y, step}, [2]Register{x, dim})
		return
	}
	// Some rows' moments first, then their results: the steps to a row's moments depend on each other, and those of
	// several rows go side by side.
	const some = 8
	kept := AllocLocal(8 * some)
	head, done := label("some"), label("none")
	TESTQ(count, count)
	JLE(LabelRef(done))
	Label(head)
	row, at, left, again := GP64(), GP64(), GP64(), GP64()
	MOVQ(U32(some), left)
	CMPQ(count, left)
	CMOVQLT(count, left)
	SUBQ(left, count)
	MOVQ(left, again)
	MOVQ(x, row)
	LEAQ(kept, at)
	rows(left, func() {
		mu, one := moments(row)
		VMOVSS(mu.AsX(), Mem{Base: at})
		VMOVSS(one, Mem{Base: at, Disp: 4})
		ADDQ(Imm(8), at)
	}, [2]Register{row, dim})
	LEAQ(kept, at)
	rows(again, func() {
		mu, r := s.spread(Mem{Base: at}), s.spread(Mem{Base: at, Disp: 4})
		ADDQ(Imm(8), at)
		result(mu, r)
	}, [2]Register{y, step}, [2]Register{x, dim})
	TESTQ(count, count)
	JNE(LabelRef(head))
	Label(done)
}

// layerNormBackward reads a row twice: dgamma, dbeta and the two sums, then dx.
func layerNormBackward(s isa) {
	dx, dgamma, dbeta, dy := pointer("dx"), pointer("dgamma"), pointer("dbeta"), pointer("dy")
	x, gamma := pointer("x"), pointer("gamma")
	mean, rstd, count, dim := pointer("mean"), pointer("rstd"), number("rows"), number("dim")
	perDim := s.inverse(dim)
	p := s.newSpan(dim)
	rows(count, func() {
		mu, r, a, b := s.vec(), s.vec(), s.cleared(), s.cleared()
		VBROADCASTSS(Mem{Base: mean}, mu)
		VBROADCASTSS(Mem{Base: rstd}, r)
		ADDQ(Imm(4), mean)
		ADDQ(Imm(4), rstd)
		p.each(func(p span) {
			g, n := p.load(dy), p.load(x)
			VSUBPS(mu, n, n)
			VMULPS(r, n, n)
			t := p.load(dbeta)
			VADDPS(g, t, t)
			p.store(t, dbeta)
			t = p.load(dgamma)
			VFMADD231PS(g, n, t)
			p.store(t, dgamma)
			VMULPS(p.load(gamma), g, g) // 0 in lanes that do not exist
			VADDPS(g, a, a)
			p.keep(p.mask, n)
			VFMADD231PS(g, n, b)
		})
		s.fold(VADDPS, a)
		s.fold(VADDPS, b)
		VMULPS(perDim, a, a)
		VMULPS(perDim, b, b)
		p.each(func(p span) {
			g, n := p.load(dy), p.load(x)
			VSUBPS(mu, n, n)
			VMULPS(r, n, n)
			VFMSUB132PS(p.load(gamma), a, g)
			VFNMADD231PS(b, n, g)
			t := p.load(dx)
			VFMADD231PS(r, g, t)
			p.store(t, dx)
		})
	}, [2]Register{dx, dim}, [2]Register{dy, dim}, [2]Register{x, dim})
}
