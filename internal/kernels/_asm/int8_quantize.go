package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Bits of float32s, as in int8_quantize.go.
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
	row, left := GP64(), GP64()
	MOVQ(x, row)
	MOVQ(r.full, left)
	rows(left, func() {
		body(func(u int) VecVirtual {
			v := r.vec()
			VMOVUPS(Mem{Base: row, Disp: u * r.bytes()}, v)
			return v
		})
		ADDQ(I32(4*byteBlock), row)
	})
	done := label("whole")
	TESTQ(r.tail, r.tail)
	JEQ(LabelRef(done))
	body(func(u int) VecVirtual {
		v, m := r.vec(), Mem{Base: row, Disp: u * r.bytes()}
		if r.width == 16 {
			VMOVUPS_Z(m, r.masks[u], v)
			return v
		}
		mask := r.vec()
		VMOVUPS(Mem{Base: r.table, Disp: u * r.bytes()}, mask)
		VMASKMOVPS(m, mask, v)
		return v
	})
	Label(done)
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
		out := GP64()
		MOVQ(q, out)
		r.each(x, func(load func(u int) VecVirtual) {
			for first := 0; first < byteBlock/s.width; first += 4 {
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
				VMOVUPS(v[0], Mem{Base: out, Disp: first * s.width})
			}
			ADDQ(Imm(byteBlock), out)
		})
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
