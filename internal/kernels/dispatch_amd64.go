//go:build !purego

package kernels

import "golang.org/x/sys/cpu"

var (
	hasAVX2   = cpu.X86.HasAVX2 && cpu.X86.HasFMA
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
func transposePanel(dst, b []float32, ldb, k, n int)  { transposePanelGeneric(dst, b, ldb, k, n) }
func erfRow(y, x []float32)                           { erfRowGeneric(y, x) }
func geluBlock(y, x []float32, ld, rows, cols int)    { geluBlockGeneric(y, x, ld, rows, cols) }
func geluBackward(dx, y, x, dy []float32)             { geluBackwardGeneric(dx, y, x, dy) }
func axpy(dst, src []float32, alpha float32)          { axpyGeneric(dst, src, alpha) }
func scaleVector(x []float32, alpha float32)          { scaleVectorGeneric(x, alpha) }
func lerp(dst, src []float32, t float32)              { lerpGeneric(dst, src, t) }
func dot(a, b []float32) float32                      { return dotGeneric(a, b) }
func sumSquares(x []float32) float64                  { return sumSquaresGeneric(x) }
func columnSums(dst, x []float32, ld, rows, cols int) { columnSumsGeneric(dst, x, ld, rows, cols) }
func adamW(p, m, v, g []float32, s *AdamWStep)        { adamWGeneric(p, m, v, g, s) }
func multiplyAdds(n int) float64                      { return multiplyAddsGeneric(n) }

func softmaxRows(x, inverse []float32, ld, rows, cols int, scale float32) {
	softmaxRowsGeneric(x, inverse, ld, rows, cols, scale)
}

func softmaxBackward(ds, p, dot []float32, ld, rows, cols int, scale float32) {
	softmaxBackwardGeneric(ds, p, dot, ld, rows, cols, scale)
}

func layerNorm(y, mean, rstd, x, gamma, beta []float32, rows, dim int, eps float32) {
	layerNormGeneric(y, mean, rstd, x, gamma, beta, rows, dim, eps)
}

func layerNormBackward(dx, dgamma, dbeta, dy, x, gamma, mean, rstd []float32, rows, dim int) {
	layerNormBackwardGeneric(dx, dgamma, dbeta, dy, x, gamma, mean, rstd, rows, dim)
}
