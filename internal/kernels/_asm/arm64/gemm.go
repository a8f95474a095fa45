package main

// gemm is the products of floats, of 16 columns or what is left of a panel: the sum of some of 16, 8, 4, 2 and 1.
func gemm() {
	for _, k := range []kernel{
		{name: "gemm5x16NEON", rows: 5, columns: 16}, {name: "gemm8x8NEON", rows: 8, columns: 8},
		{name: "gemm8x4NEON", rows: 8, columns: 4}, {name: "gemm8x2NEON", rows: 8, columns: 2},
		{name: "gemm8x1NEON", rows: 8, columns: 1},
	} {
		k.parts = parts{start: zeros, step: multiplyAdd("fmla lane"), finish: kernel.store}
		k.emit()
	}
	peak("multiplyAddsNEON", func(sum, x, y int) { v("fmla lane", sum, x, y, 0) })
}

// zeros clears the sums.
func zeros(k kernel, rows int) {
	if k.paired {
		rows += rows & 1
	}
	for i := range rows * k.vectors() * k.sums {
		v("movi 0", i)
	}
}

// multiplyAdd adds a step's products by one instruction for each vector of sums.
func multiplyAdd(instruction string) func(k kernel, rows, lane int) {
	return func(k kernel, rows, lane int) {
		k.loadRow(rB)
		add(rB, rB, rLDB)
		for j := range k.vectors() {
			for i := range rows {
				v(instruction, k.acc(i, j), k.b(j), k.a(i), lane)
			}
		}
	}
}

// peak emits a routine that runs rounds of 24 independent operations.
func peak(name string, operation func(sum, x, y int)) {
	routine(name, "(rounds int)", func() {
		rounds := param("rounds")
		for i := range 26 {
			v("movi 0", i)
		}
		head("round")
		for i := range 24 {
			operation(i, 24, 25)
		}
		subs(rounds, rounds, 1)
		branch("bne", "round")
	})
}
