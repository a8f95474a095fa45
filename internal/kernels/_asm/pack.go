package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func pack() {
	each("transpose", "func(dst, src []float32, ldb, count, k int, mask uint64)", transpose)
}

// transpose writes the transpose of count rows of k floats, ldb apart, as k rows of one vector, 128 bytes apart; mask
// has a bit for each lane that keeps its value, the others become 0. It works on squares of as many rows as a vector
// has lanes; where src has no such row the last one is read again, and masked off.
func transpose(s isa) {
	dst, src, ldb, count := pointer("dst"), pointer("src"), number("ldb"), number("count")
	SHLQ(Imm(2), ldb)
	p := s.newSpan(number("k"))
	var keep Op
	bit := GP64()
	Load(Param("mask"), bit)
	if s.width == 16 {
		k := K()
		KMOVW(bit.As32(), k)
		keep = k
	} else {
		// One lane's bit to its sign.
		bits, shifts := s.vec(), s.vec()
		VMOVD(bit.As32(), bits.AsX())
		VPBROADCASTD(bits.AsX(), bits)
		VMOVDQU(table("laneBits", 8, func(i int) uint32 { return 1 << i }), shifts)
		VPAND(shifts, bits, bits)
		VPCMPEQD(shifts, bits, bits)
		keep = bits
	}
	p.each(func(p span) {
		row, step, none := GP64(), GP64(), GP64()
		MOVQ(src, row)
		MOVQ(ldb, step)
		XORQ(none, none)
		r := make([]VecVirtual, s.width)
		for i := range r {
			r[i] = p.load(row)
			if i < s.width-1 {
				CMPQ(count, Imm(uint64(i+1)))
				CMOVQEQ(none, step)
				ADDQ(step, row)
			}
		}
		s.transposeSquare(r)
		left, done := GP64(), label("stored")
		if p.mask != nil {
			MOVQ(p.size, left)
			SUBQ(p.full, left)
		}
		for i, v := range r {
			s.keep(keep, v)
			VMOVUPS(v, Mem{Base: dst, Disp: 128 * i})
			if p.mask != nil && i < s.width-2 {
				SUBQ(Imm(4), left)
				JEQ(LabelRef(done))
			} else if p.mask != nil && i == s.width-2 {
				break
			}
		}
		Label(done)
		ADDQ(I32(128*s.width), dst)
	})
}

// transposeSquare transposes width vectors in place: pairs, then fours inside each 128-bit lane, then the lanes.
func (s isa) transposeSquare(r []VecVirtual) {
	for i := 0; i < len(r); i += 2 {
		a := s.vec()
		VUNPCKLPS(r[i+1], r[i], a)
		VUNPCKHPS(r[i+1], r[i], r[i+1])
		r[i] = a
	}
	for i := 0; i < len(r); i += 4 {
		a, b := s.vec(), s.vec()
		VUNPCKLPD(r[i+2], r[i], a)
		VUNPCKHPD(r[i+2], r[i], r[i+2])
		VUNPCKLPD(r[i+3], r[i+1], b)
		VUNPCKHPD(r[i+3], r[i+1], r[i+3])
		r[i], r[i+1], r[i+2] = a, r[i+2], b
	}
	// Now r[4g+c], lane l, is column 4l+c of rows 4g … 4g+3.
	if s.width == 8 {
		for c := range 4 {
			a := s.vec()
			VPERM2F128(Imm(0x20), r[4+c], r[c], a)
			VPERM2F128(Imm(0x31), r[4+c], r[c], r[4+c])
			r[c] = a
		}
		return
	}
	for c := range 4 {
		u0, u1, u2, u3 := r[c], r[4+c], r[8+c], r[12+c]
		even, odd := s.vec(), u0
		VSHUFF32X4(Imm(0x88), u1, u0, even)
		VSHUFF32X4(Imm(0xdd), u1, u0, odd)
		even2, odd2 := u1, u2
		VSHUFF32X4(Imm(0x88), u3, u2, even2)
		VSHUFF32X4(Imm(0xdd), u3, u2, odd2)
		VSHUFF32X4(Imm(0x88), even2, even, u3)
		VSHUFF32X4(Imm(0xdd), even2, even, even)
		VSHUFF32X4(Imm(0x88), odd2, odd, even2)
		VSHUFF32X4(Imm(0xdd), odd2, odd, odd)
		r[c], r[4+c], r[8+c], r[12+c] = u3, even2, even, odd
	}
}
