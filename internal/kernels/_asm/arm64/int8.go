package main

import "fmt"

// int8s is the products of bytes: a step is four k's, the bytes of 32 bits. Panels are always whole, so there are no
// edges: what is left of a panel's columns is computed with zeros beside it. a comes with 128 too much.
func int8s() {
	signed := parts{
		load: func(k kernel) {
			arg(rFactors, "rowScale")
			withConstants()
			k.fillSpare(0, 0x80808080)
		},
		start: zeros,
		// With the highest bit turned over a is signed and has nothing too much.
		widen: func(k kernel, rows int) {
			for i := range rows {
				v("eor", k.a(i), k.a(i), k.spare(0))
			}
		},
		finish: finishInt8,
	}
	dot, plain := signed, signed
	dot.step = multiplyAdd("sdot lane")
	plain.four, plain.step = fourPlain, stepPlain
	plain.finish = func(k kernel, rows int) {
		for i := range rows {
			for j := range k.vectors() {
				v("addp", k.acc(i, j), k.acc(i, j), k.acc(i, j)+1)
			}
		}
		finishInt8(k, rows)
	}
	kernel{name: "gemmBytes5x16Dot", rows: 5, columns: 16, parts: dot}.emit()
	kernel{name: "gemmBytes4x8NEON", rows: 4, columns: 8, sums: 2, parts: plain}.emit()
	kernel{name: "gemmBytes6x16I8MM", rows: 6, columns: 16, paired: true, parts: parts{
		load:   func(kernel) { arg(rFactors, "rowScale") },
		start:  startMatrices,
		inner:  innerMatrices,
		finish: finishMatrices,
	}}.emit()
	peak("dotsInt8Dot", func(sum, x, y int) { v("sdot lane", sum, x, y, 0) })
	peak("dotsInt8NEON", func(sum, x, y int) {
		v("smull", 26, x, y)
		v("smlal", 26, x, y)
		v("sadalp", sum, 26)
	})
	peak("matricesI8MM", func(sum, x, y int) { v("usmmla", sum, x, y) })
	routine("pairStepsNEON", "(dst, src []int8, steps int)", pairSteps)
	routine("quantizeRowsNEON", "(q []uint8, ldq int, scale, x []float32, ldx, rows, k int)", quantizeRows)
}

// finishInt8 turns exact sums into C: times the column's scale, times the row's, and the bias.
func finishInt8(k kernel, rows int) {
	arg(rTmp, "scale")
	k.loadRow(rTmp)
	for i := range rows {
		v("ldr s", k.a(0), rFactors, 4*i)
		for j := range k.vectors() {
			v("scvtf", k.acc(i, j), k.acc(i, j))
			v("fmul", k.acc(i, j), k.acc(i, j), k.b(j))
			v("fmul lane", k.acc(i, j), k.acc(i, j), k.a(0), 0)
		}
	}
	addi(rFactors, rFactors, 4*rows)
	k.store(rows)
}

// stepPlain adds a step's products without the dot product: bytes to 16 bits, whose pairs are added up in 32. A vector
// of sums has two of each of two columns.
func stepPlain(k kernel, rows, lane int) {
	k.loadRow(rB)
	add(rB, rB, rLDB)
	x, p := k.spare(1), k.spare(3)
	for i := range rows {
		v("dup lane", x, k.a(i), lane)
		for j := range k.vectors() {
			v("smull", p, k.b(j), x)
			v("sadalp", k.acc(i, j), p)
			v("smull2", p, k.b(j), x)
			v("sadalp", k.acc(i, j)+1, p)
		}
	}
}

// fourPlain adds the products of two steps before it widens them, twice: 2·128·127 still is a number of 16 bits.
func fourPlain(k kernel, rows int) {
	x, y, p, q := k.spare(1), k.spare(2), k.spare(3), k.spare(4)
	for lane := 0; lane < 4; lane += 2 {
		k.loadRow(rB)
		add(rB, rB, rLDB)
		v("ldp", k.b(2), k.b(3), rB, 0)
		add(rB, rB, rLDB)
		for i := range rows {
			v("dup lane", x, k.a(i), lane)
			v("dup lane", y, k.a(i), lane+1)
			for j := range k.vectors() {
				v("smull", p, k.b(j), x)
				v("smull2", q, k.b(j), x)
				v("smlal", p, k.b(2+j), y)
				v("smlal2", q, k.b(2+j), y)
				v("sadalp", k.acc(i, j), p)
				v("sadalp", k.acc(i, j)+1, q)
			}
		}
	}
}

