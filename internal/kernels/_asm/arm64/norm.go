package main

func norm() {
	routine("layerNormNEON", "(y, mean, rstd, x, gamma, beta []float32, rows, dim int, eps float32)", func() {
		layerNorm(nil)
	})
	routine("layerNormBackwardNEON", "(dx, dgamma, dbeta, dy, x, gamma, mean, rstd []float32, rows, dim int)", func() {
		layerNormBackward(nil)
	})
}

// inverse returns 1/n in the lowest lane of a vector.
func inverse(n, one int) int {
	x := vec()
	v("scvtf s", x, n)
	v("fdiv s", x, one, x)
	return x
}

// layerNorm reads a row three times, from the first cache: its sum, the sum of its squared deviations, the result. With
// half the result is rounded by it and stored as halves, whose rows are ldy apart, and mean and rstd are not kept.
func layerNorm(half func(x int) int) {
	y, x, gamma, beta := pointer("y"), pointer("x"), pointer("gamma"), pointer("beta")
	count, dim, eps := param("rows"), param("dim"), number("eps")
	step, mean, rstd := gp(), 0, 0
	if half == nil {
		mean, rstd = pointer("mean"), pointer("rstd")
	}
	withConstants()
	one := fill(1)
	perDim := inverse(dim, one)
	stepY := step
	lsl(step, dim, 2)
	if half != nil {
		stepY = param("ldy")
		lsl(stepY, stepY, 1)
	}
	rows(count, func() {
		at := newRow(x, 4)
		mu, r := moments(at, dim, perDim, one, eps)
		if half == nil {
			skip := newLabel("skip")
			cbz(mean, skip)
			v("str s", mu, mean, 0)
			v("str s", r, rstd, 0)
			addi(mean, mean, 4)
			addi(rstd, rstd, 4)
			label(skip)
		}
		mov(at.register, x)
		to, g, b := newRow(y, 4), newRow(gamma, 4), newRow(beta, 4)
		if half != nil {
			to.size = 2
		}
		eachUnrolled(dim, 2, func(p span, _ int) {
			f, s := p.load(at), p.load(b)
			v("fsub", f, f, mu)
			v("fmul lane", f, f, r, 0)
			v("fmla", s, f, p.load(g))
			if half == nil {
				p.store(s, to)
			} else {
				p.storeHalf(half(s), to)
			}
		}, at, to, g, b)
		if half != nil {
			evenHalf(dim, to)
		}
	}, [2]int{x, step}, [2]int{y, stepY})
}

// moments returns the mean of dim floats, in all lanes, and 1/√(their variance + eps) in the lowest; it moves x.
func moments(x row, dim, perDim, one, eps int) (mean, rstd int) {
	start, t := newRow(x.register, 4), cleared(4)
	eachUnrolled(dim, 4, func(p span, u int) { v("fadd", t[u], t[u], p.load(x)) }, x)
	mean = fold("fadd", "faddp", t...)
	v("fmul lane", mean, mean, perDim, 0)
	free(t[1:]...)
	t = cleared(4)
	eachUnrolled(dim, 4, func(p span, u int) {
		f := p.load(start)
		v("fsub", f, f, mean)
		p.keep(f)
		v("fmla", t[u], f, f)
	}, start)
	rstd = fold("fadd", "faddp", t...)
	v("fmadd", rstd, rstd, perDim, eps)
	v("fsqrt s", rstd, rstd)
	v("fdiv s", rstd, one, rstd)
	free(t[1:]...)
	freeGP(start.register)
	return mean, rstd
}

// layerNormBackward reads a row twice: dgamma, dbeta and the two sums, then dx. With half mean and rstd are computed
// again first, and what layer norm made of the row is rounded by it and stored as halves, whose rows are ldy apart.
func layerNormBackward(half func(x int) int) {
	dx, dgamma, dbeta, dy := pointer("dx"), pointer("dgamma"), pointer("dbeta"), pointer("dy")
	x, gamma, count, dim := pointer("x"), pointer("gamma"), param("rows"), param("dim")
	withConstants()
	one, step := fill(1), gp()
	perDim := inverse(dim, one)
	lsl(step, dim, 2)
	var mean, rstd, y, beta, ldy, eps int
	if half == nil {
		mean, rstd = pointer("mean"), pointer("rstd")
	} else {
		y, beta, ldy, eps = pointer("y"), pointer("beta"), param("ldy"), number("eps")
		lsl(ldy, ldy, 1)
	}
	rows(count, func() {
		var mu, r int
		if half == nil {
			mu, r = vec(), vec()
			v("ld1r", mu, mean)
			v("ldr s", r, rstd, 0)
			addi(mean, mean, 4)
			addi(rstd, rstd, 4)
		} else {
			mu, r = moments(newRow(x, 4), dim, perDim, one, eps)
		}
		sums := cleared(2)
		a, b := sums[0], sums[1]
		// normal returns the row's vector as layer norm left it, before gamma.
		normal := func(p span, at row) int {
			n := p.load(at)
			v("fsub", n, n, mu)
			v("fmul lane", n, n, r, 0)
			return n
		}
		g, at, scale, to, bias := newRow(dy, 4), newRow(x, 4), newRow(gamma, 4), newRow(dgamma, 4), newRow(dbeta, 4)
		moved := []row{g, at, scale, to, bias}
		var out, shift row
		if half != nil {
			out, shift = newRow(y, 2), newRow(beta, 4)
			moved = append(moved, out, shift)
		}
		each(dim, func(p span) {
			d, n, f := p.load(g), normal(p, at), p.load(scale)
			if half != nil {
				s := p.load(shift)
				v("fmla", s, n, f)
				p.storeHalf(half(s), out)
			}
			t := p.load(bias)
			v("fadd", t, t, d)
			p.store(t, bias)
			t = p.load(to)
			v("fmla", t, d, n)
			p.store(t, to)
			v("fmul", d, d, f) // 0 in lanes that do not exist
			v("fadd", a, a, d)
			v("fmla", b, d, n)
		}, moved...)
		if half != nil {
			evenHalf(dim, out)
			add(y, y, ldy)
		}
		fold("fadd", "faddp", a)
		fold("fadd", "faddp", b)
		v("fmul lane", a, a, perDim, 0)
		v("fmul lane", b, b, perDim, 0)
		mov(g.register, dy)
		mov(at.register, x)
		mov(scale.register, gamma)
		mov(to.register, dx)
		each(dim, func(p span) {
			d, n := p.load(g), normal(p, at)
			v("fmul", d, d, p.load(scale))
			v("fsub", d, d, a)
			v("fmls", d, n, b)
			t := p.load(to)
			v("fmla lane", t, d, r, 0)
			p.store(t, to)
		}, g, at, scale, to)
	}, [2]int{dx, step}, [2]int{dy, step}, [2]int{x, step})
}
