package main

import "math"

func activation() {
	routine("geluNEON", "(y, x []float32, ld, rows, cols int)", gelu)
	routine("geluQuickNEON", "(y, x []float32, ld, rows, cols int)", func() {
		geluBump(geluBumpPoly, geluBumpEnd, geluBumpEnd/2)
	})
	routine("geluCoarseNEON", "(y, x []float32, ld, rows, cols int)", func() {
		geluBump(geluCoarsePoly, geluCoarseEnd, 0)
	})
	routine("geluBackwardNEON", "(dx, y, x, dy []float32)", geluBackward)
	routine("softmaxRowsNEON", "(x, inverse []float32, ld, rows, cols int, scale float32)", func() { softmaxRows(nil) })
	routine("softmaxBackwardNEON", "(ds, p, dot []float32, ld, rows, cols int, scale float32)", softmaxBackward)
}

// gelu: y = h·erf(x/√2) + h, h = x/2.
func gelu() {
	y, x, ld, count, n := pointer("y"), pointer("x"), param("ld"), param("rows"), param("cols")
	withConstants()
	erfs, half, sqrtHalf := newErfConstants(), fill(0.5), fill(math.Sqrt(0.5))
	lsl(ld, ld, 2)
	rows(count, func() {
		from, to := newRow(x, 4), newRow(y, 4)
		each(n, func(p span) {
			f, h := p.load(from), vec()
			v("fmul", h, f, half)
			v("fmul", f, f, sqrtHalf)
			v("fmla", h, h, erf(f, erfs))
			p.store(h, to)
		}, from, to)
	}, [2]int{x, ld}, [2]int{y, ld})
}

// geluBump writes y = max(x, 0) − t·P(t − middle), t = min(|x|, end).
func geluBump(poly []float64, end, middle float64) {
	y, x, ld, count, n := pointer("y"), pointer("x"), param("ld"), param("rows"), param("cols")
	withConstants()
	c := newBumpConstants(end, middle)
	lsl(ld, ld, 2)
	rows(count, func() {
		from, to := newRow(x, 4), newRow(y, 4)
		eachUnrolled(n, 2, func(p span, _ int) {
			g := p.load(from)
			c.gelu(g, poly)
			p.store(g, to)
		}, from, to)
	}, [2]int{x, ld}, [2]int{y, ld})
}

// bumpConstants are what geluBump's formula needs besides its polynomial.
type bumpConstants struct {
	end, middle, zero int
	centred           bool // middle is not 0
}

func newBumpConstants(end, middle float64) bumpConstants {
	return bumpConstants{fill(end), fill(middle), cleared(1)[0], middle != 0}
}

// place returns t = min(|x|, end) and t − middle in new vectors, or in one.
func (c bumpConstants) place(x int) (t, u int) {
	t, u = vec(), vec()
	v("fabs", t, x)
	v("fmin", t, t, c.end)
	if !c.centred {
		return t, t
	}
	v("fsub", u, t, c.middle)
	return t, u
}

// gelu replaces x by its GELU, and returns where place put it.
func (c bumpConstants) gelu(x int, poly []float64) (u int) {
	t, u := c.place(x)
	v("fmax", x, x, c.zero)
	v("fmls", x, polynomial(poly, u), t)
	return u
}

// geluBackward: dx = dy·(Φ(x) + x·φ(x)), and y = x·Φ(x) unless y is nil.
func geluBackward() {
	n, dx, y := length("x"), row{pointer("dx"), 4}, row{pointer("y"), 4}
	x, dy := row{pointer("x"), 4}, row{pointer("dy"), 4}
	wanted := gp()
	mov(wanted, y.register)
	withConstants()
	exps, erfs := newExpConstants(), newErfConstants()
	half := fill(0.5)
	each(n, func(p span) {
		f, z, t := p.load(x), vec(), vec()
		// The density is 0 from 15 on; the clamp keeps 0·∞ away.
		low, high := fill(-15), fill(15)
		v("mov", z, f)
		clamp(z, low, high)
		free(low, high)
		v("fmul", t, z, z)
		minusHalf := fill(-0.5)
		v("fmul", t, t, minusHalf)
		free(minusHalf)
		density := exp(t, exps)
		v("fmul", density, density, z)
		c := fill(math.Sqrt(0.5))
		v("fmul", z, f, c)
		free(c)
		e, cdf := erf(z, erfs), vec()
		v("mov", cdf, half)
		v("fmla", cdf, e, half)
		c = fill(invSqrt2Pi)
		v("mov", t, cdf)
		v("fmla", t, density, c)
		free(c)
		v("fmul", t, t, p.load(dy))
		skip := newLabel("skip")
		cbz(wanted, skip)
		v("fmul", cdf, cdf, f)
		p.store(cdf, y)
		label(skip)
		p.store(t, dx)
	}, dx, y, x, dy)
}

