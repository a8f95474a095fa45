package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// int16s is gemm for words: a step is two k's, the words of a 32-bit element. Scales and edges are those of bytes.
func int16s() {
	for _, s := range []isa{{name: "VNNI256", width: 8}, avx2} {
		g := gemmKernel{"gemmWords", s, 2, false, 6, 4, int16Parts(s != avx2)}
		g.emit()
		g.edge, g.unroll = true, 1
		g.emit()
	}
	each("wordRows", "func(q []int16, ldq int, scale, x []float32, ldx, rows, k int, limit float32)", wordRows, avx2)
	each("wordColumns", "func(q []int16, scale, x []float32, ldx, rows, cols int, limit float32)", wordColumns, avx2)
	each("softmaxWords", "func(x, inverse []float32, ld, rows, cols int, scale, log2Limit float32)", softmaxWords, avx2)
}

// int16Parts are the parts of a product of words, with VPDPWSSD (vnni) or with a product and a sum.
func int16Parts(vnni bool) gemmParts {
	parts := int8Parts(vnni)
	parts.start = func(g gemmKernel, rows int) {
		for i := range rows * g.vectors {
			g.zero(g.physical(i))
		}
	}
	parts.steps = func(g gemmKernel, rows, n int) {
		for u := range n {
			for j := range g.vectors {
				VMOVUPS(Mem{Base: gemmB, Disp: 128*u + j*g.bytes()}, g.temp(j))
			}
			for i := range rows {
				x := g.temp(2)
				VPBROADCASTD(stepOfA(i, u), x)
				for j := range g.vectors {
					if sums := g.acc(i, j); vnni {
						vex("VPDPWSSD", 0x52, g.temp(j), x, sums)
					} else {
						VPMADDWD(g.temp(j), x, g.temp(3))
						VPADDD(g.temp(3), sums, sums)
					}
				}
			}
			fetch()
		}
		for i := 0; 3*i < rows; i++ {
			ADDQ(Imm(uint64(4*n)), gemmBase[i])
		}
		ADDQ(I32(128*n), gemmB)
	}
	return parts
}

// vex emits an instruction of AVX-VNNI, dst += f(v, m): VEX.256.66.0F38.W0. The assembler knows only AVX-512's forms.
func vex(name string, opcode byte, m, v, dst VecPhysical) {
	d, n, r := byte(dst.ID().Index()), byte(v.ID().Index()), byte(m.ID().Index())
	Commentf("%s Y%d, Y%d, Y%d", name, r, n, d)
	for _, b := range []byte{0xc4, (^d&8)<<4 | 0x40 | (^r&8)<<2 | 0x02, (^n&15)<<3 | 0x05, opcode, 0xc0 | d&7<<3 | r&7} {
		Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(b)}})
	}
}

// wordScales returns what maps numbers whose largest sizes are these, compared as integers, to ±limit, and replaces
// size by what maps them back: both 0 for sizes below tiny, 0 and NaN if there is an infinity or NaN.
func (s isa) wordScales(size, limit VecVirtual) (per VecVirtual) {
	per, kept, odd := s.vec(), s.vec(), s.vec()
	tiny := s.spread(constantBits(tinyBits - 1))
	VPCMPGTD(tiny, size, kept)
	VMOVUPS(constantBits(infBits-1), odd)
	VPCMPGTD(odd, size, odd)
	VDIVPS(size, limit, per)
	VDIVPS(limit, size, size)
	VANDPS(kept, size, size)
	VANDPS(kept, per, per)
	VANDNPS(per, odd, per)
	VORPS(odd, size, size) // all ones is a NaN
	return per
}

// packWords rounds a and b to words, in a: a's first.
func (s isa) packWords(a, b VecVirtual) {
	VCVTPS2DQ(a, a)
	VCVTPS2DQ(b, b)
	VPACKSSDW(b, a, a)
	VPERMQ(Imm(0xd8), a, a)
}

