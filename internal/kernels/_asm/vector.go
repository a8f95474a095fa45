package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func vector() {
	each("axpy", "func(dst, src []float32, alpha float32)", func(s isa) {
		dst, src := pointer("dst"), pointer("src")
		p, alpha := s.newSpan(length("src")), s.broadcast(Param("alpha"))
		p.eachUnrolled(4, func(p span, _ int) {
			v := p.load(dst)
			VFMADD231PS(p.load(src), alpha, v)
			p.store(v, dst)
		})
	})
	each("lerp", "func(dst, src []float32, t float32)", func(s isa) {
		dst, src := pointer("dst"), pointer("src")
		p, t := s.newSpan(length("src")), s.broadcast(Param("t"))
		p.eachUnrolled(4, func(p span, _ int) {
			v, d := p.load(dst), p.load(src)
			VSUBPS(v, d, d)
			VFMADD231PS(d, t, v)
			p.store(v, dst)
		})
	})
	each("scale", "func(x []float32, alpha float32)", func(s isa) {
		x := pointer("x")
		p, alpha := s.newSpan(length("x")), s.broadcast(Param("alpha"))
		p.eachUnrolled(4, func(p span, _ int) {
			v := p.load(x)
			VMULPS(alpha, v, v)
			p.store(v, x)
		})
	})
	each("scaleRows", "func(x []float32, ld, rows, cols int, factors []float32)", func(s isa) {
		x, ld, count, factors := pointer("x"), number("ld"), number("rows"), pointer("factors")
		SHLQ(Imm(2), ld)
		p := s.newSpan(number("cols"))
		rows(count, func() {
			f := s.vec()
			VBROADCASTSS(Mem{Base: factors}, f)
			ADDQ(Imm(4), factors)
			p.each(func(p span) {
				v := p.load(x)
				VMULPS(f, v, v)
				p.store(v, x)
			})
		}, [2]Register{x, ld})
	})
	each("dot", "func(a, b []float32) float32", func(s isa) {
		a, b := pointer("a"), pointer("b")
		Store(s.newSpan(length("a")).dot(a, b), ReturnIndex(0))
	})
	each("dotRows", "func(dst, a, b []float32, ld, rows, cols int)", func(s isa) {
		dst, a, b, ld, count := pointer("dst"), pointer("a"), pointer("b"), number("ld"), number("rows")
		SHLQ(Imm(2), ld)
		p := s.newSpan(number("cols"))
		rows(count, func() {
			VMOVSS(p.dot(a, b), Mem{Base: dst})
			ADDQ(Imm(4), dst)
		}, [2]Register{a, ld}, [2]Register{b, ld})
	})
	each("sumSquares", "func(x []float32) float64", sumSquares)
	each("columnSums", "func(dst, x []float32, ld, rows, cols int)", columnSums)
	each("adamW", "func(p, m, v, grad []float32, c [9]float32)", adamW)
	each("multiplyAdds", "func(rounds int)", multiplyAdds)
}

// dot returns the sum of the products of two rows, in the lowest lane.
func (p span) dot(a, b Register) Register {
	t := p.sums(4)
	p.eachUnrolled(4, func(p span, u int) { VFMADD231PS(p.load(a), p.load(b), t[u]) })
	return p.fold(VADDPS, t...).AsX()
}

// sumSquares adds squares in float64, in two vectors of half as many lanes.
func sumSquares(s isa) {
	x := pointer("x")
	p := s.newSpan(length("x"))
	t := s.sums(4)
	p.eachUnrolled(2, func(p span, u int) {
		v, low, high := p.load(x), p.vec(), p.vec()
		second, first := upper(v, p.bytes())
		VCVTPS2PD(first, low)
		VCVTPS2PD(second, high)
		VFMADD231PD(low, low, t[2*u])
		VFMADD231PD(high, high, t[2*u+1])
	})
	s.combine(VADDPD, t...)
	low, high := t[0].AsX(), XMM()
	VPERMILPD(Imm(1), low, high)
	VADDSD(high, low, low)
	Store(low, ReturnIndex(0))
}

// columnSums runs down the rows with four vectors of sums, then with one.
func columnSums(s isa) {
	dst, x, ld, count := pointer("dst"), pointer("x"), number("ld"), number("rows")
	SHLQ(Imm(2), ld)
	p := s.newSpan(number("cols"))
	// add emits the sums of the vectors at the current place and the following ones.
	add := func(p span, vectors int) {
		t := s.sums(vectors)
		row, left := GP64(), GP64()
		MOVQ(x, row)
		MOVQ(count, left)
		rows(left, func() {
			for u := range vectors {
				p.disp = u * p.bytes()
				VADDPS(p.load(row), t[u], t[u])
			}
		}, [2]Register{row, ld})
		for u := range vectors {
			p.disp = u * p.bytes()
			VADDPS(p.load(dst), t[u], t[u])
			p.store(t[u], dst)
		}
	}
	const many = 4
	last, head, rest := GP64(), label("many"), label("rest")
	wide := p
	wide.mask = nil
	MOVQ(p.full, last)
	SUBQ(I32(many*s.bytes()), last)
	JLT(LabelRef(rest))
	XORQ(p.offset, p.offset)
	Label(head)
	add(wide, many)
	ADDQ(I32(many*s.bytes()), p.offset)
	CMPQ(p.offset, last)
	JLE(LabelRef(head))
	// The rest is a span of its own.
	ADDQ(p.offset, x)
	ADDQ(p.offset, dst)
	SUBQ(p.offset, p.full)
	SUBQ(p.offset, p.size)
	Label(rest)
	p.each(func(p span) { add(p, 1) })
}

// adamW reads its constants from an array, the package's adamWConstants.
func adamW(s isa) {
	pp, m, v, g := pointer("p"), pointer("m"), pointer("v"), pointer("grad")
	p := s.newSpan(length("p"))
	get := func(i int) VecVirtual { return s.broadcast(Param("c").Index(i)) }
	if s.width == 16 { // in AVX2 there are not enough registers to keep them
		var kept [9]VecVirtual
		for i := range kept {
			kept[i] = get(i)
		}
		get = func(i int) VecVirtual { return kept[i] }
	}
	p.each(func(p span) {
		d := p.load(g)
		VMULPS(get(5), d, d)
		m1 := p.load(m)
		VMULPS(get(1), m1, m1)
		VFMADD231PS(get(2), d, m1)
		p.store(m1, m)
		VMULPS(d, d, d)
		v1 := p.load(v)
		VMULPS(get(3), v1, v1)
		VFMADD231PS(get(4), d, v1)
		p.store(v1, v)
		VMULPS(get(7), v1, v1)
		VSQRTPS(v1, v1)
		VADDPS(get(8), v1, v1)
		VMULPS(get(6), m1, m1)
		VDIVPS(v1, m1, m1)
		w := p.load(pp)
		VFMSUB132PS(get(0), m1, w)
		p.store(w, pp)
	})
}

// multiplyAdds runs rounds of multiply-adds on as many vectors as hide their latency: 24 (AVX-512) or 12 (AVX2).
func multiplyAdds(s isa) {
	rounds := number("rounds")
	x, y, t := s.fill(0.999), s.fill(1e-3), s.sums(s.width*3/2)
	rows(rounds, func() {
		for _, v := range t {
			VFMADD213PS(y, x, v)
		}
	})
}
