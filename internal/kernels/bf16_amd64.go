//go:build !purego

package kernels

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

//go:generate go run -C _asm . -out ../bf16_amd64.s bf16
//go:generate go run -C _asm . -out ../bf16_gemm_amd64.s bf16_gemm

// useBF16: the avx512 path has the machine's bfloat16 instructions.
var useBF16 = hasAVX512 && cpu.X86.HasAVX512BF16

// dotsInHardware reports that the path in use has dot products of bfloat16.
func dotsInHardware() bool { return active == avx512 && useBF16 }

// The routines are those of gemm_amd64.go for pairs of bfloat16 and a packed right-hand side: rowA is in bytes, colA that of a pair, k counts
// pairs. See _asm/bf16_gemm.go.

//go:noescape
func gemmPairs12x32EdgeAVX512BF16(p *gemmArgs)

//go:noescape
func gemmPairs12x16EdgeAVX512BF16(p *gemmArgs)

//go:noescape
func gemmPairs12x32EdgeAVX512(p *gemmArgs)

//go:noescape
func gemmPairs12x16EdgeAVX512(p *gemmArgs)

//go:noescape
func gemmPairs6x16AVX2(p *gemmArgs)

//go:noescape
func gemmPairs5x16EdgeAVX2(p *gemmArgs)

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
	ahead := panel{m: p.m, k: p.pairs}
	if p.more && p.pairs > 0 {
		ahead.b = unsafe.Slice(g.b, p.pairs*PanelWidth)
		ahead.next = p.pairs * PanelWidth
	}
	if active == avx512 {
		g.split(p.m, 12)
		g.prefetch(&ahead, 0, 1)
		g.mask = 1<<p.n - 1
		switch {
		case p.n > 16 && dotsInHardware():
			gemmPairs12x32EdgeAVX512BF16(&g)
		case p.n > 16:
			gemmPairs12x32EdgeAVX512(&g)
		case dotsInHardware():
			gemmPairs12x16EdgeAVX512BF16(&g)
		default:
			gemmPairs12x16EdgeAVX512(&g)
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
			g.prefetch(&ahead, j/16, 2)
			gemmPairs6x16AVX2(&g)
		} else {
			g.split(p.m, 5)
			g.mask = uintptr(unsafe.Pointer(&edgeMasks[16-n]))
			gemmPairs5x16EdgeAVX2(&g)
		}
	}
}

//go:noescape
func roundHalfAVX512BF16(y *uint16, ldy int, x *float32, ldx, count, cols int)

//go:noescape
func roundHalfAVX512(y *uint16, ldy int, x *float32, ldx, count, cols int)

//go:noescape
func roundHalfAVX2(y *uint16, ldy int, x *float32, ldx, count, cols int)

func roundBF16(y []uint16, ldy int, x []float32, ldx, rows, k int) {
	switch {
	case dotsInHardware():
		roundHalfAVX512BF16(&y[0], ldy, &x[0], ldx, rows, k)
	case active == avx512:
		roundHalfAVX512(&y[0], ldy, &x[0], ldx, rows, k)
	case active == avx2:
		roundHalfAVX2(&y[0], ldy, &x[0], ldx, rows, k)
	default:
		roundBF16Generic(y, ldy, x, ldx, rows, k)
	}
}

//go:noescape
func layerNormHalfAVX512BF16(y *uint16, ldy int, x, gamma, beta *float32, count, dim int, perDim, eps float32)

//go:noescape
func layerNormHalfAVX512(y *uint16, ldy int, x, gamma, beta *float32, count, dim int, perDim, eps float32)

//go:noescape
func layerNormHalfAVX2(y *uint16, ldy int, x, gamma, beta *float32, count, dim int, perDim, eps float32)

func layerNormBF16(y []uint16, ldy int, x, gamma, beta []float32, rows, dim int, eps float32) {
	perDim := 1 / float32(dim)
	switch {
	case dotsInHardware():
		layerNormHalfAVX512BF16(&y[0], ldy, &x[0], &gamma[0], &beta[0], rows, dim, perDim, eps)
	case active == avx512:
		layerNormHalfAVX512(&y[0], ldy, &x[0], &gamma[0], &beta[0], rows, dim, perDim, eps)
	case active == avx2:
		layerNormHalfAVX2(&y[0], ldy, &x[0], &gamma[0], &beta[0], rows, dim, perDim, eps)
	default:
		layerNormBF16Generic(y, ldy, x, gamma, beta, rows, dim, eps)
	}
}

//go:noescape
func softmaxHalfAVX512BF16(x, inverse *float32, ld, count, cols int, scale float32)

func softmaxRowsBF16(x, inverse []float32, ld, rows, cols int, scale float32) {
	if dotsInHardware() {
		softmaxHalfAVX512BF16(&x[0], &inverse[0], ld, rows, cols, scale)
		return
	}
	softmaxRowsBF16Generic(x, inverse, ld, rows, cols, scale)
}

// packRowsBF16 rounds 32 rows at a time and transposes pairs as if they were floats.
func packRowsBF16(dst *PackedBF16, w []float32, ldw int) {
	if active == portable {
		packRowsBF16Generic(dst, w, ldw)
		return
	}
	const depth = 64 // k's at a time
	var buffer [PanelWidth * depth / 2]float32
	pairs := (dst.K + 1) / 2
	for j := 0; j < dst.N; j += PanelWidth {
		n := min(PanelWidth, dst.N-j)
		for l := 0; l < dst.K; l += depth {
			k := min(depth, dst.K-l)
			roundBF16(halves(buffer[:]), depth, w[j*ldw+l:], ldw, n, k)
			to := dst.Data[j*2*pairs+l*PanelWidth:]
			transposePanel(floats(to), buffer[:], depth/2, (k+1)/2, n)
		}
	}
}

//go:noescape
func packPairsAVX512BF16(dst *uint16, x *float32, ldx, pairs, cols int)

func packPairsBF16(dst *PackedBF16, b []float32, ldb int) {
	if !dotsInHardware() {
		packPairsBF16Generic(dst, b, ldb)
		return
	}
	pairs := dst.K / 2
	stride := (dst.K + 1) / 2 * 2 * PanelWidth
	for j, at := 0, 0; j < dst.N; j, at = j+PanelWidth, at+stride {
		n := min(PanelWidth, dst.N-j)
		if pairs > 0 {
			packPairsAVX512BF16(&dst.Data[at], &b[j], ldb, pairs, n)
		}
		if dst.K&1 != 0 {
			last := dst.Data[at+stride-2*PanelWidth : at+stride]
			clear(last)
			for i, v := range b[(dst.K-1)*ldb+j:][:n] {
				last[2*i] = nearestBF16(v)
			}
		}
	}
}

// floats is the memory of pairs of bfloat16s as floats.
func floats(x []uint16) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(x))), len(x)/2)
}

func dotsBF16AVX512(n int)

func dotsBF16(n int) float64 {
	if dotsInHardware() {
		dotsBF16AVX512(n)
		return 24 * 32 * 2 * float64(n)
	}
	return multiplyAdds(n)
}
