package main

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// each emits a routine for the instruction sets (none: AVX-512 and AVX2), whose names end the routine's.
func each(name, signature string, emit func(s isa), sets ...isa) {
	if sets == nil {
		sets = []isa{avx512, avx2}
	}
	for _, s := range sets {
		begin(name+s.name, signature)
		emit(s)
		end()
	}
}

// begin starts a routine and its declaration, end is the end of it.
func begin(name, signature string) {
	TEXT(name, NOSPLIT, strings.Replace(signature, "gemmArgs", "byte", 1)) // a pointer is a pointer
	fmt.Fprintf(&stubs, "\n//go:noescape\nfunc %s%s\n", name, strings.TrimPrefix(signature, "func"))
	labels = 0
}

func end() {
	VZEROUPPER()
	RET()
}

var labels int

// label returns a name that the current routine has not used.
func label(name string) string {
	labels++
	return fmt.Sprintf("%s%d", name, labels)
}

// pointer, length and number load a parameter: a slice's address and its length, an integer.
func pointer(name string) Register { return Load(Param(name).Base(), GP64()) }
func length(name string) Register  { return Load(Param(name).Len(), GP64()) }
func number(name string) Register  { return Load(Param(name), GP64()) }

// span is a row of floats to be worked on vector by vector: whole ones up to byte full, then one of which a mask
// tells the lanes that exist.
type span struct {
	isa
	full, size Register // bytes
	mask       Op       // nil in whole vectors
	offset     Register
	disp       int
}

// newSpan makes a span of n floats. n is changed.
func (s isa) newSpan(n Register) span {
	p := span{isa: s, full: GP64(), size: n, offset: GP64()}
	tail := GP64()
	MOVQ(n, tail)
	ANDQ(Imm(uint64(s.width-1)), tail)
	MOVQ(n, p.full)
	SUBQ(tail, p.full)
	SHLQ(Imm(2), p.full)
	SHLQ(Imm(2), n)
	if s.width == 16 {
		ones, k := lowBits(tail), K()
		KMOVW(ones.As32(), k)
		p.mask = k
	} else {
		table := GP64()
		LEAQ(masks("maskTable", 8), table)
		SHLQ(Imm(2), tail)
		SUBQ(tail, table)
		m := s.vec()
		VMOVUPS(Mem{Base: table, Disp: 32}, m)
		p.mask = m
	}
	return p
}

// each emits a loop over the span; body works on one vector, at the offset that load, store and at take. The body is
// emitted twice, for whole vectors and for the last, masked one.
func (p span) each(body func(p span)) { p.eachUnrolled(1, func(p span, _ int) { body(p) }) }

// eachUnrolled is each with several vectors in one turn, so that reductions can have an accumulator for each (u = 0 …
// unroll − 1). What is left goes one by one to the first.
func (p span) eachUnrolled(unroll int, body func(p span, u int)) {
	mask := p.mask
	p.mask = nil
	XORQ(p.offset, p.offset)
	if unroll > 1 {
		head, rest := label("many"), label("rest")
		last := GP64()
		MOVQ(p.full, last)
		SUBQ(I32(unroll*p.bytes()), last)
		JLT(LabelRef(rest))
		Label(head)
		for u := range unroll {
			p.disp = u * p.bytes()
			body(p, u)
		}
		ADDQ(I32(unroll*p.bytes()), p.offset)
		CMPQ(p.offset, last)
		JLE(LabelRef(head))
		Label(rest)
		p.disp = 0
	}
	head, tail, done := label("vector"), label("tail"), label("done")
	CMPQ(p.offset, p.full)
	JGE(LabelRef(tail))
	Label(head)
	body(p, 0)
	ADDQ(I32(p.bytes()), p.offset)
	CMPQ(p.offset, p.full)
	JLT(LabelRef(head))
	Label(tail)
	CMPQ(p.offset, p.size)
	JGE(LabelRef(done))
	p.mask = mask
	body(p, 0)
	Label(done)
}

func (p span) at(base Register) Mem {
	return Mem{Base: base, Index: p.offset, Scale: 1, Disp: p.disp}
}

// load returns the vector at the current place of the row at base, with zeros in the lanes that do not exist.
func (p span) load(base Register) VecVirtual {
	v := p.vec()
	p.loadMasked(p.at(base), p.mask, v)
	return v
}

func (p span) store(v Op, base Register) { p.storeMasked(v, p.mask, p.at(base)) }

// rows emits a loop of count turns, none if it is ≤ 0; each turn's end adds the strides (bytes) to the pointers.
func rows(count Register, body func(), strides ...[2]Register) {
	head, done := label("row"), label("end")
	TESTQ(count, count)
	JLE(LabelRef(done))
	Label(head)
	body()
	for _, s := range strides {
		ADDQ(s[1], s[0])
	}
	DECQ(count)
	JNE(LabelRef(head))
	Label(done)
}
