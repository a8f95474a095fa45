package main

// int8s is the products of bytes: a step is four k's, the bytes of 32 bits. Panels are always whole, so there are no
// edges: what is left of a panel's columns is computed with zeros beside it. a comes with 128 too much.
func int8s() {
	signed := parts{
		load: func(k kernel) {
			arg(rFactors, "rowScale")
			withConstants()
			k.fillSpare(0, 0x80808080)
		},
		start: startSigned,
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
		load:  func(kernel) { arg(rFactors, "rowScale") },
		start: startMatrices,
		inner: innerMatrices("usmmla", false),
		finish: func(k kernel, rows int) {
			separateRows(k, rows)
			finishInt8(k, rows)
		},
	}}.emit()
	peak("dotsInt8Dot", func(sum, x, y int) { v("sdot lane", sum, x, y, 0) })
	peak("dotsInt8NEON", func(sum, x, y int) {
		v("smull", 26, x, y)
		v("smlal", 26, x, y)
		v("sadalp", sum, 26)
	})
	peak("matricesI8MM", func(sum, x, y int) { v("usmmla", sum, x, y) })
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

// startSigned gives all sums their first value: zeros, or what they lack if a had nothing too much.
func startSigned(k kernel, rows int) {
	arg(rTmp, "offset")
	k.loadRow(rTmp)
	zero := k.b(k.vectors())
	if k.sums == 2 {
		v("movi 0", zero)
	}
	for i := range rows {
		for j := range k.vectors() {
			if k.sums == 2 { // of two columns each, of whose two sums the first one gets it
				v("zip1", k.acc(i, j), k.b(j), zero)
				v("zip2", k.acc(i, j)+1, k.b(j), zero)
			} else {
				v("mov", k.acc(i, j), k.b(j))
			}
		}
	}
}

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
