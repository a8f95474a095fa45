package main

import (
	"fmt"
	"strings"
)

// op is a vector instruction: its bits without operands, how the GNU assembler writes its operands, and where each of
// them goes, a letter for each.
type op struct {
	code          uint32
	form, operand string
}

const (
	same  = "v%d.4s, v%d.4s, v%d.4s"
	bytes = "v%d.16b, v%d.16b, v%d.16b"
	unary = "v%d.4s, v%d.4s"
	words = "v%d.8h, v%d.8h, v%d.8h"
)

// ops are the vector instructions that the routines use, by mnemonic and, where there are several of them, a word.
var ops = map[string]op{
	"fmla": {0x4e20cc00, same, "dnm"}, "fmls": {0x4ea0cc00, same, "dnm"},
	"fadd": {0x4e20d400, same, "dnm"}, "fsub": {0x4ea0d400, same, "dnm"},
	"fmul": {0x6e20dc00, same, "dnm"}, "fdiv": {0x6e20fc00, same, "dnm"},
	"fmax": {0x4e20f400, same, "dnm"}, "fmin": {0x4ea0f400, same, "dnm"},
	"fcmeq": {0x4e20e400, same, "dnm"}, "cmeq 0": {0x4ea09800, "v%d.4s, v%d.4s, #0", "dn"},
	"cmhs":  {0x6ea03c00, same, "dnm"},
	"fcmgt": {0x6ea0e400, same, "dnm"}, "facgt": {0x6ea0ec00, same, "dnm"},
	"faddp": {0x6e20d400, same, "dnm"}, "fmaxp": {0x6e20f400, same, "dnm"}, "umaxp": {0x6ea0a400, same, "dnm"},
	"add": {0x4ea08400, same, "dnm"}, "sub": {0x6ea08400, same, "dnm"}, "addp": {0x4ea0bc00, same, "dnm"},
	"mla": {0x4ea09400, same, "dnm"}, "umax": {0x6ea06400, same, "dnm"}, "smax": {0x4ea06400, same, "dnm"},
	"and": {0x4e201c00, bytes, "dnm"}, "bic": {0x4e601c00, bytes, "dnm"}, "orr": {0x4ea01c00, bytes, "dnm"},
	"eor": {0x6e201c00, bytes, "dnm"}, "bit": {0x6ea01c00, bytes, "dnm"},

	"fmla lane": {0x4f801000, "v%d.4s, v%d.4s, v%d.s[%d]", "dnme"},
	"fmul lane": {0x4f809000, "v%d.4s, v%d.4s, v%d.s[%d]", "dnme"},
	"mla lane":  {0x6f800000, "v%d.4s, v%d.4s, v%d.s[%d]", "dnme"},

	// Sums of products of four bytes, of two halves: each 32-bit lane with one lane of the last operand.
	"sdot lane":  {0x4f80e000, "v%d.4s, v%d.16b, v%d.4b[%d]", "dnme"},
	"bfdot lane": {0x4f40f000, "v%d.4s, v%d.8h, v%d.2h[%d]", "dnme"},
	"bfdot":      {0x6e40fc00, "v%d.4s, v%d.8h, v%d.8h", "dnm"},
	// Products of matrices [2, 8]·[8, 2] of bytes and [2, 4]·[4, 2] of halves, added to one [2, 2].
	"usmmla": {0x4e80ac00, "v%d.4s, v%d.16b, v%d.16b", "dnm"},
	"bfmmla": {0x6e40ec00, "v%d.4s, v%d.8h, v%d.8h", "dnm"},

	"smull": {0x0e20c000, "v%d.8h, v%d.8b, v%d.8b", "dnm"}, "smull2": {0x4e20c000, "v%d.8h, v%d.16b, v%d.16b", "dnm"},
	"smlal": {0x0e208000, "v%d.8h, v%d.8b, v%d.8b", "dnm"}, "smlal2": {0x4e208000, "v%d.8h, v%d.16b, v%d.16b", "dnm"},
	"sadalp": {0x4e606800, "v%d.4s, v%d.8h", "dn"}, "uadalp": {0x6e606800, "v%d.4s, v%d.8h", "dn"},
	"uaddlp b": {0x6e202800, "v%d.8h, v%d.16b", "dn"},
	"umlal b":  {0x2e208000, "v%d.8h, v%d.8b, v%d.8b", "dnm"},
	"umlal2 b": {0x6e208000, "v%d.8h, v%d.16b, v%d.16b", "dnm"},
	"usubl b":  {0x2e202000, "v%d.8h, v%d.8b, v%d.8b", "dnm"},
	"usubl2 b": {0x6e202000, "v%d.8h, v%d.16b, v%d.16b", "dnm"},

	// Numbers of 16 bits; lanes are of the first 16 vectors.
	"add h": {0x4e608400, words, "dnm"}, "sub h": {0x6e608400, words, "dnm"},
	"mul h": {0x4e609c00, words, "dnm"}, "mla h": {0x4e609400, words, "dnm"},
	"sqdmulh lane": {0x4f40c000, "v%d.8h, v%d.8h, v%d.h[%d]", "dnhi"},
	"smull lane":   {0x0f40a000, "v%d.4s, v%d.4h, v%d.h[%d]", "dnhi"},
	"smull2 lane":  {0x4f40a000, "v%d.4s, v%d.8h, v%d.h[%d]", "dnhi"},
	"smlal lane":   {0x0f402000, "v%d.4s, v%d.4h, v%d.h[%d]", "dnhi"},
	"smlal2 lane":  {0x4f402000, "v%d.4s, v%d.8h, v%d.h[%d]", "dnhi"},
	"shl h":        {0x4f005400, "v%d.8h, v%d.8h, #%d", "dnl"},
	"srshr h":      {0x4f002400, "v%d.8h, v%d.8h, #%d", "dnr"},
	"dup h":        {0x4e020c00, "v%d.8h, w%d", "dn"},
	"dup lane h":   {0x4e020400, "v%d.8h, v%d.h[%d]", "dnw"},

	"frintn": {0x4e218800, unary, "dn"}, "fcvtns": {0x4e21a800, unary, "dn"}, "scvtf": {0x4e21d800, unary, "dn"},
	"fcvtzs": {0x4ea1b800, unary, "dn"},
	"fneg":   {0x6ea0f800, unary, "dn"}, "fabs": {0x4ea0f800, unary, "dn"}, "fsqrt": {0x6ea1f800, unary, "dn"},
	"neg":   {0x6ea0b800, unary, "dn"},
	"fcvtl": {0x0e617800, "v%d.2d, v%d.2s", "dn"}, "fcvtl2": {0x4e617800, "v%d.2d, v%d.4s", "dn"},
	"fmla 2d": {0x4e60cc00, "v%d.2d, v%d.2d, v%d.2d", "dnm"}, "fadd 2d": {0x4e60d400, "v%d.2d, v%d.2d, v%d.2d", "dnm"},
	"faddp d": {0x7e70d800, "d%d, v%d.2d", "dn"},

	"shl":  {0x4f005400, "v%d.4s, v%d.4s, #%d", "dnL"},
	"sli":  {0x6f005400, "v%d.4s, v%d.4s, #%d", "dnL"}, // shl that keeps the bits below
	"ushr": {0x6f000400, "v%d.4s, v%d.4s, #%d", "dnR"}, "sshr": {0x4f000400, "v%d.4s, v%d.4s, #%d", "dnR"},

	// From 4 bytes to 2 and back, from 2 to 1. The ones with a 2 fill the upper half.
	"rshrn": {0x0f008c00, "v%d.4h, v%d.4s, #%d", "dnr"}, "rshrn2": {0x4f008c00, "v%d.8h, v%d.4s, #%d", "dnr"},
	"sqrshrn": {0x0f009c00, "v%d.4h, v%d.4s, #%d", "dnr"}, "sqrshrn2": {0x4f009c00, "v%d.8h, v%d.4s, #%d", "dnr"},
	"addhn":  {0x0e604000, "v%d.4h, v%d.4s, v%d.4s", "dnm"}, // the upper halves of the sums
	"addhn2": {0x4e604000, "v%d.8h, v%d.4s, v%d.4s", "dnm"},
	"shrn b": {0x0f008400, "v%d.8b, v%d.8h, #%d", "dns"}, "shrn2 b": {0x4f008400, "v%d.16b, v%d.8h, #%d", "dns"},
	"sqshrn b": {0x0f009400, "v%d.8b, v%d.8h, #%d", "dns"},
	"shrn":     {0x0f008400, "v%d.4h, v%d.4s, #%d", "dnr"}, "bfcvtn": {0x0ea16800, "v%d.4h, v%d.4s", "dn"},
	"sqxtn": {0x0e614800, "v%d.4h, v%d.4s", "dn"}, "sqxtn2": {0x4e614800, "v%d.8h, v%d.4s", "dn"},
	"sqxtn b": {0x0e214800, "v%d.8b, v%d.8h", "dn"}, "sqxtn2 b": {0x4e214800, "v%d.16b, v%d.8h", "dn"},
	"sqxtun": {0x2e612800, "v%d.4h, v%d.4s", "dn"}, "sqxtun2": {0x6e612800, "v%d.8h, v%d.4s", "dn"},
	"sqxtun b": {0x2e212800, "v%d.8b, v%d.8h", "dn"}, "sqxtun2 b": {0x6e212800, "v%d.16b, v%d.8h", "dn"},
	"uqxtn b": {0x2e214800, "v%d.8b, v%d.8h", "dn"}, "uqxtn2 b": {0x6e214800, "v%d.16b, v%d.8h", "dn"},
	"shll": {0x2e613800, "v%d.4s, v%d.4h, #16", "dn"},
	"uxtl": {0x2f10a400, "v%d.4s, v%d.4h", "dn"}, "uxtl2": {0x6f10a400, "v%d.4s, v%d.8h", "dn"},
	"uxtl b": {0x2f08a400, "v%d.8h, v%d.8b", "dn"}, "uxtl2 b": {0x6f08a400, "v%d.8h, v%d.16b", "dn"},

	"zip1": {0x4e803800, same, "dnm"}, "zip2": {0x4e807800, same, "dnm"},
	"zip1 h": {0x4e403800, "v%d.8h, v%d.8h, v%d.8h", "dnm"}, "zip2 h": {0x4e407800, "v%d.8h, v%d.8h, v%d.8h", "dnm"},
	"zip1 b": {0x4e003800, bytes, "dnm"}, "zip2 b": {0x4e007800, bytes, "dnm"},
	"zip1 d": {0x4ec03800, "v%d.2d, v%d.2d, v%d.2d", "dnm"}, "zip2 d": {0x4ec07800, "v%d.2d, v%d.2d, v%d.2d", "dnm"},

	"movi 0":   {0x6f00e400, "v%d.2d, #0", "d"},
	"mov":      {0x4ea01c00, "v%d.16b, v%d.16b", "dN"},
	"mov 8b":   {0x0ea01c00, "v%d.8b, v%d.8b", "dN"}, // clears the upper half
	"fmov s":   {0x1e204000, "s%d, s%d", "dn"},       // clears the upper three lanes
	"mov d":    {0x6e080400, "v%d.d[%d], v%d.d[%d]", "dpnq"},
	"mov s":    {0x6e040400, "v%d.s[%d], v%d.s[%d]", "dxny"},
	"dup lane": {0x4e040400, "v%d.4s, v%d.s[%d]", "dnx"},
	"dup":      {0x4e040c00, "v%d.4s, w%d", "dn"},

	"fdiv s": {0x1e201800, "s%d, s%d, s%d", "dnm"}, "fsqrt s": {0x1e21c000, "s%d, s%d", "dn"},
	"fmadd": {0x1f000000, "s%d, s%d, s%d, s%d", "dnma"}, "scvtf s": {0x9e220000, "s%d, x%d", "dn"},
	"fmov w": {0x1e260000, "w%d, s%d", "dn"}, "fmov": {0x1e270000, "s%d, w%d", "dn"},

	"ldr q": {0x3dc00000, "q%d, [x%d, #%d]", "dn4"}, "str q": {0x3d800000, "q%d, [x%d, #%d]", "dn4"},
	"ldr d": {0xfd400000, "d%d, [x%d, #%d]", "dn3"}, "str d": {0xfd000000, "d%d, [x%d, #%d]", "dn3"},
	"ldr s": {0xbd400000, "s%d, [x%d, #%d]", "dn2"}, "str s": {0xbd000000, "s%d, [x%d, #%d]", "dn2"},
	"ldr h": {0x7d400000, "h%d, [x%d, #%d]", "dn1"}, "str h": {0x7d000000, "h%d, [x%d, #%d]", "dn1"},
	"str b":   {0x3d000000, "b%d, [x%d, #%d]", "dn0"},
	"ldr q x": {0x3ce06800, "q%d, [x%d, x%d]", "dnm"}, "ldr d x": {0xfc606800, "d%d, [x%d, x%d]", "dnm"},
	"ldr s x": {0xbc606800, "s%d, [x%d, x%d]", "dnm"},
	"ldp":     {0xad400000, "q%d, q%d, [x%d, #%d]", "danP"}, "stp": {0xad000000, "q%d, q%d, [x%d, #%d]", "danP"},
	"ld1r": {0x4d40c800, "{v%d.4s}, [x%d]", "dn"}, "st1 d1": {0x4d008400, "{v%d.d}[1], [x%d]", "dn"},
	// Numbers that take turns in memory, of registers that follow each other; the address moves on.
	"ld2 h": {0x4cdf8400, "{v%d.8h, v%d.8h}, [x%d], #32", "d+n"},
	"st3 b": {0x4c9f4000, "{v%d.16b, v%d.16b, v%d.16b}, [x%d], #48", "d++n"},
}

