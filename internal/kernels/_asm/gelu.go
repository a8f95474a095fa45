package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// bumpPoly is Φ(−t), t = u + bumpEnd/2 from 0 to bumpEnd, fitted to minimise the largest error of t·Φ(−t): 6.3e-7 with
// rounding. From bumpEnd on that is at most 8.7e-7 and is left out.
var bumpPoly = []float64{0.00538631621748209, -0.015448743477463722, 0.019694572314620018, -0.0141709940508008,
	0.005759792867048953, -0.0008043987909331918, -0.00043566254316829145, 0.00025040932814590633,
	-2.7959458748227917e-05, -1.5526838978985325e-05, 5.0308258323639166e-06, 7.102040910922369e-08,
	-2.0795981470200786e-07, 2.1956630291697365e-08}

const bumpEnd = 5.1

// geluBump is gelu as geluQuick computes it, max(x, 0) − t·Φ(−t), t = |x|, exact enough for float32: AVX2 needs a fifth
// fewer multiply-adds for it than for erf.
func geluBump(s isa) {
	y, x, ld, count := pointer("y"), pointer("x"), number("ld"), number("rows")
	SHLQ(Imm(2), ld)
	p := s.newSpan(number("cols"))
	abs, end, middle, zero := s.spread(constantBits(absBits)), s.fill(bumpEnd), s.fill(bumpEnd/2), s.cleared()
	rows(count, func() {
		p.eachUnrolled(2, func(p span, _ int) {
			v, t, u, sum := p.load(x), p.vec(), p.vec(), p.vec()
			VANDPS(abs, v, t)
			VCMPPS(Imm(1), end, t, u) // less; not for NaN
			VANDPS(u, t, t)
			VSUBPS(middle, t, u)
			VMAXPS(v, zero, v) // the operands' order keeps NaN
			last := len(bumpPoly) - 1
			VBROADCASTSS(constant(bumpPoly[last]), sum)
			for i := last - 1; i >= 0; i-- {
				p.horner(sum, u, bumpPoly[i])
			}
			VFNMADD231PS(sum, t, v)
			p.store(v, y)
		})
	}, [2]Register{y, ld}, [2]Register{x, ld})
}
