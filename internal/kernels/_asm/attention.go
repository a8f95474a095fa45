package main

import (
	"math"
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// attention is what products of bytes in attention need beside quantizeRows.
func attention() {
	each("softmaxBytes", "func(x, inverse []float32, ld, rows, cols, first int, scale float32)", softmaxBytes)
	each("packValues", "func(dst []int8, scale, x []float32, ldx, rows int, mask uint64)", packValues, avx512)
	each("packValues", "func(dst []int8, scale, x []float32, ldx, rows, cols int)", packSomeValues, avx2)
	each("centrePanel", "func(panel []int8, offset []int32, steps int, mask uint64)", centrePanel, avx512)
}

// exp2Mantissa is 255·2^(m−1)/m for 1 ≤ m ≤ 2, its largest relative error (6.6e-4) minimised.
var exp2Mantissa = []float64{255 * 1.7756253993071227, 255 * -1.3773252044715296, 255 * 0.707484642308609,
	255 * -0.10644696498783146}

// softmaxBytes: each row of x becomes bytes in its first quarter, ⌊255·exp(scale·(x − largest)) + t⌋ with the
// thresholds t of softmaxThreshold, and inverse the reciprocal of their sum. Bytes up to the next multiple of 64
// become 0.
//
// An integer of 2²³·(y + 127) is the float 2^⌊y⌋·(1 + y − ⌊y⌋) if one takes its bits for those of a float; a polynomial
// in its mantissa m makes 2^y of it. Where y is so low that the integer is negative so is the float, and packing makes
// 0 of it.
func softmaxBytes(s isa) {
	x, inverse, ld, count := pointer("x"), pointer("inverse"), number("ld"), number("rows")
	cols, first := number("cols"), number("first")
	SHLQ(Imm(2), ld)
	scale := s.broadcast(Param("scale"))
	s.multiply(scale, math.Log2E*(1<<23))
	mantissa, one, order := s.spread(constantBits(0x7fffff)), s.fill(1), s.vec()
	VMOVUPS(packOrder(s), order)
	poly := s.polynomial(exp2Mantissa, s.width == 16)
	var ones VecVirtual
	if s.width == 16 {
		ones = s.spread(constantBits(0x01010101))
	}
	blocks := s.blocksOfFour(cols)
	// All rows' largest first, then all exponentials: a row's steps depend on each other, and short ones of several
	// rows go side by side. Between the two inverse has what is to be added to 2²³·scale·log2 e·x.
	lowest, bias := s.fill(math.Inf(-1)), s.fill(127<<23)
	row, to, left := GP64(), GP64(), GP64()
	MOVQ(x, row)
	MOVQ(inverse, to)
	MOVQ(count, left)
	rows(left, func() {
		var most [4]VecVirtual
		for u := range most {
			most[u] = s.vec()
			VMOVAPS(lowest, most[u])
		}
		blocks(row, func(row Register, vectors int, mask func(u int) Op) {
			for u := range vectors {
				at, m := Mem{Base: row, Disp: u * s.bytes()}, mask(u)
				switch {
				case m == nil:
					VMAXPS(at, most[u], most[u])
				case s.width == 16:
					VMAXPS(at, most[u], m, most[u])
				default:
					v := s.vec()
					s.loadMasked(at, m, v)
					VBLENDVPS(m, v, lowest, v)
					VMAXPS(v, most[u], most[u])
				}
			}
		})
		shift := s.fold(VMAXPS, most[:]...)
		VFNMADD213PS(bias, scale, shift)
		VMOVSS(shift.AsX(), Mem{Base: to})
		ADDQ(Imm(4), to)
	}, [2]Register{row, ld})
	none := s.cleared()
	rows(count, func() {
		shift := s.spread(Mem{Base: inverse})
		threshold, next := s.thresholds(first)
		out, total := GP64(), s.cleared()
		MOVQ(x, out)
		blocks(x, func(row Register, vectors int, mask func(u int) Op) {
			v := [4]VecVirtual{none, none, none, none}
			for u := range vectors {
				y, m, g, keep := s.vec(), s.vec(), s.vec(), mask(u)
				s.loadMasked(Mem{Base: row, Disp: u * s.bytes()}, keep, y)
				VFMADD213PS(shift, scale, y)
				VCVTPS2DQ(y, y)
				if s.width == 16 {
					VMOVAPS(y, m)
					VPTERNLOGD(Imm(0xea), one, mantissa, m) // m & mantissa | one
				} else {
					VANDPS(mantissa, y, m)
					VORPS(one, m, m)
				}
				poly.start(3, g)
				for i := 2; i >= 0; i-- {
					poly.step(i, g, m)
				}
				VFMADD213PS(threshold(u), y, g)
				VCVTTPS2DQ(g, g)
				s.keep(keep, g)
				v[u] = g
			}
			low := s.vec()
			VPACKSSDW(v[1], v[0], low)
			if vectors > 2 {
				high := s.vec()
				VPACKSSDW(v[3], v[2], high)
				VPACKUSWB(high, low, low)
			} else {
				VPACKUSWB(none, low, low)
			}
			VPERMD(low, order, low)
			VMOVUPS(low, Mem{Base: out})
			if s.width == 16 {
				VPDPBUSD(ones, low, total)
			} else {
				VPSADBW(none, low, low)
				VPADDD(low, total, total)
			}
			ADDQ(Imm(uint64(4*s.width)), out)
			next()
		})
		if s.width == 8 {
			whole := label("whole")
			SUBQ(x, out)
			TESTQ(U32(32), out)
			JEQ(LabelRef(whole))
			VMOVUPS(none, Mem{Base: x, Index: out, Scale: 1})
			Label(whole)
		}
		sum, unit := s.fold(VPADDD, total).AsX(), XMM()
		VCVTDQ2PS(sum, sum)
		VMOVSS(constant(1), unit)
		VDIVSS(sum, unit, unit)
		VMOVSS(unit, Mem{Base: inverse})
		ADDQ(Imm(4), inverse)
		INCQ(first)
	}, [2]Register{x, ld})
}

// blockBody emits the work on a block of so many vectors at row; of those mask leaves out lanes (nil: none).
type blockBody func(row Register, vectors int, mask func(u int) Op)

// blocksOfFour returns what emits a loop over the row of cols floats at x, by blocks of four vectors; the last block
// has as many as it needs. Only the last vector of all is masked. cols is changed.
func (s isa) blocksOfFour(cols Register) func(x Register, body blockBody) {
	block, full, last := 4*s.width, GP64(), GP64()
	MOVQ(cols, full)
	SHRQ(Imm(uint64(bits.Len(uint(block))-1)), full)
	LEAQ(Mem{Base: cols, Disp: -1}, last)
	ANDQ(Imm(uint64(s.width-1)), last)
	INCQ(last)
	var edge func() Op
	if s.width == 16 {
		k := K()
		KMOVW(lowBits(last).As32(), k)
		edge = func() Op { return k }
	} else {
		table := GP64()
		LEAQ(masks("maskTable", 8), table)
		SHLQ(Imm(2), last)
		SUBQ(last, table)
		edge = func() Op {
			m := s.vec()
			VMOVUPS(Mem{Base: table, Disp: 32}, m)
			return m
		}
	}
	ANDQ(Imm(uint64(block-1)), cols)
	return func(x Register, body blockBody) {
		row, left, done := GP64(), GP64(), label("whole")
		MOVQ(x, row)
		MOVQ(full, left)
		rows(left, func() {
			body(row, 4, func(int) Op { return nil })
			ADDQ(I32(4*block), row)
		})
		TESTQ(cols, cols)
		JEQ(LabelRef(done))
		for n := 1; n <= 4; n++ {
			more := label("more")
			if n < 4 {
				CMPQ(cols, Imm(uint64(s.width*n)))
				JGT(LabelRef(more))
			}
			body(row, n, func(u int) Op {
				if u == n-1 {
					return edge()
				}
				return nil
			})
			if n < 4 {
				JMP(LabelRef(done))
				Label(more)
			}
		}
		Label(done)
	}
}

// thresholds returns where vector u of a block of row first finds its thresholds, and what moves on to the next block.
func (s isa) thresholds(first Register) (at func(u int) Op, next func()) {
	from, base := GP64(), GP64()
	LEAQ(softmaxThresholds(), base)
	IMUL3Q(Imm(softmaxTurn), first, from)
	ANDQ(Imm(63), from)
	LEAQ(Mem{Base: base, Index: from, Scale: 4}, base)
	if s.width == 8 { // two blocks are a round
		half := from
		XORQ(half, half)
		return func(u int) Op { return Mem{Base: base, Index: half, Scale: 1, Disp: 32 * u} },
			func() { XORQ(U32(128), half) }
	}
	var t [4]VecVirtual
	for u := range t {
		t[u] = s.vec()
		VMOVUPS(Mem{Base: base, Disp: 64 * u}, t[u])
	}
	return func(u int) Op { return t[u] }, func() {}
}

// softmaxTurn is the package's.
const softmaxTurn = 37

// softmaxThresholds are two rounds of the 64 thresholds.
func softmaxThresholds() Mem {
	return table("softmaxThresholds", 128, func(i int) uint32 {
		return math.Float32bits((float32(bits.Reverse8(uint8(i))>>2) + 0.5) / 64)
	})
}

// packValues quantises up to 32 columns of x [rows, columns], those of mask, by their largest, and writes them as a
// panel of bytes whose fours are of neighbouring rows; what there is not becomes 0.
func packValues(s isa) {
	dst, scale, x, ldx, count := pointer("dst"), pointer("scale"), pointer("x"), number("ldx"), number("rows")
	SHLQ(Imm(2), ldx)
	bit, k := GP64(), [2]Register{K(), K()}
	Load(Param("mask"), bit)
	KMOVW(bit.As32(), k[0])
	SHRQ(Imm(16), bit)
	KMOVW(bit.As32(), k[1])
	abs, lowByte, lowWord := s.spread(constantBits(absBits)), s.spread(constantBits(0xff)), s.spread(constantBits(0xffff))
	largest := s.sums(2)
	row, left := GP64(), GP64()
	MOVQ(x, row)
	MOVQ(count, left)
	load := func(u int) VecVirtual {
		v := s.vec()
		VMOVUPS_Z(Mem{Base: row, Disp: 64 * u}, k[u], v)
		return v
	}
	rows(left, func() {
		for u := range largest {
			v := load(u)
			VANDPS(abs, v, v)
			VPMAXUD(v, largest[u], largest[u])
		}
	}, [2]Register{row, ldx})
	var per [2]VecVirtual
	for u, size := range largest {
		c, step, usual, odd := s.fill(127), s.vec(), K(), K()
		per[u] = s.vec()
		VPCMPUD(Imm(5), s.spread(constantBits(tinyBits)), size, usual) // not below
		VPCMPUD(Imm(5), s.spread(constantBits(infBits)), size, odd)
		KANDNW(usual, odd, usual)
		VDIVPS_Z(size, c, usual, per[u])
		VDIVPS_Z(c, size, usual, step)
		VMOVAPS(s.spread(constantBits(nanBits)), odd, step)
		VMOVUPS(step, k[u], Mem{Base: scale, Disp: 64 * u})
	}
	MOVQ(x, row)
	// four emits the bytes of n rows.
	four := func(n int) {
		var v [2][4]VecVirtual
		for i := range n {
			for u := range v {
				v[u][i] = load(u)
				VMULPS(per[u], v[u][i], v[u][i])
				VCVTPS2DQ(v[u][i], v[u][i])
			}
			ADDQ(ldx, row)
		}
		for u := range v {
			for i := n; i < 4; i++ {
				v[u][i] = s.cleared()
			}
			// Bits of the first where the mask has some, else of the second.
			const choose = 0xca
			pair := func(low, high VecVirtual) VecVirtual {
				m := s.vec()
				VPSLLD(Imm(8), high, high)
				VMOVAPS(lowByte, m)
				VPTERNLOGD(Imm(choose), high, low, m)
				return m
			}
			a, b, m := pair(v[u][0], v[u][1]), pair(v[u][2], v[u][3]), s.vec()
			VPSLLD(Imm(16), b, b)
			VMOVAPS(lowWord, m)
			VPTERNLOGD(Imm(choose), b, a, m)
			VMOVUPS(m, Mem{Base: dst, Disp: 64 * u})
		}
		ADDQ(I32(128), dst)
	}
	MOVQ(count, left)
	SHRQ(Imm(2), left)
	rows(left, func() { four(4) })
	restOfFour(count, four)
}

// packSomeValues is packValues of up to 16 columns, half a panel.
func packSomeValues(s isa) {
	dst, scale, x := pointer("dst"), pointer("scale"), pointer("x")
	ldx, count, cols := number("ldx"), number("rows"), number("cols")
	SHLQ(Imm(2), ldx)
	c := s.quantiseColumns(scale, x, ldx, count, cols, s.fill(127))
	order := s.vec()
	VMOVUPS(table("fourByFour", 8, func(i int) uint32 { return uint32(i%4)*0x01010101 + 0x0c080400 }), order)
	left := GP64()
	// four emits the bytes of n rows.
	four := func(n int) {
		var v [2][4]VecVirtual
		for i := range 4 {
			for j := range v {
				if i < n {
					v[j][i] = c.integers(x, j)
				} else {
					v[j][i] = s.cleared()
				}
			}
			if i < n {
				ADDQ(ldx, x)
			}
		}
		for j, v := range v {
			VPACKSSDW(v[1], v[0], v[0])
			VPACKSSDW(v[3], v[2], v[2])
			VPACKSSWB(v[2], v[0], v[0])
			VPSHUFB(order, v[0], v[0])
			VMOVDQU(v[0], Mem{Base: dst, Disp: j * s.bytes()})
		}
		ADDQ(I32(4*PanelWidth), dst)
	}
	MOVQ(count, left)
	SHRQ(Imm(2), left)
	rows(left, func() { four(4) })
	restOfFour(count, four)
}

// restOfFour emits four for the count%4 rows that are left, if any.
func restOfFour(count Register, four func(n int)) {
	ANDQ(Imm(3), count)
	done := label("packed")
	for n := 1; n < 4; n++ {
		next := label("next")
		CMPQ(count, Imm(uint64(n)))
		JNE(LabelRef(next))
		four(n)
		JMP(LabelRef(done))
		Label(next)
	}
	Label(done)
}

// centrePanel takes 128 off the bytes of the columns in mask of a panel of so many steps, whose other columns are 0,
// and writes to offset 128 times the sum of each of them.
func centrePanel(s isa) {
	panel, offset, steps := pointer("panel"), pointer("offset"), number("steps")
	bit, k := GP64(), [2]Register{K(), K()}
	Load(Param("mask"), bit)
	KMOVW(bit.As32(), k[0])
	SHRQ(Imm(16), bit)
	KMOVW(bit.As32(), k[1])
	sign, sums := s.spread(constantBits(0x80808080)), s.sums(2)
	rows(steps, func() {
		for u, sum := range sums {
			v := s.vec()
			at := Mem{Base: panel, Disp: 64 * u}
			VMOVUPS(at, v)
			VPXORD(sign, v, k[u], v)
			VPDPBUSD(v, sign, sum)
			VMOVUPS(v, at)
		}
		ADDQ(I32(128), panel)
	})
	for u, sum := range sums {
		VMOVDQU32(sum, k[u], Mem{Base: offset, Disp: 64 * u})
	}
}
