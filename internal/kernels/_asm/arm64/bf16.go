package main

import "fmt"

// bf16 is the products of pairs of bfloat16s, by the machine's dot and matrix products (BF16) or in float32, and what
// rounds to them: by the machine's conversion or by arithmetic on the bits.
func bf16() {
	kernel{name: "gemmPairs5x16BF16", rows: 5, columns: 16, parts: parts{
		start: zeros, step: multiplyAdd("bfdot lane"), finish: kernel.store,
	}}.emit()
	kernel{name: "gemmPairs5x16NEON", rows: 5, columns: 16, parts: parts{
		load: func(k kernel) {
			withConstants()
			k.fillSpare(0, 0xffff0000)
		},
		start: zeros, inner: innerWidened, finish: kernel.store,
	}}.emit()
	kernel{name: "gemmPairs6x16BF16", rows: 6, columns: 16, paired: true, parts: parts{
		start: zeros,
		inner: innerMatrices("bfmmla", true),
		finish: func(k kernel, rows int) {
			separateRows(k, rows)
			k.store(rows)
		},
	}}.emit()
	peak("matricesBF16", func(sum, x, y int) { v("bfmmla", sum, x, y) })
	for _, way := range []struct {
		name string
		new  func() func(x int) int
	}{{"NEON", newRound}, {"BF16", newConvert}} {
		routine("roundHalf"+way.name, "(y []uint16, ldy int, x []float32, ldx, rows, k int)", func() {
			roundHalf(way.new)
		})
		routine("layerNormHalf"+way.name,
			"(y []uint16, ldy int, x, gamma, beta []float32, rows, dim int, eps float32)", func() {
				withConstants()
				layerNorm(way.new())
			})
	}
	routine("softmaxHalfBF16", "(x, inverse []float32, ld, rows, cols int, scale float32)", func() {
		withConstants()
		softmaxRows(newConvert())
	})
	routine("packPairsBF16", "(dst []uint16, x []float32, ldx, pairs, cols int)", packPairs)
}

// innerWidened adds a pair's products in float32: the lower halves', shifted up, then the upper ones', masked. Four k's
// of a row fill a vector; pairs that do not lie side by side go one by one.
func innerWidened(k kernel, rows int) {
	name := func(s string) string { return fmt.Sprint(s, rows) }
	load := func(instruction string, bytes int) {
		for i := range rows {
			v(instruction, k.a(i), rowRegisters[i], rOffset)
			v("shll", k.a(i), k.a(i))
		}
		if bytes > 0 {
			addi(rOffset, rOffset, bytes)
		} else {
			add(rOffset, rOffset, rColA)
		}
	}
	pair := func(lane int) {
		for half := range 2 {
			k.loadRow(rB)
			for j := range k.vectors() {
				if half == 0 {
					v("shl", k.b(j), k.b(j), 16)
				} else {
					v("and", k.b(j), k.b(j), k.spare(0))
				}
				for i := range rows {
					v("fmla lane", k.acc(i, j), k.b(j), k.a(i), lane+half)
				}
			}
		}
		add(rB, rB, rLDB)
	}
	cmpi(rColA, 4)
	branch("bne", name("rest"))
	subs(rK, rK, 2)
	branch("blt", name("few"))
	head(name("two"))
	load("ldr d x", 8)
	pair(0)
	pair(2)
	subs(rK, rK, 2)
	branch("bge", name("two"))
	label(name("few"))
	addi(rK, rK, 2)
	label(name("rest"))
	cbz(rK, name("finish"))
	head(name("one"))
	load("ldr s x", 0)
	pair(0)
	subs(rK, rK, 1)
	branch("bne", name("one"))
	label(name("finish"))
}

// newConvert returns what rounds a vector by the machine's conversion, which leaves subnormal numbers as they are: they
// become zeros first. The result is in the lower half of x.
func newConvert() func(x int) int {
	normal := bits(0x00800000)
	return func(x int) int {
		t := vec()
		v("facgt", t, normal, x) // false for NaN
		v("ushr", t, t, 1)       // all bits but the sign
		v("bic", x, x, t)
		v("bfcvtn", x, x)
		free(t)
		return x
	}
}

// newRound returns what rounds a vector to nearest even by arithmetic.
func newRound() func(x int) int {
	exponent, one, almostHalf, quiet := bits(0x7f800000), bits(1), bits(0x7fff), bits(0x00400000)
	return func(x int) int {
		t, r := vec(), vec()
		v("and", t, x, exponent)
		v("cmeq 0", t, t)
		v("ushr", t, t, 1) // all bits but the sign of subnormal numbers
		v("bic", x, x, t)
		v("ushr", r, x, 16)
		v("and", r, r, one)
		v("add", r, r, x)
		v("add", r, r, almostHalf)
		v("fcmeq", t, x, x) // false for NaN
		v("orr", x, x, quiet)
		v("bit", x, r, t)
		v("shrn", x, x, 16)
		free(t, r)
		return x
	}
}

// roundHalf writes y = x rounded, row by row, with a zero behind a row of odd length.
func roundHalf(newHalf func() func(x int) int) {
	y, ldy, x, ldx := pointer("y"), param("ldy"), pointer("x"), param("ldx")
	count, n := param("rows"), param("k")
	withConstants()
	half := newHalf()
	lsl(ldy, ldy, 1)
	lsl(ldx, ldx, 2)
	rows(count, func() {
		from, to := newRow(x, 4), newRow(y, 2)
		eachUnrolled(n, 2, func(p span, _ int) { p.storeHalf(half(p.load(from)), to) }, from, to)
		evenHalf(n, to)
	}, [2]int{y, ldy}, [2]int{x, ldx})
}

// packPairs writes pairs·2 rows of x [pairs·2, cols], cols a multiple of 4, as [pairs][32][2] halves, the two being of
// neighbouring rows.
func packPairs() {
	dst, x, ldx, pairs, n := pointer("dst"), pointer("x"), param("ldx"), param("pairs"), param("cols")
	withConstants()
	half, line := newConvert(), gp()
	lsl(ldx, ldx, 2)
	movi(line, 128)
	rows(pairs, func() {
		upper, lower, to := newRow(x, 4), newRow(x, 4), newRow(dst, 4)
		add(lower.register, lower.register, ldx)
		each(n, func(p span) {
			if p.lanes < 4 {
				return
			}
			a, b := half(p.load(upper)), half(p.load(lower))
			v("zip1 h", a, a, b)
			v("str q", a, to.register, 0)
		}, upper, lower, to)
		add(x, x, ldx)
	}, [2]int{x, ldx}, [2]int{dst, line})
}