// wordRows writes each row of x in words by its own scale, with zeros up to a multiple of 64.
func wordRows(s isa) {
	q, ldq, scale := pointer("q"), number("ldq"), pointer("scale")
	x, ldx, count := pointer("x"), number("ldx"), number("rows")
	SHLQ(Imm(1), ldq)
	SHLQ(Imm(2), ldx)
	r := s.newByteRow(number("k"))
	limit, abs := s.broadcast(Param("limit")), s.spread(constantBits(absBits))
	rows(count, func() {
		t := s.sums(4)
		r.each(x, func(load func(u int) VecVirtual) {
			for u := range byteBlock / s.width {
				v := load(u)
				VANDPS(abs, v, v)
				VPMAXUD(v, t[u%4], t[u%4])
			}
		})
		size := s.fold(VPMAXUD, t...)
		per := s.wordScales(size, limit)
		VMOVSS(size.AsX(), Mem{Base: scale})
		ADDQ(Imm(4), scale)
		out := GP64()
		MOVQ(q, out)
		r.each(x, func(load func(u int) VecVirtual) {
			for u := 0; u < byteBlock/s.width; u += 2 {
				a, b := load(u), load(u+1)
				VMULPS(per, a, a)
				VMULPS(per, b, b)
				s.packWords(a, b)
				VMOVDQU(a, Mem{Base: out, Disp: 2 * u * s.width})
			}
			ADDQ(Imm(2*byteBlock), out)
		})
	}, [2]Register{q, ldq}, [2]Register{x, ldx})
}

// quantised is up to 16 columns of floats that are to become integers by a scale for each of them.
type quantised struct {
	isa
	masks, per [2]VecVirtual
}

// quantiseColumns finds scales, to which it writes, that map the columns of x to ±limit.
func (s isa) quantiseColumns(scale, x, ldx, count, cols Register, limit VecVirtual) quantised {
	c := quantised{isa: s}
	table, abs, size := GP64(), s.spread(constantBits(absBits)), s.sums(2)
	SHLQ(Imm(2), cols)
	LEAQ(masks("longMaskTable", byteBlock), table)
	SUBQ(cols, table)
	for j := range c.masks {
		c.masks[j] = s.vec()
		VMOVUPS(Mem{Base: table, Disp: 4*byteBlock + j*s.bytes()}, c.masks[j])
	}
	row, left := GP64(), GP64()
	MOVQ(x, row)
	MOVQ(count, left)
	rows(left, func() {
		for j := range size {
			v := c.load(row, j)
			VANDPS(abs, v, v)
			VPMAXUD(v, size[j], size[j])
		}
	}, [2]Register{row, ldx})
	for j, m := range c.masks {
		c.per[j] = s.wordScales(size[j], limit)
		s.storeMasked(size[j], m, Mem{Base: scale, Disp: j * s.bytes()})
	}
	return c
}

func (c quantised) load(row Register, j int) VecVirtual {
	v := c.vec()
	c.loadMasked(Mem{Base: row, Disp: j * c.bytes()}, c.masks[j], v)
	return v
}

// integers returns part j of a row's columns as integers.
func (c quantised) integers(row Register, j int) VecVirtual {
	v := c.load(row, j)
	VMULPS(c.per[j], v, v)
	VCVTPS2DQ(v, v)
	return v
}

// wordColumns writes up to 16 columns of x in words by a scale for each, pairs of rows together: as much of a panel.
func wordColumns(s isa) {
	q, scale, x := pointer("q"), pointer("scale"), pointer("x")
	ldx, count, cols := number("ldx"), number("rows"), number("cols")
	SHLQ(Imm(2), ldx)
	c := s.quantiseColumns(scale, x, ldx, count, cols, s.broadcast(Param("limit")))
	left, next := GP64(), GP64()
	MOVQ(count, left)
	SHRQ(Imm(1), left)
	rows(left, func() {
		LEAQ(Mem{Base: x, Index: ldx, Scale: 1}, next)
		for j := range c.masks {
			a, b := c.integers(x, j), c.integers(next, j)
			VPSLLD(Imm(16), b, b)
			VPBLENDW(Imm(0xaa), b, a, a)
			VMOVDQU(a, Mem{Base: q, Disp: j * s.bytes()})
		}
		LEAQ(Mem{Base: next, Index: ldx, Scale: 1}, x)
		ADDQ(I32(4*PanelWidth), q)
	})
	even := label("even")
	TESTQ(U32(1), count)
	JEQ(LabelRef(even))
	none := s.cleared()
	for j := range c.masks {
		a := c.integers(x, j)
		VPBLENDW(Imm(0xaa), none, a, a)
		VMOVDQU(a, Mem{Base: q, Disp: j * s.bytes()})
	}
	Label(even)
}

