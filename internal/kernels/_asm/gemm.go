package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Fields of gemmArgs, in order.
const (
	argA = iota
	argRowA
	argColA
	argB
	argLDB
	argC
	argLDC
	argBias
	argRows
	argExtra
	argTiles
	argK
	argAdd
	argMask
	argNext
	argNextStep
	argCursor
)

// gemmKernel is one routine: c [m, vectors·width] = a·b over all rows, in tiles of up to maxRows rows.
//
// A tile keeps all of its elements in registers. Each k loads the vectors of b's row, then broadcasts one element of a after the other;
// the rows' addresses are three to a base register: [base], [base+row], [base+2·row].
type gemmKernel struct {
	prefix string // the name's beginning
	isa
	vectors  int
	edge     bool // the last columns are masked off
	maxRows  int
	unroll   int
	products func(g gemmKernel, rows int) // emits one step's products, and moves b on
}

func gemm() {
	for _, g := range []gemmKernel{
		{"gemm", avx512, 2, false, 12, 4, multiplyAddF32},
		{"gemm", avx512, 2, true, 12, 1, multiplyAddF32},
		{"gemm", avx512, 1, true, 12, 1, multiplyAddF32},
		{"gemm", avx2, 2, false, 6, 4, multiplyAddF32},
		{"gemm", avx2, 2, true, 5, 1, multiplyAddF32},
	} {
		g.emit()
	}
}

// Registers of all kernels. The struct's address is in R14 (which holds g only in Go code) and C's in DI.
var (
	gemmBase           = []Register{R8, R9, R10, R11}
	gemmRowA, gemmColA = RBX, RCX
	gemmB, gemmLDB     = RSI, RDX
	gemmK              = RAX
	gemmNext, gemmStep = R12, R13
	gemmArgs           = R14
	gemmC              = RDI
	gemmTmp            = R15
)

