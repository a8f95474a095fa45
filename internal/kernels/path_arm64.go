//go:build !purego

package kernels

func init() {
	f := detect()
	register(neon())
	if f.dotProd {
		register(dotprod())
		if f.i8mm {
			register(i8mm(f.bf16))
		}
	}
}

// features are what a processor has of the instructions that some have.
type features struct{ dotProd, i8mm, bf16 bool }

// neon is the path of every arm64 processor.
func neon() *path {
	p := portable
	p.name = "neon"
	p.gemm, p.gemmBF16, p.gemmInt8, p.bf16Panels = gemmNEON, gemmBF16NEON, gemmInt8NEON, true
	p.transposePanel, p.packRowsBF16, p.packRowsInt8 = transposePanelNEON, packRowsBF16NEON, packRowsInt8NEON
	p.gelu, p.geluQuick, p.geluCoarse, p.geluBackward = geluNEON, geluQuickNEON, geluCoarseNEON, geluBackwardNEON
	p.softmaxRows, p.softmaxBackward = softmaxRowsNEON, softmaxBackwardNEON
	p.layerNorm, p.layerNormBF16, p.layerNormBackward = layerNormNEON, layerNormHalfNEON, layerNormBackwardNEON
	p.roundBF16, p.quantizeRows = roundHalfNEON, quantizeRowsNEON
	p.packValuesInt8, p.softmaxRowsInt8 = packValuesInt8NEON, softmaxBytesNEON
	p.axpy, p.lerp, p.scale, p.scaleRows = axpyNEON, lerpNEON, scaleNEON, scaleRowsNEON
	p.dot, p.dotRows, p.sumSquares, p.columnSums = dotNEON, dotRowsNEON, sumSquaresNEON, columnSumsNEON
	p.adamW, p.resample, p.transposeBytes = adamWNEON, resampleNEON, transposeBytesNEON
	p.inverseDCT, p.upsample, p.rgb = inverseDCTNEON, upsampleSIMD, rgbSIMD
	p.peak = peakLoop{multiplyAddsNEON, 24 * 4 * 2}
	p.peakBF16, p.peakInt8 = p.peak, peakLoop{dotsInt8NEON, 24 * 16 * 2}
	return &p
}

// dotprod is the path for dot products of bytes (FEAT_DotProd): most processors since 2018.
func dotprod() *path {
	p := *neon()
	p.name = "dotprod"
	p.gemmInt8, p.peakInt8 = gemmInt8Dot, peakLoop{dotsInt8Dot, 24 * 16 * 2}
	p.int8Attention = true
	return &p
}

// i8mm is the path for matrix products of bytes (FEAT_I8MM), and for dot and matrix products of bfloat16s where the
// machine has them (FEAT_BF16, bf16): most processors since 2021.
func i8mm(bf16 bool) *path {
	p := *dotprod()
	p.name = "i8mm"
	p.gemmInt8, p.peakInt8 = gemmInt8I8MM, peakLoop{matricesI8MM, 24 * 32 * 2}
	if bf16 {
		p.bf16Dots = true
		p.gemmBF16, p.peakBF16 = gemmBF16Matrices, peakLoop{matricesBF16, 24 * 16 * 2}
		p.packRowsBF16, p.packPairsBF16 = packRowsBF16BF16, packPairsBF16BF16
		p.softmaxRowsBF16, p.layerNormBF16, p.roundBF16 = softmaxHalfBF16, layerNormHalfBF16, roundHalfBF16
		p.interleaveBF16, p.roundPairsBF16, p.columnSumsBF16 = interleaveBF16SIMD, roundPairsBF16SIMD, columnSumsBF16SIMD
		p.geluBF16, p.geluBackwardBF16 = geluHalfBF16, geluBackwardBF16SIMD
		p.softmaxBackwardBF16, p.layerNormBackwardBF16 = softmaxBackwardBF16SIMD, layerNormBackwardHalfBF16
	}
	return &p
}