// exp2WordPoly is 2^f for |f| ≤ ½, its largest relative error (2.7e-6, far below half a word's) minimised.
var exp2WordPoly = []float64{0.9999992847442627, 0.6931217908859253, 0.240247443318367, 0.05591785907745361,
	0.009570102207362652}

// softmaxWords: the first half of each row of x becomes limit·exp(scale·x − largest) in words, with zeros up to a
// multiple of 16 columns, and inverse the reciprocal of the sum before rounding. x has memory for so many columns.
func softmaxWords(s isa) {
	x, inverse, ld := pointer("x"), pointer("inverse"), number("ld")
	count, full, tail := number("rows"), GP64(), number("cols")
	SHLQ(Imm(2), ld)
	MOVQ(tail, full)
	ANDQ(Imm(15), tail)
	SUBQ(tail, full)
	SHLQ(Imm(2), full)
	SHLQ(Imm(2), tail)
	table := GP64()
	LEAQ(masks("longMaskTable", byteBlock), table)
	SUBQ(tail, table)
	mask := func(u int) Mem { return Mem{Base: table, Disp: 4*byteBlock + u*s.bytes()} }
	scale, low := s.broadcast(Param("scale")), s.fill(exp2Min)
	s.multiply(scale, math.Log2E)
	groups := func(body func(at func(x Register, u int) Mem, edge bool)) {
		offset := GP64()
		XORQ(offset, offset)
		at := func(x Register, u int) Mem { return Mem{Base: x, Index: offset, Scale: 1, Disp: u * s.bytes()} }
		head, last, done := label("group"), label("last"), label("done")
		CMPQ(offset, full)
		JGE(LabelRef(last))
		Label(head)
		body(at, false)
		ADDQ(I32(2*s.bytes()), offset)
		CMPQ(offset, full)
		JLT(LabelRef(head))
		Label(last)
		TESTQ(tail, tail)
		JEQ(LabelRef(done))
		body(at, true)
		Label(done)
	}
	s.pairs(x, inverse, ld, count, func(row, to []Register) {
		var most []VecVirtual
		lowest := s.fill(math.Inf(-1))
		for range row {
			m := s.vec()
			VMOVAPS(lowest, m)
			most = append(most, m)
		}
		groups(func(at func(x Register, u int) Mem, edge bool) {
			for u := range 2 {
				for r, x := range row {
					v := s.vec()
					VMULPS(at(x, u), scale, v)
					if edge {
						keep := s.vec()
						VMOVUPS(mask(u), keep)
						VBLENDVPS(keep, v, lowest, v)
					}
					VMAXPS(v, most[r], most[r])
				}
			}
		})
		log2Limit := s.broadcast(Param("log2Limit"))
		for r := range row {
			s.fold(VMAXPS, most[r])
			VSUBPS(log2Limit, most[r], most[r])
		}
		total := s.sums(2)
		groups(func(at func(x Register, u int) Mem, edge bool) {
			var e [2][2]VecVirtual
			for u := range 2 {
				for r, x := range row {
					e[u][r] = s.vec()
					VMOVUPS(at(x, u), e[u][r])
					VFMSUB213PS(most[r], scale, e[u][r])
				}
				s.exp2(exp2WordPoly, low, e[u][:]...)
				for r := range row {
					if edge {
						VANDPS(mask(u), e[u][r], e[u][r])
					}
					VADDPS(e[u][r], total[r], total[r])
				}
			}
			offset := at(x, 0).Index
			half := GP64()
			MOVQ(offset, half)
			SHRQ(Imm(1), half)
			for r, x := range row {
				s.packWords(e[0][r], e[1][r])
				VMOVDQU(e[0][r], Mem{Base: x, Index: half, Scale: 1})
			}
		})
		for r := range row {
			s.fold(VADDPS, total[r])
			VMOVSS(reciprocal(total[r]), Mem{Base: to[r]})
		}
	})
}
