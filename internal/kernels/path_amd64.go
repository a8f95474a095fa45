//go:build !purego

package kernels

import "golang.org/x/sys/cpu"

//go:generate go run -C _asm . gemm
//go:generate go run -C _asm . bf16_gemm
//go:generate go run -C _asm . pack
//go:generate go run -C _asm . activation
//go:generate go run -C _asm . norm
//go:generate go run -C _asm . vector
//go:generate go run -C _asm . bf16
//go:generate go run -C _asm . bf16_train
//go:generate go run -C _asm . int8
//go:generate go run -C _asm . int16
//go:generate go run -C _asm . gated
//go:generate go run -C _asm . attention
//go:generate go run -C _asm . resample
//go:generate go run -C _asm . jpeg

func init() {
	x := &cpu.X86
	if !x.HasAVX2 || !x.HasFMA || !x.HasBMI2 {
		return
	}
	best := avx2()
	register(best)
	if x.HasAVXVNNI {
		best = avxVNNI()
		register(best)
	}
	if x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL {
		register(avx512(best, x.HasAVX512BF16, x.HasAVX512VNNI))
	}
}

// avx2 is the path for vectors of 256 bits.
func avx2() *path {
	return &path{
		name: "avx2",
		gemm: gemmAVX2, gemmBF16: gemmBF16AVX2, gemmInt8: gemmInt8AVX2,
		transposePanel: transposePanelAVX2, packRowsBF16: packRowsBF16AVX2, packPairsBF16: packPairsBF16Generic,
		packRowsInt8: packRowsInt8AVX2, packValuesInt8: packValuesInt8AVX2, softmaxRowsInt8: softmaxBytesAVX2,
		gemmInt16: gemmInt16AVX2, wordRows: wordRowsAVX2, wordColumns: wordColumnsAVX2, softmaxWords: softmaxWordsAVX2,
		wordDots: true,
		gelu:     geluAVX2, geluQuick: geluQuickAVX2, geluCoarse: geluCoarseAVX2, geluBackward: geluBackwardAVX2,
		softmaxRows: softmaxRowsAVX2, softmaxRowsBF16: softmaxRowsBF16Generic, softmaxBackward: softmaxBackwardAVX2,
		layerNorm: layerNormAVX2, layerNormBF16: layerNormHalfAVX2, layerNormBackward: layerNormBackwardAVX2,
		roundBF16: roundHalfAVX2, quantizeRows: quantizeRowsAVX2,
		interleaveBF16: interleaveBF16Generic, roundPairsBF16: roundPairsBF16Generic, columnSumsBF16: columnSumsBF16Generic,
		geluBF16: geluBF16Generic, geluBackwardBF16: geluBackwardBF16Generic,
		softmaxBackwardBF16: softmaxBackwardBF16Generic, layerNormBackwardBF16: layerNormBackwardBF16Generic,
		axpy: axpyAVX2, lerp: lerpAVX2, scale: scaleAVX2, scaleRows: scaleRowsAVX2,
		dot: dotAVX2, dotRows: dotRowsAVX2, sumSquares: sumSquaresAVX2, columnSums: columnSumsAVX2,
		adamW:    adamWAVX2,
		resample: resampleAVX2, transposeBytes: transposeBytesAVX2,
		inverseDCT: inverseDCTAVX2, upsample: upsampleSIMD, rgb: rgbSIMD,

		peak: peakLoop{multiplyAddsAVX2, 12 * 8 * 2}, peakBF16: peakLoop{multiplyAddsAVX2, 12 * 8 * 2},
		peakInt8: peakLoop{dotsInt8AVX2, 12 * 32 * 2},
	}
}

// avxVNNI is avx2 with the dot products of bytes and of words.
func avxVNNI() *path {
	p := avx2()
	p.name = "avxvnni"
	p.gemmInt8, p.gemmInt16 = gemmInt8VNNI256, gemmInt16VNNI256
	p.int8Attention = true
	p.peakInt8 = peakLoop{dotsInt8VNNI256, 12 * 32 * 2}
	return p
}

// avx512 is the path for vectors of 512 bits, with the dot products of bfloat16 (bf16) and of bytes (vnni) where the
// machine has them. What it has no routine for is that of the best path of 256 bits.
func avx512(narrow *path, bf16, vnni bool) *path {
	p := *narrow
	p.name, p.wordDots = "avx512", false
	p.gemm, p.gemmBF16, p.transposePanel = gemmAVX512, gemmBF16AVX512, transposePanelAVX512
	p.gelu, p.geluQuick, p.geluCoarse = geluAVX512, geluQuickAVX512, geluCoarseAVX512
	p.geluBackward = geluBackwardAVX512
	p.quantizeGated, p.geluQuantize = quantizeGatedAVX512, geluQuantizeAVX512
	p.softmaxRows, p.softmaxBackward = softmaxRowsAVX512, softmaxBackwardAVX512
	p.layerNorm, p.layerNormBF16, p.layerNormBackward = layerNormAVX512, layerNormHalfAVX512, layerNormBackwardAVX512
	p.roundBF16, p.quantizeRows, p.packRowsInt8 = roundHalfAVX512, quantizeRowsAVX512, packRowsInt8AVX512
	p.axpy, p.lerp, p.scale, p.scaleRows = axpyAVX512, lerpAVX512, scaleAVX512, scaleRowsAVX512
	p.dot, p.dotRows, p.sumSquares, p.columnSums = dotAVX512, dotRowsAVX512, sumSquaresAVX512, columnSumsAVX512
	p.adamW, p.resample = adamWAVX512, resampleAVX512
	p.peak = peakLoop{multiplyAddsAVX512, 24 * 16 * 2}
	p.peakBF16 = p.peak
	if bf16 {
		p.bf16Dots = true
		p.gemmBF16 = gemmBF16Dots
		p.packRowsBF16 = packRowsBF16AVX512
		p.packPairsBF16 = packPairsBF16AVX512
		p.softmaxRowsBF16 = softmaxHalfAVX512BF16
		p.layerNormBF16 = layerNormHalfAVX512BF16
		p.roundBF16 = roundHalfAVX512BF16
		p.interleaveBF16, p.roundPairsBF16, p.columnSumsBF16 = interleaveBF16SIMD, roundPairsBF16SIMD, columnSumsBF16SIMD
		p.geluBF16, p.geluBackwardBF16 = geluHalfAVX512BF16, geluBackwardBF16SIMD
		p.softmaxBackwardBF16, p.layerNormBackwardBF16 = softmaxBackwardBF16SIMD, layerNormBackwardHalfAVX512BF16
		p.roundGated, p.geluRound = roundGatedAVX512BF16, geluRoundAVX512BF16
		p.peakBF16 = peakLoop{dotsBF16AVX512, 24 * 32 * 2}
	}
	if vnni {
		p.gemmInt8, p.peakInt8 = gemmInt8VNNI512, peakLoop{dotsInt8VNNI512, 24 * 64 * 2}
		p.packRowsInt8, p.packValuesInt8 = packRowsInt8VNNI512, packValuesInt8AVX512
		p.int8Attention, p.softmaxRowsInt8 = true, softmaxBytesAVX512
	}
	return &p
}
