//go:build !purego

package kernels

import "unsafe"

// gemmArgs is what the assembly takes: fields of 8 bytes each, in the order that _asm/gemm.go names. Strides are in bytes.
type gemmArgs struct {
	a          *float32
	rowA, colA int
	b          *float32
	ldb        int
	c          *float32
	ldc        int
	bias       *float32
	rows       int // rows of a tile; the first extra tiles have one more
	extra      int
	tiles      int
	k          int
	add        int
	mask       uintptr // AVX-512: a bit for each column; AVX2: address of a row of edgeMasks
	next       uintptr // where the prefetching starts and how far it goes on for each k of a tile
	nextStep   int
	_          uintptr // the assembly's own: a of the current tile
}

// The routines compute a product of all rows and as many columns as their name says after the x, in tiles of as many rows as it says before;
// those called Edge leave the columns that the mask does not name alone. See _asm/gemm.go.

//go:noescape
func gemm12x32AVX512(p *gemmArgs)

//go:noescape
func gemm12x32EdgeAVX512(p *gemmArgs)

//go:noescape
func gemm12x16EdgeAVX512(p *gemmArgs)

//go:noescape
func gemm6x16AVX2(p *gemmArgs)

//go:noescape
func gemm5x16EdgeAVX2(p *gemmArgs)

// edgeMasks[16−n:] masks the first n of 16 columns.
var edgeMasks = [32]int32{0: -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1}

func gemmPanel(p *panel) {
	if active == portable {
		gemmPanelGeneric(p)
		return
	}
	g := gemmArgs{
		a: unsafe.SliceData(p.a), rowA: 4 * p.rowA, colA: 4 * p.colA,
		b: unsafe.SliceData(p.b), ldb: 4 * p.ldb,
		c: unsafe.SliceData(p.c), ldc: 4 * p.ldc,
		bias: unsafe.SliceData(p.bias),
		k:    p.k,
	}
	if p.add {
		g.add = 1
	}
	g.next = uintptr(unsafe.Pointer(g.a))
	if active == avx512 {
		g.split(p.m, 12)
		g.prefetch(p, 0, 1)
		g.mask = 1<<p.n - 1
		switch {
		case p.n == 32:
			gemm12x32AVX512(&g)
		case p.n > 16:
			gemm12x32EdgeAVX512(&g)
		default:
			gemm12x16EdgeAVX512(&g)
		}
		return
	}
	for j := 0; j < p.n; j += 16 {
		if j > 0 {
			g.c = &p.c[j]
			if p.k > 0 {
				g.b = &p.b[j]
			}
			if p.bias != nil {
				g.bias = &p.bias[j]
			}
		}
		if n := p.n - j; n >= 16 {
			g.split(p.m, 6)
			g.prefetch(p, j/16, 2)
			gemm6x16AVX2(&g)
		} else {
			g.split(p.m, 5)
			g.mask = uintptr(unsafe.Pointer(&edgeMasks[16-n]))
			gemm5x16EdgeAVX2(&g)
		}
	}
}

// prefetch spreads the fetching of the next panel's part (one of parts) over the steps of this one's tiles. With few rows the memory is the
// bottleneck and prefetching only gets in the way.
func (g *gemmArgs) prefetch(p *panel, part, parts int) {
	if p.next == 0 || p.m < 8 {
		return
	}
	bytes := 4 * p.next / parts
	g.next = uintptr(unsafe.Pointer(unsafe.SliceData(p.b))) + uintptr(4*p.next+part*bytes)
	g.nextStep = bytes / (p.k * g.tiles)
}

// split divides m rows into tiles of nearly equal heights up to most.
func (g *gemmArgs) split(m, most int) {
	g.tiles = (m + most - 1) / most
	g.rows, g.extra = m/g.tiles, m%g.tiles
}
