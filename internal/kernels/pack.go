package kernels

// panelWidth is the number of columns in one panel of a packed right-hand side. Panels are contiguous, one after the
// other, so that whole ones are a matrix of their own.
const panelWidth = 32

// panelsOf is the number of panels that n columns take.
func panelsOf(n int) int { return (n + panelWidth - 1) / panelWidth }

// Packed is a matrix [K, N] laid out for the right-hand side of a product: panel j holds columns 32j … 32j+31 as
// [K][32] floats, the last one filled up with zeros.
type Packed struct {
	K, N int
	Data []float32
}

// PackedLen returns the number of floats that the packed form of a [k, n] matrix takes.
func PackedLen(k, n int) int { return panelsOf(n) * panelWidth * k }

// reshape prepares dst for a [k, n] matrix, keeping its memory where it is large enough.
func (dst *Packed) reshape(k, n int) {
	*dst = Packed{k, n, resize(dst.Data, PackedLen(k, n))}
}

// resize returns a slice of n elements, x's own where it is large enough.
func resize[T any](x []T, n int) []T {
	if cap(x) < n {
		return make([]T, n)
	}
	return x[:n]
}

// Pack lays out b [k, n] (row stride ldb) in dst, whose memory is used again if it is large enough.
func Pack(dst *Packed, b []float32, ldb, k, n int) {
	dst.reshape(k, n)
	checkMatrix("Pack: b", len(b), ldb, k, n)
	for j := 0; j < n; j += panelWidth {
		w := min(panelWidth, n-j)
		panel := dst.Data[j*k : (j+panelWidth)*k]
		for i := range k {
			row := panel[i*panelWidth : (i+1)*panelWidth]
			copy(row, b[i*ldb+j:i*ldb+j+w])
			clear(row[w:])
		}
	}
}

// PackTransposed lays out the transpose of b [n, k] (row stride ldb) in dst as a [k, n] matrix. A linear layer's weight
// [out, in] becomes the right-hand side of x·Wᵀ this way.
func PackTransposed(dst *Packed, b []float32, ldb, k, n int) {
	dst.reshape(k, n)
	checkMatrix("PackTransposed: b", len(b), ldb, n, k)
	for j := 0; j < n && k > 0; j += panelWidth {
		active.transposePanel(dst.Data[j*k:(j+panelWidth)*k], b[j*ldb:], ldb, k, min(panelWidth, n-j))
	}
}

// Columns returns columns lo … hi−1 of p [K, N], which share its memory. Both are bounds that SplitColumns or
// FirstPanel gives.
func (p *Packed) Columns(lo, hi int) Packed {
	checkColumns(lo, hi, p.N)
	return Packed{K: p.K, N: hi - lo, Data: p.Data[PackedLen(p.K, lo):PackedLen(p.K, hi)]}
}

func checkColumns(lo, hi, n int) {
	if lo < 0 || lo > hi || hi > n || lo%panelWidth != 0 && lo != n || hi%panelWidth != 0 && hi != n {
		panic("kernels: Columns: these are not whole panels")
	}
}

// FirstPanel returns how many of n columns the first panel holds: the fewest for which a product of their own pays.
func FirstPanel(n int) int { return min(panelWidth, n) }

// SplitColumns divides n columns into len(bounds)−1 parts of whole panels, as equal as can be: part i is
// bounds[i] … bounds[i+1]−1. Where there are fewer panels than parts some are empty.
func SplitColumns(bounds []int, n int) {
	panels, parts := panelsOf(n), len(bounds)-1
	for i := range bounds {
		bounds[i] = min(panels*i/parts*panelWidth, n)
	}
}
