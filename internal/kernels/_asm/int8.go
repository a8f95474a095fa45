package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// int8s is gemm for bytes: a step is four k's, the bytes of a 32-bit element. A panel has 32 columns whatever the
// vectors' width, so its steps are 128 bytes apart.
func int8s() {
	vnni512, vnni256 := isa{name: "VNNI512", width: 16}, isa{name: "VNNI256", width: 8}
	for _, g := range []gemmKernel{
		{"gemmBytes", vnni512, 2, false, 12, 4, int8Parts(true)},
		{"gemmBytes", vnni256, 2, false, 6, 4, int8Parts(true)},
		{"gemmBytes", avx2, 4, false, 3, 2, int8Parts(false)},
	} {
		g.emit()
		g.edge, g.unroll = true, 1
		g.emit()
		if g.isa == vnni512 { // for a last half of a panel, which attention's keys often have
			half := g
			half.vectors = 1
			half.emit()
		}
		g.peakInt8(g.isa != avx2)
	}
	each("quantizeRows", "func(q []uint8, ldq int, scale, x []float32, ldx, rows, k int)", quantizeRows)
	each("centrePanel", "func(panel []int8, offset []int32, steps, cols int)", centreWithout, avx2)
}

// gemmFactors points to the scales of the rows, in place of gemmLDB.
var gemmFactors = gemmLDB

// int8Parts are the parts of a product of bytes, with VPDPBUSD (vnni) or with products of pairs in 16 bits.
func int8Parts(vnni bool) gemmParts {
	return gemmParts{
		load:   func(g gemmKernel) { MOVQ(arg("rowScale"), gemmFactors) },
		start:  func(g gemmKernel, rows int) { g.startInt8(rows, vnni) },
		finish: gemmKernel.finishInt8,
		steps: func(g gemmKernel, rows, n int) {
			for u := range n {
				if vnni {
					g.stepDot(rows, u)
				} else {
					g.stepSigned(rows, u)
				}
				fetch()
			}
			for i := 0; 3*i < rows; i++ {
				ADDQ(Imm(uint64(4*n)), gemmBase[i])
			}
			ADDQ(I32(128*n), gemmB)
		},
	}
}

// stepDot adds the products of the step that is u steps ahead by the machine's dot product of bytes.
func (g gemmKernel) stepDot(rows, u int) {
	for j := range g.vectors {
		VMOVUPS(Mem{Base: gemmB, Disp: 128*u + j*g.bytes()}, g.temp(j))
	}
	g.products(rows, u, VPBROADCASTD, g.dotBytes)
}

// dotBytes emits sums += Σ x·w over the four bytes of each lane, those of x without a sign.
func (g gemmKernel) dotBytes(w, x, sums VecPhysical) {
	if g.width == 16 {
		VPDPBUSD(w, x, sums)
	} else {
		vex("VPDPBUSD", 0x50, w, x, sums)
	}
}

// stepSigned is stepDot without VPDPBUSD: b with the sign of x times |x|, whose pairs stay within 16 bits as neither
// is above 128, then pairs of pairs. With four operations for each vector of sums it pays to have b in memory and
// many columns for each x.
func (g gemmKernel) stepSigned(rows, u int) {
	x, size := g.temp(0), g.temp(1)
	for i := range rows {
		VPBROADCASTD(stepOfA(i, u), x)
		VPXOR(constantBits(0x80808080), x, x) // q − 128
		VPABSB(x, size)
		for j := range g.vectors {
			VMOVDQU(Mem{Base: gemmB, Disp: 128*u + j*g.bytes()}, g.temp(2))
			g.addSigned(i, j)
		}
	}
}

// addSigned adds the products of temp 2 with x (temp 0, its size in temp 1) to a vector of sums. Temp 3 has ones.
func (g gemmKernel) addSigned(i, j int) {
	x, size, p, ones := g.temp(0), g.temp(1), g.temp(2), g.temp(3)
	VPSIGNB(x, p, p)
	VPMADDUBSW(p, size, p)
	VPMADDWD(ones, p, p)
	VPADDD(p, g.acc(i, j), g.acc(i, j))
}

// startInt8 gives all sums their first value: minus the offset if x comes with 128 too much.
func (g gemmKernel) startInt8(rows int, vnni bool) {
	if !vnni {
		VMOVDQU(constantBits(0x00010001), g.temp(3))
	}
	for j := range g.vectors {
		first := g.acc(0, j)
		g.zero(first)
		if vnni {
			g.lanes(j, g.temp(3))
			MOVQ(arg("offset"), gemmTmp)
			g.get(gemmTmp, j, g.temp(0), g.temp(3))
			VPSUBD(g.temp(0), first, first)
		}
		for i := 1; i < rows; i++ {
			VMOVAPS(first, g.acc(i, j))
		}
	}
}

