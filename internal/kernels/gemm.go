package kernels

// Epilogue is what a product does to C after the sum, in this order.
type Epilogue struct {
	Bias []float32 // [N], or nil
	Add  bool      // C += instead of C =
	GELU bool      // gelu of the result
}

// GemmPacked computes C = A·B (+ bias) (+ C) (then gelu): c [m, b.N] of row stride ldc, a [m, b.K] of row stride lda.
func GemmPacked(c []float32, ldc int, a []float32, lda, m int, b *Packed, e Epilogue) {
	var w productF32
	if w.packed("GemmPacked", c, ldc, a, lda, m, b, e, active.gelu) {
		active.gemm(w)
	}
}

// Gemm computes C = A·B, or C += A·B, nothing packed: c [m, n], a [m, k] and b [k, n], of row strides ldc, lda, ldb.
func Gemm(c []float32, ldc int, a []float32, lda int, b []float32, ldb int, m, n, k int, add bool) {
	if m > 0 && n > 0 {
		checkMatrix("Gemm", "a", len(a), lda, m, k)
		gemmStrided(c, ldc, a, lda, 1, b, ldb, m, n, k, add)
	}
}

// GemmTN is Gemm for Aᵀ·B with a [k, m], as in a linear layer's weight gradient dyᵀ·x. Each depthBlock of k is summed
// by itself and added to C.
func GemmTN(c []float32, ldc int, a []float32, lda int, b []float32, ldb int, m, n, k int, add bool) {
	if m <= 0 || n <= 0 {
		return
	}
	checkMatrix("GemmTN", "a", len(a), lda, k, m)
	gemmStrided(c, ldc, a, 1, lda, b, ldb, m, n, min(k, depthBlock), add)
	for l := depthBlock; l < k; l += depthBlock {
		gemmStrided(c, ldc, a[l*lda:], 1, lda, b[l*ldb:], ldb, m, n, min(k-l, depthBlock), true)
	}
}

// gemmStrided is Gemm with a's element (i, l) at i·rowA + l·colA.
func gemmStrided(c []float32, ldc int, a []float32, rowA, colA int, b []float32, ldb int, m, n, k int, add bool) {
	checkMatrix("Gemm", "b", len(b), ldb, k, n)
	w := productF32{a: a, rowA: rowA, colA: colA, b: b, ldb: ldb, panelB: panelWidth, strided: true, k: k}
	w.fill("Gemm", c, ldc, m, n, Epilogue{Add: add})
	active.gemm(w)
}

// depthBlock is how many rows of A and B GemmTN takes at a time: they stay in the cache while all of C meets them.
const depthBlock = 256

// rowBlock is how many rows of A meet all panels of B before the next rows do: they stay in the cache.
const rowBlock = 384

// product is c [m, n] = a·b (+ bias) (+ c) (then gelu), and the panel of it that is being computed. A step of k is
// one number of a row in float32, two in bfloat16 or words, four in 8 bits.
type product[A any, B float32 | uint16 | int16 | int8] struct {
	c           []float32
	ldc         int
	a           []A // step l of row i at i·rowA + l·colA
	rowA, colA  int
	b           []B // step l of a panel at l·ldb, the next panel panelB further on
	panelA      int // where a is packed, too: from one panel of rows to the next, which only path.bf16Panels takes
	ldb, panelB int
	strided     bool      // b is not packed: panels lie side by side
	bias        []float32 // [n] or nil
	m, n, k     int
	add         bool
	gelu        activation // or nil

	// The current panel: its first row and column, and how many it has; before the first one no rows.
	i, j, rows, cols int
}

type (
	productF32  = product[float32, float32]
	productBF16 = product[uint16, uint16]
	activation  = func(y, x []float32, ld, rows, cols int)
)

// packed makes w the product of a and a packed b, both checked, unless there is nothing to compute.
func (w *product[A, B]) packed(routine string, c []float32, ldc int, a []A, lda, m int, b *Panels[B], e Epilogue,
	gelu activation) bool {
	if m <= 0 || b.N <= 0 {
		return false
	}
	d, k := depth[B](), steps[B](b.K)
	checkMatrix(routine, "a", len(a), lda, m, d*k)
	checkLen(routine, "packed b", len(b.Data), panelsLen[B](b.K, b.N))
	w.a, w.rowA, w.colA, w.k = a, lda, d, k
	w.b, w.ldb, w.panelB = b.Data, d*panelWidth, d*panelWidth*k
	w.fill(routine, c, ldc, m, b.N, e)
	if e.GELU {
		w.gelu = gelu
	}
	return true
}

// fill sets what all products have in common, and checks it.
func (w *product[A, B]) fill(routine string, c []float32, ldc, m, n int, e Epilogue) {
	checkMatrix(routine, "c", len(c), ldc, m, n)
	if e.Bias != nil {
		checkLen(routine, "bias", len(e.Bias), n)
	}
	w.c, w.ldc, w.m, w.n, w.bias, w.add = c, ldc, m, n, e.Bias, e.Add
	if w.k == 0 { // there may be nothing to point to
		w.a, w.rowA, w.b, w.panelB = nil, 0, nil, 0
	}
}

// next computes the last panel's gelu and moves on to the next, if any; a block of rows has all before the next rows.
func (w *product[A, B]) next() bool {
	if w.rows > 0 {
		if w.gelu != nil {
			c := w.c[w.i*w.ldc+w.j:]
			w.gelu(c, c, w.ldc, w.rows, w.cols)
		}
		if w.j += panelWidth; w.j >= w.n {
			w.i, w.j = w.i+rowBlock, 0
		}
	}
	w.rows, w.cols = min(rowBlock, w.m-w.i), min(panelWidth, w.n-w.j)
	return w.rows > 0
}

// panel is the product of the current panel alone.
func (w *product[A, B]) panel() product[A, B] {
	p := *w
	p.c, p.a, p.b = w.c[w.i*w.ldc+w.j:], w.a[w.i*w.rowA:], w.b[w.j/panelWidth*w.panelB:]
	if w.bias != nil {
		p.bias = w.bias[w.j:]
	}
	p.m, p.n = w.rows, w.cols
	return p
}
