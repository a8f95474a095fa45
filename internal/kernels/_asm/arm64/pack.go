package main

func pack() {
	routine("transposeNEON", "(dst, src []float32, ldb, k int)", transpose)
	routine("pairStepsNEON", "(dst, src []int8, steps int)", pairSteps)
}

// transpose writes the transpose of 4 rows of k floats, a multiple of 4, ldb apart, as k rows of 4, 128 bytes apart.
func transpose() {
	dst, src, ldb, k := pointer("dst"), pointer("src"), param("ldb"), param("k")
	lsl(ldb, ldb, 2)
	from := []row{{src, 4}}
	for i := 1; i < 4; i++ {
		r := newRow(from[i-1].register, 4)
		add(r.register, r.register, ldb)
		from = append(from, r)
	}
	each(k, func(p span) {
		if p.lanes < 4 {
			return
		}
		var r, t [4]int
		for i := range r {
			r[i], t[i] = p.load(from[i]), vec()
		}
		v("zip1", t[0], r[0], r[2])
		v("zip2", t[1], r[0], r[2])
		v("zip1", t[2], r[1], r[3])
		v("zip2", t[3], r[1], r[3])
		v("zip1", r[0], t[0], t[2])
		v("zip2", r[1], t[0], t[2])
		v("zip1", r[2], t[1], t[3])
		v("zip2", r[3], t[1], t[3])
		for i := range r {
			v("str q", r[i], dst, 128*i)
		}
		addi(dst, dst, 512)
	}, from...)
}
