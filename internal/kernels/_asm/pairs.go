package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// parameter is an integer parameter where it lies in memory.
func parameter(name string) Mem {
	m, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return m.Addr
}

// wordPairs returns the order of words that puts those of the lower half between those of the upper one.
func (s isa) wordPairs() VecVirtual {
	v := s.vec()
	VMOVDQU16(table("wordPairs", 16, func(i int) uint32 { return uint32(i | (i+16)<<16) }), v)
	return v
}

// columns are 16 columns of two rows.
type columns struct {
	isa
	column, panel Register // twice the first column, and the bytes to the panel that it is in
	part          int      // which half of the panel
	mask          Op       // of the columns that there are
}

func (c columns) floats(base Register) VecVirtual {
	v := c.vec()
	VMOVUPS_Z(Mem{Base: base, Index: c.column, Scale: 2, Disp: 64 * c.part}, c.mask, v)
	c.ahead(base, 2, 64*c.part)
	return v
}

func (c columns) halves(base Register) VecVirtual {
	v := c.vec()
	VPMOVZXWD_Z(Mem{Base: base, Index: c.column, Scale: 1, Disp: 32 * c.part}, c.mask, v)
	if c.part == 0 {
		c.ahead(base, 1, 0)
	}
	VPSLLD(Imm(16), v, v)
	return v
}

// ahead fetches what a row will be read at later: the machine is slow to see that two rows are read at a time.
func (c columns) ahead(base Register, scale uint8, disp int) {
	PREFETCHT0(Mem{Base: base, Index: c.column, Scale: scale, Disp: disp + 4096})
}

// round rounds the columns of both rows to one register, the second row's in its upper half. It is Z31 until the next.
func (c columns) round(a, b VecVirtual) VecPhysical {
	VMOVAPS(a, Z29)
	VMOVAPS(b, Z30)
	vcvtne2ps2bf16(Z29, Z30, Z31)
	return Z31
}

// rows stores what round returned as a part of two rows, zeros where there are no columns.
func (c columns) rows(v VecPhysical, a, b Register) {
	VMOVDQU16(v.AsY(), Mem{Base: a, Index: c.column, Scale: 1, Disp: 32 * c.part})
	VEXTRACTI64X4(Imm(1), v, Mem{Base: b, Index: c.column, Scale: 1, Disp: 32 * c.part})
}

// pairs stores what round returned side by side.
func (c columns) pairs(v VecPhysical, order VecVirtual, to Register) {
	t := c.vec()
	VPERMW(v, order, t)
	VMOVUPS(t, Mem{Base: to, Index: c.panel, Scale: 1, Disp: 64 * c.part})
	// Panels are far apart, so the machine does not see what will be written next.
	const ahead = 4
	PREFETCHT0(Mem{Base: to, Index: c.panel, Scale: 1, Disp: 64*c.part + ahead*4*PanelWidth})
}

// overPanels emits a loop over the columns of two rows, 32 at a time, whose panels of pairs lie as many bytes apart as
// the parameter panel says.
func (s isa) overPanels(body func(c columns)) {
	c := columns{isa: s, column: GP64(), panel: GP64()}
	left, n, most := GP64(), GP64(), GP64()
	MOVQ(parameter("cols"), left)
	XORQ(c.column, c.column)
	XORQ(c.panel, c.panel)
	head := label("panel")
	Label(head)
	MOVQ(left, n)
	MOVQ(U32(PanelWidth), most)
	CMPQ(n, most)
	CMOVQGT(most, n)
	bits := lowBits(n)
	for c.part = range 2 {
		k := K()
		KMOVW(bits.As32(), k)
		c.mask = k
		body(c)
		SHRQ(Imm(16), bits)
	}
	ADDQ(Imm(2*PanelWidth), c.column)
	ADDQ(parameter("panel"), c.panel)
	SUBQ(Imm(PanelWidth), left)
	JG(LabelRef(head))
}

// second returns the address of the row behind base.
func second(base Register, stride string) Register {
	r := GP64()
	MOVQ(base, r)
	ADDQ(parameter(stride), r)
	return r
}

// twoRows moves base on by two rows.
func twoRows(base Register, stride string) {
	ADDQ(parameter(stride), base)
	ADDQ(parameter(stride), base)
}
