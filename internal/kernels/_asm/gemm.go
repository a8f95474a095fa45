package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func gemm() {
	f32 := floatParts(multiplyAddF32)
	for _, g := range []gemmKernel{
		{"gemm", avx512, 2, false, 12, 4, f32},
		{"gemm", avx512, 2, true, 12, 1, f32},
		{"gemm", avx512, 1, true, 12, 1, f32},
		{"gemm", avx2, 2, false, 6, 4, f32},
		{"gemm", avx2, 2, true, 5, 1, f32},
	} {
		g.emit()
	}
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
