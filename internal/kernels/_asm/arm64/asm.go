package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// What has been emitted of the current file: its routines, their declarations, and the constants and tables that they
// read.
var (
	code, stubs strings.Builder
	constants   []uint32
	tables      []numbers
	labels      int
)

// numbers is a table, of an even number of them.
type numbers struct {
	name   string
	values []uint32
}

func itoa(n int) string { return strconv.Itoa(n) }

// line emits an instruction, and behind it what the GNU assembler calls it: for readers, and for tools that model
// processors (internal/tools/mca).
func line(text, gnu string) { fmt.Fprintf(&code, "\t%s // %s\n", text, gnu) }

// General registers are numbers of R0 … R26 without R18, which some systems keep for themselves; vectors are numbers
// of V0 … V31. Both are taken in turn and given back by number.
type registers struct{ taken [32]bool }

var general, vectors registers

func (r *registers) take(last int) int {
	for i := range last + 1 {
		if !r.taken[i] {
			r.taken[i] = true
			return i
		}
	}
	panic("no register is left")
}

// gp and vec return registers that nobody uses, free gives vectors back, freeGP general ones.
func gp() int  { return general.take(26) }
func vec() int { return vectors.take(31) }

func free(v ...int) {
	for _, i := range v {
		vectors.taken[i] = false
	}
}

func freeGP(r ...int) {
	for _, i := range r {
		general.taken[i] = false
	}
}

// scope runs f and gives back all registers that it took.
func scope(f func()) {
	g, v := general, vectors
	f()
	general, vectors = g, v
}

// routine emits a routine and its declaration. The body loads its parameters by name.
func routine(name, signature string, body func()) {
	params, size := layout(signature)
	fmt.Fprintf(&stubs, "\n//go:noescape\nfunc %s%s\n", name, signature)
	fmt.Fprintf(&code, "\n// func %s%s\nTEXT ·%s(SB), NOSPLIT|NOFRAME, $0-%d\n", name, signature, name, size)
	general, vectors, parameters, labels = registers{}, registers{}, params, 0
	general.taken[18] = true
	constantBase = -1
	body()
	line("RET", "ret")
}

// parameters are the places of the current routine's, by name; a slice's length has _len behind its name.
var parameters map[string]int

// layout returns where the parameters and the result of a signature lie, and how many bytes they take.
func layout(signature string) (places map[string]int, size int) {
	list, result, _ := strings.Cut(strings.TrimPrefix(signature, "("), ")")
	places = map[string]int{}
	var names []string
	for field := range strings.SplitSeq(list, ", ") {
		name, kind, typed := strings.Cut(field, " ")
		if names = append(names, name); !typed {
			continue
		}
		for _, n := range names {
			bytes := 8
			switch {
			case kind == "float32":
				bytes = 4
			case kind == "[9]float32":
				bytes = 4 // then eight more
			}
			size = (size + bytes - 1) &^ (bytes - 1)
			places[n] = size
			switch {
			case strings.HasPrefix(kind, "[]"):
				places[n+"_base"], places[n+"_len"] = size, size+8
				bytes = 24
			case kind == "[9]float32":
				bytes = 36
			}
			size += bytes
		}
		names = nil
	}
	if result = strings.TrimSpace(result); result != "" {
		size = (size + 7) &^ 7
		places["ret"] = size
		if size += 8; result == "float32" {
			size -= 4
		}
	}
	return places, size
}

func operand(name string) string {
	at, ok := parameters[name]
	if !ok {
		panic("no parameter " + name)
	}
	return fmt.Sprintf("%s+%d(FP)", name, at)
}

// param loads an integer or a pointer; pointer and length load those of a slice.
func param(name string) int {
	r := gp()
	line(fmt.Sprintf("MOVD %s, R%d", operand(name), r), fmt.Sprintf("ldr x%d, [sp, #%d]", r, parameters[name]+8))
	return r
}

func pointer(name string) int { return param(name + "_base") }
func length(name string) int  { return param(name + "_len") }

// number loads a float32 parameter into the lowest lane of a vector.
func number(name string) int {
	x := vec()
	line(fmt.Sprintf("FMOVS %s, F%d", operand(name), x), fmt.Sprintf("ldr s%d, [sp, #%d]", x, parameters[name]+8))
	return x
}

// spread loads a float32 parameter into all lanes.
func spread(name string) int {
	x := number(name)
	v("dup lane", x, x, 0)
	return x
}

func mov(d, s int) { line(fmt.Sprintf("MOVD R%d, R%d", s, d), fmt.Sprintf("mov x%d, x%d", d, s)) }

func movi(d int, n uint32) {
	if n == 0 {
		line(fmt.Sprintf("MOVD $0, R%d", d), fmt.Sprintf("mov x%d, #0", d))
		return
	}
	line(fmt.Sprintf("MOVD $0x%x, R%d", n, d), fmt.Sprintf("ldr x%d, =0x%x", d, n))
}

func three(name, gnu string, d, n, m int) {
	line(fmt.Sprintf("%s R%d, R%d, R%d", name, m, n, d), fmt.Sprintf("%s x%d, x%d, x%d", gnu, d, n, m))
}

func withConstant(name, gnu string, d, n, c int) {
	line(fmt.Sprintf("%s $%d, R%d, R%d", name, c, n, d), fmt.Sprintf("%s x%d, x%d, #%d", gnu, d, n, c))
}

