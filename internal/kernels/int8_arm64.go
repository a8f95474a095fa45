//go:build !purego

package kernels

import "unsafe"

// An int8Routine is what multiplies bytes, by its shape.
type int8Routine struct {
	kind          int8Kind
	rows, columns int
}

type int8Kind int

const (
	int8Plain int8Kind = iota
	int8Dot
	int8Matrices
)

// run calls the routine by its name: through a pointer, its argument would not stay on the stack.
func (r int8Kind) run(g *gemmArgs) {
	switch r {
	case int8Plain:
		gemmBytes4x8NEON(g)
	case int8Dot:
		gemmBytes5x16Dot(g)
	case int8Matrices:
		gemmBytes6x16I8MM(g)
	}
}

func gemmInt8NEON(w productInt8) { w.multiply(int8Routine{int8Plain, 4, 8}, nil) }
func gemmInt8Dot(w productInt8)  { w.multiply(int8Routine{int8Dot, 5, 16}, nil) }

// maxPaired is the largest k whose panels are laid out anew on the stack, for matrix products.
const maxPaired = 3072

// gemmInt8I8MM lays out each part of a panel anew, in steps of eight bytes, which takes as long as a few rows' products
// do: for fewer rows, dot products. The sums are exact, so the results are the same.
func gemmInt8I8MM(w productInt8) {
	if w.m < 8 || w.k > maxPaired/4 {
		gemmInt8Dot(w)
		return
	}
	var pairs [maxPaired * 16]int8
	w.multiply(int8Routine{int8Matrices, 6, 16}, pairs[:])
}

// multiply computes w by a routine, which reads b's columns in pairs of steps if there is memory for these.
func (w *productInt8) multiply(r int8Routine, pairs []int8) {
	g := w.args()
	for w.columns(&g, r.columns) {
		if pairs != nil && w.k > 0 {
			pairStepsNEON(pairs, unsafe.Slice((*int8)(g.b), 1), w.k)
			g.b = unsafe.Pointer(&pairs[0])
		}
		if g.columns < r.columns {
			w.multiplyEdge(r, g)
			continue
		}
		g.rowScale, g.scale, g.offset = &w.rowScale[w.i], &w.scale[w.j+g.column], &w.offset[w.j+g.column]
		g.tile(w.rows, r.rows)
		r.kind.run(&g)
	}
}

// multiplyEdge computes the columns of a panel that are too few for the routine.
func (w *productInt8) multiplyEdge(r int8Routine, g gemmArgs) {
	var e edge
	n, j := g.columns, w.j+g.column
	copy(e.scale[:n], w.scale[j:])
	copy(e.offset[:n], w.offset[j:])
	if w.bias != nil {
		copy(e.bias[:n], w.bias[j:])
		g.bias = &e.bias[0]
	}
	g.c, g.ldc, g.scale, g.offset = &e.c[0], 4*edgeColumns, &e.scale[0], &e.offset[0]
	a := g.a
	for i := 0; i < w.rows; i += edgeRows {
		m := min(edgeRows, w.rows-i)
		if w.add {
			w.enter(&e, &g, i, m)
		}
		g.a, g.rowScale = unsafe.Add(a, i*g.rowA), &w.rowScale[w.i+i]
		g.tile(m, r.rows)
		r.kind.run(&g)
		w.leave(&e, &g, i, m)
	}
}
