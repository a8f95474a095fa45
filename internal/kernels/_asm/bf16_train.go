package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// bf16Train is what training in bfloat16 needs besides: mostly what leaves a matrix as rows, for a product along them,
// and as pairs of rows side by side, for one across them. Strides of the routines of pairs are in bytes.
func bf16Train() {
	each("interleave", "func(dst, x []uint16, ldx, pairs, cols int)", sideBySide, avx512BF16)
	each("roundPairs", "func(y []uint16, ldy int, dst []uint16, panel int, x []float32, ldx, pairs, cols int)",
		roundPairs, avx512BF16)
	each("geluHalf", "func(h, y []uint16, ldy int, x []float32, rows, cols int)", geluHalf, avx512BF16)
	each("geluBackwardPairs", "func(dx []uint16, ldx int, dxPairs, yPairs []uint16, panel int, h []uint16, "+
		"dy []float32, ld, pairs, cols int)", geluBackwardPairs, avx512BF16)
	each("softmaxBackwardPairs", "func(ds []uint16, ldd int, dsPairs, pPairs []uint16, panel int, "+
		"dp, p, inverse []float32, ld, pairs, cols int, scale float32)", softmaxBackwardPairs, avx512BF16)
	each("layerNormBackwardHalf", "func(dx, dgamma, dbeta []float32, y []uint16, ldy int, "+
		"dy, x, gamma, beta []float32, rows, dim int, eps float32)", layerNormBackwardHalf, avx512BF16)
	each("pairSums", "func(dst []float32, x []uint16, pairs, cols int)", pairSums, avx512BF16)
}

// sideBySide writes pairs·2 rows of halves x [pairs·2, cols], cols ≤ 32, side by side as [pairs][32][2].
func sideBySide(s isa) {
	dst, x, ldx, pairs := pointer("dst"), pointer("x"), number("ldx"), number("pairs")
	mask, low, high := K(), s.vec(), s.vec()
	KMOVD(lowBits(number("cols")).As32(), mask)
	order := func(name string, from int) Mem {
		return table(name, 16, func(i int) uint32 { return uint32(from + i | (from+i+32)<<16) })
	}
	VMOVDQU16(order("lowPairs", 0), low)
	VMOVDQU16(order("highPairs", 16), high)
	rows(pairs, func() {
		a, b, t := s.vec(), s.vec(), s.vec()
		VMOVDQU16_Z(Mem{Base: x}, mask, a)
		VMOVDQU16_Z(Mem{Base: x, Index: ldx, Scale: 1}, mask, b)
		VMOVAPS(a, t)
		VPERMT2W(b, low, t)
		VMOVUPS(t, Mem{Base: dst})
		VPERMT2W(b, high, a)
		VMOVUPS(a, Mem{Base: dst, Disp: 64})
		ADDQ(I32(4*PanelWidth), dst)
		ADDQ(ldx, x)
	}, [2]Register{x, ldx})
}

// roundPairs leaves x [pairs·2, cols] rounded as rows y and as pairs.
func roundPairs(s isa) {
	y, dst, x, count, order := pointer("y"), pointer("dst"), pointer("x"), number("pairs"), s.wordPairs()
	rows(count, func() {
		y2, x2 := second(y, "ldy"), second(x, "ldx")
		s.overPanels(func(c columns) {
			v := c.round(c.floats(x), c.floats(x2))
			c.rows(v, y, y2)
			c.pairs(v, order, dst)
		})
		twoRows(y, "ldy")
		twoRows(x, "ldx")
		ADDQ(I32(4*PanelWidth), dst)
	})
}

// geluConstants are what the bump and its slope need.
type geluConstants struct{ abs, end, middle, zero VecVirtual }

func (s isa) geluConstants() geluConstants {
	return geluConstants{s.spread(constantBits(absBits)), s.fill(geluBumpEnd), s.fill(geluBumpEnd / 2), s.cleared()}
}

// geluHalf rounds x [rows, cols] to h, and gelu of that to y, rows of which lie ldy apart.
func geluHalf(s isa) {
	h, y, ldy, x, count := pointer("h"), pointer("y"), number("ldy"), pointer("x"), number("rows")
	p, c, poly := s.newSpan(number("cols")), s.geluConstants(), s.polynomial(geluBumpPoly, true)
	half := GP64()
	MOVQ(p.size, half)
	SHRQ(Imm(1), half)
	SHLQ(Imm(1), ldy)
	rows(count, func() {
		p.each(func(p span) {
			v, t, u, g := p.load(x), p.vec(), p.vec(), p.vec()
			p.storeHalf(v, h, roundConstants{}) // leaves it in Y31
			VPMOVZXWD(Y31, v)
			VPSLLD(Imm(16), v, v)
			VANDPS(c.abs, v, t)
			VMINPS(t, c.end, t) // the operands' order keeps NaN
			VSUBPS(c.middle, t, u)
			VMAXPS(v, c.zero, v)
			VMOVAPS(poly.kept[len(poly.kept)-1], g)
			for i := len(poly.kept) - 2; i >= 0; i-- {
				poly.step(i, g, u)
			}
			VFNMADD231PS(g, t, v)
			p.storeHalf(v, y, roundConstants{})
		})
		p.evenHalf(y)
	}, [2]Register{h, half}, [2]Register{y, ldy}, [2]Register{x, p.size})
}

