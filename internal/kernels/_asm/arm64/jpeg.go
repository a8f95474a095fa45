package main

// jpeg emits routines on integers of 16 and 32 bits: a block has eight columns.
func jpeg() {
	routine("inverseDCTNEON", "(dst []byte, stride int, b, q *[64]int16)", inverseDCT)
	routine("upsample16NEON", "(dst, near, far []byte, even, odd, n int)", upsample16)
	routine("rgb16NEON", "(dst, y, cb, cr []byte, n int)", rgb16)
}

// factors are numbers of 16 bits in the lanes of vectors that products take them from.
type factors struct {
	values  []int
	vectors []int
}

// newFactors loads up to 16 factors. No vector may have been taken before them but a few.
func newFactors(name string, values ...int) factors {
	f := factors{values: values}
	padded := append(values, make([]int, 16-len(values))...)
	var pairs []uint32
	for i := 0; i < len(padded); i += 2 {
		pairs = append(pairs, uint32(uint16(padded[i]))|uint32(uint16(padded[i+1]))<<16)
	}
	at := table(name, pairs)
	for i := range 2 {
		f.vectors = append(f.vectors, vec())
		v("ldr q", f.vectors[i], at, 16*i)
	}
	freeGP(at)
	return f
}

// times emits an instruction on x and a factor, of the lower four numbers or of the upper ones.
func (f factors) times(name string, half, d, x, factor int) {
	for i, c := range f.values {
		if c == factor {
			v(name+[]string{"", "2"}[half]+" lane", d, x, f.vectors[i/8], i%8)
			return
		}
	}
	panic("no such factor")
}

// product returns x·factor in a new vector of 32 bits, add adds it to d.
func (f factors) product(half, x, factor int) int {
	d := vec()
	f.times("smull", half, d, x, factor)
	return d
}

func (f factors) add(half, d, x, factor int) { f.times("smlal", half, d, x, factor) }

// dctPass is the transform of eight columns or rows, whose numbers are c, in the order 0, 4, 2, 6, 1, 3, 5, 7; it
// changes the first two. Narrow makes 16 bits of sums, for one half of out after the other.
func (f factors) dctPass(c [8]int, narrow func(half, out, sum int)) (out [8]int) {
	sum, difference, c2, c6, c1, c3, c5, c7 := c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
	z, w := vec(), vec()
	v("sub h", z, sum, difference)
	v("add h", sum, sum, difference)
	v("mov", difference, z)
	v("add h", z, c1, c5)
	v("add h", w, c3, c7)
	for i := range out {
		out[i] = vec()
	}
	for half := range 2 {
		scope(func() {
			var e [4]int
			// even makes e[i] and e[j] of two parts.
			even := func(i, j, p, u int) {
				e[i], e[j] = p, vec()
				v("sub", e[j], p, u)
				v("add", e[i], p, u)
				free(u)
			}
			u := f.product(half, c2, 10703)
			f.add(half, u, c6, 4433)
			even(0, 3, f.product(half, sum, 8192), u)
			u = f.product(half, c2, 4433)
			f.add(half, u, c6, -10704)
			even(1, 2, f.product(half, difference, 8192), u)
			y, x := f.product(half, z, 6437), f.product(half, z, 9633)
			f.add(half, y, w, 9633)
			f.add(half, x, w, -6436)
			o, t := vec(), vec()
			for i, odd := range [4]struct{ rest, a, timesA, b, timesB int }{
				{y, c1, 4926, c7, -7373}, {x, c3, 4177, c5, -20995}, {y, c3, -20995, c5, -4176}, {x, c1, -7373, c7, -4927},
			} {
				v("mov", o, odd.rest)
				f.add(half, o, odd.a, odd.timesA)
				f.add(half, o, odd.b, odd.timesB)
				v("add", t, e[i], o)
				narrow(half, out[i], t)
				v("sub", t, e[i], o)
				narrow(half, out[7-i], t)
			}
		})
	}
	free(z, w)
	return out
}

// interleaved returns vectors of the numbers of the first half of x in turn with those of the second half. The spare
// vector is among them, and one of x becomes the spare.
func interleaved(suffix string, x []int, spare *int) (y []int) {
	n := len(x) / 2
	for i := range n {
		v("zip2"+suffix, *spare, x[i], x[i+n])
		v("zip1"+suffix, x[i], x[i], x[i+n])
		y = append(y, x[i], *spare)
		*spare = x[i+n]
	}
	return y
}

func inverseDCT() {
	dst, stride, b, q := pointer("dst"), param("stride"), param("b"), param("q")
	f := newFactors("dctFactors", 8192, 10703, 4433, -10704, 6437, 9633, -6436, 4926, -7373, 4177, -20995, -4176, -4927)
	withConstants()
	var c [8]int
	for i := range c {
		c[i] = vec()
	}
	below, size := vec(), gp()
	scope(func() {
		r := [2]int{vec(), vec()}
		for i := 0; i < len(c); i += 2 {
			v("ld2 h", c[i], c[i+1], b)
		}
		v("mov", below, c[1])
		for _, x := range c[2:] {
			v("orr", below, below, x)
		}
		for i := 0; i < len(c); i += 2 {
			v("ld2 h", r[0], r[1], q)
			v("mul h", c[i], c[i], r[0])
			v("mul h", c[i+1], c[i+1], r[1])
		}
	})
	fold("umaxp", "umaxp", below)
	v("fmov w", size, below)
	flat, done := newLabel("flat"), newLabel("rows")
	cbz(size, flat)
	columns := f.dctPass(c, func(half, out, sum int) {
		v([]string{"sqrshrn", "sqrshrn2"}[half], out, sum, 11)
	})
	r := columns[:]
	for range 3 { // transposes
		r = interleaved(" h", r, &below)
	}
	branch("b", done)
	label(flat) // all rows are the first one
	spare := below
	v("shl h", spare, c[0], 2)
	for i, x := range r {
		v("dup lane h", x, spare, i)
	}
	label(done)
	free(c[:]...)
	half := bits(1 << 17)
	s := f.dctPass([8]int(r), func(part, out, sum int) {
		v([]string{"addhn", "addhn2"}[part], out, sum, half)
	})
	for _, x := range s {
		v("sqshrn b", x, x, 2)
	}
	// Vector i has column i. Those of even and odd places go to whole vectors, which then are transposed.
	for i := range 4 {
		v("zip1 b", s[i], s[i], s[i+4])
	}
	pairs := s[:4]
	for range 2 {
		pairs = interleaved(" b", pairs, &spare)
	}
	middle := bits(0x80808080)
	for _, x := range pairs {
		v("eor", x, x, middle)
		v("str d", x, dst, 0)
		add(dst, dst, stride)
		v("st1 d1", x, dst)
		add(dst, dst, stride)
	}
}

