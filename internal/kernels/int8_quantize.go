package kernels

import "math"

// int8Block is what rows of quantised activations are padded to: a cache line.
const int8Block = 64

// int8Padded is the number of bytes that quantising k numbers writes.
func int8Padded(k int) int { return (k + int8Block - 1) &^ (int8Block - 1) }

// Int8Stride returns the bytes from one quantised row of k numbers to the next. It is no multiple of 256, so that the rows of a tile do not fall into the
// same few sets of the cache.
func Int8Stride(k int) int {
	s := max(int8Padded(k), int8Block)
	if s%256 == 0 {
		s += int8Block
	}
	return s
}

// QuantizeRows writes to each row of q (row stride ldq ≥ Int8Stride(k)) the row of x [rows, k] (row stride ldx) by its own scale [rows]:
//
//	scale = max|x|/127,  q = round(x·(127/max|x|)) + 128
//
// rounded to nearest even, so that x ≈ scale·(q − 128). The bytes from k to the next multiple of 64 become 128, those of zero. A row of zeros has scale 0, and
// so has one whose largest is below 1e-30. A row with NaN or an infinity in it has scale NaN (its bytes are anything): all of its products are NaN.
func QuantizeRows(q []uint8, ldq int, scale []float32, x []float32, ldx, rows, k int) {
	checkQuantized(q, ldq, scale, rows, k)
	checkMatrix("QuantizeRows: x", len(x), ldx, rows, k)
	if rows > 0 && k > 0 {
		quantizeRows(q, ldq, scale, x, ldx, rows, k)
	}
}

// LayerNormQuantize is LayerNorm of x [rows, dim] followed by QuantizeRows of the result, bit for bit, without the result going through memory. Rows of
// more than 4096 numbers make it allocate.
func LayerNormQuantize(q []uint8, ldq int, scale []float32, x, gamma, beta []float32, rows, dim int, eps float32) {
	checkQuantized(q, ldq, scale, rows, dim)
	checkNorm(x, x, gamma, beta, rows, dim)
	if rows <= 0 || dim <= 0 {
		return
	}
	var near [4096]float32 // some rows, in the first cache
	y := near[:]
	if dim > len(y) {
		y = make([]float32, dim)
	}
	many := len(y) / dim
	for i := 0; i < rows; i += many {
		n := min(many, rows-i)
		layerNorm(y, nil, nil, x[i*dim:], gamma, beta, n, dim, eps)
		quantizeRows(q[i*ldq:], ldq, scale[i:], y, dim, n, dim)
	}
}

func checkQuantized(q []uint8, ldq int, scale []float32, rows, k int) {
	if ldq < int8Padded(k) {
		panic("kernels: quantised rows are too short")
	}
	checkMatrix("quantised rows", len(q), ldq, rows, int8Padded(k))
	checkLen("scales of quantised rows", len(scale), rows)
}

// quantizeRowsGeneric is the portable quantizeRows; k > 0.
func quantizeRowsGeneric(q []uint8, ldq int, scale, x []float32, ldx, rows, k int) {
	for i := range rows {
		row, out := x[i*ldx:i*ldx+k], q[i*ldq:i*ldq+int8Padded(k)]
		var perScale float32
		scale[i], perScale = int8Scale(largestBits(row))
		for l, v := range row {
			out[l] = uint8(roundInt8(v, perScale) + 128)
		}
		for l := k; l < len(out); l++ {
			out[l] = 128
		}
	}
}

// Bits of float32s: infinity's, those of all but the sign, and those of the smallest row maximum (1e-30) that is told from zero, above which
// neither a scale nor its reciprocal leaves the range of normal numbers.
const (
	infBits  = 0x7f800000
	absBits  = 0x7fffffff
	tinyBits = 0x0da24260
)

// largestBits returns the bits of max|x|. As integers NaNs are larger than infinity and infinity than all others, so that neither goes unseen.
func largestBits(x []float32) uint32 {
	var largest uint32
	for _, v := range x {
		largest = max(largest, math.Float32bits(v)&absBits)
	}
	return largest
}

// int8Scale returns the scale of a row with this largest, and what to multiply the row with before rounding.
func int8Scale(largest uint32) (scale, perScale float32) {
	switch {
	case largest >= infBits:
		return float32(math.NaN()), 0
	case largest < tinyBits:
		return 0, 0
	}
	v := math.Float32frombits(largest)
	return v / 127, 127 / v
}

// roundInt8 returns round(v·perScale), −127 … 127, or 0 for what no scale fits.
func roundInt8(v, perScale float32) int32 {
	// Adding 1.5·2²³ rounds to the nearest integer, even at ties, and leaves it in the low bits. (The conversion keeps the product from being fused.)
	const shift = 3 << 22
	if perScale == 0 {
		return 0
	}
	return int32(math.Float32bits(float32(v*perScale)+shift)) - 0x4b400000
}
