//go:build !amd64 || purego

package kernels

// Without assembly every routine is its portable self.

func available() []path { return []path{portable} }

func gemmPanel(p *panel)                              { gemmPanelGeneric(p) }
func transposePanel(dst, b []float32, ldb, k, n int)  { transposePanelGeneric(dst, b, ldb, k, n) }
func erfRow(y, x []float32)                           { erfRowGeneric(y, x) }
func geluBlock(y, x []float32, ld, rows, cols int)    { geluBlockGeneric(y, x, ld, rows, cols) }
func geluBackward(dx, y, x, dy []float32)             { geluBackwardGeneric(dx, y, x, dy) }
func axpy(dst, src []float32, alpha float32)          { axpyGeneric(dst, src, alpha) }
func lerp(dst, src []float32, t float32)              { lerpGeneric(dst, src, t) }
func sumSquares(x []float32) float64                  { return sumSquaresGeneric(x) }
func columnSums(dst, x []float32, ld, rows, cols int) { columnSumsGeneric(dst, x, ld, rows, cols) }
func adamW(p, m, v, g []float32, c *adamWConstants)   { adamWGeneric(p, m, v, g, c) }
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

func scaleRows(x []float32, ld, rows, cols int, factors []float32) {
	scaleRowsGeneric(x, ld, rows, cols, factors)
}

func dotRows(dst, a, b []float32, ld, rows, cols int) {
	dotRowsGeneric(dst, a, b, ld, rows, cols)
}
