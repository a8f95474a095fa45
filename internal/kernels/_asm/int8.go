package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Fields of int8Args, in order.
const (
	int8Q = iota
	int8LDQ
	int8B
	int8C
	int8LDC
	int8RowScale
	int8Scale
	int8Offset
	int8Bias
	int8Rows
	int8Extra
	int8Tiles
	int8Steps
	int8Add
	int8Mask
	int8Next
	int8NextStep
	int8Cursor
)

// int8Kernel is one routine: c [m, vectors·width] = scales·(q − 128)·b over all rows, in tiles of up to maxRows rows, which keep all of their sums in
// registers. Each step takes the vectors of b's group of four rows and broadcasts four bytes of one row of q after the other. Rows' addresses are three
// to a base register, as in gemmKernel.
type int8Kernel struct {
	isa
	name    string
	vnni    bool // has VPDPBUSD; otherwise products of pairs in 16 bits
	vectors int
	maxRows int
	unroll  int
	edge    bool // the last columns are masked off
}

func int8s() {
	for _, t := range []int8Kernel{
		{isa: avx512, name: "VNNI512", vnni: true, vectors: 2, maxRows: 12, unroll: 4},
		{isa: avx2, name: "VNNI256", vnni: true, vectors: 2, maxRows: 6, unroll: 4},
		{isa: avx2, name: "AVX2", vectors: 4, maxRows: 3, unroll: 2},
	} {
		t.emit()
		t.edge, t.unroll = true, 1
		t.emit()
		t.peak()
	}
	each("geluQuick", "func(y, x *float32, ld, count, cols int)", geluQuick)
	each("quantizeRows", "func(q *byte, ldq int, scale, x *float32, ldx, count, k int)", quantizeRows)
}

// Registers of all kernels.
var (
	int8Base            = []Register{R8, R9, R10, R11}
	int8Row             = RBX
	int8Weights         = RSI
	int8Left            = RAX // steps
	int8Fetch, int8Step = R12, R13
	int8Args            = R14
	int8Out             = RDI
	int8Factors         = RDX // scales of the rows
	int8Tmp             = R15
)

