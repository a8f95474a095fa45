//go:build !purego

package kernels

import "unsafe"

// gemmArgs is what the assembly of all products takes: fields of 8 bytes each, in the order that _asm/arm64/tiles.go
// names. Strides are in bytes. A step of k is a float32, a pair of bfloat16 or four bytes: 4 bytes of a row of a, and 4
// bytes of each column of b.
type gemmArgs struct {
	a                  unsafe.Pointer
	rowA, colA         int
	b                  unsafe.Pointer
	ldb                int
	c                  *float32
	ldc                int
	bias               *float32
	rows, extra, tiles int // rows of a tile; the first extra tiles have one more
	k, add             int
	rowScale, scale    *float32
	offset             *int32 // these three for bytes only

	// Not for the assembly: the first of the columns in the panel, and how many are computed.
	column, columns int
}

// args is what the assembly needs to know of all panels.
func (w *product[A, B]) args() gemmArgs {
	sizeA, sizeB := int(unsafe.Sizeof(*new(A))), int(unsafe.Sizeof(*new(B)))
	g := gemmArgs{rowA: sizeA * w.rowA, colA: sizeA * w.colA, ldb: sizeB * w.ldb, ldc: 4 * w.ldc, k: w.k}
	if w.add {
		g.add = 1
	}
	return g
}

// columns moves g on to the next columns of the current panel, or the first ones of the next, if there is one: as many
// as there are, but at most most.
func (w *product[A, B]) columns(g *gemmArgs, most int) bool {
	if g.column += g.columns; g.column >= w.cols {
		if !w.next() {
			return false
		}
		g.column = 0
	}
	g.columns = min(most, w.cols-g.column)
	j := w.j + g.column
	g.c = &w.c[w.i*w.ldc+j]
	if w.bias != nil {
		g.bias = &w.bias[j]
	}
	if w.k > 0 {
		g.a = unsafe.Pointer(&w.a[w.i*w.rowA])
		g.b = unsafe.Add(unsafe.Pointer(&w.b[w.j/panelWidth*w.panelB]), 4*g.column)
	}
	return true
}

// tile cuts m rows into tiles of nearly equal heights of up to rows.
func (g *gemmArgs) tile(m, rows int) {
	g.tiles = (m + rows - 1) / rows
	g.rows, g.extra = m/g.tiles, m%g.tiles
}

// The routines compute a product of all rows and as many columns as their name says after the x, in tiles of as many
// rows as it says before. They are called by name, as g would not stay on the stack if it went through a table.

// gemmNEON computes what is fewer than 16 columns as 8, 4, 2 and 1 of them, so that b needs no edge.
func gemmNEON(w productF32) {
	g := w.args()
	for w.columns(&g, 16) {
		rows := 8
		if g.columns == 16 {
			rows = 5
		}
		g.tile(w.rows, rows)
		switch n := g.columns; {
		case n == 16:
			gemm5x16NEON(&g)
		case n >= 8:
			g.columns = 8
			gemm8x8NEON(&g)
		case n >= 4:
			g.columns = 4
			gemm8x4NEON(&g)
		case n >= 2:
			g.columns = 2
			gemm8x2NEON(&g)
		default:
			gemm8x1NEON(&g)
		}
	}
}

// edge stands for c and what goes with its columns where fewer are left than a routine computes, whose b is packed and
// has zeros there: they are copied to it and back.
type edge struct {
	c           [edgeRows * edgeColumns]float32
	bias, scale [edgeColumns]float32
	offset      [edgeColumns]int32
}

const (
	edgeRows    = 30 // that are computed at a time: whole tiles of 5 and of 6
	edgeColumns = 16
)

// multiplyEdge computes the columns of a panel that are too few for a routine by way of e, where what belongs to bytes
// is already.
func (w *product[A, B]) multiplyEdge(r routine, g gemmArgs, e *edge) {
	n := g.columns
	if w.bias != nil {
		copy(e.bias[:n], w.bias[w.j+g.column:])
		g.bias = &e.bias[0]
	}
	g.c, g.ldc = &e.c[0], 4*edgeColumns
	a, rowScale := g.a, unsafe.Pointer(g.rowScale)
	for i := 0; i < w.rows; i += edgeRows {
		m := min(edgeRows, w.rows-i)
		row := func(k int) []float32 { return w.c[(w.i+i+k)*w.ldc+w.j+g.column:][:n] }
		if w.add {
			for k := range m {
				copy(e.c[k*edgeColumns:], row(k))
			}
		}
		g.a = unsafe.Add(a, i*g.rowA)
		if rowScale != nil {
			g.rowScale = (*float32)(unsafe.Add(rowScale, 4*i))
		}
		g.tile(m, r.rows)
		r.kind.run(&g)
		for k := range m {
			copy(row(k), e.c[k*edgeColumns:])
		}
	}
}

// A routine is what multiplies pairs of bfloat16s or bytes, by its shape.
type routine struct {
	kind          kind
	rows, columns int
}

type kind int

const (
	pairsPlain kind = iota
	pairsDot
	pairsMatrices
	bytesPlain
	bytesDot
	bytesMatrices
)

// run calls the routine by its name: through a pointer, its argument would not stay on the stack.
func (k kind) run(g *gemmArgs) {
	switch k {
	case pairsPlain:
		gemmPairs5x16NEON(g)
	case pairsDot:
		gemmPairs5x16BF16(g)
	case pairsMatrices:
		gemmPairs6x16BF16(g)
	case bytesPlain:
		gemmBytes4x8NEON(g)
	case bytesDot:
		gemmBytes5x16Dot(g)
	case bytesMatrices:
		gemmBytes6x16I8MM(g)
	}
}
