//go:build !purego

package kernels

import "unsafe"

func gemmInt8NEON(w productInt8) { w.multiply(routine{bytesPlain, 4, 8}, nil) }
func gemmInt8Dot(w productInt8)  { w.multiply(routine{bytesDot, 5, 16}, nil) }

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
	w.multiply(routine{bytesMatrices, 6, 16}, pairs[:])
}

// multiply computes w by a routine, which reads b's columns in pairs of steps if there is memory for these.
func (w *productInt8) multiply(r routine, pairs []int8) {
	g := w.args()
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
			copy(e.offset[:n], w.offset[j:])
			at.scale, at.offset = &e.scale[0], &e.offset[0]
			w.multiplyEdge(r, at, &e)
			continue
		}
		g.scale, g.offset = &w.scale[j], &w.offset[j]
		g.tile(w.rows, r.rows)
		r.kind.run(&g)
	}
}
