//go:build !purego

package kernels

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

//go:generate go run -C _asm . -out ../gemm_amd64.s gemm
//go:generate go run -C _asm . -out ../pack_amd64.s pack
//go:generate go run -C _asm . -out ../activation_amd64.s activation
//go:generate go run -C _asm . -out ../norm_amd64.s norm
//go:generate go run -C _asm . -out ../vector_amd64.s vector

var (
	hasAVX2   = cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasBMI2
	hasAVX512 = hasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL
)

// available lists the paths of this machine, fastest first.
func available() []path {
	var p []path
	if hasAVX512 {
		p = append(p, avx512)
	}
	if hasAVX2 {
		p = append(p, avx2)
	}
	return append(p, portable)
}

// The assembly takes addresses and trusts the shapes. Each routine's twin, and what it should do, is the one in X_generic.go called Generic.

//go:noescape
func transposeAVX512(dst, src *float32, ldb, count, k int, mask uint64)

//go:noescape
func transposeAVX2(dst, src *float32, ldb, count, k int, mask uint64)

func transposePanel(dst, b []float32, ldb, k, n int) {
	switch active {
	case avx512:
		for j := 0; j < PanelWidth; j += 16 {
			count := min(max(n-j, 1), 16)
			transposeAVX512(&dst[j], &b[min(j, n-count)*ldb], ldb, count, k, lowBits(n-j))
		}
	case avx2:
		for j := 0; j < PanelWidth; j += 8 {
			count := min(max(n-j, 1), 8)
			transposeAVX2(&dst[j], &b[min(j, n-count)*ldb], ldb, count, k, lowBits(n-j))
		}
	default:
		transposePanelGeneric(dst, b, ldb, k, n)
	}
}

// lowBits has the lowest n bits set.
func lowBits(n int) uint64 { return 1<<uint(max(n, 0)) - 1 }

//go:noescape
func erfBlockAVX512(y, x *float32, ld, count, cols int)

//go:noescape
func erfBlockAVX2(y, x *float32, ld, count, cols int)

func erfRow(y, x []float32) {
	switch active {
	case avx512:
		erfBlockAVX512(unsafe.SliceData(y), unsafe.SliceData(x), 0, 1, len(x))
	case avx2:
		erfBlockAVX2(unsafe.SliceData(y), unsafe.SliceData(x), 0, 1, len(x))
	default:
		erfRowGeneric(y, x)
	}
}

//go:noescape
func geluBlockAVX512(y, x *float32, ld, count, cols int)

//go:noescape
func geluBlockAVX2(y, x *float32, ld, count, cols int)

func geluBlock(y, x []float32, ld, rows, cols int) {
	switch active {
	case avx512:
		geluBlockAVX512(unsafe.SliceData(y), unsafe.SliceData(x), ld, rows, cols)
	case avx2:
		geluBlockAVX2(unsafe.SliceData(y), unsafe.SliceData(x), ld, rows, cols)
	default:
		geluBlockGeneric(y, x, ld, rows, cols)
	}
}

//go:noescape
func geluBackwardAVX512(dx, y, x, dy *float32, n int)

//go:noescape
func geluBackwardAVX2(dx, y, x, dy *float32, n int)

func geluBackward(dx, y, x, dy []float32) {
	switch active {
	case avx512:
		geluBackwardAVX512(unsafe.SliceData(dx), unsafe.SliceData(y), unsafe.SliceData(x), unsafe.SliceData(dy), len(x))
	case avx2:
		geluBackwardAVX2(unsafe.SliceData(dx), unsafe.SliceData(y), unsafe.SliceData(x), unsafe.SliceData(dy), len(x))
	default:
		geluBackwardGeneric(dx, y, x, dy)
	}
}

//go:noescape
func softmaxRowsAVX512(x, inverse *float32, ld, count, cols int, scale float32)

//go:noescape
func softmaxRowsAVX2(x, inverse *float32, ld, count, cols int, scale float32)