// finishInt8 turns the sums into C, one vector of columns after the other.
func (g gemmKernel) finishInt8(rows int) {
	label := func(s string, j int) string { return fmt.Sprintf("%s%dx%d", s, rows, j) }
	scale, bias, x, lanes := g.temp(0), g.temp(1), g.temp(2), g.temp(3)
	ldc, at := gemmK, gemmBase[0]
	MOVQ(arg("ldc"), ldc)
	for j := range g.vectors {
		g.lanes(j, lanes)
		MOVQ(arg("scale"), gemmTmp)
		g.get(gemmTmp, j, scale, lanes)
		g.zero(bias)
		MOVQ(arg("bias"), gemmTmp)
		TESTQ(gemmTmp, gemmTmp)
		JEQ(LabelRef(label("unbiased", j)))
		g.get(gemmTmp, j, bias, lanes)
		Label(label("unbiased", j))
		for i := range rows {
			c := g.acc(i, j)
			VBROADCASTSS(Mem{Base: gemmFactors, Disp: 4 * i}, x)
			VCVTDQ2PS(c, c)
			VMULPS(scale, c, c)
			VFMADD213PS(bias, x, c)
		}
		CMPQ(arg("add"), Imm(0))
		JEQ(LabelRef(label("store", j)))
		MOVQ(gemmC, at)
		for i := range rows {
			g.get(at, j, x, lanes)
			VADDPS(x, g.acc(i, j), g.acc(i, j))
			ADDQ(ldc, at)
		}
		Label(label("store", j))
		MOVQ(gemmC, at)
		for i := range rows {
			g.put(g.acc(i, j), at, j, lanes)
			ADDQ(ldc, at)
		}
	}
	MOVQ(at, gemmC)
	ADDQ(Imm(uint64(4*rows)), gemmFactors)
}

// peakInt8 emits a routine that runs rounds of the kernel's inner loop on as many sums as hide the latency.
func (g gemmKernel) peakInt8(vnni bool) {
	begin("dotsInt8"+g.name, "func(rounds int)")
	Load(Param("rounds"), gemmK)
	for i := range g.maxRows * g.vectors {
		g.zero(g.physical(i))
	}
	for i := range 4 {
		g.zero(g.temp(i))
	}
	Label("round")
	for i := range g.maxRows {
		for j := range g.vectors {
			if vnni {
				g.dotBytes(g.temp(j), g.temp(2), g.acc(i, j))
			} else {
				VMOVAPS(g.temp(3), g.temp(2))
				g.addSigned(i, j)
			}
		}
	}
	DECQ(gemmK)
	JNE(LabelRef("round"))
	end()
}

// Bits of float32s, as in int8_generic.go.
const (
	absBits  = 0x7fffffff
	infBits  = 0x7f800000
	tinyBits = 0x0da24260
	nanBits  = 0x7fc00000
)

// byteBlock is the number of floats that quantizeRows takes at a time: their bytes fill a cache line.
const byteBlock = 64

// byteRow is a row of floats to be worked on block by block: full whole ones, then one of which masks tell the floats
// that exist, unless there is none.
type byteRow struct {
	isa
	full, tail Register
	masks      []Op     // AVX-512: one for each vector of the last block
	table      Register // AVX2: address of the same
}

func (s isa) newByteRow(k Register) byteRow {
	r := byteRow{isa: s, full: GP64(), tail: k}
	MOVQ(k, r.full)
	SHRQ(Imm(6), r.full)
	ANDQ(Imm(byteBlock-1), k)
	if s.width == 16 {
		ones := lowBits(k)
		for u := range byteBlock / s.width {
			m := K()
			if u > 0 {
				SHRQ(Imm(16), ones)
			}
			KMOVW(ones.As32(), m)
			r.masks = append(r.masks, m)
		}
		return r
	}
	r.table = GP64()
	at := GP64()
	LEAQ(masks("longMaskTable", byteBlock), r.table)
	LEAQ(Mem{Base: k, Index: k, Scale: 1}, at)
	ADDQ(at, at)
	SUBQ(at, r.table)
	ADDQ(I32(4*byteBlock), r.table)
	return r
}

// each emits a loop over the blocks of the row at x; body gets what loads vector u of the block.
func (r byteRow) each(x Register, body func(load func(u int) VecVirtual)) {
	r.blocks(x, func(row Register, mask func(u int) Op) {
		body(func(u int) VecVirtual {
			v := r.vec()
			r.loadMasked(Mem{Base: row, Disp: u * r.bytes()}, mask(u), v)
			return v
		})
	})
}

// blocks is each whose body gets the block's address and what masks its vector u: nil where all floats exist.
func (r byteRow) blocks(x Register, body func(row Register, mask func(u int) Op)) {
	row, left := GP64(), GP64()
	MOVQ(x, row)
	MOVQ(r.full, left)
	rows(left, func() {
		body(row, func(int) Op { return nil })
		ADDQ(I32(4*byteBlock), row)
	})
	done := label("whole")
	TESTQ(r.tail, r.tail)
	JEQ(LabelRef(done))
	body(row, func(u int) Op {
		if r.width == 16 {
			return r.masks[u]
		}
		mask := r.vec()
		VMOVUPS(Mem{Base: r.table, Disp: u * r.bytes()}, mask)
		return mask
	})
	Label(done)
}

