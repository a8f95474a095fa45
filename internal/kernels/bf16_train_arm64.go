//go:build !purego

package kernels

func interleave(dst, x []uint16, ldx, pairs, cols int) {
	interleaveBF16(dst, x, ldx, pairs, cols)
}

func roundPairs(y []uint16, ldy int, dst []uint16, panel int, x []float32, ldx, pairs, cols int) {
	roundPairsBF16(y, ldy, dst, panel, x, ldx, pairs, cols)
}

func geluBackwardPairs(dx []uint16, ldx int, dxPairs, yPairs []uint16, panel int, h []uint16, dy []float32, ld, pairs,
	cols int) {
	geluBackwardPairsBF16(dx, ldx, dxPairs, yPairs, panel, h, dy, ld, pairs, cols)
}

func softmaxBackwardPairs(ds []uint16, ldd int, dsPairs, pPairs []uint16, panel int, dp, p, inverse []float32, ld,
	pairs, cols int, scale float32) {
	softmaxBackwardPairsBF16(ds, ldd, dsPairs, pPairs, panel, dp, p, inverse, ld, pairs, cols, scale)
}

func pairSums(dst []float32, x []uint16, pairs, cols int) { pairSumsBF16(dst, x, pairs, cols) }
