package main

// bf16Train is what training in bfloat16 needs besides products (BF16): mostly what leaves a matrix as rows, for a
// product along them, and as pairs of rows side by side, for one across them. Strides of the routines of pairs are in
// bytes.
func bf16Train() {
	routine("interleaveBF16", "(dst, x []uint16, ldx, pairs, cols int)", sideBySide)
	routine("roundPairsBF16", "(y []uint16, ldy int, dst []uint16, panel int, x []float32, ldx, pairs, cols int)",
		roundPairs)
	routine("geluHalfBF16", "(h, y []uint16, ldy int, x []float32, rows, cols int)", geluHalf)
	routine("geluBackwardPairsBF16", "(dx []uint16, ldx int, dxPairs, yPairs []uint16, panel int, h []uint16, "+
		"dy []float32, ld, pairs, cols int)", geluBackwardPairs)
	routine("softmaxBackwardPairsBF16", "(ds []uint16, ldd int, dsPairs, pPairs []uint16, panel int, "+
		"dp, p, inverse []float32, ld, pairs, cols int, scale float32)", softmaxBackwardPairs)
	routine("layerNormBackwardHalfBF16", "(dx, dgamma, dbeta []float32, y []uint16, ldy int, "+
		"dy, x, gamma, beta []float32, rows, dim int, eps float32)", func() {
		withConstants()
		layerNormBackward(newConvert())
	})
	routine("pairSumsBF16", "(dst []float32, x []uint16, pairs, cols int)", func() {
		dst, x := row{pointer("dst"), 4}, row{pointer("x"), 4}
		pairs, n, step := param("pairs"), param("cols"), gp()
		withConstants()
		ones := bits(0x3f803f80)
		movi(step, panelBytes)
		columnSums(dst, x, step, pairs, n, func(sum, x int) { v("bfdot", sum, x, ones) })
	})
}

// panelBytes is what a pair of rows takes in a panel: 32 columns of two halves.
const panelBytes = 128

// clearPanels writes zeros to a pair's place in each panel if n columns are fewer than a panel has.
func clearPanels(n int, panels ...row) {
	whole := newLabel("whole")
	cmpi(n, panelBytes/4)
	branch("bge", whole)
	zero := cleared(1)[0]
	for _, p := range panels {
		for at := 0; at < panelBytes; at += 32 {
			v("stp", zero, zero, p.register, at)
		}
	}
	free(zero)
	label(whole)
}

// overPanels emits a loop over n columns (a register, kept) of rows and of panels of pairs, 4 bytes a column, between
// whose places there are gap bytes (a register): both are moved. Columns that the last panel has too many become 0.
func overPanels(n, gap int, rows, panels []row, body func(p span)) {
	left, columns, next := gp(), gp(), newLabel("panel")
	mov(left, n)
	label(next)
	movi(columns, panelBytes/4)
	cmp(left, columns)
	csel(columns, left, columns, "lt")
	clearPanels(columns, panels...)
	eachUnrolled(columns, 2, func(p span, _ int) { body(p) }, append(rows, panels...)...)
	for _, p := range panels {
		add(p.register, p.register, gap)
	}
	subs(left, left, panelBytes/4)
	branch("bgt", next)
	freeGP(left, columns)
}

// gap loads the parameter panel, the bytes from a panel to the next, less what a pair takes.
func gap() int {
	r := param("panel")
	subi(r, r, panelBytes)
	return r
}

// two returns rows of size bytes a number at an address and ld bytes behind.
func two(from, ld, size int) []row {
	a, b := newRow(from, size), newRow(from, size)
	add(b.register, b.register, ld)
	return []row{a, b}
}

// twoRows are the strides by which a matrix's address moves on by two rows.
func twoRows(at, ld int) [][2]int { return [][2]int{{at, ld}, {at, ld}} }

// storePairs stores two rows' halves side by side, in the place of floats; it changes the first ones.
func (p span) storePairs(a, b int, to row) {
	v("zip1 h", a, a, b)
	p.store(a, to)
}

// sideBySide writes pairs·2 rows of halves x [pairs·2, cols], cols ≤ 32, side by side as [pairs][32][2].
func sideBySide() {
	dst, x, ldx, pairs, n := pointer("dst"), pointer("x"), param("ldx"), param("pairs"), param("cols")
	rows(pairs, func() {
		from, to := two(x, ldx, 2), newRow(dst, 4)
		clearPanels(n, to)
		eachUnrolled(n, 4, func(p span, _ int) {
			var half [2]int
			for r := range half {
				half[r] = vec()
				load := map[int]string{4: "ldr d", 2: "ldr s", 1: "ldr h"}[p.lanes]
				v(load, half[r], from[r].register, 2*p.disp)
			}
			p.storePairs(half[0], half[1], to)
		}, append(from, to)...)
		addi(dst, dst, panelBytes)
	}, twoRows(x, ldx)...)
}

// roundPairs leaves x [pairs·2, cols] rounded as rows y and as pairs.
func roundPairs() {
	y, ldy, dst, gap := pointer("y"), param("ldy"), pointer("dst"), gap()
	x, ldx, count, n := pointer("x"), param("ldx"), param("pairs"), param("cols")
	withConstants()
	half := newConvert()
	rows(count, func() {
		from, to, pairs := two(x, ldx, 4), two(y, ldy, 2), newRow(dst, 4)
		overPanels(n, gap, append(from, to...), []row{pairs}, func(p span) {
			a, b := half(p.load(from[0])), half(p.load(from[1]))
			p.storeHalf(a, to[0])
			p.storeHalf(b, to[1])
			p.storePairs(a, b, pairs)
		})
		evenHalf(n, to[0])
		evenHalf(n, to[1])
		addi(dst, dst, panelBytes)
	}, append(twoRows(x, ldx), twoRows(y, ldy)...)...)
}

