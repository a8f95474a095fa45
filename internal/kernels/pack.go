package kernels

import "unsafe"

// panelWidth is a panel's number of columns. Panels are contiguous, so that whole ones are a matrix of their own.
const panelWidth = 32

// panelsOf is the number of panels that n columns take.
func panelsOf(n int) int { return (n + panelWidth - 1) / panelWidth }

// Panels is a matrix [K, N] laid out for the right-hand side of a product: panel j holds columns 32j … 32j+31 as
// [K/d][32][d] numbers, the d that stand together being neighbours in k: 1 float32, 2 of 16 bits or 4 bytes. Where
// K is no multiple of d, or N none of 32, zeros fill it up.
type Panels[T float32 | uint16 | int16 | int8] struct {
	K, N int
	Data []T
}

// Packed is a matrix in float32, PackedBF16 one in bfloat16.
type (
	Packed     = Panels[float32]
	PackedBF16 = Panels[uint16]
)

// depth is the number of T's that stand together in Panels: 4 bytes.
func depth[T any]() int { return 4 / int(unsafe.Sizeof(*new(T))) }

// steps is the number of depths that k numbers take.
func steps[T any](k int) int { return (k + depth[T]() - 1) / depth[T]() }

// panelsLen is the number of T's that a [k, n] matrix takes in Panels.
func panelsLen[T any](k, n int) int { return panelsOf(n) * panelWidth * steps[T](k) * depth[T]() }

// PackedLen returns the number of floats that the packed form of a [k, n] matrix takes.
func PackedLen(k, n int) int { return panelsLen[float32](k, n) }

// reshape prepares dst for a [k, n] matrix, keeping its memory where it is large enough.
func (dst *Panels[T]) reshape(k, n int) {
	*dst = Panels[T]{k, n, resize(dst.Data, panelsLen[T](k, n))}
}

// MakePanels returns a [k, n] matrix of zeros, whose columns PackTransposed or PackBF16 may fill part by part (see
// Columns).
func MakePanels[T float32 | uint16 | int16 | int8](k, n int) (p Panels[T]) {
	p.reshape(k, n)
	return p
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
	checkMatrix("Pack", "b", len(b), ldb, k, n)
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

// PackTransposed is Pack of the transpose of b [n, k] (row stride ldb): a linear layer's weight [out, in] for x·Wᵀ.
func PackTransposed(dst *Packed, b []float32, ldb, k, n int) {
	dst.reshape(k, n)
	checkMatrix("PackTransposed", "b", len(b), ldb, n, k)
	for j := 0; j < n && k > 0; j += panelWidth {
		active.transposePanel(dst.Data[j*k:(j+panelWidth)*k], b[j*ldb:], ldb, k, min(panelWidth, n-j))
	}
}

// Columns returns columns lo … hi−1 of p, which share its memory. SplitColumns and FirstPanel give such bounds.
func (p *Panels[T]) Columns(lo, hi int) Panels[T] {
	if n := p.N; lo < 0 || lo > hi || hi > n || lo%panelWidth != 0 && lo != n || hi%panelWidth != 0 && hi != n {
		panic("kernels: Columns: these are not whole panels")
	}
	return Panels[T]{p.K, hi - lo, p.Data[panelsLen[T](p.K, lo):panelsLen[T](p.K, hi)]}
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
