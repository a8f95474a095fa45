//go:build !purego

package kernels

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

//go:generate go run -C _asm . -out ../int8_amd64.s int8

// int8Args is what the assembly takes: fields of 8 bytes each, in the order that _asm/int8.go names. Strides are in bytes.
type int8Args struct {
	q        *uint8
	ldq      int
	b        *int8
	c        *float32
	ldc      int
	rowScale *float32
	scale    *float32
	offset   *int32
	bias     *float32
	rows     int // rows of a tile; the first extra tiles have one more
	extra    int
	tiles    int
	steps    int
	add      int
	mask     uintptr // AVX-512: a bit for each column; otherwise address of a row of int8EdgeMasks
	next     uintptr // where the prefetching starts and how far it goes on for each step of a tile
	nextStep int
	_        uintptr // the assembly's own: q of the current tile
}

// The routines compute a product of all rows with 32 columns, or 16 (VNNI256), in tiles of as many rows as the number in their name says; those called Edge
// leave the columns that the mask does not name alone.

//go:noescape
func gemmInt8x12VNNI512(p *int8Args)

//go:noescape
func gemmInt8x12EdgeVNNI512(p *int8Args)

//go:noescape
func gemmInt8x6VNNI256(p *int8Args)

//go:noescape
func gemmInt8x6EdgeVNNI256(p *int8Args)

//go:noescape
func gemmInt8x3AVX2(p *int8Args)

//go:noescape
func gemmInt8x3EdgeAVX2(p *int8Args)

// int8EdgeMasks[32−n:] masks the first n of 32 columns.
var int8EdgeMasks = func() (m [2 * PanelWidth]int32) {
	for i := range PanelWidth {
		m[i] = -1
	}
	return m
}()

// int8Kernel is an implementation of the product: rows and columns of its tiles, and the operations of a round of its dotsInt8.
type int8Kernel struct{ rows, cols, ops int }

var (
	int8VNNI512 = int8Kernel{12, 32, 24 * 64 * 2}
	int8VNNI256 = int8Kernel{6, 16, 12 * 32 * 2}
	int8AVX2    = int8Kernel{3, 32, 12 * 32 * 2}
)

// int8Active returns the implementation in use, nil for the portable one. A machine with AVX-512 may lack its dot product of bytes, one with AVX2
// may have it.
func int8Active() *int8Kernel {
	switch {
	case active == portable:
		return nil
	case active == avx512 && cpu.X86.HasAVX512VNNI && useVNNI:
		return &int8VNNI512
	case cpu.X86.HasAVXVNNI && useVNNI:
		return &int8VNNI256
	}
	return &int8AVX2
}

// run computes the first n columns of g's product. (A table of functions would make g escape.)
func (k *int8Kernel) run(g *int8Args, n int) {
	whole := n >= k.cols
	if k == &int8VNNI512 {
		g.mask = 1<<n - 1
	} else if !whole {
		g.mask = uintptr(unsafe.Pointer(&int8EdgeMasks[PanelWidth-n]))
	}
	switch {
	case k == &int8VNNI512 && whole:
		gemmInt8x12VNNI512(g)
	case k == &int8VNNI512:
		gemmInt8x12EdgeVNNI512(g)
	case k == &int8VNNI256 && whole:
		gemmInt8x6VNNI256(g)
	case k == &int8VNNI256:
		gemmInt8x6EdgeVNNI256(g)
	case whole:
		gemmInt8x3AVX2(g)
	default:
		gemmInt8x3EdgeAVX2(g)
	}
}

func gemmPanelInt8(p *panelInt8) {
	kernel := int8Active()
	if kernel == nil {
		gemmPanelInt8Generic(p)
		return
	}
	g := int8Args{
		q: unsafe.SliceData(p.q), ldq: p.ldq,
		ldc:      4 * p.ldc,
		rowScale: &p.rowScale[0],
		steps:    p.steps,
	}
	if p.add {
		g.add = 1
	}
	b := uintptr(unsafe.Pointer(unsafe.SliceData(p.b)))
	g.next = b
	for j := 0; j < p.n; j += kernel.cols {
		// Tiles of nearly equal heights.
		tiles := (p.m + kernel.rows - 1) / kernel.rows
		g.tiles, g.rows, g.extra = tiles, p.m/tiles, p.m%tiles
		g.c, g.scale, g.offset = &p.c[j], &p.scale[j], &p.offset[j]
		if p.bias != nil {
			g.bias = &p.bias[j]
		}
		if p.steps > 0 {
			g.b = &p.b[4*j]
			// The fetching of the next panel, or this part of it, is spread over the steps. With few rows the memory is the bottleneck and prefetching
			// only gets in the way.
			if p.next > 0 && p.m >= 8 {
				part := p.next * kernel.cols / PanelWidth
				g.next = b + uintptr(p.next+part*(j/kernel.cols))
				g.nextStep = part / (p.steps * tiles)
			}
		}
		kernel.run(&g, p.n-j)
	}
}

//go:noescape
func quantizeRowsAVX512(q *uint8, ldq int, scale, x *float32, ldx, count, k int)

//go:noescape
func quantizeRowsAVX2(q *uint8, ldq int, scale, x *float32, ldx, count, k int)

func quantizeRows(q []uint8, ldq int, scale, x []float32, ldx, rows, k int) {
	switch active {
	case avx512:
		quantizeRowsAVX512(&q[0], ldq, &scale[0], &x[0], ldx, rows, k)
	case avx2:
		quantizeRowsAVX2(&q[0], ldq, &scale[0], &x[0], ldx, rows, k)
	default:
		quantizeRowsGeneric(q, ldq, scale, x, ldx, rows, k)
	}
}

//go:noescape
func geluQuickAVX512(y, x *float32, ld, count, cols int)

//go:noescape
func geluQuickAVX2(y, x *float32, ld, count, cols int)

func geluQuick(y, x []float32, ld, rows, cols int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	switch active {
	case avx512:
		geluQuickAVX512(&y[0], &x[0], ld, rows, cols)
	case avx2:
		geluQuickAVX2(&y[0], &x[0], ld, rows, cols)
	default:
		geluQuickGeneric(y, x, ld, rows, cols)
	}
}

func dotsInt8VNNI512(n int)

func dotsInt8VNNI256(n int)

func dotsInt8AVX2(n int)

// dotsInt8 runs n rounds of the instructions that the product's inner loop consists of, and returns how many operations they were.
func dotsInt8(n int) float64 {
	kernel := int8Active()
	if kernel == nil {
		return dotsInt8Generic(n)
	}
	switch kernel {
	case &int8VNNI512:
		dotsInt8VNNI512(n)
	case &int8VNNI256:
		dotsInt8VNNI256(n)
	default:
		dotsInt8AVX2(n)
	}
	return float64(kernel.ops) * float64(n)
}
