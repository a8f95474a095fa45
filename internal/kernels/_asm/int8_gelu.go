package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The constants are those of int8_gelu.go, which says where they come from.
var geluBumpPoly = []float64{0.012220983, -0.031710345, 0.03574155, -0.021631464, 0.0060958276, 0.00064377516, -0.0009893096, 0.00017060371,
	4.3906733e-05, -1.2893748e-05}

const geluBumpEnd = 4.5

// geluQuick writes y = max(x, 0) − t·P(t − end/2), t = min(|x|, end), for count rows of cols floats, ld apart.
func geluQuick(s isa) {
	y, x, ld, count := pointer("y"), pointer("x"), number("ld"), number("count")
	SHLQ(Imm(2), ld)
	p := s.newSpan(number("cols"))
	abs, end, middle, zero := s.fillBits(absBits), s.fill(geluBumpEnd), s.fill(geluBumpEnd/2), s.cleared()
	// With 32 registers the coefficients are among them.
	var poly []VecVirtual
	if s.width == 16 {
		for _, c := range geluBumpPoly {
			poly = append(poly, s.fill(c))
		}
	}
	rows(count, func() {
		p.eachUnrolled(2, func(p span, _ int) {
			v, t, u, g := p.load(x), p.vec(), p.vec(), p.vec()
			VANDPS(abs, v, t)
			VMINPS(t, end, t) // the operands' order keeps NaN
			VSUBPS(middle, t, u)
			VMAXPS(v, zero, v)
			last := len(geluBumpPoly) - 1
			VBROADCASTSS(constant(geluBumpPoly[last]), g)
			for i := last - 1; i >= 0; i-- {
				if poly != nil {
					VFMADD213PS(poly[i], u, g)
				} else {
					p.horner(g, u, geluBumpPoly[i])
				}
			}
			VFNMADD231PS(g, t, v)
			p.store(v, y)
		})
	}, [2]Register{y, ld}, [2]Register{x, ld})
}
