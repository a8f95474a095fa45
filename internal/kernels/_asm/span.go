package main

import (
	"fmt"
	"math"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// vec returns a new virtual vector register.
func (s isa) vec() VecVirtual {
	if s.width == 16 {
		return ZMM()
	}
	return YMM()
}

// each runs emit for both instruction sets, with the routine's header: the name and the set's name, and the signature.
func each(name, signature string, emit func(s isa)) {
	for _, s := range []isa{avx512, avx2} {
		routine(s, name, signature, emit)
	}
}

// routine is one turn of each.
func routine(s isa, name, signature string, emit func(s isa)) {
	begin(name+s.name, signature)
	emit(s)
	end()
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

// broadcast fills a vector with the float32 parameter of that name.
func (s isa) broadcast(name string) VecVirtual { return s.broadcastOf(Param(name)) }

func (s isa) broadcastOf(c gotypes.Component) VecVirtual {
	m, err := c.Resolve()
	if err != nil {
		panic(err)
	}
	v := s.vec()
	VBROADCASTSS(m.Addr, v)
	return v
}

var constants = map[uint32]Mem{}

// constant returns a place in memory that holds v in all 8 lanes of a ymm register.
func constant(v float64) Mem { return constantBits(math.Float32bits(float32(v))) }

func constantBits(bits uint32) Mem {
	m, ok := constants[bits]
	if !ok {
		m = GLOBL(fmt.Sprintf("const%08x", bits), RODATA|NOPTR)
		for i := range 8 {
			DATA(4*i, U32(bits))
		}
		constants[bits] = m
	}
	return m
}

// fill returns a new vector with v in all lanes.
func (s isa) fill(v float64) VecVirtual {
	r := s.vec()
	VBROADCASTSS(constant(v), r)
	return r
}

// cleared returns a new vector of zeros.
func (s isa) cleared() VecVirtual {
	r := s.vec()
	s.zero(r)
	return r
}

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
		// The low tail bits.
		ones := GP64()
		MOVQ(I32(-1), ones)
		SHLXQ(tail, ones, ones)
		NOTQ(ones)
		k := K()
		KMOVW(ones.As32(), k)
		p.mask = k
	} else {
		table := GP64()
		LEAQ(maskTable(), table)
		SHLQ(Imm(2), tail)
		SUBQ(tail, table)
		m := s.vec()
		VMOVUPS(Mem{Base: table, Disp: 32}, m)
		p.mask = m
	}
	return p
}

var masks *Mem

// maskTable is eight lanes of ones, then eight of zeros: read from n lanes before its middle it masks the first n.
func maskTable() Mem {
	if masks == nil {
		m := GLOBL("maskTable", RODATA|NOPTR)
		for i := range 16 {
			v := uint32(math.MaxUint32)
			if i >= 8 {
				v = 0
			}
			DATA(4*i, U32(v))
		}
		masks = &m
	}
	return *masks
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
	switch {
	case p.mask == nil:
		VMOVUPS(p.at(base), v)
	case p.width == 16:
		VMOVUPS_Z(p.at(base), p.mask, v)
	default:
		VMASKMOVPS(p.at(base), p.mask, v)
	}
	return v
}

func (p span) store(v Op, base Register) {
	switch {
	case p.mask == nil:
		VMOVUPS(v, p.at(base))
	case p.width == 16:
		VMOVUPS(v, p.mask, p.at(base))
	default:
		VMASKMOVPS(v, p.mask, p.at(base))
	}
}

// only clears the lanes of v that do not exist.
func (p span) only(v Op) {
	switch {
	case p.mask == nil:
	case p.width == 16:
		VMOVAPS_Z(v, p.mask, v)
	default:
		VANDPS(v, p.mask, v)
	}
}

// rows emits a loop of count turns; each turn's end adds the strides (bytes) to the pointers. Nothing runs if count ≤
// 0.
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

// fold combines all lanes of v by op and leaves the result in all lanes of it. The order is fixed: upper half to
// lower half, and so on.
func (s isa) fold(v VecVirtual, op func(...Op)) {
	if s.width == 16 {
		t := YMM()
		VEXTRACTF64X4(Imm(1), v, t)
		op(t, v.AsY(), v.AsY())
	}
	t := XMM()
	VEXTRACTF128(Imm(1), v.AsY(), t)
	op(t, v.AsX(), v.AsX())
	VPERMILPS(Imm(0x4e), v.AsX(), t)
	op(t, v.AsX(), v.AsX())
	VPERMILPS(Imm(0xb1), v.AsX(), t)
	op(t, v.AsX(), v.AsX())
	VBROADCASTSS(v.AsX(), v)
}

// sum and max are fold's operations.
func sum(ops ...Op) { VADDPS(ops...) }
func max(ops ...Op) { VMAXPS(ops...) }
