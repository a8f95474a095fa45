package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func resample() {
	each("resample", "func(dst, src []byte, ld, n int, first, weights []int32, taps int)", resampleRows)
	each("transposeBytes", "func(dst, src []byte, ldd, lds, n int)", transposeBytes, avx2)
}

// resampleRows sums 48 columns at a time, for those of pictures in colour are a multiple of it, then 16.
func resampleRows(s isa) {
	dst, src, ld, n := pointer("dst"), pointer("src"), number("ld"), number("n")
	first, count, weights, taps := pointer("first"), length("first"), pointer("weights"), number("taps")
	half, zero := s.spread(constantBits(1<<21)), s.cleared()
	rows(count, func() {
		from, left := GP64(), GP64()
		MOVLQSX(Mem{Base: first}, from)
		IMULQ(ld, from)
		ADDQ(src, from)
		MOVQ(n, left)
		for _, columns := range []int{48, 16} {
			head, done := label("columns"), label("fewer")
			Label(head)
			CMPQ(left, Imm(uint64(columns)))
			JLT(LabelRef(done))
			sums := make([]VecVirtual, columns/s.width)
			for i := range sums {
				sums[i] = s.vec()
				VMOVAPS(half, sums[i])
			}
			row, weight, tap := GP64(), GP64(), GP64()
			MOVQ(from, row)
			MOVQ(weights, weight)
			MOVQ(taps, tap)
			rows(tap, func() {
				w := s.spread(Mem{Base: weight})
				for i, sum := range sums {
					v := s.vec()
					VPMOVZXBD(Mem{Base: row, Disp: s.width * i}, v)
					VPMULLD(w, v, v)
					VPADDD(v, sum, sum)
				}
				ADDQ(Imm(4), weight)
			}, [2]Register{row, ld})
			s.storeBytes(sums, zero, dst)
			ADDQ(Imm(uint64(columns)), dst)
			ADDQ(Imm(uint64(columns)), from)
			SUBQ(Imm(uint64(columns)), left)
			JMP(LabelRef(head))
			Label(done)
		}
		ADDQ(Imm(4), first)
		LEAQ(Mem{Base: weights, Index: taps, Scale: 4}, weights)
	})
}

// storeBytes stores sums of fixed-point numbers as bytes.
func (s isa) storeBytes(sums []VecVirtual, zero VecVirtual, dst Register) {
	for _, v := range sums {
		VPSRAD(Imm(22), v, v)
	}
	if s.width == 16 {
		for i, v := range sums {
			VPMAXSD(zero, v, v)
			VPMOVUSDB(v, Mem{Base: dst, Disp: 16 * i})
		}
		return
	}
	for i := 0; i < len(sums); i += 2 {
		v := sums[i]
		VPACKSSDW(sums[i+1], v, v)
		VPERMQ(Imm(0xd8), v, v)
		high, low := upper(v, s.bytes())
		VPACKUSWB(high, low, low)
		VMOVUPS(low, Mem{Base: dst, Disp: 8 * i})
	}
}

// transposeBytes transposes 16 rows of 8 bytes at a time: each step of four doubles what lies side by side of a column.
func transposeBytes(isa) {
	dst, src, ldd, lds, left := pointer("dst"), pointer("src"), number("ldd"), number("lds"), number("n")
	SHRQ(Imm(3), left)
	rows(left, func() {
		row, out := GP64(), GP64()
		MOVQ(src, row)
		MOVQ(dst, out)
		var r [8]VecVirtual
		for i := range r {
			r[i] = XMM()
			second := XMM()
			VMOVQ(Mem{Base: row}, r[i])
			VMOVQ(Mem{Base: row, Index: lds, Scale: 1}, second)
			LEAQ(Mem{Base: row, Index: lds, Scale: 2}, row)
			VPUNPCKLBW(second, r[i], r[i])
		}
		interleave(r[:], 1, VPUNPCKLWD, VPUNPCKHWD)
		interleave(r[:], 2, VPUNPCKLDQ, VPUNPCKHDQ)
		interleave(r[:], 4, VPUNPCKLQDQ, VPUNPCKHQDQ)
		for _, i := range []int{0, 4, 2, 6, 1, 5, 3, 7} {
			VMOVUPS(r[i], Mem{Base: out})
			ADDQ(ldd, out)
		}
		ADDQ(Imm(8), src)
		LEAQ(Mem{Base: dst, Index: ldd, Scale: 8}, dst)
	})
}

// interleave mixes vectors step apart, the lower halves of the two into the first.
func interleave(r []VecVirtual, step int, lower, upper func(...Op)) {
	for i := range r {
		if i&step == 0 {
			high := XMM()
			upper(r[i+step], r[i], high)
			lower(r[i+step], r[i], r[i])
			r[i+step] = high
		}
	}
}
