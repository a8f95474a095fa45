//go:build !purego

package kernels

import "unsafe"

func gemmBF16NEON(w productBF16) { multiplyBF16(&w, routine{pairsPlain, 5, 16}, nil) }
func gemmBF16Dots(w productBF16) { multiplyBF16(&w, routine{pairsDot, 5, 16}, nil) }

// Steps of the longest panels that are laid out anew on the stack for matrix products of bfloat16s: a head's, which
// have products of few rows, so that not much memory is cleared for each, and all others.
const (
	shortPairs = 128
	longPairs  = 1536
)

// gemmBF16Matrices lays out each part of a panel anew, as gemmInt8I8MM does; for fewer rows, dot products. A matrix
// product adds pair after pair, rounding as the dot product does, so the results are the same.
func gemmBF16Matrices(w productBF16) {
	switch {
	case w.m < 8 || w.k > longPairs:
		gemmBF16Dots(w)
	case w.k > shortPairs:
		gemmBF16Long(&w)
	default:
		var pairs [shortPairs * 64]int8
		multiplyBF16(&w, routine{pairsMatrices, 6, 16}, pairs[:])
	}
}

// gemmBF16Long has a large frame of its own.
//
//go:noinline
func gemmBF16Long(w *productBF16) {
	var pairs [longPairs * 64]int8
	multiplyBF16(w, routine{pairsMatrices, 6, 16}, pairs[:])
}

// multiplyBF16 computes w by a routine, which reads b's columns in pairs of steps if there is memory for these: they
// are laid out once for a block of rows, be these in one panel of a or in several.
func multiplyBF16(w *productBF16, r routine, pairs []int8) {
	g := w.args()
	for w.columns(&g, r.columns) {
		if pairs != nil && w.k > 0 {
			pairStepsNEON(pairs, unsafe.Slice((*int8)(g.b), 1), w.k)
			g.b = unsafe.Pointer(&pairs[0])
		}
		if w.panelA == 0 {
			multiplyRows(w, r, g)
			continue
		}
		for i := 0; i < w.rows; i += panelWidth {
			part, at := *w, g
			part.i, part.rows = w.i+i, min(panelWidth, w.rows-i)
			at.a = unsafe.Pointer(&w.a[part.i/panelWidth*w.panelA])
			at.c = &w.c[part.i*w.ldc+w.j+g.column]
			multiplyRows(&part, r, at)
		}
	}
}

// multiplyRows computes the columns of g for w's rows, which lie one like the other.
func multiplyRows(w *productBF16, r routine, g gemmArgs) {
	if g.columns < r.columns {
		var e edge
		w.multiplyEdge(r, g, &e)
		return
	}
	g.tile(w.rows, r.rows)
	r.kind.run(&g)
}
