package kernels

import (
	"fmt"
	"os"
	"slices"
)

// The assembly of arm64 is generated from here, so that every machine checks that it is current; that of amd64 from
// path_amd64.go.
//
//go:generate go run -C _asm ./arm64

// A path is an implementation of all routines, which X_generic.go describes. The exported functions check operands.
type path struct {
	name string

	// gemm.go, bf16.go, int8.go
	gemm     func(w productF32)
	gemmBF16 func(w productBF16)
	gemmInt8 func(w productInt8)

	bf16Panels bool // gemmBF16 takes an a of several panels
	bf16Dots   bool // sums of products of bfloat16 are faster than those of float32, and bf16_train.go is no plain Go

	// int16.go
	gemmInt16    func(w productInt16)
	wordRows     func(q []int16, ldq int, scale, x []float32, ldx, rows, k int, limit float32)
	wordColumns  func(q []int16, scale, x []float32, ldx, rows, cols int, limit float32)
	softmaxWords func(x, inverse []float32, ld, rows, cols int, scale, log2Limit float32)
	wordDots     bool // sums of products of words are faster than those of float32, and bf16Dots is not there

	// attention_int8.go
	int8Attention   bool // products of bytes with all that they need are faster than those of bfloat16
	softmaxRowsInt8 func(x, inverse []float32, ld, rows, cols, first int, scale float32)
	packValuesInt8  func(dst PackedInt8, b []float32, ldb int)

	// pack.go
	transposePanel func(dst, b []float32, ldb, k, n int)
	packRowsBF16   func(dst PackedBF16, w []float32, ldw int)
	packPairsBF16  func(dst PackedBF16, b []float32, ldb int)
	packRowsInt8   func(dst PackedInt8, w []float32, ldw int)

	// activation.go
	gelu, geluQuick, geluCoarse  activation
	geluBackward                 func(dx, y, x, dy []float32)
	softmaxRows, softmaxRowsBF16 func(x, inverse []float32, ld, rows, cols int, scale float32)
	softmaxBackward              func(ds, p, dot []float32, ld, rows, cols int, scale float32)

	// norm.go, bf16.go, int8.go
	layerNorm         func(y, mean, rstd, x, gamma, beta []float32, rows, dim int, eps float32)
	layerNormBF16     func(y []uint16, ldy int, x, gamma, beta []float32, rows, dim int, eps float32)
	layerNormBackward func(dx, dgamma, dbeta, dy, x, gamma, mean, rstd []float32, rows, dim int)
	roundBF16         func(y []uint16, ldy int, x []float32, ldx, rows, k int)
	quantizeRows      func(q []uint8, ldq int, scale, x []float32, ldx, rows, k int)

	// bf16_train.go, attention_train_bf16.go
	interleaveBF16   func(dst PackedBF16, at int, x []uint16, ldx, rows int)
	roundPairsBF16   func(y []uint16, ldy int, dst PackedBF16, at int, x []float32, ldx, rows int)
	columnSumsBF16   func(dst []float32, p PackedBF16)
	geluBF16         func(h, y []uint16, ldy int, x []float32, rows, cols int)
	geluBackwardBF16 func(dx []uint16, ldx int, dxPairs, yPairs PackedBF16, at int, h []uint16, dy []float32,
		rows int)
	softmaxBackwardBF16 func(ds []uint16, ldd int, dsPairs, pPairs PackedBF16, dp, p, inverse []float32, ld int,
		scale float32)
	layerNormBackwardBF16 func(dx, dgamma, dbeta []float32, y []uint16, ldy int, dy, x, gamma, beta []float32, rows,
		dim int, eps float32)

	// gated.go; nil where there is nothing faster than the path's other routines one after the other
	quantizeGated, geluQuantize func(q []uint8, ldq int, scale, sums, x []float32, ldx, rows, k int, gate []float32)
	roundGated, geluRound       func(y []uint16, ldy int, sums, x []float32, ldx, rows, k int, gate []float32)

	// vector.go
	axpy, lerp func(dst, src []float32, factor float32)
	scale      func(x []float32, alpha float32)
	scaleRows  func(x []float32, ld, rows, cols int, factors []float32)
	dot        func(a, b []float32) float32
	dotRows    func(dst, a, b []float32, ld, rows, cols int)
	sumSquares func(x []float32) float64
	columnSums func(dst, x []float32, ld, rows, cols int)
	adamW      func(p, m, v, g []float32, c adamWConstants)

	// resample.go
	resample       func(dst, src []byte, ld, n int, first, weights []int32, taps int)
	transposeBytes func(dst, src []byte, ldd, lds, n int)

	// jpeg.go
	inverseDCT func(dst []byte, stride int, b, q *DCTBlock)
	upsample   func(dst, near, far []byte, even, odd int)
	rgb        func(dst, y, cb, cr []byte)

	// peak.go
	peak, peakBF16, peakInt8 peakLoop
}