// geluSlopePoly is that of bf16_train_generic.go, which says where it comes from.
var geluSlopePoly = []float64{0.559165537, -0.0972104892, 0.0383074172, 0.0307629686, -0.0367965177, 0.0105754035,
	0.00363368657, -0.00267984299, 2.33628034e-05, 0.000239353103, -1.40847824e-05, -8.40650409e-06}

// geluBackwardPairs: with x the halves h, y = gelu(x) goes to pairs, and dx = dy·gelu'(x) to rows and to pairs.
func geluBackwardPairs(s isa) {
	dx, dxPairs, yPairs, h, dy := pointer("dx"), pointer("dxPairs"), pointer("yPairs"), pointer("h"), pointer("dy")
	count, order, g := number("pairs"), s.wordPairs(), s.geluConstants()
	sign, plus := s.spread(constantBits(1<<31)), s.fill(0.5)
	evaluate := func(u VecVirtual, poly []float64) VecVirtual {
		v := s.spread(constant(poly[len(poly)-1]))
		for i := len(poly) - 2; i >= 0; i-- {
			s.horner(v, u, poly[i])
		}
		return v
	}
	rows(count, func() {
		dx2, dy2 := second(dx, "ldx"), second(dy, "ld")
		half, h2 := GP64(), GP64() // rows of h are as long as those of dy
		MOVQ(parameter("ld"), half)
		SHRQ(Imm(1), half)
		LEAQ(Mem{Base: h, Index: half, Scale: 1}, h2)
		s.overPanels(func(c columns) {
			var y, d [2]VecVirtual
			for r := range 2 {
				x, t, u, up := c.halves([]Register{h, h2}[r]), s.vec(), s.vec(), s.vec()
				VANDPS(g.abs, x, t)
				VMINPS(t, g.end, t) // the operands' order keeps NaN
				VSUBPS(g.middle, t, u)
				y[r] = evaluate(u, geluBumpPoly)
				VMULPS(t, y[r], y[r])
				VMAXPS(x, g.zero, up)
				VSUBPS(y[r], up, y[r])
				d[r] = evaluate(u, geluSlopePoly)
				VPTERNLOGD(Imm(0x78), sign, x, d[r]) // with the sign of x
				VADDPS(plus, d[r], d[r])
				VMULPS(c.floats([]Register{dy, dy2}[r]), d[r], d[r])
			}
			c.pairs(c.round(y[0], y[1]), order, yPairs)
			v := c.round(d[0], d[1])
			c.rows(v, dx, dx2)
			c.pairs(v, order, dxPairs)
		})
		twoRows(dx, "ldx")
		twoRows(dy, "ld")
		ADDQ(parameter("ld"), h)
		ADDQ(I32(4*PanelWidth), dxPairs)
		ADDQ(I32(4*PanelWidth), yPairs)
	})
}

// softmaxBackwardPairs: with P = p·inverse[row] and D = Σ P∘dp of the row, P goes to pairs, and P∘(dp − D)·scale to
// rows and to pairs.
func softmaxBackwardPairs(s isa) {
	ds, dsPairs, pPairs, dp, p := pointer("ds"), pointer("dsPairs"), pointer("pPairs"), pointer("dp"), pointer("p")
	inverse, count, order := pointer("inverse"), number("pairs"), s.wordPairs()
	scale := s.broadcast(Param("scale"))
	rows(count, func() {
		ds2, dp2, p2 := second(ds, "ldd"), second(dp, "ld"), second(p, "ld")
		grads, probs := []Register{dp, dp2}, []Register{p, p2}
		var dot, per [2]VecVirtual
		for r := range 2 {
			dot[r], per[r] = s.cleared(), s.spread(Mem{Base: inverse, Disp: 4 * r})
		}
		n := GP64()
		MOVQ(parameter("cols"), n)
		row := s.newSpan(n)
		row.each(func(row span) {
			for r := range 2 {
				VFMADD231PS(row.load(grads[r]), row.load(probs[r]), dot[r])
			}
		})
		for r := range 2 {
			s.fold(VADDPS, dot[r])
			VMULPS(per[r], dot[r], dot[r])
		}
		s.overPanels(func(c columns) {
			var q, g [2]VecVirtual
			for r := range 2 {
				q[r], g[r] = c.floats(probs[r]), c.floats(grads[r])
				VMULPS(per[r], q[r], q[r])
				VSUBPS(dot[r], g[r], g[r])
				VMULPS(q[r], g[r], g[r])
				VMULPS(scale, g[r], g[r])
			}
			c.pairs(c.round(q[0], q[1]), order, pPairs)
			v := c.round(g[0], g[1])
			c.rows(v, ds, ds2)
			c.pairs(v, order, dsPairs)
		})
		twoRows(ds, "ldd")
		twoRows(dp, "ld")
		twoRows(p, "ld")
		ADDQ(Imm(8), inverse)
		ADDQ(I32(4*PanelWidth), dsPairs)
		ADDQ(I32(4*PanelWidth), pPairs)
	})
}