// sixteen emits a loop over n ≥ 16 things, 16 of them at a time, the last ones again where n is no multiple of 16.
func sixteen(n int, body func(at int)) {
	next, done, at := newLabel("sixteen"), newLabel("done"), gp()
	movi(at, 0)
	subi(n, n, 16)
	head(next)
	scope(func() { body(at) })
	cmp(at, n)
	branch("bge", done)
	addi(at, at, 16)
	cmp(at, n)
	csel(at, at, n, "le")
	branch("b", next)
	label(done)
}

// upsample16 makes pixels 2i and 2i + 1 of i from 1 to n, n ≥ 16, each of which has neighbours.
func upsample16() {
	dst, near, far, n := pointer("dst"), pointer("near"), pointer("far"), param("n")
	withConstants()
	three, threes := bits(0x03030303), bits(0x00030003)
	var rounding [2]int
	for i, name := range []string{"even", "odd"} {
		r := param(name)
		rounding[i] = vec()
		v("dup h", rounding[i], r)
		freeGP(r)
	}
	sixteen(n, func(at int) {
		a, b := gp(), gp()
		add(a, near, at)
		add(b, far, at)
		var s [3][2]int // 3·near + far, of 16 bits, before, here and after, each in two vectors
		for i := range s {
			x, y := vec(), vec()
			v("ldr q", x, a, 0)
			v("ldr q", y, b, 0)
			addi(a, a, 1)
			addi(b, b, 1)
			s[i] = [2]int{vec(), vec()}
			v("uxtl b", s[i][0], y)
			v("uxtl2 b", s[i][1], y)
			v("umlal b", s[i][0], x, three)
			v("umlal2 b", s[i][1], x, three)
			free(x, y)
		}
		var bytes [2]int
		for i, neighbours := range [][2]int{s[0], s[2]} {
			bytes[i] = vec()
			for half, x := range neighbours {
				v("add h", x, x, rounding[i])
				v("mla h", x, s[1][half], threes)
				v([]string{"shrn b", "shrn2 b"}[half], bytes[i], x, 4)
			}
		}
		t := vec()
		v("zip2 b", t, bytes[0], bytes[1])
		v("zip1 b", bytes[0], bytes[0], bytes[1])
		lsl(a, at, 1)
		add(a, a, dst)
		addi(a, a, 2)
		v("stp", bytes[0], t, a, 0)
	})
}

// rgb16 converts n ≥ 16 pixels. Whole multiples of 2¹⁶ are taken out of the constants, so that these have 16 bits.
func rgb16() {
	dst, y, cb, cr, n := pointer("dst"), pointer("y"), pointer("cb"), pointer("cr"), param("n")
	const red, blue, greenU, greenV = 91881 - 1<<16, 116130 - 2<<16, -22554, -46802 + 1<<16
	f := newFactors("rgbFactors", red, blue, greenU, greenV)
	withConstants()
	middle := bits(0x80808080)
	rgb := [3]int{vec(), vec(), vec()}
	sixteen(n, func(at int) {
		var x [3]int
		for i, from := range []int{y, cb, cr} {
			x[i] = vec()
			v("ldr q x", x[i], from, at)
		}
		for half := range 2 {
			suffix := []string{" b", "2 b"}[half]
			l, u, w, r, g, b := vec(), vec(), vec(), vec(), vec(), vec()
			v("uxtl"+suffix, l, x[0])
			v("usubl"+suffix, u, x[1], middle)
			v("usubl"+suffix, w, x[2], middle)
			// scaled is (k·x + 2¹⁵) / 2¹⁶ = (2·k·x / 2¹⁶ + 1) / 2, all rounded down.
			scaled := func(d, x, k int) {
				f.times("sqdmulh", 0, d, x, k)
				v("srshr h", d, d, 1)
				v("add h", d, d, l)
			}
			scaled(r, w, red)
			v("add h", r, r, w)
			scaled(b, u, blue)
			v("add h", b, b, u)
			v("add h", b, b, u)
			for part := range 2 {
				s := f.product(part, u, greenU)
				f.add(part, s, w, greenV)
				v([]string{"rshrn", "rshrn2"}[part], g, s, 16)
				free(s)
			}
			v("add h", g, g, l)
			v("sub h", g, g, w)
			for i, colour := range []int{r, g, b} {
				v([]string{"sqxtun b", "sqxtun2 b"}[half], rgb[i], colour)
			}
			free(l, u, w, r, g, b)
		}
		to := gp()
		lsl(to, at, 1)
		add(to, to, at)
		add(to, to, dst)
		v("st3 b", rgb[0], rgb[1], rgb[2], to)
	})
}