// portable is the path of every machine.
var portable = path{
	name: "portable",
	gemm: gemmGeneric, gemmBF16: gemmBF16Generic, gemmInt8: gemmInt8Generic,
	transposePanel: transposePanelGeneric, packRowsBF16: packRowsBF16Generic, packPairsBF16: packPairsBF16Generic,
	packRowsInt8: packRowsInt8Generic, packValuesInt8: packValuesInt8Generic, softmaxRowsInt8: softmaxRowsInt8Generic,
	gemmInt16: gemmInt16Generic, wordRows: wordRowsGeneric, wordColumns: wordColumnsGeneric,
	softmaxWords: softmaxWordsGeneric,
	gelu:         geluGeneric, geluQuick: geluQuickGeneric, geluCoarse: geluCoarseGeneric,
	geluBackward: geluBackwardGeneric,
	softmaxRows:  softmaxRowsGeneric, softmaxRowsBF16: softmaxRowsBF16Generic, softmaxBackward: softmaxBackwardGeneric,
	layerNorm: layerNormGeneric, layerNormBF16: layerNormBF16Generic, layerNormBackward: layerNormBackwardGeneric,
	roundBF16: roundBF16Generic, quantizeRows: quantizeRowsGeneric,
	interleaveBF16: interleaveBF16Generic, roundPairsBF16: roundPairsBF16Generic, columnSumsBF16: columnSumsBF16Generic,
	geluBF16: geluBF16Generic, geluBackwardBF16: geluBackwardBF16Generic,
	softmaxBackwardBF16: softmaxBackwardBF16Generic, layerNormBackwardBF16: layerNormBackwardBF16Generic,
	axpy: axpyGeneric, lerp: lerpGeneric, scale: scaleGeneric, scaleRows: scaleRowsGeneric,
	dot: dotGeneric, dotRows: dotRowsGeneric, sumSquares: sumSquaresGeneric, columnSums: columnSumsGeneric,
	adamW:    adamWGeneric,
	resample: resampleGeneric, transposeBytes: transposeBytesGeneric,
	inverseDCT: inverseDCTGeneric, upsample: upsampleGeneric, rgb: rgbGeneric,

	peak: peakLoop{multiplyAddsGeneric, 16}, peakBF16: peakLoop{multiplyAddsGeneric, 16},
	peakInt8: peakLoop{dotsInt8Generic, 32},
}

// paths are those of this machine, fastest first.
var paths = []*path{&portable}

// active is the path in use: the fastest, unless ADAVIT_KERNELS or Use says otherwise.
var active = &portable

// pathVariable is the environment variable that chooses the path at start, by its name.
const pathVariable = "ADAVIT_KERNELS"

// register adds a path that is faster than those already there. The init functions of an architecture's files call it.
func register(p *path) {
	paths, active = slices.Insert(paths, 0, p), p
	if p, err := pathNamed(os.Getenv(pathVariable)); err == nil {
		active = p
	}
}

func pathNamed(name string) (*path, error) {
	if i := slices.IndexFunc(paths, func(p *path) bool { return p.name == name }); i >= 0 {
		return paths[i], nil
	}
	return nil, fmt.Errorf("there are no kernels %q on this machine, only %q", name, Paths())
}

// Configured reports an ADAVIT_KERNELS that names no path of this machine; the fastest is then in use instead.
func Configured() error {
	name := os.Getenv(pathVariable)
	if _, err := pathNamed(name); err != nil && name != "" {
		return fmt.Errorf("%s: %w", pathVariable, err)
	}
	return nil
}

// Paths returns the names of the implementations that this build and this CPU can run, fastest first, "portable" last.
func Paths() (names []string) {
	for _, p := range paths {
		names = append(names, p.name)
	}
	return names
}

// Path returns the name of the implementation in use.
func Path() string { return active.name }

// Use switches to the named path until restore is called, for tests and comparisons: nothing else may run meanwhile.
func Use(name string) (restore func(), err error) {
	p, err := pathNamed(name)
	if err != nil {
		return nil, err
	}
	old := active
	active = p
	return func() { active = old }, nil
}
