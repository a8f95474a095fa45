package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
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
	size := S256
	if s.width == 16 {
		size = S512
	}
	return Vector.Lookup(Index(i), size).(VecPhysical)
}

// vec returns a new virtual vector register.
func (s isa) vec() VecVirtual {
	if s.width == 16 {
		return ZMM()
	}
	return YMM()
}

func (s isa) zero(v Op) {
	if s.width == 16 {
		VPXORD(v, v, v)
	} else {
		VXORPS(v, v, v)
	}
}

// cleared returns a new vector of zeros, sums returns n of them.
func (s isa) cleared() VecVirtual { return s.sums(1)[0] }

func (s isa) sums(n int) []VecVirtual {
	v := make([]VecVirtual, n)
	for i := range v {
		v[i] = s.vec()
		s.zero(v[i])
	}
	return v
}

// fill returns a new vector with v in all lanes.
func (s isa) fill(v float64) VecVirtual { return s.spread(constant(v)) }

// spread returns a new vector with the number at m in all lanes.
func (s isa) spread(m Mem) VecVirtual {
	v := s.vec()
	VBROADCASTSS(m, v)
	return v
}

// broadcast is spread of a float32 parameter, or a part of one.
func (s isa) broadcast(c gotypes.Component) VecVirtual {
	m, err := c.Resolve()
	if err != nil {
		panic(err)
	}
	return s.spread(m.Addr)
}

// loadMasked loads a vector of 4-byte numbers, with zeros in the lanes that mask leaves out; nil leaves out none.
func (s isa) loadMasked(m Mem, mask, v Op) {
	switch {
	case mask == nil:
		VMOVUPS(m, v)
	case s.width == 16:
		VMOVUPS_Z(m, mask, v)
	default:
		VMASKMOVPS(m, mask, v)
	}
}

// storeMasked stores a vector without touching what mask leaves out.
func (s isa) storeMasked(v, mask Op, m Mem) {
	switch {
	case mask == nil:
		VMOVUPS(v, m)
	case s.width == 16:
		VMOVUPS(v, mask, m)
	default:
		VMASKMOVPS(v, mask, m)
	}
}

// keep clears the lanes of v that mask leaves out.
func (s isa) keep(mask, v Op) {
	switch {
	case mask == nil:
	case s.width == 16:
		VMOVAPS_Z(v, mask, v)
	default:
		VANDPS(v, mask, v)
	}
}

// lowBits returns a new register whose lowest n bits are set.
func lowBits(n Register) GPVirtual {
	ones := GP64()
	MOVQ(I32(-1), ones)
	SHLXQ(n, ones, ones)
	NOTQ(ones)
	return ones
}

// upper copies the upper half of the first bytes of v, and returns it and the lower one.
func upper(v VecVirtual, bytes int) (high, low Op) {
	if bytes == 64 {
		high = YMM()
		VEXTRACTF64X4(Imm(1), v, high)
		return high, v.AsY()
	}
	high = XMM()
	if v.Size() == 64 { // there are registers that the other instruction does not reach
		VEXTRACTF32X4(Imm(1), v.AsY(), high)
	} else {
		VEXTRACTF128(Imm(1), v.AsY(), high)
	}
	return high, v.AsX()
}

// combine combines vectors by op, pair by pair, then halves of the first until its lowest 128 bits have the result.
func (s isa) combine(op func(...Op), v ...VecVirtual) {
	for step := 1; step < len(v); step *= 2 {
		for i := 0; i+step < len(v); i += 2 * step {
			op(v[i+step], v[i], v[i])
		}
	}
	for bytes := s.bytes(); bytes > 16; bytes /= 2 {
		high, low := upper(v[0], bytes)
		op(high, low, low)
	}
}

// fold is combine that goes on to one number. It leaves that in all lanes of the first vector, which it returns.
func (s isa) fold(op func(...Op), vectors ...VecVirtual) VecVirtual {
	s.combine(op, vectors...)
	v := vectors[0]
	for _, swap := range []uint64{0x4e, 0xb1} {
		t := XMM()
		VPERMILPS(Imm(swap), v.AsX(), t)
		op(t, v.AsX(), v.AsX())
	}
	VBROADCASTSS(v.AsX(), v)
	return v
}

var tables = map[string]Mem{}

// table returns the place of n numbers of 4 bytes in memory, number i being at(i).
func table(name string, n int, at func(i int) uint32) Mem {
	m, ok := tables[name]
	if !ok {
		m = GLOBL(name, RODATA|NOPTR)
		for i := range n {
			DATA(4*i, U32(at(i)))
		}
		tables[name] = m
	}
	return m
}

// masks is n numbers of all ones, then n zeros: read from k numbers before its middle it masks the first k.
func masks(name string, n int) Mem {
	return table(name, 2*n, func(i int) uint32 {
		if i < n {
			return math.MaxUint32
		}
		return 0
	})
}

// constant returns a place in memory that holds v in all 8 lanes of a ymm register.
func constant(v float64) Mem { return constantBits(math.Float32bits(float32(v))) }

func constantBits(bits uint32) Mem {
	return table(fmt.Sprintf("const%08x", bits), 8, func(int) uint32 { return bits })
}