func (t int8Kernel) emit() {
	name := fmt.Sprintf("gemmInt8x%d", t.maxRows)
	if t.edge {
		name += "Edge"
	}
	TEXT(name+t.name, NOSPLIT, "func(p *byte)")
	Load(Param("p"), int8Args)
	MOVQ(field(int8Args, int8C), int8Out)
	MOVQ(field(int8Args, int8Next), int8Fetch)
	MOVQ(field(int8Args, int8NextStep), int8Step)
	MOVQ(field(int8Args, int8LDQ), int8Row)
	MOVQ(field(int8Args, int8RowScale), int8Factors)
	if t.edge && t.width == 16 {
		MOVQ(field(int8Args, int8Mask), int8Tmp)
		KMOVW(int8Tmp.As32(), K1)
		SHRQ(Imm(16), int8Tmp)
		KMOVW(int8Tmp.As32(), K2)
	}
	MOVQ(field(int8Args, int8Q), int8Tmp)
	MOVQ(int8Tmp, field(int8Args, int8Cursor))

	// The first int8Extra tiles have one row more than the others.
	Label("tile")
	MOVQ(field(int8Args, int8Rows), int8Tmp)
	CMPQ(field(int8Args, int8Extra), Imm(0))
	JE(LabelRef("size"))
	DECQ(field(int8Args, int8Extra))
	INCQ(int8Tmp)
	Label("size")
	MOVQ(field(int8Args, int8Cursor), int8Base[0])
	for i := 1; 3*i < t.maxRows; i++ {
		LEAQ(Mem{Base: int8Base[i-1], Index: int8Row, Scale: 2}, int8Base[i])
		ADDQ(int8Row, int8Base[i])
	}
	MOVQ(field(int8Args, int8B), int8Weights)
	MOVQ(field(int8Args, int8Steps), int8Left)
	for rows := t.maxRows; rows > 1; rows-- {
		CMPQ(int8Tmp, Imm(uint64(rows)))
		JE(LabelRef(fmt.Sprintf("rows%d", rows)))
	}
	for rows := 1; rows <= t.maxRows; rows++ {
		t.tile(rows)
	}

	Label("next")
	DECQ(field(int8Args, int8Tiles))
	JNE(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// acc is the accumulator of row i, vector j; temp counts the others from above.
func (t int8Kernel) acc(i, j int) VecPhysical { return t.physical(i*t.vectors + j) }

func (t int8Kernel) temp(i int) VecPhysical {
	if t.width == 16 {
		return t.physical(31 - i)
	}
	return t.physical(15 - i)
}

// load and store move vector j of a row of 4-byte numbers, without touching what is masked off. (In AVX2 the mask is temp 3.)
func (t int8Kernel) load(base Register, j int, v Op) {
	m := Mem{Base: base, Disp: j * t.bytes()}
	switch {
	case !t.edge:
		VMOVUPS(m, v)
	case t.width == 16:
		VMOVUPS_Z(m, []Op{K1, K2}[j], v)
	default:
		VMASKMOVPS(m, t.temp(3), v)
	}
}

func (t int8Kernel) store(v Op, base Register, j int) {
	m := Mem{Base: base, Disp: j * t.bytes()}
	switch {
	case !t.edge:
		VMOVUPS(v, m)
	case t.width == 16:
		VMOVUPS(v, []Op{K1, K2}[j], m)
	default:
		VMASKMOVPS(v, t.temp(3), m)
	}
}

// loadMask prepares load and store for vector j.
func (t int8Kernel) loadMask(j int) {
	if t.edge && t.width == 8 {
		MOVQ(field(int8Args, int8Mask), int8Tmp)
		VMOVUPS(Mem{Base: int8Tmp, Disp: j * t.bytes()}, t.temp(3))
	}
}

// bytesOf is where the four bytes of row i at the current step are, step u of those that are unrolled.
func (t int8Kernel) bytesOf(i, u int) Mem {
	m := Mem{Base: int8Base[i/3], Disp: 4 * u}
	if i%3 > 0 {
		m.Index, m.Scale = int8Row, uint8(i%3)
	}
	return m
}

// steps adds the products of count groups of four k's. A panel has 32 columns whatever the vectors' width, so its groups are 128 bytes apart.
func (t int8Kernel) steps(rows, count int) {
	for u := range count {
		if t.vnni {
			for j := range t.vectors {
				VMOVUPS(Mem{Base: int8Weights, Disp: 128*u + j*t.bytes()}, t.temp(j))
			}
		}
		for i := range rows {
			m := Mem{Base: int8Base[i/3], Disp: 4 * u}
			if i%3 > 0 {
				m.Index, m.Scale = int8Row, uint8(i%3)
			}
			if t.vnni {
				x := t.temp(2 + i%2)
				VPBROADCASTD(m, x)
				for j := range t.vectors {
					t.dot(t.temp(j), x, t.acc(i, j))
				}
			} else {
				t.dotSigned(m, i, u)
			}
		}
		// Two lines, for a single tile must fetch a whole panel.
		PREFETCHT1(Mem{Base: int8Fetch})
		PREFETCHT1(Mem{Base: int8Fetch, Disp: 64})
		ADDQ(int8Step, int8Fetch)
	}
	for i := 0; 3*i < rows; i++ {
		ADDQ(Imm(uint64(4*count)), int8Base[i])
	}
	ADDQ(I32(128*count), int8Weights)
}

// dot emits sums += Σ x·w over the four bytes of each lane, those of x without a sign (VPDPBUSD). The assembler knows only the form of AVX-512; that of
// AVX-VNNI is VEX.256.66.0F38.W0 50 /r.
func (t int8Kernel) dot(w, x, sums VecPhysical) {
	if t.width == 16 {
		VPDPBUSD(w, x, sums)
		return
	}
	r, v, m := byte(sums.ID().Index()), byte(x.ID().Index()), byte(w.ID().Index())
	Commentf("VPDPBUSD Y%d, Y%d, Y%d", m, v, r)
	for _, b := range []byte{0xc4, (^r&8)<<4 | 0x40 | (^m&8)<<2 | 0x02, (^v&15)<<3 | 0x05, 0x50, 0xc0 | r&7<<3 | m&7} {
		Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(b)}})
	}
}

// dotSigned adds row i's products of a step, four bytes of it at m, without VPDPBUSD: b with the sign of x times |x|, whose pairs stay within 16 bits as neither is
// above 128, then pairs of pairs. With four operations for each vector of sums it pays to have b in memory and many columns for each x.
func (t int8Kernel) dotSigned(m Mem, i, u int) {
	x, size := t.temp(0), t.temp(1)
	VPBROADCASTD(m, x)
	VPXOR(constantBits(0x80808080), x, x) // q − 128
	VPABSB(x, size)
	for j := range t.vectors {
		VMOVDQU(Mem{Base: int8Weights, Disp: 128*u + j*t.bytes()}, t.temp(2))
		t.addSigned(i, j)
	}
}

// addSigned adds the products of temp 2 with x (temp 0, its size in temp 1) to a vector of sums. Temp 3 has ones.
func (t int8Kernel) addSigned(i, j int) {
	x, size, p, ones := t.temp(0), t.temp(1), t.temp(2), t.temp(3)
	VPSIGNB(x, p, p)
	VPMADDUBSW(p, size, p)
	VPMADDWD(ones, p, p)
	VPADDD(p, t.acc(i, j), t.acc(i, j))
}