// geluHalf rounds x [rows, cols] to h, and gelu of that to y, rows of which lie ldy apart.
func geluHalf() {
	h, y, ldy, x, count, n := pointer("h"), pointer("y"), param("ldy"), pointer("x"), param("rows"), param("cols")
	withConstants()
	half, c := newConvert(), newBumpConstants(geluBumpEnd, geluBumpEnd/2)
	lsl(ldy, ldy, 1)
	from, kept := row{x, 4}, row{h, 2} // rows without gaps
	rows(count, func() {
		to := newRow(y, 2)
		eachUnrolled(n, 2, func(p span, _ int) {
			f := half(p.load(from))
			p.storeHalf(f, kept)
			v("shll", f, f)
			c.gelu(f, geluBumpPoly)
			p.storeHalf(half(f), to)
		}, from, kept, to)
		evenHalf(n, to)
	}, [2]int{y, ldy})
}

// geluBackwardPairs: with x the halves h, y = gelu(x) goes to pairs, and dx = dy·gelu'(x) to rows and to pairs.
func geluBackwardPairs() {
	dx, ldx, dxPairs, yPairs, gap := pointer("dx"), param("ldx"), pointer("dxPairs"), pointer("yPairs"), gap()
	h, dy, ld, count, n := pointer("h"), pointer("dy"), param("ld"), param("pairs"), param("cols")
	ldh := gp()
	lsr(ldh, ld, 1) // rows of h are as long as those of dy
	withConstants()
	half, c := newConvert(), newBumpConstants(geluBumpEnd, geluBumpEnd/2)
	sign, plus := bits(1<<31), fill(0.5)
	rows(count, func() {
		in, grads, out := two(h, ldh, 2), two(dy, ld, 4), two(dx, ldx, 2)
		toX, toY := newRow(dxPairs, 4), newRow(yPairs, 4)
		moved := append(append(in, grads...), out...)
		overPanels(n, gap, moved, []row{toX, toY}, func(p span) {
			var y, d [2]int
			for r := range 2 {
				y[r] = p.loadHalf(in[r])
				s := vec()
				v("and", s, y[r], sign)
				d[r] = polynomial(geluSlopePoly, c.gelu(y[r], geluBumpPoly))
				v("eor", d[r], d[r], s) // with the sign of x
				v("fadd", d[r], d[r], plus)
				v("fmul", d[r], d[r], p.load(grads[r]))
				y[r], d[r] = half(y[r]), half(d[r])
				p.storeHalf(d[r], out[r])
			}
			p.storePairs(y[0], y[1], toY)
			p.storePairs(d[0], d[1], toX)
		})
		evenHalf(n, out[0])
		evenHalf(n, out[1])
		addi(dxPairs, dxPairs, panelBytes)
		addi(yPairs, yPairs, panelBytes)
	}, append(append(twoRows(dx, ldx), twoRows(dy, ld)...), twoRows(h, ldh)...)...)
}

// softmaxBackwardPairs: with P = p·inverse[row] and D = Σ P∘dp of the row, P goes to pairs, and P∘(dp − D)·scale to
// rows and to pairs.
func softmaxBackwardPairs() {
	ds, ldd, dsPairs, pPairs, gap := pointer("ds"), param("ldd"), pointer("dsPairs"), pointer("pPairs"), gap()
	dp, pr, inverse := pointer("dp"), pointer("p"), pointer("inverse")
	ld, count, n, scale := param("ld"), param("pairs"), param("cols"), number("scale")
	withConstants()
	half := newConvert()
	rows(count, func() {
		var dot, per [2]int
		for r := range 2 {
			per[r] = vec()
			v("ldr s", per[r], inverse, 4*r)
		}
		sums := [2][]int{cleared(2), cleared(2)}
		scope(func() {
			grads, probs := two(dp, ld, 4), two(pr, ld, 4)
			eachUnrolled(n, 2, func(p span, u int) {
				for r := range 2 {
					v("fmla", sums[r][u], p.load(grads[r]), p.load(probs[r]))
				}
			}, append(grads, probs...)...)
		})
		for r := range 2 {
			dot[r] = fold("fadd", "faddp", sums[r]...)
			v("fmul lane", dot[r], dot[r], per[r], 0)
			free(sums[r][1])
		}
		grads, probs, out := two(dp, ld, 4), two(pr, ld, 4), two(ds, ldd, 2)
		toS, toP := newRow(dsPairs, 4), newRow(pPairs, 4)
		overPanels(n, gap, append(append(grads, probs...), out...), []row{toS, toP}, func(p span) {
			var q, g [2]int
			for r := range 2 {
				q[r], g[r] = p.load(probs[r]), p.load(grads[r])
				v("fmul lane", q[r], q[r], per[r], 0)
				v("fsub", g[r], g[r], dot[r])
				v("fmul", g[r], g[r], q[r])
				v("fmul lane", g[r], g[r], scale, 0)
				q[r], g[r] = half(q[r]), half(g[r])
				p.storeHalf(g[r], out[r])
			}
			p.storePairs(q[0], q[1], toP)
			p.storePairs(g[0], g[1], toS)
		})
		evenHalf(n, out[0])
		evenHalf(n, out[1])
		addi(inverse, inverse, 8)
		addi(dsPairs, dsPairs, panelBytes)
		addi(pPairs, pPairs, panelBytes)
	}, append(append(twoRows(ds, ldd), twoRows(dp, ld)...), twoRows(pr, ld)...)...)
}