// v emits a vector instruction as the number that it is, with its name in a comment: Go's assembler knows few of
// them.
func v(name string, operands ...int) {
	o, ok := ops[name]
	if !ok || len(operands) != len(o.operand) {
		panic(fmt.Sprint("no instruction ", name, operands))
	}
	code, shown := o.code, make([]any, len(operands))
	for i, n := range operands {
		shown[i] = n
		code |= place(name, o.operand[i], uint32(n))
	}
	mnemonic, _, _ := strings.Cut(name, " ")
	line(fmt.Sprintf("WORD $0x%08x", code), fmt.Sprintf(mnemonic+" "+o.form, shown...))
}

// place is where operand n of the given kind goes.
func place(name string, kind byte, n uint32) uint32 {
	field := func(bits, shift int) uint32 {
		if n >= 1<<bits {
			panic(fmt.Sprintf("%s: operand %d is out of range", name, n))
		}
		return n << shift
	}
	switch kind {
	case 'd':
		return field(5, 0)
	case 'n':
		return field(5, 5)
	case 'm':
		return field(5, 16)
	case 'a':
		return field(5, 10)
	case 'N': // twice the same register
		return field(5, 5) | field(5, 16)
	case 'e': // a lane of the last operand
		return n&1<<21 | field(2, 0)>>1<<11
	case 'h':
		return field(4, 16)
	case 'i': // a lane of that
		return field(3, 0)&1<<20 | n>>1&1<<21 | n>>2<<11
	case '+':
		return 0
	case 'w':
		return field(3, 18)
	case 'x':
		return field(2, 19)
	case 'y':
		return field(2, 13)
	case 'p':
		return field(1, 20)
	case 'q':
		return field(1, 14)
	case 'L':
		return (32 + field(5, 0)) << 16
	case 'R':
		return (64 - field(5, 0)) << 16
	case 'r':
		return (32 - field(5, 0)) << 16
	case 'l':
		return (16 + field(4, 0)) << 16
	case 's':
		return (16 - field(4, 0)) << 16
	case 'P':
		n /= 16
		return field(6, 15)
	case '0', '1', '2', '3', '4': // an offset in units of the access
		if n&(1<<(kind-'0')-1) != 0 {
			panic(fmt.Sprintf("%s: offset %d", name, n))
		}
		n >>= kind - '0'
		return field(12, 10)
	}
	panic(name)
}