// writeBytes writes the bytes of the row at x to q: what sign makes of the numbers times perScale, rounded.
func (r byteRow) writeBytes(q, x Register, perScale, order, sign VecVirtual) {
	out := GP64()
	MOVQ(q, out)
	r.each(x, func(load func(u int) VecVirtual) {
		for first := 0; first < byteBlock/r.width; first += 4 {
			var v [4]VecVirtual
			for u := range v {
				v[u] = load(first + u)
				VMULPS(perScale, v[u], v[u])
				VCVTPS2DQ(v[u], v[u])
			}
			VPACKSSDW(v[1], v[0], v[0])
			VPACKSSDW(v[3], v[2], v[2])
			VPACKSSWB(v[2], v[0], v[0])
			VPERMD(v[0], order, v[0])
			VXORPS(sign, v[0], v[0]) // + 128
			VMOVUPS(v[0], Mem{Base: out, Disp: first * r.width})
		}
		ADDQ(Imm(byteBlock), out)
	})
}

// quantizeRows reads a row twice: for its largest number, compared as integers so that NaN and infinity win, then to
// write the bytes.
func quantizeRows(s isa) {
	q, ldq, scale := pointer("q"), number("ldq"), pointer("scale")
	x, ldx, count := pointer("x"), number("ldx"), number("rows")
	SHLQ(Imm(2), ldx)
	r := s.newByteRow(number("k"))
	abs, sign, order := s.spread(constantBits(absBits)), s.spread(constantBits(0x80808080)), s.vec()
	VMOVUPS(packOrder(s), order)
	rows(count, func() {
		t := s.sums(4)
		r.each(x, func(load func(u int) VecVirtual) {
			for u := range byteBlock / s.width {
				v := load(u)
				VANDPS(abs, v, v)
				VPMAXUD(v, t[u%4], t[u%4])
			}
		})
		perScale := s.scaleOf(s.fold(VPMAXUD, t...), scale)
		ADDQ(Imm(4), scale)
		r.writeBytes(q, x, perScale, order, sign)
	}, [2]Register{q, ldq}, [2]Register{x, ldx})
}

// scaleOf stores the scale of a row with this largest, and returns what to multiply the row with, in all lanes.
func (s isa) scaleOf(largest VecVirtual, scale Register) VecVirtual {
	bits, odd, done := GP32(), label("odd"), label("scaled")
	per, size, c := XMM(), XMM(), XMM()
	VMOVAPS(largest.AsX(), size)
	VMOVD(size, bits)
	VXORPS(per, per, per)
	SUBL(U32(tinyBits), bits)
	CMPL(bits, U32(infBits-tinyBits))
	JCC(LabelRef(odd))
	VMOVSS(constant(127), c)
	VDIVSS(size, c, per)
	VDIVSS(c, size, size)
	VMOVSS(size, Mem{Base: scale})
	JMP(LabelRef(done))
	// Below tiny the difference has wrapped around; otherwise this is infinity or NaN.
	Label(odd)
	other, tiny := GP32(), label("tiny")
	XORL(other, other)
	ADDL(U32(tinyBits), bits)
	CMPL(bits, U32(infBits))
	JCS(LabelRef(tiny))
	MOVL(U32(nanBits), other)
	Label(tiny)
	MOVL(other, Mem{Base: scale})
	Label(done)
	v := s.vec()
	VBROADCASTSS(per, v)
	return v
}

// packOrder is where VPERMD finds the dwords of four packed vectors: lane l (128 bits) has numbers 4l … 4l+3 of each.
func packOrder(s isa) Mem {
	lanes := s.width / 4
	return table("packOrder"+s.name, s.width, func(i int) uint32 { return uint32(4*(i%lanes) + i/lanes) })
}

// centreWithout is centrePanel of the first cols columns, without VPDPBUSD.
func centreWithout(s isa) {
	panel, offset, steps, cols := pointer("panel"), pointer("offset"), number("steps"), number("cols")
	table, ones, pairs := GP64(), s.spread(constantBits(0x01010101)), s.spread(constantBits(0x00010001))
	SHLQ(Imm(2), cols)
	LEAQ(masks("longMaskTable", byteBlock), table)
	SUBQ(cols, table)
	mask := func(u int) VecVirtual {
		m := s.vec()
		VMOVUPS(Mem{Base: table, Disp: 4*byteBlock + u*s.bytes()}, m)
		return m
	}
	sums, sign := s.sums(4), s.spread(constantBits(0x80808080))
	var signs [4]VecVirtual
	for u := range signs {
		signs[u] = mask(u)
		VANDPS(sign, signs[u], signs[u])
	}
	rows(steps, func() {
		for u, sum := range sums {
			v, at := s.vec(), Mem{Base: panel, Disp: u * s.bytes()}
			VPXOR(at, signs[u], v)
			VMOVDQU(v, at)
			VPMADDUBSW(v, ones, v)
			VPMADDWD(pairs, v, v)
			VPADDD(v, sum, sum)
		}
		ADDQ(I32(4*PanelWidth), panel)
	})
	for u, sum := range sums {
		VPSLLD(Imm(7), sum, sum)
		s.storeMasked(sum, mask(u), Mem{Base: offset, Disp: u * s.bytes()})
	}
}
