package main

import (
	"fmt"
	"slices"
	"strings"
)

// kernel is one routine: c [m, columns] = a·b over all rows, in tiles of up to rows rows.
//
// A tile keeps all of its sums in registers. A step of k is 4 bytes of each row of a and 4 of each column of b. Where a
// row's steps lie side by side, a vector of each row has four of them, which the instructions take lane by lane; the
// rest goes step by step.
type kernel struct {
	name          string
	rows, columns int
	sums          int  // vectors of sums for each vector of c
	paired        bool // two rows' sums stand side by side, as matrix products leave them
	parts
}

// parts is what the products of the number formats do not have in common. Each emits code for a tile of rows.
type parts struct {
	load   func(k kernel)                 // registers that stay the same for all tiles
	start  func(k kernel, rows int)       // gives the sums their first value
	inner  func(k kernel, rows int)       // adds all products; nil: by the following
	widen  func(k kernel, rows int)       // prepares the rows' vectors, or nil
	four   func(k kernel, rows int)       // adds the products of four steps, or nil: step by step
	step   func(k kernel, rows, lane int) // adds a step's products, and moves b on
	finish func(k kernel, rows int)       // turns the sums into C, and moves it on
}

// Registers of all products: the struct's address, the offset of the step in a's rows, and so on.
const (
	rArgs = iota
	rOffset
	rB
	rK
	rC
	rLDC
	rRowA
	rColA
	rLDB
	rCursor // a of the current tile
	rTiles
	rRows
	rExtra
	rFactors // the rows' scales
	rTmp
)

// rowRegisters are the addresses of a tile's rows.
var rowRegisters = []int{16, 17, 19, 20, 21, 22, 23, 24}

// fields are those of the package's gemmArgs, of 8 bytes each.
var fields = strings.Fields("a rowA colA b ldb c ldc bias rows extra tiles k add rowScale scale offset")

func arg(register int, name string) {
	i := slices.Index(fields, name)
	if i < 0 {
		panic("gemmArgs has no field " + name)
	}
	ldr(register, rArgs, 8*i)
}

// lanes is the number of columns in a vector, vectors that of vectors in a row of c.
func (k kernel) lanes() int   { return min(4, k.columns) }
func (k kernel) vectors() int { return (k.columns + 3) / 4 }

// acc is the first vector of sums of row i, vector j; b is b's vector j, a the vector of row i, and spare what is left.
func (k kernel) acc(i, j int) int {
	if k.paired {
		return i/2*2*k.vectors() + 2*j + i%2
	}
	return (i*k.vectors() + j) * k.sums
}
func (k kernel) b(j int) int     { return k.rows*k.vectors()*k.sums + j }
func (k kernel) a(i int) int     { return k.b(k.vectors()*k.sums + i) }
func (k kernel) spare(i int) int { return k.a(k.rows + i) }

// fillSpare fills a spare vector with a constant.
func (k kernel) fillSpare(i int, c uint32) {
	for range k.spare(i) {
		vec()
	}
	bits(c)
}

