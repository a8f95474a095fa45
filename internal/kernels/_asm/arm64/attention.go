package main

import "math"

// attention is what products of bytes in attention need beside quantizeRows.
func attention() {
	routine("softmaxBytesNEON", "(x, inverse []float32, ld, rows, cols, first int, scale float32)", softmaxBytes)
	routine("packValuesNEON", "(dst []int8, scale []float32, offset []int32, x []float32, ldx, rows, cols int)",
		packValues)
}

// exp2Mantissa is 255·2^(m−1)/m for 1 ≤ m ≤ 2, its largest relative error (6.6e-4) minimised.
var exp2Mantissa = []float64{255 * 1.7756253993071227, 255 * -1.3773252044715296, 255 * 0.707484642308609,
	255 * -0.10644696498783146}

// softmaxTurn is the package's.
const softmaxTurn = 37

// softmaxThresholds returns the address of two rounds of the 64 thresholds.
func softmaxThresholds() int {
	var t []uint32
	for i := range 128 {
		reversed := 0
		for b := range 6 {
			reversed |= i >> b & 1 << (5 - b)
		}
		t = append(t, math.Float32bits((float32(reversed)+0.5)/64))
	}
	return table("softmaxThresholds", t)
}

// softmaxBytes: each row of x becomes bytes in its first quarter, ⌊255·exp(scale·(x − largest)) + t⌋ with the
// thresholds t of softmaxThreshold, and inverse the reciprocal of their sum. Bytes up to the next multiple of 64
// become 0.
//
// An integer of 2²³·(y + 127) is the float 2^⌊y⌋·(1 + y − ⌊y⌋) if one takes its bits for those of a float; a polynomial
// in its mantissa m makes 2^y of it. Where y is so low that the integer is negative so is the float, or it is NaN, and
// narrowing makes 0 of it.
func softmaxBytes() {
	x, inverse, ld, count := pointer("x"), pointer("inverse"), param("ld"), param("rows")
	n, first, scale := param("cols"), param("first"), spread("scale")
	thresholds, masks := softmaxThresholds(), table("firstBytes", []uint32{1<<32 - 1, 1<<32 - 1, 1<<32 - 1, 1<<32 - 1,
		0, 0, 0, 0})
	withConstants()
	lsl(ld, ld, 2)
	scope(func() { v("fmul", scale, scale, fill(math.Log2E*(1<<23))) })
	// All rows' largest first, then all exponentials: a row's steps depend on each other, and short ones of several
	// rows go side by side. Between the two inverse has what is to be added to 2²³·scale·log2 e·x.
	scope(func() {
		lowest, bias, row, to, left := fill(math.Inf(-1)), fill(127<<23), gp(), gp(), gp()
		mov(row, x)
		mov(to, inverse)
		mov(left, count)
		rows(left, func() {
			at := newRow(row, 4)
			var most [4]int
			for u := range most {
				most[u] = vec()
				v("mov", most[u], lowest)
			}
			eachUnrolled(n, 4, func(p span, u int) { v("fmax", most[u], most[u], p.others(p.load(at), lowest)) }, at)
			shift := vec()
			v("mov", shift, bias)
			v("fmls", shift, fold("fmax", "fmaxp", most[:]...), scale)
			v("str s", shift, to, 0)
			addi(to, to, 4)
		}, [2]int{row, ld})
	})
	one, zero, mantissa := fill(1), cleared(1)[0], bits(0x7fffff)
	turn, blocks := gp(), gp()
	movi(turn, softmaxTurn)
	addi(blocks, n, 15)
	lsr(blocks, blocks, 4)
	rows(count, func() {
		shift, total := vec(), cleared(1)[0]
		v("ld1r", shift, inverse)
		start, round, from, to := gp(), gp(), newRow(x, 4), newRow(x, 1)
		mul(start, first, turn)
		andi(start, start, 63)
		lsl(start, start, 2)
		add(start, start, thresholds)
		movi(round, 0)
		// block turns 16 floats into bytes, of which it leaves those that mask has.
		block := func(mask int) {
			at := gp()
			add(at, start, round)
			var t [4]int
			for u := range t {
				t[u] = vec()
				v("ldr q", t[u], at, 16*u)
				scope(func() {
					y, m := vec(), vec()
					v("mov", y, shift)
					v("fmla", y, span{4, 4 * u}.load(from), scale)
					v("fcvtns", y, y)
					v("and", m, y, mantissa)
					v("orr", m, m, one)
					v("fmla", t[u], polynomial(exp2Mantissa, m), y)
				})
				v("fcvtzs", t[u], t[u])
			}
			low, high := vec(), vec()
			v("sqxtn", low, t[0])
			v("sqxtn2", low, t[1])
			v("sqxtn", high, t[2])
			v("sqxtn2", high, t[3])
			v("sqxtun b", low, low)
			v("sqxtun2 b", low, high)
			if mask >= 0 {
				v("and", low, low, mask)
			}
			v("str q", low, to.register, 0)
			v("uaddlp b", low, low)
			v("uadalp", total, low)
			addi(from.register, from.register, 64)
			addi(to.register, to.register, 16)
			addi(round, round, 64)
			andi(round, round, 255)
		}
		left, more, rest, done := gp(), newLabel("block"), newLabel("rest"), newLabel("done")
		subs(left, n, 16)
		branch("blt", rest)
		head(more)
		scope(func() { block(-1) })
		subs(left, left, 16)
		branch("bge", more)
		label(rest)
		addi(left, left, 16)
		cbz(left, done)
		scope(func() { // reads what lies behind the row up to a multiple of 16 floats, which ld is
			mask, at := vec(), gp()
			movi(at, 16)
			sub(at, at, left)
			v("ldr q x", mask, masks, at)
			block(mask)
		})
		label(done)
		clear, whole := newLabel("clear"), newLabel("whole")
		andi(left, blocks, 3)
		cbz(left, whole)
		label(clear)
		v("str q", zero, to.register, 0)
		addi(to.register, to.register, 16)
		addi(left, left, 1)
		cmpi(left, 4)
		branch("bne", clear)
		label(whole)
		fold("add", "addp", total)
		v("scvtf", total, total)
		v("fdiv s", total, one, total)
		v("str s", total, inverse, 0)
		addi(inverse, inverse, 4)
		addi(first, first, 1)
	}, [2]int{x, ld})
}