func softmaxRows(x, inverse []float32, ld, rows, cols int, scale float32) {
	switch active {
	case avx512:
		softmaxRowsAVX512(unsafe.SliceData(x), unsafe.SliceData(inverse), ld, rows, cols, scale)
	case avx2:
		softmaxRowsAVX2(unsafe.SliceData(x), unsafe.SliceData(inverse), ld, rows, cols, scale)
	default:
		softmaxRowsGeneric(x, inverse, ld, rows, cols, scale)
	}
}

//go:noescape
func softmaxBackwardAVX512(ds, p, dot *float32, ld, count, cols int, scale float32)

//go:noescape
func softmaxBackwardAVX2(ds, p, dot *float32, ld, count, cols int, scale float32)

func softmaxBackward(ds, p, dot []float32, ld, rows, cols int, scale float32) {
	switch active {
	case avx512:
		softmaxBackwardAVX512(unsafe.SliceData(ds), unsafe.SliceData(p), unsafe.SliceData(dot), ld, rows, cols, scale)
	case avx2:
		softmaxBackwardAVX2(unsafe.SliceData(ds), unsafe.SliceData(p), unsafe.SliceData(dot), ld, rows, cols, scale)
	default:
		softmaxBackwardGeneric(ds, p, dot, ld, rows, cols, scale)
	}
}

//go:noescape
func layerNormAVX512(y, mean, rstd, x, gamma, beta *float32, count, dim int, perDim, eps float32)

//go:noescape
func layerNormAVX2(y, mean, rstd, x, gamma, beta *float32, count, dim int, perDim, eps float32)

func layerNorm(y, mean, rstd, x, gamma, beta []float32, rows, dim int, eps float32) {
	perDim := 1 / float32(dim)
	switch active {
	case avx512:
		layerNormAVX512(&y[0], unsafe.SliceData(mean), unsafe.SliceData(rstd), &x[0], &gamma[0], &beta[0], rows, dim, perDim, eps)
	case avx2:
		layerNormAVX2(&y[0], unsafe.SliceData(mean), unsafe.SliceData(rstd), &x[0], &gamma[0], &beta[0], rows, dim, perDim, eps)
	default:
		layerNormGeneric(y, mean, rstd, x, gamma, beta, rows, dim, eps)
	}
}

//go:noescape
func layerNormBackwardAVX512(dx, dgamma, dbeta, dy, x, gamma, mean, rstd *float32, count, dim int, perDim float32)

//go:noescape
func layerNormBackwardAVX2(dx, dgamma, dbeta, dy, x, gamma, mean, rstd *float32, count, dim int, perDim float32)

func layerNormBackward(dx, dgamma, dbeta, dy, x, gamma, mean, rstd []float32, rows, dim int) {
	perDim := 1 / float32(dim)
	switch active {
	case avx512:
		layerNormBackwardAVX512(&dx[0], &dgamma[0], &dbeta[0], &dy[0], &x[0], &gamma[0], &mean[0], &rstd[0], rows, dim, perDim)
	case avx2:
		layerNormBackwardAVX2(&dx[0], &dgamma[0], &dbeta[0], &dy[0], &x[0], &gamma[0], &mean[0], &rstd[0], rows, dim, perDim)
	default:
		layerNormBackwardGeneric(dx, dgamma, dbeta, dy, x, gamma, mean, rstd, rows, dim)
	}
}

//go:noescape
func axpyAVX512(dst, src *float32, n int, alpha float32)

//go:noescape
func axpyAVX2(dst, src *float32, n int, alpha float32)

func axpy(dst, src []float32, alpha float32) {
	switch active {
	case avx512:
		axpyAVX512(unsafe.SliceData(dst), unsafe.SliceData(src), len(src), alpha)
	case avx2:
		axpyAVX2(unsafe.SliceData(dst), unsafe.SliceData(src), len(src), alpha)
	default:
		axpyGeneric(dst, src, alpha)
	}
}

//go:noescape
func lerpAVX512(dst, src *float32, n int, t float32)

