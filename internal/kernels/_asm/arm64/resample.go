package main

func resample() {
	routine("resampleNEON", "(dst, src []byte, ld, n int, first, weights []int32, taps int)", resampleRows)
	routine("transposeBytesNEON", "(dst, src []byte, ldd, lds, n int)", transposeBytes)
}

// resampleRows sums 48 columns at a time, for those of pictures in colour are a multiple of it, then 16.
func resampleRows() {
	dst, src, ld, n := pointer("dst"), pointer("src"), param("ld"), param("n")
	first, count, weights, taps := pointer("first"), length("first"), pointer("weights"), param("taps")
	step := gp()
	lsl(step, taps, 2)
	withConstants()
	half := bits(1 << 21)
	rows(count, func() {
		from, left := gp(), gp()
		ldrsw(from, first, 0)
		mul(from, from, ld)
		add(from, from, src)
		mov(left, n)
		for _, columns := range []int{48, 16} {
			next, fewer := newLabel("columns"), newLabel("fewer")
			label(next)
			cmpi(left, columns)
			branch("blt", fewer)
			scope(func() { weightedSum(dst, from, ld, weights, taps, half, columns) })
			addi(dst, dst, columns)
			addi(from, from, columns)
			subi(left, left, columns)
			branch("b", next)
			label(fewer)
		}
		addi(first, first, 4)
		add(weights, weights, step)
	})
}

// weightedSum writes the bytes of some columns' sums of taps rows.
func weightedSum(dst, from, ld, weights, taps, half, columns int) {
	var sums []int
	for range columns / 4 {
		sums = append(sums, vec())
		v("mov", sums[len(sums)-1], half)
	}
	at, weight, tap, w, next := gp(), gp(), gp(), vec(), newLabel("tap")
	mov(at, from)
	mov(weight, weights)
	mov(tap, taps)
	head(next)
	v("ldr s", w, weight, 0)
	addi(weight, weight, 4)
	for i := range columns / 16 {
		scope(func() {
			x, low, high, t := vec(), vec(), vec(), vec()
			v("ldr q", x, at, 16*i)
			v("uxtl b", low, x)
			v("uxtl2 b", high, x)
			for j, part := range []int{low, low, high, high} {
				v([]string{"uxtl", "uxtl2"}[j%2], t, part)
				v("mla lane", sums[4*i+j], t, w, 0)
			}
		})
	}
	add(at, at, ld)
	subs(tap, tap, 1)
	branch("bne", next)
	for i := range columns / 16 {
		s := sums[4*i : 4*i+4]
		for _, x := range s {
			v("sshr", x, x, 22)
		}
		v("sqxtun", s[0], s[0])
		v("sqxtun2", s[0], s[1])
		v("sqxtun", s[2], s[2])
		v("sqxtun2", s[2], s[3])
		v("uqxtn b", s[0], s[0])
		v("uqxtn2 b", s[0], s[2])
		v("str q", s[0], dst, 16*i)
	}
}

// transposeBytes transposes 16 rows of 8 bytes at a time: each step of four doubles what lies side by side of a column.
func transposeBytes() {
	dst, src, ldd, lds, left := pointer("dst"), pointer("src"), param("ldd"), param("lds"), param("n")
	lsr(left, left, 3)
	rows(left, func() {
		at, out := gp(), gp()
		mov(at, src)
		mov(out, dst)
		var r [8]int
		for i := range r {
			second := vec()
			r[i] = vec()
			v("ldr d", r[i], at, 0)
			add(at, at, lds)
			v("ldr d", second, at, 0)
			add(at, at, lds)
			v("zip1 b", r[i], r[i], second)
			free(second)
		}
		high := vec()
		for i, suffix := range []string{" h", "", " d"} {
			step := 1 << i
			for j := range r {
				if j&step == 0 {
					v("zip2"+suffix, high, r[j], r[j+step])
					v("zip1"+suffix, r[j], r[j], r[j+step])
					r[j+step], high = high, r[j+step]
				}
			}
		}
		for _, i := range []int{0, 4, 2, 6, 1, 5, 3, 7} {
			v("str q", r[i], out, 0)
			add(out, out, ldd)
		}
		addi(src, src, 8)
		mov(dst, out)
	})
}