// packValues quantises up to 32 columns of x [rows, cols] by their largest, and writes them to a panel of bytes whose
// fours are of neighbouring rows, with the columns' scales and 128 times their sums.
func packValues() {
	dst, x := row{pointer("dst"), 4}, row{pointer("x"), 4} // a step of four rows takes a float's place
	scale, offset := row{pointer("scale"), 4}, row{pointer("offset"), 4}
	ldx, count, n := param("ldx"), param("rows"), param("cols")
	lsl(ldx, ldx, 2)
	withConstants()
	c := quantizeConstants{fill(127), bits(tinyBits), bits(infBits), bits(nanBits)}
	// down packs the columns of some vectors.
	down := func(p span, vectors int) {
		size, at, left, next := cleared(vectors), newRow(x.register, 4), gp(), newLabel("down")
		mov(left, count)
		head(next)
		for u := range vectors {
			scope(func() {
				f := span{p.lanes, 4 * u}.load(at)
				v("fabs", f, f)
				v("umax", size[u], size[u], f)
			})
		}
		add(at.register, at.register, ldx)
		subs(left, left, 1)
		branch("bne", next)
		for u, s := range size {
			step := c.scales(s)
			span{p.lanes, 4 * u}.store(step, scale)
			free(step)
		}
		from, to, four := []row{newRow(x.register, 4)}, newRow(dst.register, 4), gp()
		for i := range 3 {
			r := newRow(from[i].register, 4)
			add(r.register, r.register, ldx)
			from = append(from, r)
		}
		lsl(four, ldx, 2)
		zero, sums := cleared(1)[0], cleared(vectors)
		// bytes writes those of n rows.
		bytes := func(n int) {
			for u, per := range size {
				scope(func() {
					var r [4]int
					for i := range n {
						r[i] = span{p.lanes, 4 * u}.load(from[i])
						v("fmul", r[i], r[i], per)
						v("fcvtns", r[i], r[i])
						v("add", sums[u], sums[u], r[i])
						if i > 0 {
							v("sli", r[0], r[i], 8*i)
						}
					}
					if n < 4 {
						v("sli", r[0], zero, 8*n)
					}
					span{p.lanes, 4 * u}.store(r[0], to)
				})
			}
		}
		lsr(left, count, 2)
		rows(left, func() {
			bytes(4)
			addi(to.register, to.register, panelBytes)
			for _, r := range from {
				add(r.register, r.register, four)
			}
		})
		andi(left, count, 3)
		done := newLabel("packed")
		for n := 1; n < 4; n++ {
			other := newLabel("other")
			cmpi(left, n)
			branch("bne", other)
			bytes(n)
			branch("b", done)
			label(other)
		}
		label(done)
		for u, sum := range sums {
			v("shl", sum, sum, 7)
			span{p.lanes, 4 * u}.store(sum, offset)
		}
	}
	many, rest := newLabel("many"), newLabel("rest")
	subs(n, n, 16)
	branch("blt", rest)
	label(many)
	scope(func() { down(span{lanes: 4}, 4) })
	for _, r := range []row{x, dst, scale, offset} {
		addi(r.register, r.register, 64)
	}
	subs(n, n, 16)
	branch("bge", many)
	label(rest)
	addi(n, n, 16)
	each(n, func(p span) { down(p, 1) }, x, dst, scale, offset)
}

// quantizeConstants are vectors of the limit of bytes and of the sizes beyond which no scale fits.
type quantizeConstants struct{ limit, tiny, inf, nan int }

// scales returns the scales of the largest numbers in the lanes of size, in a new vector, and makes what to multiply
// with of those, as scaleOf does.
func (c quantizeConstants) scales(size int) (scale int) {
	usual, odd := vec(), vec()
	scale = vec()
	v("cmhs", odd, size, c.inf)
	v("cmhs", usual, size, c.tiny)
	v("bic", usual, usual, odd)
	v("fdiv", scale, size, c.limit)
	v("and", scale, scale, usual)
	v("and", odd, odd, c.nan)
	v("orr", scale, scale, odd)
	v("fdiv", size, c.limit, size)
	v("and", size, size, usual)
	free(usual, odd)
	return scale
}
