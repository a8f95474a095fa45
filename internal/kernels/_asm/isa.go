package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// isa is an instruction set: the name that ends its routines' names, and the floats in one vector.
type isa struct {
	name  string
	width int
	bf16  bool // has the machine's bfloat16 instructions
}

var (
	avx512     = isa{"AVX512", 16, false}
	avx2       = isa{"AVX2", 8, false}
	avx512BF16 = isa{"AVX512BF16", 16, true}
)

func (s isa) bytes() int { return 4 * s.width }

// physical returns vector register i.
func (s isa) physical(i int) VecPhysical {
	if s.width == 16 {
		return []VecPhysical{Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15,
			Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31}[i]
	}
	return []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15}[i]
}

func (s isa) zero(v Op) {
	if s.width == 16 {
		VPXORD(v, v, v)
	} else {
		VXORPS(v, v, v)
	}
}

// field returns field i of the struct of 8-byte fields that base points to.
func field(base Register, i int) Mem { return Mem{Base: base, Disp: 8 * i} }
