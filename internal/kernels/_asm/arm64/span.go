package main

// span is a walk over rows of floats, vector by vector. What does not fill a vector is worked on as two floats, then as
// one: vectors then have zeros in the lanes that do not exist.
type span struct {
	lanes int // of the current vector that exist: 4, 2 or 1
	disp  int // floats from where the pointers are
}

// A row is a general register that points to the current place of a row, and the bytes that a float takes there.
type row struct{ register, size int }

// newRow returns a row of size bytes a float, in a new register, that starts at another register's place.
func newRow(from, size int) row {
	r := row{gp(), size}
	mov(r.register, from)
	return r
}

// each emits a loop over n floats (a register, kept); rows are moved on. Body emits the work on one vector; the vectors
// that it takes are given back.
func each(n int, body func(p span), rows ...row) {
	eachUnrolled(n, 1, func(p span, _ int) { body(p) }, rows...)
}

// eachUnrolled is each with several vectors in one turn, so that reductions can have a vector of sums for each (u = 0 …
// unroll − 1). What is left goes one by one to the first.
func eachUnrolled(n, unroll int, body func(p span, u int), rows ...row) {
	left := gp()
	mov(left, n)
	work := func(p span, u int) { scope(func() { body(p, u) }) }
	move := func(floats int) {
		for _, r := range rows {
			addi(r.register, r.register, floats*r.size)
		}
	}
	if unroll > 1 {
		many, rest := newLabel("many"), newLabel("rest")
		subs(left, left, 4*unroll)
		branch("blt", rest)
		head(many)
		for u := range unroll {
			work(span{4, 4 * u}, u)
		}
		move(4 * unroll)
		subs(left, left, 4*unroll)
		branch("bge", many)
		label(rest)
		addi(left, left, 4*unroll)
	}
	one, two, single, done := newLabel("vector"), newLabel("two"), newLabel("one"), newLabel("done")
	subs(left, left, 4)
	branch("blt", two)
	head(one)
	work(span{4, 0}, 0)
	move(4)
	subs(left, left, 4)
	branch("bge", one)
	label(two)
	tbz(left, 1, single)
	work(span{2, 0}, 0)
	move(2)
	label(single)
	tbz(left, 0, done)
	work(span{1, 0}, 0)
	move(1)
	label(done)
	freeGP(left)
}

// load returns the vector at the current place of a row of floats.
func (p span) load(r row) int {
	x := vec()
	p.loadTo(x, r)
	return x
}

func (p span) loadTo(x int, r row) {
	v(map[int]string{4: "ldr q", 2: "ldr d", 1: "ldr s"}[p.lanes], x, r.register, 4*p.disp)
}

func (p span) store(x int, r row) {
	v(map[int]string{4: "str q", 2: "str d", 1: "str s"}[p.lanes], x, r.register, 4*p.disp)
}

// storeHalf stores a vector's halves, which are in its lower half, in a row of two bytes a number.
func (p span) storeHalf(x int, r row) {
	v(map[int]string{4: "str d", 2: "str s", 1: "str h"}[p.lanes], x, r.register, 2*p.disp)
}

// loadHalf returns the floats that a vector of a row of halves is.
func (p span) loadHalf(r row) int {
	x := vec()
	v(map[int]string{4: "ldr d", 2: "ldr s", 1: "ldr h"}[p.lanes], x, r.register, 2*p.disp)
	v("shll", x, x)
	return x
}

// keep clears the lanes of x that do not exist.
func (p span) keep(x int) {
	switch p.lanes {
	case 2:
		v("mov 8b", x, x)
	case 1:
		v("fmov s", x, x)
	}
}

// others returns x with the lanes of another vector where there are none; x is changed only then.
func (p span) others(x, other int) int {
	if p.lanes == 4 {
		return x
	}
	t := vec()
	v("mov", t, other)
	if p.lanes == 2 {
		v("mov d", t, 0, x, 0)
	} else {
		v("mov s", t, 0, x, 0)
	}
	return t
}

// rows emits a loop of count turns, none if it is ≤ 0; each turn's end adds the strides (bytes) to the pointers.
func rows(count int, body func(), strides ...[2]int) {
	first, done := newLabel("row"), newLabel("end")
	cmpi(count, 0)
	branch("ble", done)
	label(first)
	scope(body)
	for _, s := range strides {
		add(s[0], s[0], s[1])
	}
	subs(count, count, 1)
	branch("bne", first)
	label(done)
}

// fold combines vectors by op, pair by pair, and then the lanes by pairwise: the result is in all lanes of the first.
func fold(op, pairwise string, x ...int) int {
	for step := 1; step < len(x); step *= 2 {
		for i := 0; i+step < len(x); i += 2 * step {
			v(op, x[i], x[i], x[i+step])
		}
	}
	v(pairwise, x[0], x[0], x[0])
	v(pairwise, x[0], x[0], x[0])
	return x[0]
}
