package main

// Bits of float32s, as in int8_generic.go.
const (
	infBits  = 0x7f800000
	tinyBits = 0x0da24260
	nanBits  = 0x7fc00000
)

// quantizeRows reads a row twice: for its largest number, compared as integers so that NaN and infinity win, then to
// write the bytes.
func quantizeRows() {
	q, ldq, scale := pointer("q"), param("ldq"), pointer("scale")
	x, ldx, count, k := pointer("x"), param("ldx"), param("rows"), param("k")
	withConstants()
	c127, middle := fill(127), bits(0x80808080)
	lsl(ldx, ldx, 2)
	rows(count, func() {
		at, t := newRow(x, 4), cleared(4)
		eachUnrolled(k, 4, func(p span, u int) {
			f := p.load(at)
			v("fabs", f, f)
			v("umax", t[u], t[u], f)
		}, at)
		per := scaleOf(fold("umax", "umaxp", t...), c127, scale)
		free(t[1:]...)
		addi(scale, scale, 4)
		// The last 64 bytes are zeros' first.
		last := gp()
		subi(last, k, 1)
		lsr(last, last, 6)
		lsl(last, last, 6)
		add(last, last, q)
		v("stp", middle, middle, last, 0)
		v("stp", middle, middle, last, 32)
		mov(at.register, x)
		to := row{last, 1}
		mov(last, q)
		quantizeRow(k, at, to, per, middle)
	}, [2]int{q, ldq}, [2]int{x, ldx})
}

// quantizeRow writes k bytes, 16 at a time, then 4, then 2 and 1 of them.
func quantizeRow(k int, at, to row, per, middle int) {
	left, many, rest := gp(), newLabel("bytes"), newLabel("few")
	// round leaves the vector at the current place as integers.
	round := func(p span) int {
		f := p.load(at)
		v("fmul lane", f, f, per, 0)
		v("fcvtns", f, f)
		return f
	}
	subs(left, k, 16)
	branch("blt", rest)
	head(many)
	scope(func() {
		var f [4]int
		for u := range f {
			f[u] = round(span{4, 4 * u})
		}
		low, high := vec(), vec()
		v("sqxtn", low, f[0])
		v("sqxtn", high, f[2])
		v("sqxtn2", low, f[1])
		v("sqxtn2", high, f[3])
		v("sqxtn b", low, low)
		v("sqxtn2 b", low, high)
		v("eor", low, low, middle) // + 128
		v("str q", low, to.register, 0)
	})
	addi(at.register, at.register, 64)
	addi(to.register, to.register, 16)
	subs(left, left, 16)
	branch("bge", many)
	label(rest)
	addi(left, left, 16)
	each(left, func(p span) {
		f := round(p)
		v("sqxtn", f, f)
		v("sqxtn b", f, f)
		v("eor", f, f, middle)
		v(map[int]string{4: "str s", 2: "str h", 1: "str b"}[p.lanes], f, to.register, 0)
	}, at, to)
}

// scaleOf stores the scale of a row with this largest, and returns what to multiply the row with.
func scaleOf(largest, c127, scale int) int {
	size, limit, other := gp(), gp(), gp()
	odd, tiny, done := newLabel("odd"), newLabel("tiny"), newLabel("scaled")
	per, s := vec(), vec()
	v("fmov w", size, largest)
	movi(limit, infBits)
	cmp(size, limit)
	branch("bhs", odd)
	movi(limit, tinyBits)
	cmp(size, limit)
	branch("blo", tiny)
	v("fdiv s", per, c127, largest)
	v("fdiv s", s, largest, c127)
	v("str s", s, scale, 0)
	branch("b", done)
	label(odd)
	movi(other, nanBits)
	strw(other, scale, 0)
	v("movi 0", per)
	branch("b", done)
	label(tiny)
	movi(other, 0)
	strw(other, scale, 0)
	v("movi 0", per)
	label(done)
	freeGP(size, limit, other)
	return per
}
