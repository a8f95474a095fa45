package main

import "fmt"

// Matrix products take two rows of a and two columns of b, two steps of each: b's steps come in pairs (pairSteps), and
// vectors of two rows are put together here. A vector of sums has two columns of the one row, then those of the other.

// matrix is the vector of sums of the pair p of rows and the pair c of columns.
func (k kernel) matrix(p, c int) int { return p*2*k.vectors() + c }

// innerMatrices returns what adds the products of four steps at a time, then of two and of one. With apart, a's steps
// may also lie apart, its rows side by side.
func innerMatrices(instruction string, apart bool) func(k kernel, rows int) {
	return func(k kernel, rows int) {
		m := matrices{k, rows, instruction}
		if apart {
			cmpi(rColA, 4)
			branch("bne", m.name("apart"))
		}
		m.together()
		if apart {
			branch("b", m.name("finish"))
			label(m.name("apart"))
			m.apart()
		}
		label(m.name("finish"))
	}
}

// matrices is a tile of rows that an instruction multiplies.
type matrices struct {
	kernel
	rows        int
	instruction string
}

func (m matrices) name(s string) string { return fmt.Sprint(s, m.rows) }
func (m matrices) pairs() int           { return (m.rows + 1) / 2 }

// multiply adds the products of a's pairs of rows with the next eight vectors of b, by two at a time.
func (m matrices) multiply(a []int, b ...int) {
	for c := 0; c < 2*m.vectors(); c += 2 {
		v("ldp", b[0], b[1], rB, 16*c)
		for u := range 2 {
			for p := range m.pairs() {
				v(m.instruction, m.matrix(p, c+u), a[p], b[u])
			}
		}
	}
	addi(rB, rB, 128)
}

// together is for rows whose steps lie side by side.
func (m matrices) together() {
	first := m.b(0) // of the vectors behind the sums: 8 of them
	// load loads both rows of each pair and leaves their first halves side by side in low, the second ones in high.
	load := func(instruction string, second bool) (low, high []int, left int) {
		left = first
		for p := range m.pairs() {
			other, to := first+1+2*p, first+2+2*p
			v(instruction, left, rowRegisters[2*p], rOffset)
			v(instruction, other, rowRegisters[min(2*p+1, m.rows-1)], rOffset)
			v("zip1 d", to, left, other)
			if second {
				v("zip2 d", other, left, other)
			}
			low, high = append(low, to), append(high, other)
		}
		return low, high, left
	}
	subs(rK, rK, 4)
	branch("blt", m.name("few"))
	head(m.name("four"))
	low, high, left := load("ldr q x", true)
	addi(rOffset, rOffset, 16)
	m.multiply(low, left, first+7)
	m.multiply(high, left, first+7)
	subs(rK, rK, 4)
	branch("bge", m.name("four"))
	label(m.name("few"))
	tbz(rK, 1, m.name("single"))
	low, _, left = load("ldr d x", false)
	addi(rOffset, rOffset, 8)
	m.multiply(low, left, first+7)
	label(m.name("single"))
	tbz(rK, 0, m.name("finish"))
	low, _, left = load("ldr s x", false)
	m.multiply(low, left, first+7)
}

// apart is for steps that lie apart, each with the rows side by side.
func (m matrices) apart() {
	first := m.b(0)
	// load loads a step of each pair of rows, of a last row alone with zeros behind it.
	load := func(second int) {
		for p := range m.pairs() {
			instruction := "ldr d x"
			if 2*p+1 == m.rows {
				instruction = "ldr s x"
			}
			v(instruction, first+2*p+second, rowRegisters[2*p], rOffset)
		}
		add(rOffset, rOffset, rColA)
	}
	multiply := func() {
		var a []int
		for p := range m.pairs() {
			x := first + 2*p
			v("zip1", x, x, x+1)
			a = append(a, x)
		}
		m.multiply(a, first+6, first+7)
	}
	subs(rK, rK, 2)
	branch("blt", m.name("last"))
	head(m.name("two"))
	load(0)
	load(1)
	multiply()
	subs(rK, rK, 2)
	branch("bge", m.name("two"))
	label(m.name("last"))
	tbz(rK, 0, m.name("finish"))
	load(0)
	for p := range m.pairs() {
		v("movi 0", first+2*p+1)
	}
	multiply()
}

// separateRows puts the rows' sums side by side.
func separateRows(k kernel, rows int) {
	t := k.b(0)
	for p := range (rows + 1) / 2 {
		for c := 0; c < 2*k.vectors(); c += 2 {
			x, y := k.matrix(p, c), k.matrix(p, c+1)
			v("zip1 d", t, x, y)
			v("zip2 d", y, x, y)
			v("mov", x, t)
		}
	}
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
