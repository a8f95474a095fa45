//go:build !purego

package kernels

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

//go:generate go run -C _asm . -out ../bf16_gemm_amd64.s bf16_gemm

// useBF16: the avx512 path has the machine's bfloat16 instructions.
var useBF16 = hasAVX512 && cpu.X86.HasAVX512BF16

// The routines are those of gemm_amd64.go for pairs of bfloat16 and a packed right-hand side: rowA is in bytes, colA that of a pair, k counts
// pairs. See _asm/bf16_gemm.go.

//go:noescape
func gemmBF16_12x32EdgeAVX512BF16(p *gemmArgs)

//go:noescape
func gemmBF16_12x16EdgeAVX512BF16(p *gemmArgs)

//go:noescape
func gemmBF16_12x32EdgeAVX512(p *gemmArgs)

//go:noescape
func gemmBF16_12x16EdgeAVX512(p *gemmArgs)

//go:noescape
func gemmBF16_6x16AVX2(p *gemmArgs)

//go:noescape
func gemmBF16_5x16EdgeAVX2(p *gemmArgs)

func gemmPanelBF16(p *panelBF16) {
	if active == portable {
		gemmPanelBF16Generic(p)
		return
	}
	const pair, row = 4, 4 * PanelWidth // bytes
	g := gemmArgs{
		a: (*float32)(unsafe.Pointer(unsafe.SliceData(p.a))), rowA: 2 * p.lda, colA: pair,
		b: (*float32)(unsafe.Pointer(unsafe.SliceData(p.b))), ldb: row,
		c: unsafe.SliceData(p.c), ldc: 4 * p.ldc,
		bias: unsafe.SliceData(p.bias),
		k:    p.pairs,
	}
	if p.add {
		g.add = 1
	}
	g.next = uintptr(unsafe.Pointer(g.a))
	// Prefetching counts the panel's memory in floats, which are as large as pairs.
	floats := panel{m: p.m, k: p.pairs}
	if p.more && p.pairs > 0 {
		floats.b = unsafe.Slice(g.b, p.pairs*PanelWidth)
		floats.next = p.pairs * PanelWidth
	}
	if active == avx512 {
		g.split(p.m, 12)
		g.prefetch(&floats, 0, 1)
		g.mask = 1<<p.n - 1
		switch {
		case p.n > 16 && useBF16:
			gemmBF16_12x32EdgeAVX512BF16(&g)
		case p.n > 16:
			gemmBF16_12x32EdgeAVX512(&g)
		case useBF16:
			gemmBF16_12x16EdgeAVX512BF16(&g)
		default:
			gemmBF16_12x16EdgeAVX512(&g)
		}
		return
	}
	for j := 0; j < p.n; j += 16 {
		if j > 0 {
			g.c = &p.c[j]
			if p.pairs > 0 {
				g.b = (*float32)(unsafe.Pointer(&p.b[2*j]))
			}
			if p.bias != nil {
				g.bias = &p.bias[j]
			}
		}
		if n := p.n - j; n >= 16 {
			g.split(p.m, 6)
			g.prefetch(&floats, j/16, 2)
			gemmBF16_6x16AVX2(&g)
		} else {
			g.split(p.m, 5)
			g.mask = uintptr(unsafe.Pointer(&edgeMasks[16-n]))
			gemmBF16_5x16EdgeAVX2(&g)
		}
	}
}

func roundBF16(y []uint16, ldy int, x []float32, ldx, rows, k int) {
	roundBF16Generic(y, ldy, x, ldx, rows, k)
}

func layerNormBF16(y []uint16, ldy int, x, gamma, beta []float32, rows, dim int, eps float32) {
	layerNormBF16Generic(y, ldy, x, gamma, beta, rows, dim, eps)
}

func softmaxRowsBF16(x, inverse []float32, ld, rows, cols int, scale float32) {
	softmaxRowsBF16Generic(x, inverse, ld, rows, cols, scale)
}

func packRowsBF16(dst *PackedBF16, w []float32, ldw int)  { packRowsBF16Generic(dst, w, ldw) }
func packPairsBF16(dst *PackedBF16, b []float32, ldb int) { packPairsBF16Generic(dst, b, ldb) }

func dotsBF16AVX512(n int)

func dotsBF16(n int) float64 {
	if active == avx512 && useBF16 {
		dotsBF16AVX512(n)
		return 24 * 32 * 2 * float64(n)
	}
	return multiplyAdds(n)
}