func add(d, n, m int)  { three("ADD", "add", d, n, m) }
func sub(d, n, m int)  { three("SUB", "sub", d, n, m) }
func mul(d, n, m int)  { three("MUL", "mul", d, n, m) }
func addi(d, n, c int) { withConstant("ADD", "add", d, n, c) }
func subi(d, n, c int) { withConstant("SUB", "sub", d, n, c) }
func subs(d, n, c int) { withConstant("SUBS", "subs", d, n, c) }
func andi(d, n, c int) { withConstant("AND", "and", d, n, c) }
func lsl(d, n, c int)  { withConstant("LSL", "lsl", d, n, c) }
func lsr(d, n, c int)  { withConstant("LSR", "lsr", d, n, c) }
func cmpi(n, c int)    { line(fmt.Sprintf("CMP $%d, R%d", c, n), fmt.Sprintf("cmp x%d, #%d", n, c)) }
func cmp(n, m int)     { line(fmt.Sprintf("CMP R%d, R%d", m, n), fmt.Sprintf("cmp x%d, x%d", n, m)) }

func ldr(d, base, at int) {
	line(fmt.Sprintf("MOVD %d(R%d), R%d", at, base, d), fmt.Sprintf("ldr x%d, [x%d, #%d]", d, base, at))
}

func ldrsw(d, base, at int) {
	line(fmt.Sprintf("MOVW %d(R%d), R%d", at, base, d), fmt.Sprintf("ldrsw x%d, [x%d, #%d]", d, base, at))
}

func strw(s, base, at int) {
	line(fmt.Sprintf("MOVW R%d, %d(R%d)", s, at, base), fmt.Sprintf("str w%d, [x%d, #%d]", s, base, at))
}

// branch emits b (always), beq, bne, bge, blt, bhs, blo, bgt, ble.
func branch(kind, label string) { line(strings.ToUpper(kind)+" "+label, kind+" "+label) }

func cbz(r int, label string) {
	line(fmt.Sprintf("CBZ R%d, %s", r, label), fmt.Sprintf("cbz x%d, %s", r, label))
}

func cbnz(r int, label string) {
	line(fmt.Sprintf("CBNZ R%d, %s", r, label), fmt.Sprintf("cbnz x%d, %s", r, label))
}

// tbz jumps if the bit of r is clear.
func tbz(r, bit int, label string) {
	line(fmt.Sprintf("TBZ $%d, R%d, %s", bit, r, label), fmt.Sprintf("tbz x%d, #%d, %s", r, bit, label))
}

func csel(d, n, m int, condition string) {
	line(fmt.Sprintf("CSEL %s, R%d, R%d, R%d", strings.ToUpper(condition), n, m, d),
		fmt.Sprintf("csel x%d, x%d, x%d, %s", d, n, m, condition))
}

// label puts one down; head is a loop's, aligned to a line that the processor fetches.
func label(name string) { fmt.Fprintf(&code, "\n%s:\n", name) }

func head(name string) {
	code.WriteString("\tPCALIGN $16\n")
	label(name)
}

// newLabel returns a name that the routine has not used.
func newLabel(name string) string {
	labels++
	return fmt.Sprintf("%s%d", name, labels)
}

// constantBase holds the address of the constants in the current routine, −1 before it is needed. Routines that use
// any call withConstants outside their loops.
var constantBase int

func withConstants() {
	if constantBase >= 0 {
		return
	}
	constantBase = gp()
	line(fmt.Sprintf("MOVD $constants<>(SB), R%d", constantBase), fmt.Sprintf("adr x%d, constants", constantBase))
}

// bits returns a new vector with a constant in all lanes, fill one with a float. They are loaded, for what loads is
// idle where vectors are computed.
func bits(c uint32) int {
	i := slices.Index(constants, c)
	if i < 0 {
		i = len(constants)
		constants = append(constants, c)
	}
	x := vec()
	v("ldr q", x, constantBase, 16*i)
	return x
}

func fill(c float64) int { return bits(math.Float32bits(float32(c))) }

// table returns the address of some numbers in a new register.
func table(name string, values []uint32) int {
	if !slices.ContainsFunc(tables, func(t numbers) bool { return t.name == name }) {
		tables = append(tables, numbers{name, values})
	}
	r := gp()
	line(fmt.Sprintf("MOVD $%s<>(SB), R%d", name, r), fmt.Sprintf("adr x%d, %s", r, name))
	return r
}

// cleared returns n new vectors of zeros.
func cleared(n int) (zeros []int) {
	for range n {
		zeros = append(zeros, vec())
		v("movi 0", zeros[len(zeros)-1])
	}
	return zeros
}

// data returns the constants and the tables as assembly.
func data() string {
	var b strings.Builder
	for _, t := range append(tables, numbers{"constants", spreadOut(constants)}) {
		if len(t.values) == 0 {
			continue
		}
		b.WriteByte('\n')
		for i := 0; i < len(t.values); i += 2 {
			fmt.Fprintf(&b, "DATA %s<>+%d(SB)/8, $0x%08x%08x\n", t.name, 4*i, t.values[i+1], t.values[i])
		}
		fmt.Fprintf(&b, "GLOBL %s<>(SB), RODATA|NOPTR, $%d\n", t.name, 4*len(t.values))
	}
	return b.String()
}

// spreadOut returns each number four times, as the lanes of a vector.
func spreadOut(values []uint32) (all []uint32) {
	for _, c := range values {
		all = append(all, c, c, c, c)
	}
	return all
}
