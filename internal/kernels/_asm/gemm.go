package main

import (
	"encoding/binary"
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func gemm() {
	f32 := floatParts(multiplyAddF32)
	for _, g := range []gemmKernel{
		{"gemm", avx512, 2, false, 12, 4, f32},
		{"gemm", avx512, 2, true, 12, 1, f32},
		{"gemm", avx512, 1, true, 12, 1, f32},
		{"gemm", avx2, 2, false, 6, 8, f32},
		{"gemm", avx2, 2, true, 5, 1, f32},
	} {
		g.emit()
	}
}

// bf16Gemm is gemm for pairs of bfloat16: a step is two k's, a 32-bit element holds both, the first in its lower half.
// Panels are always whole, so only C and the bias have edges.
func bf16Gemm() {
	dot, widen := floatParts(dotBF16), floatParts(widenBF16)
	for _, g := range []gemmKernel{
		{"gemmPairs", avx512BF16, 2, true, 12, 4, dot},
		{"gemmPairs", avx512BF16, 1, true, 12, 1, dot},
		{"gemmPairs", avx512, 2, true, 12, 2, widen},
		{"gemmPairs", avx512, 1, true, 12, 1, widen},
		{"gemmPairs", avx2, 2, false, 6, 2, widen},
		{"gemmPairs", avx2, 2, true, 5, 1, widen},
	} {
		g.emit()
	}
	begin("dotsBF16AVX512", "func(rounds int)")
	rounds, v := number("rounds"), avx512BF16.physical
	for i := range 26 {
		avx512BF16.zero(v(i))
	}
	rows(rounds, func() {
		for i := range 24 {
			vdpbf16ps(v(24), v(25), v(i))
		}
	})
	end()
}

// floatParts are the parts of a product whose sums are float32; products emits one step's products, and moves b on.
func floatParts(products func(g gemmKernel, rows int)) gemmParts {
	return gemmParts{
		load: func(g gemmKernel) {
			MOVQ(arg("ldb"), gemmLDB)
			MOVQ(arg("colA"), gemmColA)
			for j := range g.vectors {
				g.lanes(j, g.temp(4+j))
			}
		},
		start: func(g gemmKernel, rows int) {
			for i := range rows * g.vectors {
				g.zero(g.physical(i))
			}
		},
		steps: func(g gemmKernel, rows, n int) {
			for range n {
				products(g, rows)
				for i := 0; 3*i < rows; i++ {
					ADDQ(gemmColA, gemmBase[i])
				}
				fetch()
			}
		},
		finish: finishF32,
	}
}

// multiplyAddF32 adds one k's products.
func multiplyAddF32(g gemmKernel, rows int) {
	for j := range g.vectors {
		g.get(gemmB, j, g.temp(j), g.temp(4+j))
	}
	ADDQ(gemmLDB, gemmB)
	g.products(rows, 0, VBROADCASTSS, func(b, x, sums VecPhysical) { VFMADD231PS(b, x, sums) })
}

// dotBF16 adds one pair's products by the machine's dot product.
func dotBF16(g gemmKernel, rows int) {
	for j := range g.vectors {
		VMOVUPS(Mem{Base: gemmB, Disp: j * g.bytes()}, g.temp(j))
	}
	ADDQ(gemmLDB, gemmB)
	g.products(rows, 0, VBROADCASTSS, vdpbf16ps)
}

// widenBF16 adds one pair's products in float32: the lower halves', shifted up, then the upper ones', masked.
func widenBF16(g gemmKernel, rows int) {
	x, upper := g.temp(2), g.temp(3)
	b := func(j int) Mem { return Mem{Base: gemmB, Disp: j * g.bytes()} }
	multiplyAdd := func(i int) {
		for j := range g.vectors {
			VFMADD231PS(g.temp(j), x, g.acc(i, j))
		}
	}
	for j := range g.vectors {
		VMOVUPS(b(j), g.temp(j))
		VPSLLD(Imm(16), g.temp(j), g.temp(j))
	}
	for i := range rows {
		if g.width == 16 {
			VPSLLD_BCST(Imm(16), stepOfA(i, 0), x)
		} else {
			VBROADCASTSS(stepOfA(i, 0), x)
			VPSLLD(Imm(16), x, x)
		}
		multiplyAdd(i)
	}
	VBROADCASTSS(constantBits(0xffff0000), upper)
	for j := range g.vectors {
		VANDPS(b(j), upper, g.temp(j))
	}
	ADDQ(gemmLDB, gemmB)
	for i := range rows {
		if g.width == 16 {
			VANDPS_BCST(stepOfA(i, 0), upper, x)
		} else {
			VBROADCASTSS(stepOfA(i, 0), x)
			VANDPS(upper, x, x)
		}
		multiplyAdd(i)
	}
}

// finishF32 adds the bias and what C holds.
func finishF32(g gemmKernel, rows int) {
	label := func(s string) string { return fmt.Sprintf("%s%d", s, rows) }
	MOVQ(arg("bias"), gemmTmp)
	TESTQ(gemmTmp, gemmTmp)
	JEQ(LabelRef(label("old")))
	for j := range g.vectors {
		g.get(gemmTmp, j, g.temp(j), g.temp(4+j))
	}
	for i := range rows {
		for j := range g.vectors {
			VADDPS(g.temp(j), g.acc(i, j), g.acc(i, j))
		}
	}
	Label(label("old"))
	MOVQ(arg("ldc"), gemmTmp)
	CMPQ(arg("add"), Imm(0))
	JEQ(LabelRef(label("store")))
	MOVQ(gemmC, gemmBase[0])
	for i := range rows {
		for j := range g.vectors {
			g.get(gemmBase[0], j, g.temp(j), g.temp(4+j))
			VADDPS(g.temp(j), g.acc(i, j), g.acc(i, j))
		}
		if i < rows-1 {
			ADDQ(gemmTmp, gemmBase[0])
		}
	}
	Label(label("store"))
	for i := range rows {
		for j := range g.vectors {
			g.put(g.acc(i, j), gemmC, j, g.temp(4+j))
		}
		ADDQ(gemmTmp, gemmC)
	}
}

// The assembler does not know these instructions. All have EVEX prefixes with map 0F38 and W 0.
const (
	ppF3 = 2
	ppF2 = 3
)

// vdpbf16ps adds to each lane of acc the products of x's and b's two halves.
func vdpbf16ps(b, x, acc VecPhysical) { evex(ppF3, 0x52, b, x, acc, acc) }

// vcvtneps2bf16 rounds the 16 floats of x to the bfloat16s of y, the lower half of a register.
func vcvtneps2bf16(x, y VecPhysical) { evex(ppF3, 0x72, x, nil, y) }

// vcvtne2ps2bf16 rounds low and high to one register of 32 bfloat16s.
func vcvtne2ps2bf16(low, high, y VecPhysical) { evex(ppF2, 0x72, low, high, y) }

// evex emits an instruction on 512-bit registers that reads rm, vvvv (or nil) and reads, and writes dst.
func evex(pp, opcode byte, rm, vvvv, dst VecPhysical, reads ...Op) {
	number := func(r VecPhysical) byte {
		if r == nil {
			return 0
		}
		return byte(r.(Physical).PhysicalIndex())
	}
	// Register bits above the lower three are inverted, in the prefix.
	inverted := func(r VecPhysical, bit int) byte { return ^number(r) >> bit & 1 }
	code := []byte{
		0x62,
		inverted(dst, 3)<<7 | inverted(rm, 4)<<6 | inverted(rm, 3)<<5 | inverted(dst, 4)<<4 | 2,
		^number(vvvv)&15<<3 | 4 | pp,
		2<<5 | inverted(vvvv, 4)<<3,
		opcode,
		3<<6 | number(dst)&7<<3 | number(rm)&7,
	}
	reads = append(reads, rm)
	if vvvv != nil {
		reads = append(reads, vvvv)
	}
	long, word := U32(binary.LittleEndian.Uint32(code)), U16(binary.LittleEndian.Uint16(code[4:]))
	Instruction(&ir.Instruction{Opcode: "LONG", Operands: []Op{long}, Inputs: reads})
	Instruction(&ir.Instruction{Opcode: "WORD", Operands: []Op{word}, Inputs: reads, Outputs: []Op{dst}})
}
