//go:build !purego

package kernels

import "unsafe"

func gemmBF16NEON(w productBF16) { multiplyBF16(&w, false) }
func gemmBF16Dots(w productBF16) { multiplyBF16(&w, true) }

// runBF16 calls a routine by its name: through a pointer, its argument would not stay on the stack.
func runBF16(g *gemmArgs, dots bool) {
	if dots {
		gemmPairs5x16BF16(g)
	} else {
		gemmPairs5x16NEON(g)
	}
}

func multiplyBF16(w *productBF16, dots bool) {
	g := w.args()
	for w.columns(&g, 16) {
		if g.columns < 16 {
			edgeBF16(w, g, dots)
			continue
		}
		g.tile(w.rows, 5)
		runBF16(&g, dots)
	}
}

// edgeBF16 computes the columns of a panel that are fewer than 16.
func edgeBF16(w *productBF16, g gemmArgs, dots bool) {
	var e edge
	if w.bias != nil {
		copy(e.bias[:g.columns], w.bias[w.j+g.column:])
		g.bias = &e.bias[0]
	}
	g.c, g.ldc = &e.c[0], 4*edgeColumns
	a := g.a
	for i := 0; i < w.rows; i += edgeRows {
		m := min(edgeRows, w.rows-i)
		if w.add {
			w.enter(&e, &g, i, m)
		}
		g.a = unsafe.Add(a, i*g.rowA)
		g.tile(m, 5)
		runBF16(&g, dots)
		w.leave(&e, &g, i, m)
	}
}
