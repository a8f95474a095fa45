package kernels

// Packed is a matrix [K, N] laid out for the right-hand side of a product: panel j holds columns 32j … 32j+31 as [K][32] floats,
// one panel after the other, the last one filled up with zeros.
type Packed struct {
	K, N int
	Data []float32
}

// PackedLen returns the number of floats that the packed form of a [k, n] matrix takes.
func PackedLen(k, n int) int {
	return (n + PanelWidth - 1) / PanelWidth * PanelWidth * k
}

// reshape prepares dst for a [k, n] matrix, keeping its memory where it is large enough.
func (dst *Packed) reshape(k, n int) {
	dst.K, dst.N = k, n
	size := PackedLen(k, n)
	if cap(dst.Data) < size {
		dst.Data = make([]float32, size)
	}
	dst.Data = dst.Data[:size]
}

// Pack lays out b [k, n] (row stride ldb) in dst, whose memory is used again if it is large enough.
func Pack(dst *Packed, b []float32, ldb, k, n int) {
	dst.reshape(k, n)
	checkMatrix("Pack: b", len(b), ldb, k, n)
	for j := 0; j < n; j += PanelWidth {
		w := min(PanelWidth, n-j)
		panel := dst.Data[j*k : (j+PanelWidth)*k]
		for i := range k {
			row := panel[i*PanelWidth : (i+1)*PanelWidth]
			copy(row, b[i*ldb+j:i*ldb+j+w])
			clear(row[w:])
		}
	}
}

// PackTransposed lays out the transpose of b [n, k] (row stride ldb) in dst as a [k, n] matrix. A linear layer's weight [out, in]
// becomes the right-hand side of x·Wᵀ this way.
func PackTransposed(dst *Packed, b []float32, ldb, k, n int) {
	dst.reshape(k, n)
	checkMatrix("PackTransposed: b", len(b), ldb, n, k)
	for j := 0; j < n; j += PanelWidth {
		w := min(PanelWidth, n-j)
		if k > 0 {
			transposePanel(dst.Data[j*k:(j+PanelWidth)*k], b[j*ldb:], ldb, k, w)
		}
	}
}

// Epilogue is what GemmPacked does to C after the product, in this order.
type Epilogue struct {
	Bias []float32 // [N], or nil
	Add  bool      // C += instead of C =
	GELU bool      // gelu of the result
}

// GemmPacked computes C = A·B (+ bias) (+ C) (then gelu), with c [m, b.N] of row stride ldc and a [m, b.K] of row stride lda.
func GemmPacked(c []float32, ldc int, a []float32, lda, m int, b *Packed, e Epilogue) {
	k, n := b.K, b.N
	if m <= 0 || n <= 0 {
		return
	}
	checkMatrix("GemmPacked: c", len(c), ldc, m, n)
	checkMatrix("GemmPacked: a", len(a), lda, m, k)
	checkLen("GemmPacked: packed b", len(b.Data), PackedLen(k, n))
	if e.Bias != nil {
		checkLen("GemmPacked: bias", len(e.Bias), n)
	}
	for i := 0; i < m; i += rowBlock {
		rows := min(rowBlock, m-i)
		p := panel{a: a[i*lda:], rowA: lda, colA: 1, ldb: PanelWidth, ldc: ldc, m: rows, k: k, add: e.Add}
		for j := 0; j < n; j += PanelWidth {
			p.n = min(PanelWidth, n-j)
			p.c = c[i*ldc+j:]
			p.b = b.Data[j*k : (j+PanelWidth)*k]
			p.next = 0
			if j+PanelWidth < n {
				p.next = PanelWidth * k
			}
			if e.Bias != nil {
				p.bias = e.Bias[j : j+p.n]
			}
			gemmPanel(&p)
			if e.GELU {
				geluBlock(p.c, p.c, ldc, rows, p.n)
			}
		}
	}
}

// Gemm computes C = A·B, or C += A·B, with c [m, n], a [m, k] and b [k, n] of row strides ldc, lda and ldb, nothing packed.
func Gemm(c []float32, ldc int, a []float32, lda int, b []float32, ldb int, m, n, k int, add bool) {
	if m <= 0 || n <= 0 {
		return
	}
	checkMatrix("Gemm: a", len(a), lda, m, k)
	gemmStrided(c, ldc, a, lda, 1, b, ldb, m, n, k, add)
}

// GemmTN computes C = Aᵀ·B, or C += Aᵀ·B, with c [m, n], a [k, m] and b [k, n] of row strides ldc, lda and ldb, nothing packed.
// A linear layer's weight gradient dyᵀ·x has this form. Where k is more than depthBlock each block of so many is summed by itself and added to C.
func GemmTN(c []float32, ldc int, a []float32, lda int, b []float32, ldb int, m, n, k int, add bool) {
	if m <= 0 || n <= 0 {
		return
	}
	checkMatrix("GemmTN: a", len(a), lda, k, m)
	gemmStrided(c, ldc, a, 1, lda, b, ldb, m, n, min(k, depthBlock), add)
	for l := depthBlock; l < k; l += depthBlock {
		gemmStrided(c, ldc, a[l*lda:], 1, lda, b[l*ldb:], ldb, m, n, min(k-l, depthBlock), true)
	}
}

// gemmStrided is Gemm with a's element (i, l) at i·rowA + l·colA.
func gemmStrided(c []float32, ldc int, a []float32, rowA, colA int, b []float32, ldb int, m, n, k int, add bool) {
	checkMatrix("Gemm: c", len(c), ldc, m, n)
	checkMatrix("Gemm: b", len(b), ldb, k, n)
	for i := 0; i < m; i += rowBlock {
		p := panel{rowA: rowA, colA: colA, ldb: ldb, ldc: ldc, m: min(rowBlock, m-i), k: k, add: add}
		if k > 0 {
			p.a = a[i*rowA:]
		}
		for j := 0; j < n; j += PanelWidth {
			p.n = min(PanelWidth, n-j)
			p.c = c[i*ldc+j:]
			if k > 0 {
				p.b = b[j:]
			}
			gemmPanel(&p)
		}
	}
}

// depthBlock is the number of rows of A and B that GemmTN takes at a time, so that they stay in the cache while all of C meets them.
const depthBlock = 256

// rowBlock is the number of rows of A that meet all panels of B before the next rows do, so that they stay in the cache.
const rowBlock = 384

// panel is the product that all others are made of: c [m, n] = a·b (+ bias) (+ c) with n ≤ PanelWidth.
type panel struct {
	c          []float32
	ldc        int
	a          []float32 // element (i, l) at i·rowA + l·colA
	rowA, colA int
	b          []float32 // [k, n], row stride ldb
	ldb        int
	bias       []float32 // [n] or nil
	m, n, k    int
	add        bool
	next       int // floats after b's first to the panel that comes next, for prefetching; 0: none
}

// checkMatrix panics unless size floats hold rows rows of cols floats, ld apart.
func checkMatrix(what string, size, ld, rows, cols int) {
	if rows < 0 || cols < 0 || ld < cols || rows > 0 && cols > 0 && size < (rows-1)*ld+cols {
		panic("kernels: " + what + " is too short for its shape")
	}
}

func checkLen(what string, size, want int) {
	if size < want {
		panic("kernels: " + what + " is too short")
	}
}