//go:noescape
func lerpAVX2(dst, src *float32, n int, t float32)

func lerp(dst, src []float32, t float32) {
	switch active {
	case avx512:
		lerpAVX512(unsafe.SliceData(dst), unsafe.SliceData(src), len(src), t)
	case avx2:
		lerpAVX2(unsafe.SliceData(dst), unsafe.SliceData(src), len(src), t)
	default:
		lerpGeneric(dst, src, t)
	}
}

//go:noescape
func scaleRowsAVX512(x *float32, ld, count, cols int, factors *float32)

//go:noescape
func scaleRowsAVX2(x *float32, ld, count, cols int, factors *float32)

func scaleRows(x []float32, ld, rows, cols int, factors []float32) {
	switch active {
	case avx512:
		scaleRowsAVX512(unsafe.SliceData(x), ld, rows, cols, unsafe.SliceData(factors))
	case avx2:
		scaleRowsAVX2(unsafe.SliceData(x), ld, rows, cols, unsafe.SliceData(factors))
	default:
		scaleRowsGeneric(x, ld, rows, cols, factors)
	}
}

//go:noescape
func dotRowsAVX512(dst, a, b *float32, ld, count, cols int)

//go:noescape
func dotRowsAVX2(dst, a, b *float32, ld, count, cols int)

func dotRows(dst, a, b []float32, ld, rows, cols int) {
	switch active {
	case avx512:
		dotRowsAVX512(unsafe.SliceData(dst), unsafe.SliceData(a), unsafe.SliceData(b), ld, rows, cols)
	case avx2:
		dotRowsAVX2(unsafe.SliceData(dst), unsafe.SliceData(a), unsafe.SliceData(b), ld, rows, cols)
	default:
		dotRowsGeneric(dst, a, b, ld, rows, cols)
	}
}

//go:noescape
func sumSquaresAVX512(x *float32, n int) float64

//go:noescape
func sumSquaresAVX2(x *float32, n int) float64

func sumSquares(x []float32) float64 {
	switch active {
	case avx512:
		return sumSquaresAVX512(unsafe.SliceData(x), len(x))
	case avx2:
		return sumSquaresAVX2(unsafe.SliceData(x), len(x))
	default:
		return sumSquaresGeneric(x)
	}
}

//go:noescape
func columnSumsAVX512(dst, x *float32, ld, count, cols int)

//go:noescape
func columnSumsAVX2(dst, x *float32, ld, count, cols int)

func columnSums(dst, x []float32, ld, rows, cols int) {
	switch active {
	case avx512:
		columnSumsAVX512(&dst[0], &x[0], ld, rows, cols)
	case avx2:
		columnSumsAVX2(&dst[0], &x[0], ld, rows, cols)
	default:
		columnSumsGeneric(dst, x, ld, rows, cols)
	}
}

//go:noescape
func adamWAVX512(p, m, v, grad *float32, n int, c *float32)

//go:noescape
func adamWAVX2(p, m, v, grad *float32, n int, c *float32)

func adamW(p, m, v, g []float32, c *adamWConstants) {
	switch active {
	case avx512:
		adamWAVX512(unsafe.SliceData(p), unsafe.SliceData(m), unsafe.SliceData(v), unsafe.SliceData(g), len(p), &c.keep)
	case avx2:
		adamWAVX2(unsafe.SliceData(p), unsafe.SliceData(m), unsafe.SliceData(v), unsafe.SliceData(g), len(p), &c.keep)
	default:
		adamWGeneric(p, m, v, g, c)
	}
}

func multiplyAddsAVX512(n int)

func multiplyAddsAVX2(n int)

func multiplyAdds(n int) float64 {
	switch active {
	case avx512:
		multiplyAddsAVX512(n)
		return 24 * 16 * 2 * float64(n)
	case avx2:
		multiplyAddsAVX2(n)
		return 12 * 8 * 2 * float64(n)
	default:
		return multiplyAddsGeneric(n)
	}
}
