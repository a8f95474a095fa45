package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// gated is rounding that multiplies the rows with a gate's weights on the way, of rows as they are or of their GELU.
func gated() {
	each("quantizeGated", "func(q []uint8, ldq int, scale, sums, x []float32, ldx, rows, k int, gate []float32)",
		func(s isa) { quantizeGated(s, false) }, avx512)
	each("geluQuantize", "func(q []uint8, ldq int, scale, sums, x []float32, ldx, rows, k int, gate []float32)",
		func(s isa) { quantizeGated(s, true) }, avx512)
	each("roundGated", "func(y []uint16, ldy int, sums, x []float32, ldx, rows, k int, gate []float32)",
		func(s isa) { roundGated(s, false) }, avx512BF16)
	each("geluRound", "func(y []uint16, ldy int, sums, x []float32, ldx, rows, k int, gate []float32)",
		func(s isa) { roundGated(s, true) }, avx512BF16)
}

// quantizeGated is quantizeRows. While it looks for a row's largest number it adds up the row's products with gate, in
// dot's order; with gelu the row first becomes its GELU.
func quantizeGated(s isa, gelu bool) {
	q, ldq, scale, sums := pointer("q"), number("ldq"), pointer("scale"), pointer("sums")
	x, ldx, count, gate := pointer("x"), number("ldx"), number("rows"), pointer("gate")
	SHLQ(Imm(2), ldx)
	r := s.newByteRow(number("k"))
	abs, sign, order := s.spread(constantBits(absBits)), s.spread(constantBits(0x80808080)), s.vec()
	VMOVUPS(packOrder(s), order)
	var bump bump
	if gelu {
		bump = s.coarseBump()
	}
	rows(count, func() {
		t, d, weights := s.sums(4), s.sums(4), GP64()
		MOVQ(gate, weights)
		r.blocks(x, func(row Register, mask func(u int) Op) {
			for u := range byteBlock / s.width {
				at, m, w := Mem{Base: row, Disp: u * s.bytes()}, mask(u), s.vec()
				v := s.vec()
				s.loadMasked(at, m, v)
				if gelu {
					bump.gelu(v)
					s.storeMasked(v, m, at)
				}
				s.loadMasked(Mem{Base: weights, Disp: u * s.bytes()}, m, w)
				sum := d[u]
				if m != nil { // where dot has no four vectors any more it goes on with the first sum
					sum = d[0]
				}
				VFMADD231PS(v, w, sum)
				VANDPS(abs, v, v)
				VPMAXUD(v, t[u], t[u])
			}
			ADDQ(I32(4*byteBlock), weights)
		})
		VMOVSS(s.fold(VADDPS, d...).AsX(), Mem{Base: sums})
		ADDQ(Imm(4), sums)
		perScale := s.scaleOf(s.fold(VPMAXUD, t...), scale)
		ADDQ(Imm(4), scale)
		r.writeBytes(q, x, perScale, order, sign)
	}, [2]Register{q, ldq}, [2]Register{x, ldx})
}

// roundGated is roundHalf that adds up each row's products with gate, in dot's order; with gelu it rounds the row's
// GELU, and x stays as it is.
func roundGated(s isa, gelu bool) {
	y, ldy, sums := pointer("y"), number("ldy"), pointer("sums")
	x, ldx, count := pointer("x"), number("ldx"), number("rows")
	SHLQ(Imm(1), ldy)
	SHLQ(Imm(2), ldx)
	p := s.newSpan(number("k"))
	gate := pointer("gate")
	var bump bump
	if gelu {
		bump = s.quickBump()
	}
	rows(count, func() {
		d := s.sums(4)
		p.eachUnrolled(4, func(p span, u int) {
			v := p.load(x)
			if gelu {
				bump.gelu(v)
			}
			VFMADD231PS(v, p.load(gate), d[u])
			p.storeHalf(v, y, roundConstants{})
		})
		p.evenHalf(y)
		VMOVSS(s.fold(VADDPS, d...).AsX(), Mem{Base: sums})
		ADDQ(Imm(4), sums)
	}, [2]Register{y, ldy}, [2]Register{x, ldx})
}