func (k kernel) emit() {
	k.sums = max(1, k.sums)
	routine(k.name, "(args *gemmArgs)", func() {
		for range rTmp + 1 {
			gp() // those named above, but for what the constants' address may take
		}
		line("MOVD args+0(FP), R0", "ldr x0, [sp, #8]")
		for _, f := range []struct {
			r    int
			name string
		}{
			{rCursor, "a"}, {rRowA, "rowA"}, {rColA, "colA"}, {rLDB, "ldb"}, {rC, "c"}, {rLDC, "ldc"},
			{rRows, "rows"}, {rExtra, "extra"}, {rTiles, "tiles"},
		} {
			arg(f.r, f.name)
		}
		if k.load != nil {
			k.load(k)
		}
		// The first extra tiles have one row more than the others.
		label("tile")
		mov(rTmp, rRows)
		cbz(rExtra, "size")
		subi(rExtra, rExtra, 1)
		addi(rTmp, rTmp, 1)
		label("size")
		mov(rowRegisters[0], rCursor)
		for i := 1; i < k.rows; i++ {
			add(rowRegisters[i], rowRegisters[i-1], rRowA)
		}
		movi(rOffset, 0)
		arg(rB, "b")
		arg(rK, "k")
		for rows := k.rows; rows > 1; rows-- {
			cmpi(rTmp, rows)
			branch("beq", fmt.Sprint("rows", rows))
		}
		for rows := 1; rows <= k.rows; rows++ {
			label(fmt.Sprint("rows", rows))
			k.start(k, rows)
			if k.inner != nil {
				k.inner(k, rows)
			} else {
				k.products(rows)
			}
			k.finish(k, rows)
			// a moves down by the tile's rows: to the row behind the last.
			add(rCursor, rowRegisters[rows-1], rRowA)
			branch("b", "next")
		}
		label("next")
		subs(rTiles, rTiles, 1)
		branch("bne", "tile")
	})
}

// products emits the loops over four steps and over one.
func (k kernel) products(rows int) {
	name := func(s string) string { return fmt.Sprint(s, rows) }
	load := func(instruction string) {
		for i := range rows {
			v(instruction, k.a(i), rowRegisters[i], rOffset)
		}
	}
	widen := func() {
		if k.widen != nil {
			k.widen(k, rows)
		}
	}
	cmpi(rColA, 4)
	branch("bne", name("rest"))
	subs(rK, rK, 4)
	branch("blt", name("few"))
	head(name("four"))
	load("ldr q x")
	addi(rOffset, rOffset, 16)
	widen()
	if k.four != nil {
		k.four(k, rows)
	} else {
		for lane := range 4 {
			k.step(k, rows, lane)
		}
	}
	subs(rK, rK, 4)
	branch("bge", name("four"))
	label(name("few"))
	addi(rK, rK, 4)
	label(name("rest"))
	cbz(rK, name("finish"))
	head(name("one"))
	load("ldr s x")
	add(rOffset, rOffset, rColA)
	widen()
	k.step(k, rows, 0)
	subs(rK, rK, 1)
	branch("bne", name("one"))
	label(name("finish"))
}

// loadRow loads a row of the kernel's columns, 4 bytes each, to b's first vectors, storeRow stores row i of the sums.
func (k kernel) loadRow(base int) { k.moveRow(base, "ldp", "ldr", k.b) }
func (k kernel) storeRow(base, i int) {
	k.moveRow(base, "stp", "str", func(j int) int { return k.acc(i, j) })
}

func (k kernel) moveRow(base int, pair, one string, register func(j int) int) {
	if k.vectors() == 1 {
		v(one+map[int]string{4: " q", 2: " d", 1: " s"}[k.lanes()], register(0), base, 0)
		return
	}
	for j := 0; j < k.vectors(); j += 2 {
		v(pair, register(j), register(j+1), base, 16*j)
	}
}

// addRow adds b's first vectors to row i of the sums.
func (k kernel) addRow(i int) {
	for j := range k.vectors() {
		v("fadd", k.acc(i, j), k.acc(i, j), k.b(j))
	}
}

// store adds the bias and what C holds, if there is one and if that is wanted, and writes C.
func (k kernel) store(rows int) {
	old, store := newLabel("old"), newLabel("store")
	arg(rTmp, "bias")
	cbz(rTmp, old)
	k.loadRow(rTmp)
	for i := range rows {
		k.addRow(i)
	}
	label(old)
	arg(rTmp, "add")
	cbz(rTmp, store)
	mov(rTmp, rC)
	for i := range rows {
		k.loadRow(rTmp)
		add(rTmp, rTmp, rLDC)
		k.addRow(i)
	}
	label(store)
	for i := range rows {
		k.storeRow(rC, i)
		add(rC, rC, rLDC)
	}
}