// softmaxRows: x = exp(scale·x − largest), then either divided by its sum, or with the sum's reciprocal in inverse.
// With half the exponentials are rounded by it and stored in the first half of the row's memory, with a zero behind an
// odd row, and inverse is there.
func softmaxRows(half func(x int) int) {
	x, inverse, ld, count, n := pointer("x"), pointer("inverse"), param("ld"), param("rows"), param("cols")
	scale := spread("scale")
	withConstants()
	lowest, one, exps := fill(math.Inf(-1)), fill(1), newExpConstants()
	lsl(ld, ld, 2)
	rows(count, func() {
		const unroll = 4
		at := newRow(x, 4)
		var most []int
		for range unroll {
			most = append(most, vec())
			v("mov", most[len(most)-1], lowest)
		}
		eachUnrolled(n, unroll, func(p span, u int) {
			f := p.load(at)
			v("fmul", f, f, scale)
			v("fmax", most[u], most[u], p.others(f, lowest))
		}, at)
		largest, total := fold("fmax", "fmaxp", most...), cleared(2)
		free(most[1:]...)
		v("fneg", largest, largest)
		mov(at.register, x)
		to := at
		if half != nil {
			to = newRow(x, 2)
		}
		moved := []row{at}
		if half != nil {
			moved = append(moved, to)
		}
		eachUnrolled(n, 2, func(p span, u int) {
			f := vec()
			v("mov", f, largest)
			v("fmla", f, p.load(at), scale)
			e := exp(f, exps)
			if half == nil {
				p.store(e, at)
			}
			p.keep(e)
			v("fadd", total[u], total[u], e)
			if half != nil {
				p.storeHalf(half(e), to)
			}
		}, moved...)
		if half != nil {
			evenHalf(n, to)
		}
		sum := fold("fadd", "faddp", total...)
		v("fdiv s", sum, one, sum)
		normalise, done := newLabel("normalise"), newLabel("done")
		cbz(inverse, normalise)
		v("str s", sum, inverse, 0)
		addi(inverse, inverse, 4)
		branch("b", done)
		label(normalise)
		if half == nil {
			mov(at.register, x)
			eachUnrolled(n, 4, func(p span, _ int) { p.scaleBy(at, sum) }, at)
		}
		label(done)
	}, [2]int{x, ld})
}

// evenHalf puts a zero behind a row of n halves, at its end, if n is odd.
func evenHalf(n int, end row) {
	even := newLabel("even")
	tbz(n, 0, even)
	line("MOVH ZR, ("+"R"+itoa(end.register)+")", "strh wzr, [x"+itoa(end.register)+"]")
	label(even)
}

// softmaxBackward: ds = p·(ds − dot[row])·scale.
func softmaxBackward() {
	ds, pr, dot := pointer("ds"), pointer("p"), pointer("dot")
	ld, count, n, scale := param("ld"), param("rows"), param("cols"), number("scale")
	lsl(ld, ld, 2)
	rows(count, func() {
		d, to, from := vec(), newRow(ds, 4), newRow(pr, 4)
		v("ld1r", d, dot)
		addi(dot, dot, 4)
		eachUnrolled(n, 2, func(p span, _ int) {
			g := p.load(to)
			v("fsub", g, g, d)
			v("fmul", g, g, p.load(from))
			v("fmul lane", g, g, scale, 0)
			p.store(g, to)
		}, to, from)
	}, [2]int{ds, ld}, [2]int{pr, ld})
}
