package main

func vector() {
	routine("axpyNEON", "(dst, src []float32, alpha float32)", func() {
		n, dst, src, alpha := length("src"), row{pointer("dst"), 4}, row{pointer("src"), 4}, number("alpha")
		eachUnrolled(n, 4, func(p span, _ int) {
			x := p.load(dst)
			v("fmla lane", x, p.load(src), alpha, 0)
			p.store(x, dst)
		}, dst, src)
	})
	routine("lerpNEON", "(dst, src []float32, t float32)", func() {
		n, dst, src, t := length("src"), row{pointer("dst"), 4}, row{pointer("src"), 4}, number("t")
		eachUnrolled(n, 4, func(p span, _ int) {
			x, d := p.load(dst), p.load(src)
			v("fsub", d, d, x)
			v("fmla lane", x, d, t, 0)
			p.store(x, dst)
		}, dst, src)
	})
	routine("scaleNEON", "(x []float32, alpha float32)", func() {
		n, x, alpha := length("x"), row{pointer("x"), 4}, number("alpha")
		eachUnrolled(n, 4, func(p span, _ int) { p.scaleBy(x, alpha) }, x)
	})
	routine("scaleRowsNEON", "(x []float32, ld, rows, cols int, factors []float32)", func() {
		x, ld, count, n, factors := pointer("x"), param("ld"), param("rows"), param("cols"), pointer("factors")
		lsl(ld, ld, 2)
		rows(count, func() {
			f, at := vec(), newRow(x, 4)
			v("ldr s", f, factors, 0)
			addi(factors, factors, 4)
			eachUnrolled(n, 4, func(p span, _ int) { p.scaleBy(at, f) }, at)
		}, [2]int{x, ld})
	})
	routine("dotNEON", "(a, b []float32) float32", func() {
		n, a, b := length("a"), row{pointer("a"), 4}, row{pointer("b"), 4}
		x := dot(n, a, b)
		line("FMOVS F0, "+operand("ret"), "str s0, [sp, #8]")
		if x != 0 {
			panic("dot is to be in the first vector")
		}
	})
	routine("dotRowsNEON", "(dst, a, b []float32, ld, rows, cols int)", func() {
		dst, a, b := pointer("dst"), pointer("a"), pointer("b")
		ld, count, n := param("ld"), param("rows"), param("cols")
		lsl(ld, ld, 2)
		rows(count, func() {
			v("str s", dot(n, newRow(a, 4), newRow(b, 4)), dst, 0)
			addi(dst, dst, 4)
		}, [2]int{a, ld}, [2]int{b, ld})
	})
	routine("sumSquaresNEON", "(x []float32) float64", sumSquares)
	routine("columnSumsNEON", "(dst, x []float32, ld, rows, cols int)", func() {
		dst, x := row{pointer("dst"), 4}, row{pointer("x"), 4}
		ld, count, n := param("ld"), param("rows"), param("cols")
		lsl(ld, ld, 2)
		columnSums(dst, x, ld, count, n, func(sum, x int) { v("fadd", sum, sum, x) })
	})
	routine("adamWNEON", "(p, m, v, g []float32, c [9]float32)", adamW)
}

// scaleBy multiplies a row's vector by the lowest lane of factor.
func (p span) scaleBy(r row, factor int) {
	x := p.load(r)
	v("fmul lane", x, x, factor, 0)
	p.store(x, r)
}

// dot returns the sum of the products of two rows, in all lanes.
func dot(n int, a, b row) int {
	t := cleared(4)
	eachUnrolled(n, 4, func(p span, u int) { v("fmla", t[u], p.load(a), p.load(b)) }, a, b)
	return fold("fadd", "faddp", t...)
}

// sumSquares adds squares in float64, in two vectors of two lanes for each of floats.
func sumSquares() {
	n, x := length("x"), row{pointer("x"), 4}
	t := cleared(4)
	eachUnrolled(n, 2, func(p span, u int) {
		f, low, high := p.load(x), vec(), vec()
		v("fcvtl", low, f)
		v("fcvtl2", high, f)
		v("fmla 2d", t[2*u], low, low)
		v("fmla 2d", t[2*u+1], high, high)
	}, x)
	v("fadd 2d", t[0], t[0], t[1])
	v("fadd 2d", t[2], t[2], t[3])
	v("fadd 2d", t[0], t[0], t[2])
	v("faddp d", 0, t[0])
	line("FMOVD F0, "+operand("ret"), "str d0, [sp, #8]")
}

// columnSums runs down count rows, ld bytes apart, with four vectors of sums, then with one. All but dst and x are
// registers that it may change; sum adds a vector to its sums.
func columnSums(dst, x row, ld, count, n int, sum func(sum, x int)) {
	// down adds the sums of some vectors of columns.
	down := func(p span, vectors int) {
		t := cleared(vectors)
		at, left, next := newRow(x.register, 4), gp(), newLabel("down")
		mov(left, count)
		head(next)
		for u := range vectors {
			scope(func() { sum(t[u], span{p.lanes, 4 * u}.load(at)) })
		}
		add(at.register, at.register, ld)
		subs(left, left, 1)
		branch("bne", next)
		for u := range vectors {
			q := span{p.lanes, 4 * u}
			old := q.load(dst)
			v("fadd", old, old, t[u])
			q.store(old, dst)
		}
	}
	many, rest := newLabel("many"), newLabel("rest")
	subs(n, n, 16)
	branch("blt", rest)
	label(many)
	scope(func() { down(span{lanes: 4}, 4) })
	addi(x.register, x.register, 64)
	addi(dst.register, dst.register, 64)
	subs(n, n, 16)
	branch("bge", many)
	label(rest)
	addi(n, n, 16)
	each(n, func(p span) { down(p, 1) }, x, dst)
}

// adamW reads its constants from an array, the package's adamWConstants.
func adamW() {
	n, pp, m, w, g := length("p"), row{pointer("p"), 4}, row{pointer("m"), 4}, row{pointer("v"), 4}, row{pointer("g"), 4}
	var c [9]int
	for i := range c {
		c[i] = vec()
		at := parameters["c"] + 4*i
		line("FMOVS c_"+string(rune('0'+i))+"+"+itoa(at)+"(FP), F"+itoa(c[i]), "ldr s"+itoa(c[i])+", [sp, #"+itoa(at+8)+"]")
		v("dup lane", c[i], c[i], 0)
	}
	each(n, func(p span) {
		d, m1, v1 := p.load(g), p.load(m), p.load(w)
		v("fmul", d, d, c[5])
		v("fmul", m1, m1, c[1])
		v("fmla", m1, d, c[2])
		p.store(m1, m)
		v("fmul", d, d, d)
		v("fmul", v1, v1, c[3])
		v("fmla", v1, d, c[4])
		p.store(v1, w)
		v("fmul", v1, v1, c[7])
		v("fsqrt", v1, v1)
		v("fadd", v1, v1, c[8])
		v("fmul", m1, m1, c[6])
		v("fdiv", m1, m1, v1)
		x := p.load(pp)
		v("fmul", x, x, c[0])
		v("fsub", x, x, m1)
		p.store(x, pp)
	}, pp, m, w, g)
}
