package kernels

import "math"

// gemmInt8Generic works in tiles of 4 rows × 2 columns. Integers add up to the same in any order.
func gemmInt8Generic(w productInt8) {
	for w.next() {
		p := productInt8{w.panel(), w.rowScale[w.i:], w.scale[w.j:], w.offset[w.j:], w.unsigned}
		for i := 0; i < p.m; i += 4 {
			for j := 0; j < p.n; j += 2 {
				for r, s := range p.tile4x2(i, j) {
					if i+r < p.m {
						p.putPair(i+r, j, s)
					}
				}
			}
		}
	}
}

// tile4x2 returns the sums of rows i … i+3 with columns j and j+1, those of j+1 times 2³² added to those of j: with
// both columns' weights in one integer of 64 bits a multiplication does two products. No sum reaches 2³¹ (maxInt8K),
// so putPair can tell the two apart. Rows and columns behind the last are the last one again.
func (p *productInt8) tile4x2(i, j int) [4]int64 {
	j1, k := min(j+1, p.n-1), 4*p.k
	s := -(int64(p.offset[j1])<<32 + int64(p.offset[j]))
	t, u, v := s, s, s
	row := func(r int) []uint8 { return p.a[min(i+r, p.m-1)*p.rowA:][:k] }
	a, c, d, e, b := row(0), row(1), row(2), row(3), p.b
	for len(a) >= 4 && len(c) >= 4 && len(d) >= 4 && len(e) >= 4 && len(b) >= 4*panelWidth {
		x, y := (*[4]int8)(b[4*j:]), (*[4]int8)(b[4*j1:])
		w := int64(y[0])<<32 + int64(x[0])
		s += int64(a[0]) * w
		t += int64(c[0]) * w
		u += int64(d[0]) * w
		v += int64(e[0]) * w
		w = int64(y[1])<<32 + int64(x[1])
		s += int64(a[1]) * w
		t += int64(c[1]) * w
		u += int64(d[1]) * w
		v += int64(e[1]) * w
		w = int64(y[2])<<32 + int64(x[2])
		s += int64(a[2]) * w
		t += int64(c[2]) * w
		u += int64(d[2]) * w
		v += int64(e[2]) * w
		w = int64(y[3])<<32 + int64(x[3])
		s += int64(a[3]) * w
		t += int64(c[3]) * w
		u += int64(d[3]) * w
		v += int64(e[3]) * w
		a, c, d, e, b = a[4:], c[4:], d[4:], e[4:], b[4*panelWidth:]
	}
	return [4]int64{s, t, u, v}
}

// putPair stores elements (i, j) and, if there is one, (i, j+1), from the sums that tile4x2 returned.
func (p *productInt8) putPair(i, j int, s int64) {
	first := int32(s)
	sums := [2]int32{first, int32((s - int64(first)) >> 32)}
	for u := range min(2, p.n-j) {
		p.putOne(i, j+u, float32(sums[u])*p.scale[j+u]*p.rowScale[i])
	}
}

// packRowsInt8Generic fills dst, of its K and N, with w [N, K].
func packRowsInt8Generic(dst PackedInt8, w []float32, ldw int) {
	clear(dst.Data)
	size := 4 * panelWidth * steps[int8](dst.K)
	for j := range dst.N {
		row := w[j*ldw : j*ldw+dst.K]
		var perScale float32
		dst.Scale[j], perScale = scaleOf(largestBits(row), int8Limit)
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

func quantizeRowsGeneric(q []uint8, ldq int, scale, x []float32, ldx, rows, k int) {
	for i := range rows {
		row, out := x[i*ldx:i*ldx+k], q[i*ldq:i*ldq+int8Padded(k)]
		var perScale float32
		scale[i], perScale = scaleOf(largestBits(row), int8Limit)
		for l, v := range row {
			out[l] = uint8(roundInt8(v, perScale) + 128)
		}
		for l := k; l < len(out); l++ {
			out[l] = 128
		}
	}
}

// Bits of float32s: infinity's, those of all but the sign, and those of the smallest row maximum (1e-30) that is told
// from zero, above which neither a scale nor its reciprocal leaves the range of normal numbers.
const (
	infBits  = 0x7f800000
	absBits  = 0x7fffffff
	tinyBits = 0x0da24260
)

// largestBits returns the bits of max|x|. As integers NaNs are larger than infinity, and that than all others.
func largestBits(x []float32) uint32 {
	var largest uint32
	for _, v := range x {
		largest = max(largest, math.Float32bits(v)&absBits)
	}
	return largest
}

// int8Limit is the size that the largest of a row of bytes gets.
const int8Limit = 127

// scaleOf returns the scale of numbers, the bits of whose largest size are these, that are to go up to limit, and what
// they are multiplied with before they are rounded.
func scaleOf(largest uint32, limit float32) (scale, perScale float32) {
	switch {
	case largest >= infBits:
		return float32(math.NaN()), 0
	case largest < tinyBits:
		return 0, 0
	}
	v := math.Float32frombits(largest)
	return v / limit, limit / v
}

// roundInt8 returns round(v·perScale), −127 … 127, or 0 for what no scale fits.
func roundInt8(v, perScale float32) int32 {
	// Adding 1.5·2²³ rounds to the nearest integer, even at ties, and leaves it in the low bits. (The conversion
	// keeps the product from being fused.)
	const shift = 3 << 22
	if perScale == 0 {
		return 0
	}
	return int32(math.Float32bits(float32(v*perScale)+shift)) - 0x4b400000
}
