package kernels

// WeightBits are the fraction's bits of Resample's weights.
const WeightBits = 22

// Resample makes rows of n bytes, one for each number in first, out of src, whose rows are ld bytes apart. Row i of
// dst [len(first), n] is the weighted sum of taps = len(weights)/len(first) rows from first[i] on,
//
//	dst[i, k] = clip((Σ_j weights[i·taps + j] · src[first[i] + j, k] + ½·2²²) / 2²²)
//
// rounded down and kept within a byte; the sums are exact as long as they stay within 32 bits. n is a multiple of 16.
func Resample(dst, src []byte, ld, n int, first, weights []int32) {
	if len(first) == 0 {
		return
	}
	taps, rows := len(weights)/len(first), 0
	for _, f := range first {
		if rows = max(rows, int(f)+taps); f < 0 {
			panic("kernels: Resample: a row before the first")
		}
	}
	if n%16 != 0 {
		panic("kernels: Resample: rows are not a multiple of 16 bytes")
	}
	checkMatrix("Resample", "src", len(src), ld, rows, n)
	checkLen("Resample", "dst", len(dst), len(first)*n)
	active.resample(dst, src, ld, n, first, weights, taps)
}

// TransposeBytes writes the first n columns of src [16, n], whose rows are lds bytes apart, as n rows of 16 bytes, ldd
// bytes apart: dst[k, i] = src[i, k]. n is a multiple of 8.
func TransposeBytes(dst []byte, ldd int, src []byte, lds, n int) {
	if n%8 != 0 {
		panic("kernels: TransposeBytes: columns are not a multiple of 8")
	}
	checkMatrix("TransposeBytes", "src", len(src), lds, 16, n)
	checkMatrix("TransposeBytes", "dst", len(dst), ldd, n, 16)
	active.transposeBytes(dst, src, ldd, lds, n)
}
