package kernels

// PackedInt8 is a linear map's weight [N, K] quantised symmetrically for each output channel: w[j][l] ≈ Scale[j]·q with q in −127 … 127. Panel p of Data
// holds columns 32p … 32p+31 as [⌈K/4⌉][32][4]: four l's of one column stand together. Rows and columns that do not exist are zeros.
// Panels are contiguous, so a weight can be cut at a multiple of PanelWidth columns into two that share its memory.
type PackedInt8 struct {
	K, N   int
	Data   []int8    // PackedInt8Len(K, N)
	Scale  []float32 // [N]
	Offset []int32   // [N] 128·Σ_l q, what the product has too much because activations are stored + 128
}

// PackedInt8Len returns the number of bytes of Data for a weight [n, k].
func PackedInt8Len(k, n int) int {
	return (n + PanelWidth - 1) / PanelWidth * PanelWidth * 4 * int8Steps(k)
}

// int8Steps is the number of groups of four that k numbers take.
func int8Steps(k int) int { return (k + 3) / 4 }

// maxInt8K bounds K so that Σ 255·(±127) fits an int32.
const maxInt8K = 1 << 16

// PackInt8 quantises w [n, k] (row stride ldw), as PyTorch stores a linear map, into dst, whose memory is used again where it is large enough. A row of zeros
// has scale 0. A row with NaN or an infinity in it has scale NaN, and so has all that is computed with it.
func PackInt8(dst *PackedInt8, w []float32, ldw, k, n int) {
	checkMatrix("PackInt8: w", len(w), ldw, n, k)
	if k > maxInt8K {
		panic("kernels: PackInt8: k is too large for sums of 32 bits")
	}
	dst.K, dst.N = k, n
	dst.Data = resize(dst.Data, PackedInt8Len(k, n))
	dst.Scale = resize(dst.Scale, n)
	dst.Offset = resize(dst.Offset, n)
	clear(dst.Data)
	size := 4 * PanelWidth * int8Steps(k)
	for j := range n {
		row := w[j*ldw : j*ldw+k]
		var perScale float32
		dst.Scale[j], perScale = int8Scale(largestBits(row))
		panel, at := dst.Data[j/PanelWidth*size:], j%PanelWidth*4
		sum := int32(0)
		for l, v := range row {
			q := roundInt8(v, perScale)
			sum += q
			panel[l/4*4*PanelWidth+at+l%4] = int8(q)
		}
		dst.Offset[j] = 128 * sum
	}
}

// resize returns a slice of n elements, x's own where it is large enough.
func resize[T any](x []T, n int) []T {
	if cap(x) < n {
		return make([]T, n)
	}
	return x[:n]
}

// GemmInt8 computes c = scale·Scale·Σ (q − 128)·w (+ bias) (+ c) (then gelu) with c [m, b.N] of row stride ldc, and rows q [m, b.K] of stride ldq with scales
// scale [m] as QuantizeRows writes them. The sum over k is exact; element (i, j) is float32(sum)·Scale[j]·scale[i] + Bias[j], then + c. Gelu is that of geluQuick, within 1.5e-5.
func GemmInt8(c []float32, ldc int, q []uint8, ldq int, scale []float32, m int, b *PackedInt8, e Epilogue) {
	n, steps := b.N, int8Steps(b.K)
	if m <= 0 || n <= 0 {
		return
	}
	checkMatrix("GemmInt8: c", len(c), ldc, m, n)
	checkMatrix("GemmInt8: q", len(q), ldq, m, 4*steps)
	checkLen("GemmInt8: scale", len(scale), m)
	checkLen("GemmInt8: packed b", len(b.Data), PackedInt8Len(b.K, n))
	checkLen("GemmInt8: scales of b", len(b.Scale), n)
	checkLen("GemmInt8: offsets of b", len(b.Offset), n)
	if e.Bias != nil {
		checkLen("GemmInt8: bias", len(e.Bias), n)
	}
	size := 4 * PanelWidth * steps
	for i := 0; i < m; i += rowBlock {
		rows := min(rowBlock, m-i)
		p := panelInt8{rowScale: scale[i : i+rows], ldc: ldc, m: rows, steps: steps, add: e.Add}
		if steps > 0 {
			p.q, p.ldq = q[i*ldq:], ldq
		}
		for j := 0; j < n; j += PanelWidth {
			p.n = min(PanelWidth, n-j)
			p.c = c[i*ldc+j:]
			p.b = b.Data[j/PanelWidth*size : (j/PanelWidth+1)*size]
			p.scale, p.offset = b.Scale[j:j+p.n], b.Offset[j:j+p.n]
			p.next = 0
			if j+PanelWidth < n {
				p.next = size
			}
			if e.Bias != nil {
				p.bias = e.Bias[j : j+p.n]
			}
			gemmPanelInt8(&p)
			if e.GELU {
				geluQuick(p.c, p.c, ldc, rows, p.n)
			}
		}
	}
}

// panelInt8 is one panel's product: c [m, n], n ≤ PanelWidth.
type panelInt8 struct {
	c           []float32
	ldc         int
	q           []uint8 // [m, 4·steps], row stride ldq
	ldq         int
	rowScale    []float32 // [m]
	b           []int8    // [steps][32][4]
	scale       []float32 // [n]
	offset      []int32   // [n]
	bias        []float32 // [n] or nil
	m, n, steps int
	add         bool
	next        int // bytes after b's first to the panel that comes next, for prefetching; 0: none
}

// useVNNI may be cleared by tests: the products then do without the machine's dot product of bytes, as on a machine that has none.
var useVNNI = true