// layerNormBackwardHalf is layerNormBackward that computes mean and deviation again, and the norm's output, rounded, to
// y.
func layerNormBackwardHalf(s isa) {
	dx, dgamma, dbeta, y, dy := pointer("dx"), pointer("dgamma"), pointer("dbeta"), pointer("y"), pointer("dy")
	x, gamma, beta, ldy := pointer("x"), pointer("gamma"), pointer("beta"), number("ldy")
	count, dim := number("rows"), number("dim")
	perDim, eps := s.inverse(dim), s.broadcast(Param("eps"))
	p := s.newSpan(dim)
	SHLQ(Imm(1), ldy)
	rows(count, func() {
		mu, r, t := s.cleared(), s.cleared(), s.cleared()
		p.eachUnrolled(2, func(p span, u int) {
			a := []VecVirtual{mu, t}[u]
			VADDPS(p.load(x), a, a)
		})
		s.fold(VADDPS, mu, t)
		VMULPS(perDim, mu, mu)
		s.zero(t)
		p.eachUnrolled(2, func(p span, u int) {
			a, v := []VecVirtual{r, t}[u], p.load(x)
			VSUBPS(mu, v, v)
			p.keep(p.mask, v)
			VFMADD231PS(v, v, a)
		})
		s.fold(VADDPS, r, t)
		x1, one := r.AsX(), XMM()
		VFMADD213SS(eps.AsX(), perDim.AsX(), x1)
		VSQRTSS(x1, x1, x1)
		VMOVSS(constant(1), one)
		VDIVSS(x1, one, one)
		VBROADCASTSS(one, r)
		a, b := s.cleared(), s.cleared()
		p.each(func(p span) {
			g, n, h := p.load(dy), p.load(x), p.load(beta)
			VSUBPS(mu, n, n)
			VMULPS(r, n, n)
			v := p.load(gamma)
			VFMADD231PS(v, n, h)
			p.storeHalf(h, y, roundConstants{})
			t := p.load(dbeta)
			VADDPS(g, t, t)
			p.store(t, dbeta)
			t = p.load(dgamma)
			VFMADD231PS(g, n, t)
			p.store(t, dgamma)
			VMULPS(v, g, g) // 0 in lanes that do not exist
			VADDPS(g, a, a)
			p.keep(p.mask, n)
			VFMADD231PS(g, n, b)
		})
		p.evenHalf(y)
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
		LEAQ(Mem{Base: y, Index: ldy, Scale: 1}, y)
	}, [2]Register{dx, dim}, [2]Register{dy, dim}, [2]Register{x, dim})
}

// pairSums adds the sums of the columns of pairs [pairs][32][2] to dst [cols], cols ≤ 32.
func pairSums(s isa) {
	dst, x, pairs := pointer("dst"), pointer("x"), number("pairs")
	ones, sums := Z28, []VecPhysical{Z24, Z25}
	VPBROADCASTD(constantBits(0x3f803f80), ones)
	for _, v := range sums {
		s.zero(v)
	}
	rows(pairs, func() {
		for i, v := range sums {
			VMOVUPS(Mem{Base: x, Disp: 64 * i}, Z26)
			vdpbf16ps(Z26, ones, v)
		}
		ADDQ(I32(4*PanelWidth), x)
	})
	bits := lowBits(number("cols"))
	for i, v := range sums {
		mask := K()
		KMOVW(bits.As32(), mask)
		SHRQ(Imm(16), bits)
		to := Mem{Base: dst, Disp: 64 * i}
		VMOVUPS_Z(to, mask, Z26)
		VADDPS(v, Z26, Z26)
		VMOVUPS(Z26, mask, to)
	}
}
