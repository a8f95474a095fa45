package kernels

// PackedInt8 is a linear map's weight [N, K] quantised symmetrically for each output channel: w[j][l] ≈ Scale[j]·q
// with q in −127 … 127. Panel p of Data holds columns 32p … 32p+31 as [⌈K/4⌉][32][4]: four l's of one column stand
// together. Rows and columns that do not exist are zeros.
type PackedInt8 struct {
	K, N   int
	Data   []int8    // packedInt8Len(K, N)
	Scale  []float32 // [N]
	Offset []int32   // [N] 128·Σ_l q, what the product has too much because activations are stored + 128
}

// packedInt8Len returns the number of bytes of Data for a weight [n, k].
func packedInt8Len(k, n int) int { return PackedLen(4*int8Steps(k), n) }

// int8Steps is the number of groups of four that k numbers take.
func int8Steps(k int) int { return (k + 3) / 4 }

// maxInt8K bounds K so that Σ 255·(±127) fits an int32.
const maxInt8K = 1 << 16

// PackInt8 quantises w [n, k] (row stride ldw), as PyTorch stores a linear map, into dst, whose memory is used again
// where it is large enough. A row of zeros has scale 0. A row with NaN or an infinity in it has scale NaN, and so has
// all that is computed with it.
func PackInt8(dst *PackedInt8, w []float32, ldw, k, n int) {
	checkMatrix("PackInt8: w", len(w), ldw, n, k)
	if k > maxInt8K {
		panic("kernels: PackInt8: k is too large for sums of 32 bits")
	}
	dst.K, dst.N = k, n
	dst.Data = resize(dst.Data, packedInt8Len(k, n))
	dst.Scale = resize(dst.Scale, n)
	dst.Offset = resize(dst.Offset, n)
	clear(dst.Data)
	size := 4 * panelWidth * int8Steps(k)
	for j := range n {
		row := w[j*ldw : j*ldw+k]
		var perScale float32
		dst.Scale[j], perScale = int8Scale(largestBits(row))
		panel, at := dst.Data[j/panelWidth*size:], j%panelWidth*4
		sum := int32(0)
		for l, v := range row {
			q := roundInt8(v, perScale)
			sum += q
			panel[l/4*4*panelWidth+at+l%4] = int8(q)
		}
		dst.Offset[j] = 128 * sum
	}
}

// Columns is Packed.Columns.
func (p *PackedInt8) Columns(lo, hi int) PackedInt8 {
	checkColumns(lo, hi, p.N)
	return PackedInt8{K: p.K, N: hi - lo, Data: p.Data[packedInt8Len(p.K, lo):packedInt8Len(p.K, hi)],
		Scale: p.Scale[lo:hi], Offset: p.Offset[lo:hi]}
}

// GemmInt8 computes c = scale·Scale·Σ (q − 128)·w (+ bias) (+ c) (then gelu) with c [m, b.N] of row stride ldc, and
// rows q [m, b.K] of stride ldq with scales scale [m] as QuantizeRows writes them. The sum over k is exact; element
// (i, j) is float32(sum)·Scale[j]·scale[i] + Bias[j], then + c. Gelu is that of geluQuick, within 1.5e-5.
func GemmInt8(c []float32, ldc int, q []uint8, ldq int, scale []float32, m int, b *PackedInt8, e Epilogue) {
	steps := int8Steps(b.K)
	if m <= 0 || b.N <= 0 {
		return
	}
	checkMatrix("GemmInt8: q", len(q), ldq, m, 4*steps)
	checkLen("GemmInt8: scale", len(scale), m)
	checkLen("GemmInt8: packed b", len(b.Data), packedInt8Len(b.K, b.N))
	checkLen("GemmInt8: scales of b", len(b.Scale), b.N)
	checkLen("GemmInt8: offsets of b", len(b.Offset), b.N)
	w := productInt8{rowScale: scale, scale: b.Scale, offset: b.Offset}
	w.product = product[uint8, int8]{a: q, rowA: ldq, colA: 4, b: b.Data, ldb: 4 * panelWidth,
		panelB: 4 * panelWidth * steps, k: steps}
	w.fill(c, ldc, m, b.N, e)
	if e.GELU {
		w.gelu = active.geluQuick
	}
	active.gemmInt8(w)
}

// productInt8 is a product of bytes, whole or of one panel: a has 128 too much, and the sums are to be scaled.
type productInt8 struct {
	product[uint8, int8]
	rowScale []float32 // [m]
	scale    []float32 // [n]
	offset   []int32   // [n]
}