// start gives all sums their first value: minus the offset if x comes with 128 too much.
func (t int8Kernel) start(rows int) {
	if !t.vnni {
		VMOVDQU(constantBits(0x00010001), t.temp(3))
	}
	for j := range t.vectors {
		first := t.acc(0, j)
		t.zero(first)
		if t.vnni {
			t.loadMask(j)
			MOVQ(field(int8Args, int8Offset), int8Tmp)
			t.load(int8Tmp, j, t.temp(0))
			VPSUBD(t.temp(0), first, first)
		}
		for i := 1; i < rows; i++ {
			VMOVAPS(first, t.acc(i, j))
		}
	}
}

// finish turns the sums into C, one vector of columns after the other, and moves on to the next tile's rows.
func (t int8Kernel) finish(rows int) {
	label := func(s string, j int) string { return fmt.Sprintf("%s%dx%d", s, rows, j) }
	scale, bias, x := t.temp(0), t.temp(1), t.temp(2)
	ldc, at := int8Left, int8Base[0]
	MOVQ(field(int8Args, int8LDC), ldc)
	for j := range t.vectors {
		t.loadMask(j)
		MOVQ(field(int8Args, int8Scale), int8Tmp)
		t.load(int8Tmp, j, scale)
		t.zero(bias)
		MOVQ(field(int8Args, int8Bias), int8Tmp)
		TESTQ(int8Tmp, int8Tmp)
		JEQ(LabelRef(label("unbiased", j)))
		t.load(int8Tmp, j, bias)
		Label(label("unbiased", j))
		for i := range rows {
			c := t.acc(i, j)
			VBROADCASTSS(Mem{Base: int8Factors, Disp: 4 * i}, x)
			VCVTDQ2PS(c, c)
			VMULPS(scale, c, c)
			VFMADD213PS(bias, x, c)
		}
		CMPQ(field(int8Args, int8Add), Imm(0))
		JEQ(LabelRef(label("store", j)))
		MOVQ(int8Out, at)
		for i := range rows {
			t.load(at, j, x)
			VADDPS(x, t.acc(i, j), t.acc(i, j))
			ADDQ(ldc, at)
		}
		Label(label("store", j))
		MOVQ(int8Out, at)
		for i := range rows {
			t.store(t.acc(i, j), at, j)
			ADDQ(ldc, at)
		}
	}
	MOVQ(at, int8Out)
	ADDQ(Imm(uint64(4*rows)), int8Factors)
}

func (t int8Kernel) tile(rows int) {
	label := func(s string) string { return fmt.Sprintf("%s%d", s, rows) }
	Label(label("rows"))
	t.start(rows)
	if t.unroll > 1 {
		SUBQ(Imm(uint64(t.unroll)), int8Left)
		JLT(LabelRef(label("rest")))
		Label(label("loop"))
		t.steps(rows, t.unroll)
		SUBQ(Imm(uint64(t.unroll)), int8Left)
		JGE(LabelRef(label("loop")))
		Label(label("rest"))
		ADDQ(Imm(uint64(t.unroll)), int8Left)
	}
	TESTQ(int8Left, int8Left)
	JEQ(LabelRef(label("scale")))
	Label(label("single"))
	t.steps(rows, 1)
	DECQ(int8Left)
	JNE(LabelRef(label("single")))
	Label(label("scale"))
	t.finish(rows)
	IMUL3Q(Imm(uint64(rows)), int8Row, int8Tmp)
	ADDQ(int8Tmp, field(int8Args, int8Cursor))
	JMP(LabelRef("next"))
}

// peak emits a routine that runs n rounds of what the kernel's inner loop consists of, on as many independent vectors of sums as hide the latency.
func (t int8Kernel) peak() {
	TEXT("dotsInt8"+t.name, NOSPLIT, "func(n int)")
	Load(Param("n"), int8Left)
	for i := range t.maxRows {
		for j := range t.vectors {
			t.zero(t.acc(i, j))
		}
	}
	for i := range 4 {
		t.zero(t.temp(i))
	}
	Label("round")
	for i := range t.maxRows {
		for j := range t.vectors {
			if t.vnni {
				t.dot(t.temp(j), t.temp(2), t.acc(i, j))
			} else {
				VMOVAPS(t.temp(3), t.temp(2))
				t.addSigned(i, j)
			}
		}
	}
	DECQ(int8Left)
	JNE(LabelRef("round"))
	VZEROUPPER()
	RET()
}