func (g gemmKernel) emit() {
	name := fmt.Sprintf("%s%dx%d", g.prefix, g.maxRows, g.vectors*g.width)
	if g.edge {
		name += "Edge"
	}
	TEXT(name+g.name, NOSPLIT, "func(p *byte)")
	Load(Param("p"), gemmArgs)
	MOVQ(field(gemmArgs, argC), gemmC)
	MOVQ(field(gemmArgs, argNext), gemmNext)
	MOVQ(field(gemmArgs, argNextStep), gemmStep)
	MOVQ(field(gemmArgs, argLDB), gemmLDB)
	MOVQ(field(gemmArgs, argRowA), gemmRowA)
	MOVQ(field(gemmArgs, argColA), gemmColA)
	g.loadMasks()

	MOVQ(field(gemmArgs, argA), gemmTmp)
	MOVQ(gemmTmp, field(gemmArgs, argCursor))

	// The first argExtra tiles have one row more than the others.
	Label("tile")
	MOVQ(field(gemmArgs, argRows), gemmTmp)
	CMPQ(field(gemmArgs, argExtra), Imm(0))
	JE(LabelRef("size"))
	DECQ(field(gemmArgs, argExtra))
	INCQ(gemmTmp)
	Label("size")
	MOVQ(field(gemmArgs, argCursor), gemmBase[0])
	for i := 1; 3*i < g.maxRows; i++ {
		LEAQ(Mem{Base: gemmBase[i-1], Index: gemmRowA, Scale: 2}, gemmBase[i])
		ADDQ(gemmRowA, gemmBase[i])
	}
	MOVQ(field(gemmArgs, argB), gemmB)
	MOVQ(field(gemmArgs, argK), gemmK)
	for rows := g.maxRows; rows > 1; rows-- {
		CMPQ(gemmTmp, Imm(uint64(rows)))
		JE(LabelRef(fmt.Sprintf("rows%d", rows)))
	}
	for rows := 1; rows <= g.maxRows; rows++ {
		g.tile(rows)
	}

	Label("next")
	DECQ(field(gemmArgs, argTiles))
	JNE(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// acc is the accumulator of row i, vector j; the registers above them are temporary.
func (g gemmKernel) acc(i, j int) VecPhysical { return g.physical(i*g.vectors + j) }

func (g gemmKernel) temp(i int) VecPhysical {
	if g.width == 16 {
		return g.physical(31 - i)
	}
	return g.physical(15 - i)
}

// mask is what masks off the last columns of vector j.
func (g gemmKernel) mask(j int) Op {
	if g.width == 16 {
		return []Op{K1, K2}[j]
	}
	return g.temp(4 + j)
}

func (g gemmKernel) loadMasks() {
	if !g.edge {
		return
	}
	if g.width == 16 {
		MOVQ(field(gemmArgs, argMask), gemmTmp)
		KMOVW(gemmTmp.As32(), K1)
		if g.vectors > 1 {
			SHRQ(Imm(16), gemmTmp)
			KMOVW(gemmTmp.As32(), K2)
		}
		return
	}
	// argMask points to the masks of one whole row.
	MOVQ(field(gemmArgs, argMask), gemmTmp)
	for j := range g.vectors {
		VMOVUPS(Mem{Base: gemmTmp, Disp: j * g.bytes()}, g.mask(j))
	}
}

// load and store move vector j of a row, without touching what is masked off.
func (g gemmKernel) load(base Register, j int, v Op) {
	m := Mem{Base: base, Disp: j * g.bytes()}
	switch {
	case !g.edge:
		VMOVUPS(m, v)
	case g.width == 16:
		VMOVUPS_Z(m, g.mask(j), v)
	default:
		VMASKMOVPS(m, g.mask(j), v)
	}
}

func (g gemmKernel) store(v Op, base Register, j int) {
	m := Mem{Base: base, Disp: j * g.bytes()}
	switch {
	case !g.edge:
		VMOVUPS(v, m)
	case g.width == 16:
		VMOVUPS(v, g.mask(j), m)
	default:
		VMASKMOVPS(v, g.mask(j), m)
	}
}

// rowOfA is where the step's number of row i lies.
func rowOfA(i int) Mem {
	m := Mem{Base: gemmBase[i/3]}
	if i%3 > 0 {
		m.Index, m.Scale = gemmRowA, uint8(i%3)
	}
	return m
}

// multiplyAddF32 adds one k's products.
func multiplyAddF32(g gemmKernel, rows int) {
	for j := range g.vectors {
		g.load(gemmB, j, g.temp(j))
	}
	ADDQ(gemmLDB, gemmB)
	for i := range rows {
		x := g.temp(2 + i%2)
		VBROADCASTSS(rowOfA(i), x)
		for j := range g.vectors {
			VFMADD231PS(g.temp(j), x, g.acc(i, j))
		}
	}
}

// step adds one step's products and moves on.
func (g gemmKernel) step(rows int) {
	g.products(g, rows)
	for i := 0; 3*i < rows; i++ {
		ADDQ(gemmColA, gemmBase[i])
	}
	// Two lines, for a single tile must fetch a whole panel.
	PREFETCHT1(Mem{Base: gemmNext})
	PREFETCHT1(Mem{Base: gemmNext, Disp: 64})
	ADDQ(gemmStep, gemmNext)
}

func (g gemmKernel) tile(rows int) {
	label := func(s string) string { return fmt.Sprintf("%s%d", s, rows) }
	Label(label("rows"))
	for i := range rows {
		for j := range g.vectors {
			g.zero(g.acc(i, j))
		}
	}
	if g.unroll > 1 {
		SUBQ(Imm(uint64(g.unroll)), gemmK)
		JLT(LabelRef(label("rest")))
		Label(label("loop"))
		for range g.unroll {
			g.step(rows)
		}
		SUBQ(Imm(uint64(g.unroll)), gemmK)
		JGE(LabelRef(label("loop")))
		Label(label("rest"))
		ADDQ(Imm(uint64(g.unroll)), gemmK)
	}
	TESTQ(gemmK, gemmK)
	JEQ(LabelRef(label("bias")))
	Label(label("single"))
	g.step(rows)
	DECQ(gemmK)
	JNE(LabelRef(label("single")))

	Label(label("bias"))
	MOVQ(field(gemmArgs, argBias), gemmTmp)
	TESTQ(gemmTmp, gemmTmp)
	JEQ(LabelRef(label("old")))
	for j := range g.vectors {
		g.load(gemmTmp, j, g.temp(j))
	}
	for i := range rows {
		for j := range g.vectors {
			VADDPS(g.temp(j), g.acc(i, j), g.acc(i, j))
		}
	}
	Label(label("old"))
	MOVQ(field(gemmArgs, argLDC), gemmTmp)
	CMPQ(field(gemmArgs, argAdd), Imm(0))
	JEQ(LabelRef(label("store")))
	MOVQ(gemmC, gemmBase[0])
	for i := range rows {
		for j := range g.vectors {
			g.load(gemmBase[0], j, g.temp(j))
			VADDPS(g.temp(j), g.acc(i, j), g.acc(i, j))
		}
		if i < rows-1 {
			ADDQ(gemmTmp, gemmBase[0])
		}
	}
	Label(label("store"))
	for i := range rows {
		for j := range g.vectors {
			g.store(g.acc(i, j), gemmC, j)
		}
		ADDQ(gemmTmp, gemmC)
	}
	// a moves down by the tile's rows.
	IMUL3Q(Imm(uint64(rows)), gemmRowA, gemmTmp)
	ADDQ(gemmTmp, field(gemmArgs, argCursor))
	JMP(LabelRef("next"))
}
