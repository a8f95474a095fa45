package kernels

import (
	"encoding/binary"
)

// PackedInt8 is a linear map's weight [N, K], quantised symmetrically by outputs: w[j][l] ≈ Scale[j]·q, |q| ≤ 127.
type PackedInt8 struct {
	Panels[int8]
	Scale  []float32 // [N]
	Offset []int32   // [N] 128·Σ_l q, what the product has too much because activations are stored + 128
}

// maxInt8K bounds K so that Σ 255·(±127) fits an int32.
const maxInt8K = 1 << 16

// PackInt8 quantises w [n, k] (row stride ldw), as PyTorch stores a linear map, into dst, whose memory is used again
// where it is large enough. A row of zeros has scale 0, one with NaN or an infinity NaN, as has all that comes of it.
func PackInt8(dst *PackedInt8, w []float32, ldw, k, n int) {
	checkMatrix("PackInt8", "w", len(w), ldw, n, k)
	if k > maxInt8K {
		panic("kernels: PackInt8: k is too large for sums of 32 bits")
	}
	dst.reshape(k, n)
	dst.Scale, dst.Offset = resize(dst.Scale, n), resize(dst.Offset, n)
	if len(dst.Data) > 0 {
		active.packRowsInt8(*dst, w, ldw)
	} else {
		clear(dst.Scale)
		clear(dst.Offset)
	}
}

// PackInt8Rows is PackInt8 of what is quantised already: q [n, k] without gaps, −127 … 127, and its rows' scales [n].
func PackInt8Rows(dst *PackedInt8, q []int8, scale []float32, k, n int) {
	checkMatrix("PackInt8Rows", "q", len(q), k, n, k)
	checkLen("PackInt8Rows", "scale", len(scale), n)
	if k > maxInt8K {
		panic("kernels: PackInt8Rows: k is too large for sums of 32 bits")
	}
	dst.reshape(k, n)
	dst.Scale, dst.Offset = append(dst.Scale[:0], scale[:n]...), resize(dst.Offset, n)
	for j := range n {
		dst.Offset[j] = 128 * sumInt8(q[j*k:(j+1)*k])
	}
	panel := 4 * panelWidth * steps[int8](k)
	if k%4 == 0 && len(dst.Data) > 0 { // fours go as if they were floats
		rows, panels := as[float32](q), as[float32](dst.Data)
		for j := 0; j < n; j += panelWidth {
			to := panels[j*k/4 : (j+panelWidth)*k/4]
			active.transposePanel(to, rows[j*k/4:], k/4, k/4, min(panelWidth, n-j))
		}
		return
	}
	clear(dst.Data)
	for j := range n {
		to, at := dst.Data[j/panelWidth*panel:], j%panelWidth*4
		for l, v := range q[j*k : (j+1)*k] {
			to[l/4*4*panelWidth+at+l%4] = v
		}
	}
}

// sumInt8 returns the sum of q.
func sumInt8(q []int8) (sum int32) {
	const evens, most = 0x00ff00ff00ff00ff, 1024 // bytes whose sums in four 16-bit numbers stay below 2¹⁶
	b := as[uint8](q)
	for len(b) >= 8 {
		part := b[:min(len(b), most)&^7]
		b = b[len(part):]
		sum -= 128 * int32(len(part))
		four := uint64(0)
		for ; len(part) >= 8; part = part[8:] {
			v := binary.NativeEndian.Uint64(part) ^ 0x8080808080808080 // + 128
			four += v&evens + v>>8&evens
		}
		for ; four > 0; four >>= 16 {
			sum += int32(four & 0xffff)
		}
	}
	for _, v := range b {
		sum += int32(int8(v))
	}
	return sum
}

// MakePackedInt8 returns a [k, n] matrix of zeros, whose columns PackInt8 may fill part by part (see Columns).
func MakePackedInt8(k, n int) PackedInt8 {
	return PackedInt8{MakePanels[int8](k, n), make([]float32, n), make([]int32, n)}
}

// Columns is Panels.Columns.
func (p *PackedInt8) Columns(lo, hi int) PackedInt8 {
	return PackedInt8{p.Panels.Columns(lo, hi), p.Scale[lo:hi], p.Offset[lo:hi]}
}

// GemmInt8 computes c = scale·Scale·Σ (a − 128)·w (+ bias) (+ c) (then gelu) with c [m, b.N] of row stride ldc, and
// rows a [m, b.K] of stride lda with scales scale [m] as QuantizeRows writes them. The sum over k is exact; element
// (i, j) is float32(sum)·Scale[j]·scale[i] + Bias[j], then + c. Gelu is that of geluCoarse, within 1.9e-4.
func GemmInt8(c []float32, ldc int, a []uint8, lda int, scale []float32, m int, b *PackedInt8, e Epilogue) {
	gemmInt8(c, ldc, a, lda, scale, m, b, e, false)
}

// gemmInt8 is GemmInt8 or, unsigned, that of an a which has nothing too much and a b of packValuesInt8.
func gemmInt8(c []float32, ldc int, a []uint8, lda int, scale []float32, m int, b *PackedInt8, e Epilogue,
	unsigned bool) {
	w := productInt8{rowScale: scale, scale: b.Scale, offset: b.Offset, unsigned: unsigned}
	if w.packed("GemmInt8", c, ldc, a, lda, m, &b.Panels, e, active.geluCoarse) {
		checkLen("GemmInt8", "scale", len(scale), m)
		checkLen("GemmInt8", "scales of b", len(b.Scale), b.N)
		checkLen("GemmInt8", "offsets of b", len(b.Offset), b.N)
		active.gemmInt8(w)
	}
}

// productInt8 is a product of bytes, whole or of one panel: a has 128 too much, and the sums are to be scaled.
type productInt8 struct {
	product[uint8, int8]
	rowScale []float32 // [m]
	scale    []float32 // [n]
	offset   []int32   // [n]
	unsigned bool      // a has nothing too much, and offset is of packValuesInt8
}

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
