package kernels

// int8Block is what rows of quantised activations are padded to: a cache line.
const int8Block = 64

// int8Padded is the number of bytes that quantising k numbers writes.
func int8Padded(k int) int { return (k + int8Block - 1) &^ (int8Block - 1) }

// Int8Stride returns the bytes from one quantised row of k numbers to the next. It is no multiple of 256, so that the
// rows of a tile do not fall into the same few sets of the cache.
func Int8Stride(k int) int {
	s := max(int8Padded(k), int8Block)
	if s%256 == 0 {
		s += int8Block
	}
	return s
}

// QuantizeRows writes to each row of q (row stride ldq ≥ Int8Stride(k)) the row of x [rows, k] (row stride ldx) by
// its own scale [rows]:
//
//	scale = max|x|/127,  q = round(x·(127/max|x|)) + 128
//
// rounded to nearest even, so that x ≈ scale·(q − 128). The bytes from k to the next multiple of 64 become 128, those
// of zero. A row of zeros has scale 0, and so has one whose largest is below 1e-30. A row with NaN or an infinity in
// it has scale NaN (its bytes are anything): all of its products are NaN.
func QuantizeRows(q []uint8, ldq int, scale []float32, x []float32, ldx, rows, k int) {
	checkMatrix("QuantizeRows", "q", len(q), ldq, rows, int8Padded(k))
	checkLen("QuantizeRows", "scale", len(scale), rows)
	checkMatrix("QuantizeRows", "x", len(x), ldx, rows, k)
	if rows > 0 && k > 0 {
		active.quantizeRows(q, ldq, scale, x, ldx, rows, k)
	}
}

// LayerNormQuantize is LayerNorm of x [rows, dim] followed by QuantizeRows of the result, bit for bit. scratch, of at
// least dim floats, holds some rows of the result, no more than stay in the first cache.
func LayerNormQuantize(q []uint8, ldq int, scale, x, gamma, beta []float32, rows, dim int, eps float32,
	scratch []float32) {
	checkMatrix("LayerNormQuantize", "q", len(q), ldq, rows, int8Padded(dim))
	checkLen("LayerNormQuantize", "scale", len(scale), rows)
	checkNorm(x, x, gamma, beta, rows, dim)
	checkLen("LayerNormQuantize", "scratch", len(scratch), dim)
	if dim <= 0 {
		return
	}
	many := max(1, min(len(scratch), 4096)/dim)
	for i := 0; i < rows; i += many {
		n := min(many, rows-i)
		active.layerNorm(scratch, nil, nil, x[i*dim:], gamma, beta, n, dim, eps)
		active.quantizeRows(q[i*ldq:], ldq, scale[i:], scratch, dim, n, dim)
	}
}
