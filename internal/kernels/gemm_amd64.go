//go:build !purego

package kernels

import (
	"slices"
	"unsafe"
)

// gemmArgs is what the assembly of all products takes: fields of 8 bytes each, in the order that _asm/tiles.go names.
// Strides are in bytes. A step of k is a float32, a pair of bfloat16 or four bytes: 4 bytes of a row of a, and 4
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
	bits               int    // the columns that there are: a bit for each
	lanes              *int32 // and a row of edgeMasks
	next               uintptr
	nextStep           int     // the prefetching starts at next and goes on by nextStep for each step of a tile
	_                  uintptr // the assembly's own: a of the current tile
	rowScale, scale    *float32
	offset             *int32 // these three for bytes only, but the scales for words, too

	// Not for the assembly: the first of the columns in the panel, and whether there are all of them.
	column int
	whole  bool
	cut    struct{ rows, most, tiles, height, extra int } // the last cut of rows into tiles, for most are alike
}

// edgeMasks[panelWidth−n:] masks the first n of a panel's columns.
var edgeMasks = append(slices.Repeat([]int32{-1}, panelWidth), make([]int32, panelWidth)...)

// args is what the assembly needs to know of all panels.
func (w *product[A, B]) args() gemmArgs {
	sizeA, sizeB := int(unsafe.Sizeof(*new(A))), int(unsafe.Sizeof(*new(B)))
	g := gemmArgs{rowA: sizeA * w.rowA, colA: sizeA * w.colA, ldb: sizeB * w.ldb, ldc: 4 * w.ldc, k: w.k}
	if w.add {
		g.add = 1
	}
	return g
}

// columns moves g on to the next cols columns of the current panel, or the first ones of the next, if there is one. It
// cuts the rows into tiles of up to rows rows; where there are fewer columns of edge rows.
func (w *product[A, B]) columns(g *gemmArgs, cols, rows, edge int) bool {
	if g.column += cols; g.column >= w.cols {
		if !w.next() {
			return false
		}
		g.column = 0
	}
	j, n := g.column, w.cols-g.column
	if g.whole = n >= cols; !g.whole {
		rows = edge
	}
	g.bits, g.lanes = 1<<n-1, &edgeMasks[panelWidth-n]
	// Tiles of nearly equal heights.
	if c := &g.cut; c.rows != w.rows || c.most != rows {
		c.rows, c.most, c.tiles = w.rows, rows, (w.rows+rows-1)/rows
		c.height, c.extra = w.rows/c.tiles, w.rows%c.tiles
	}
	g.tiles, g.rows, g.extra = g.cut.tiles, g.cut.height, g.cut.extra
	g.c = &w.c[w.i*w.ldc+w.j+j]
	if w.bias != nil {
		g.bias = &w.bias[w.j+j]
	}
	if w.k == 0 {
		return true
	}
	g.a = unsafe.Pointer(&w.a[w.i*w.rowA])
	g.b = unsafe.Add(unsafe.Pointer(&w.b[w.j/panelWidth*w.panelB]), 4*j)
	// The fetching of the next panel, or this part of it, is spread over the steps. With few rows the memory is the
	// bottleneck and prefetching only gets in the way.
	g.next, g.nextStep = uintptr(g.a), 0
	if w.rows >= 8 && !w.strided && w.j+panelWidth < w.n {
		g.next = uintptr(g.b) + uintptr(4*w.k*(panelWidth+j)-4*j)
		g.nextStep = 4 * cols / g.tiles
	}
	return true
}

// The routines compute a product of all rows and as many columns as their name says after the x, in tiles of as many
// rows as it says before; those called Edge leave the columns that the mask does not name alone. They are called by
// name, as g would not stay on the stack if it went through a table.

func gemmAVX512(w productF32) {
	g := w.args()
	for w.columns(&g, 32, 12, 12) {
		switch {
		case g.whole:
			gemm12x32AVX512(&g)
		case w.cols > 16:
			gemm12x32EdgeAVX512(&g)
		default:
			gemm12x16EdgeAVX512(&g)
		}
	}
}

func gemmAVX2(w productF32) {
	g := w.args()
	for w.columns(&g, 16, 6, 5) {
		if g.whole {
			gemm6x16AVX2(&g)
		} else {
			gemm5x16EdgeAVX2(&g)
		}
	}
}

func gemmBF16Dots(w productBF16) {
	g := w.args()
	for w.columns(&g, 32, 12, 12) {
		if w.cols > 16 {
			gemmPairs12x32EdgeAVX512BF16(&g)
		} else {
			gemmPairs12x16EdgeAVX512BF16(&g)
		}
	}
}

func gemmBF16AVX512(w productBF16) {
	g := w.args()
	for w.columns(&g, 32, 12, 12) {
		if w.cols > 16 {
			gemmPairs12x32EdgeAVX512(&g)
		} else {
			gemmPairs12x16EdgeAVX512(&g)
		}
	}
}

func gemmBF16AVX2(w productBF16) {
	g := w.args()
	for w.columns(&g, 16, 6, 5) {
		if g.whole {
			gemmPairs6x16AVX2(&g)
		} else {
			gemmPairs5x16EdgeAVX2(&g)
		}
	}
}

// scales adds to g what a product of bytes needs besides.
func (w *productInt8) scales(g *gemmArgs) {
	g.rowScale, g.scale, g.offset = &w.rowScale[w.i], &w.scale[w.j+g.column], &w.offset[w.j+g.column]
}

func gemmInt8VNNI512(w productInt8) {
	g := w.args()
	for w.columns(&g, 32, 12, 12) {
		w.scales(&g)
		switch {
		case g.whole:
			gemmBytes12x32VNNI512(&g)
		case w.cols > 16:
			gemmBytes12x32EdgeVNNI512(&g)
		default:
			gemmBytes12x16EdgeVNNI512(&g)
		}
	}
}

func gemmInt8VNNI256(w productInt8) {
	g := w.args()
	for w.columns(&g, 16, 6, 6) {
		if w.scales(&g); g.whole {
			gemmBytes6x16VNNI256(&g)
		} else {
			gemmBytes6x16EdgeVNNI256(&g)
		}
	}
}

func gemmInt8AVX2(w productInt8) {
	g := w.args()
	for w.columns(&g, 32, 3, 3) {
		if w.scales(&g); g.whole {
			gemmBytes3x32AVX2(&g)
		} else {
			gemmBytes3x32EdgeAVX2(&g)
		}
	}
}

// scales adds to g what a product of words needs besides.
func (w *productInt16) scales(g *gemmArgs) {
	g.rowScale, g.scale = &w.rowScale[w.i], &w.scale[w.j+g.column]
}

func gemmInt16VNNI256(w productInt16) {
	g := w.args()
	for w.columns(&g, 16, 6, 6) {
		if w.scales(&g); g.whole {
			gemmWords6x16VNNI256(&g)
		} else {
			gemmWords6x16EdgeVNNI256(&g)
		}
	}
}

func gemmInt16AVX2(w productInt16) {
	g := w.args()
	for w.columns(&g, 16, 6, 6) {
		if w.scales(&g); g.whole {
			gemmWords6x16AVX2(&g)
		} else {
			gemmWords6x16EdgeAVX2(&g)
		}
	}
}
