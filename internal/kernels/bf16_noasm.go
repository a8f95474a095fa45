//go:build !amd64 || purego

package kernels

// useBF16: the avx512 path has the machine's bfloat16 instructions.
var useBF16 = false

func dotsInHardware() bool { return false }

func gemmPanelBF16(p *panelBF16) { gemmPanelBF16Generic(p) }

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
func dotsBF16(n int) float64                              { return multiplyAdds(n) }
