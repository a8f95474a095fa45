//go:build !purego

package kernels

import "unsafe"

func gemmInt8NEON(w productInt8) { w.multiply(routine{bytesPlain, 4, 8}, nil) }
func gemmInt8Dot(w productInt8)  { w.multiply(routine{bytesDot, 5, 16}, nil) }

// Steps of the longest panels that are laid out anew on the stack for matrix products: those of attention, which have
// products of few rows, so that not much memory is cleared for each, and all others.
const (
	shortFours = 64
	longFours  = 768
)

// gemmInt8I8MM lays out each part of a panel anew, in steps of eight bytes, which takes as long as a few rows' products
// do: for fewer rows, dot products. The sums are exact, so the results are the same.
func gemmInt8I8MM(w productInt8) {
	switch {
	case w.m < 8 || w.k > longFours:
		gemmInt8Dot(w)
	case w.k > shortFours:
		gemmInt8Long(&w)
	default:
		var pairs [(shortFours + 1) * 64]int8
		w.multiply(routine{bytesMatrices, 6, 16}, pairs[:])
	}
}

// gemmInt8Long has a large frame of its own.
//
//go:noinline
func gemmInt8Long(w *productInt8) {
	var pairs [longFours * 64]int8
	w.multiply(routine{bytesMatrices, 6, 16}, pairs[:])
}

// noOffset are the first sums of columns that need no correction.
var noOffset [edgeColumns]int32

// multiply computes w by a routine, which reads b's columns in pairs of steps if there is memory for these. Matrix
// products take a as it is and first take off what it has too much. Dot products take its bytes as signed ones, less
// 128, and first add that where it has nothing too much.
func (w *productInt8) multiply(r routine, pairs []int8) {
	g, corrected := w.args(), (r.kind == bytesMatrices) != w.unsigned
	for w.columns(&g, r.columns) {
		if pairs != nil && w.k > 0 {
			pairStepsNEON(pairs, unsafe.Slice((*int8)(g.b), 1), w.k)
			g.b = unsafe.Pointer(&pairs[0])
		}
		n, j := g.columns, w.j+g.column
		g.rowScale = &w.rowScale[w.i]
		if n < r.columns {
			var e edge
			at := g // g itself would keep e, which is the loop's, on the heap
			copy(e.scale[:n], w.scale[j:])
			if corrected {
				copy(e.offset[:n], w.offset[j:])
			}
			at.scale, at.offset = &e.scale[0], &e.offset[0]
			w.multiplyEdge(r, at, &e)
			continue
		}
		g.scale, g.offset = &w.scale[j], &noOffset[0]
		if corrected {
			g.offset = &w.offset[j]
		}
		g.tile(w.rows, r.rows)
		r.kind.run(&g)
	}
}