// Matrix products take two rows of a and two columns of b, eight k's of each: b's steps come in pairs (pairSteps), and
// vectors of two rows are put together here. A vector of sums has two columns of the one row, then those of the other.

// matrix is the vector of sums of the pair p of rows and the pair c of columns.
func (k kernel) matrix(p, c int) int { return p*2*k.vectors() + c }

// startMatrices gives all sums their first value: minus what a has too much, for here it is taken as it is.
func startMatrices(k kernel, rows int) {
	arg(rTmp, "offset")
	k.loadRow(rTmp)
	for j := range k.vectors() {
		v("neg", k.b(j), k.b(j))
		for p := range (rows + 1) / 2 {
			v("zip1 d", k.matrix(p, 2*j), k.b(j), k.b(j))
			v("zip2 d", k.matrix(p, 2*j+1), k.b(j), k.b(j))
		}
	}
}

// innerMatrices adds the products of sixteen k's at a time, then of eight and of four.
func innerMatrices(k kernel, rows int) {
	name := func(s string) string { return fmt.Sprint(s, rows) }
	pairs, first := (rows+1)/2, k.b(0) // the vectors behind the sums: 8 of them
	// multiply adds the products of a's pairs of rows with the next eight vectors of b, by two at a time.
	multiply := func(a []int, b ...int) {
		for c := 0; c < 2*k.vectors(); c += 2 {
			v("ldp", b[0], b[1], rB, 16*c)
			for u := range 2 {
				for p := range pairs {
					v("usmmla", k.matrix(p, c+u), a[p], b[u])
				}
			}
		}
		addi(rB, rB, 128)
	}
	// load loads both rows of each pair and leaves their first halves side by side in low, the second ones in high.
	load := func(instruction string, second bool) (low, high []int, left int) {
		left = first
		for p := range pairs {
			other, to := first+1+2*p, first+2+2*p
			v(instruction, left, rowRegisters[2*p], rOffset)
			v(instruction, other, rowRegisters[min(2*p+1, rows-1)], rOffset)
			v("zip1 d", to, left, other)
			if second {
				v("zip2 d", other, left, other)
			}
			low, high = append(low, to), append(high, other)
		}
		return low, high, left
	}
	subs(rK, rK, 4)
	branch("blt", name("few"))
	head(name("sixteen"))
	low, high, left := load("ldr q x", true)
	addi(rOffset, rOffset, 16)
	multiply(low, left, first+7)
	multiply(high, left, first+7)
	subs(rK, rK, 4)
	branch("bge", name("sixteen"))
	label(name("few"))
	tbz(rK, 1, name("single"))
	low, _, left = load("ldr d x", false)
	addi(rOffset, rOffset, 8)
	multiply(low, left, first+7)
	label(name("single"))
	tbz(rK, 0, name("finish"))
	low, _, left = load("ldr s x", false)
	multiply(low, left, first+7)
	label(name("finish"))
}

// finishMatrices puts the rows' sums side by side.
func finishMatrices(k kernel, rows int) {
	t := k.b(0)
	for p := range (rows + 1) / 2 {
		for c := 0; c < 2*k.vectors(); c += 2 {
			x, y := k.matrix(p, c), k.matrix(p, c+1)
			v("zip1 d", t, x, y)
			v("zip2 d", y, x, y)
			v("mov", x, t)
		}
	}
	finishInt8(k, rows)
}

// pairSteps lays out 16 columns of a panel, whose steps are 128 bytes apart, as matrix products take them: of each two
// steps the eight bytes of a column side by side. Behind an odd last step are zeros.
func pairSteps() {
	dst, src, left := pointer("dst"), pointer("src"), param("steps")
	odd, done := newLabel("odd"), newLabel("done")
	pair := func(second func(b []int)) {
		a, b := []int{0, 1, 2, 3}, []int{4, 5, 6, 7}
		v("ldp", 0, 1, src, 0)
		v("ldp", 2, 3, src, 32)
		second(b)
		for j := range 4 {
			v("zip1", 16, a[j], b[j])
			v("zip2", 17, a[j], b[j])
			v("stp", 16, 17, dst, 32*j)
		}
	}
	subs(left, left, 2)
	branch("blt", odd)
	head("pairs")
	pair(func(b []int) {
		v("ldp", 4, 5, src, 128)
		v("ldp", 6, 7, src, 160)
	})
	addi(src, src, 256)
	addi(dst, dst, 128)
	subs(left, left, 2)
	branch("bge", "pairs")
	label(odd)
	tbz(left, 0, done)
	pair(func(b []int) {
		for _, x := range b {
			v("movi 0", x)
		}
	})
	label(done)
}
