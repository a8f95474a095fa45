package main

import (
	"fmt"
	"slices"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// gemmKernel is one routine: c [m, vectors·width] = a·b over all rows, in tiles of up to maxRows rows.
//
// A tile keeps all of its elements in registers. Each step loads the vectors of b's row, then broadcasts one element
// of a after the other; the rows' addresses are three to a base register: [base], [base+row], [base+2·row].
type gemmKernel struct {
	prefix string // the name's beginning
	isa
	vectors int
	edge    bool // the last columns are masked off
	maxRows int
	unroll  int
	gemmParts
}

// gemmParts is what the products of the number formats do not have in common. Each part emits code for a tile of rows.
type gemmParts struct {
	load   func(g gemmKernel)              // registers of its own that stay the same for all tiles
	start  func(g gemmKernel, rows int)    // gives the sums their first value
	steps  func(g gemmKernel, rows, n int) // adds the products of n steps, and moves on
	finish func(g gemmKernel, rows int)    // turns the sums into C, and moves it on
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

// fields are those of the package's gemmArgs, of 8 bytes each; cursor is the assembly's own.
var fields = strings.Fields("a rowA colA b ldb c ldc bias rows extra tiles k add bits lanes next nextStep cursor " +
	"rowScale scale offset")

// arg is where a field of gemmArgs lies.
func arg(name string) Mem {
	i := slices.Index(fields, name)
	if i < 0 {
		panic("gemmArgs has no field " + name)
	}
	return Mem{Base: gemmArgs, Disp: 8 * i}
}

func (g gemmKernel) emit() {
	name := fmt.Sprintf("%s%dx%d", g.prefix, g.maxRows, g.vectors*g.width)
	if g.edge {
		name += "Edge"
	}
	begin(name+g.name, "func(args *gemmArgs)")
	Load(Param("args"), gemmArgs)
	MOVQ(arg("c"), gemmC)
	MOVQ(arg("next"), gemmNext)
	MOVQ(arg("nextStep"), gemmStep)
	MOVQ(arg("rowA"), gemmRowA)
	g.load(g)
	if g.edge && g.width == 16 {
		MOVQ(arg("bits"), gemmTmp)
		KMOVW(gemmTmp.As32(), K1)
		if g.vectors > 1 {
			SHRQ(Imm(16), gemmTmp)
			KMOVW(gemmTmp.As32(), K2)
		}
	}
	MOVQ(arg("a"), gemmTmp)
	MOVQ(gemmTmp, arg("cursor"))

	// The first argExtra tiles have one row more than the others.
	Label("tile")
	MOVQ(arg("rows"), gemmTmp)
	CMPQ(arg("extra"), Imm(0))
	JE(LabelRef("size"))
	DECQ(arg("extra"))
	INCQ(gemmTmp)
	Label("size")
	MOVQ(arg("cursor"), gemmBase[0])
	for i := 1; 3*i < g.maxRows; i++ {
		LEAQ(Mem{Base: gemmBase[i-1], Index: gemmRowA, Scale: 2}, gemmBase[i])
		ADDQ(gemmRowA, gemmBase[i])
	}
	MOVQ(arg("b"), gemmB)
	MOVQ(arg("k"), gemmK)
	for rows := g.maxRows; rows > 1; rows-- {
		CMPQ(gemmTmp, Imm(uint64(rows)))
		JE(LabelRef(fmt.Sprintf("rows%d", rows)))
	}
	for rows := 1; rows <= g.maxRows; rows++ {
		g.tile(rows)
	}

	Label("next")
	DECQ(arg("tiles"))
	JNE(LabelRef("tile"))
	end()
}

func (g gemmKernel) tile(rows int) {
	label := func(s string) string { return fmt.Sprintf("%s%d", s, rows) }
	Label(label("rows"))
	g.start(g, rows)
	if g.unroll > 1 {
		SUBQ(Imm(uint64(g.unroll)), gemmK)
		JLT(LabelRef(label("rest")))
		Label(label("loop"))
		g.steps(g, rows, g.unroll)
		SUBQ(Imm(uint64(g.unroll)), gemmK)
		JGE(LabelRef(label("loop")))
		Label(label("rest"))
		ADDQ(Imm(uint64(g.unroll)), gemmK)
	}
	TESTQ(gemmK, gemmK)
	JEQ(LabelRef(label("finish")))
	Label(label("single"))
	g.steps(g, rows, 1)
	DECQ(gemmK)
	JNE(LabelRef(label("single")))
	Label(label("finish"))
	g.finish(g, rows)
	// a moves down by the tile's rows.
	IMUL3Q(Imm(uint64(rows)), gemmRowA, gemmTmp)
	ADDQ(gemmTmp, arg("cursor"))
	JMP(LabelRef("next"))
}

// acc is the accumulator of row i, vector j; temp counts the others from above.
func (g gemmKernel) acc(i, j int) VecPhysical { return g.physical(i*g.vectors + j) }

func (g gemmKernel) temp(i int) VecPhysical { return g.physical(2*g.width - 1 - i) }

// fetch moves the prefetching on: by two lines, for a single tile must fetch a whole panel.
func fetch() {
	PREFETCHT1(Mem{Base: gemmNext})
	PREFETCHT1(Mem{Base: gemmNext, Disp: 64})
	ADDQ(gemmStep, gemmNext)
}

// products adds the products of the step that is n steps ahead, b's vectors of it being the first temps.
func (g gemmKernel) products(rows, n int, broadcast func(...Op), multiplyAdd func(b, x, sums VecPhysical)) {
	for i := range rows {
		x := g.temp(2 + i%2)
		broadcast(stepOfA(i, n), x)
		for j := range g.vectors {
			multiplyAdd(g.temp(j), x, g.acc(i, j))
		}
	}
}

// stepOfA is where the number of row i lies, n steps of 4 bytes ahead.
func stepOfA(i, n int) Mem {
	m := Mem{Base: gemmBase[i/3], Disp: 4 * n}
	if i%3 > 0 {
		m.Index, m.Scale = gemmRowA, uint8(i%3)
	}
	return m
}

// lanes loads what masks off the last columns of vector j where the instruction set has no mask registers.
func (g gemmKernel) lanes(j int, v Op) {
	if g.edge && g.width == 8 {
		MOVQ(arg("lanes"), gemmTmp)
		VMOVUPS(Mem{Base: gemmTmp, Disp: j * g.bytes()}, v)
	}
}

// get and put move vector j of a row of 4-byte numbers but for what is masked off, by lanes without mask registers.
func (g gemmKernel) get(base Register, j int, v, lanes Op) {
	g.loadMasked(Mem{Base: base, Disp: j * g.bytes()}, g.mask(j, lanes), v)
}

func (g gemmKernel) put(v Op, base Register, j int, lanes Op) {
	g.storeMasked(v, g.mask(j, lanes), Mem{Base: base, Disp: j * g.bytes()})
}

func (g gemmKernel) mask(j int, lanes Op) Op {
	switch {
	case !g.edge:
		return nil
	case g.width == 16:
		return []Op{K1, K2}[j]
	}
	return lanes
}
