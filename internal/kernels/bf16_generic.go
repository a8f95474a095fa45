package kernels

import "math"

// gemmBF16Generic works in tiles of 2 rows × 2 columns.
func gemmBF16Generic(w productBF16) {
	for w.next() {
		p, i := w.panel(), 0
		for ; i+2 <= p.m && p.k > 0; i += 2 {
			j := 0
			for ; j+2 <= p.n; j += 2 {
				tileBF16(&p, i, j)
			}
			if j < p.n {
				p.putOne(i, j, sumBF16(&p, i, j))
				p.putOne(i+1, j, sumBF16(&p, i+1, j))
			}
		}
		for ; i < p.m; i++ {
			for j := range p.n {
				p.putOne(i, j, sumBF16(&p, i, j))
			}
		}
	}
}

// tileBF16 is rows i, i+1 of a times columns j, j+1 of b. Products are exact: fusing them with sums changes nothing.
func tileBF16(p *productBF16, i, j int) {
	var s0, s1, t0, t1 float32
	a0, a1 := p.a[i*p.rowA:], p.a[(i+1)*p.rowA:]
	ia, ib := 0, 2*j
	for range p.k {
		w, p0, p1 := (*[4]uint16)(p.b[ib:]), (*[2]uint16)(a0[ia:]), (*[2]uint16)(a1[ia:])
		x, y := widen(p0[0]), widen(p1[0])
		u, v := widen(w[0]), widen(w[2])
		s0 += x * u
		s1 += x * v
		t0 += y * u
		t1 += y * v
		x, y = widen(p0[1]), widen(p1[1])
		u, v = widen(w[1]), widen(w[3])
		s0 += x * u
		s1 += x * v
		t0 += y * u
		t1 += y * v
		ia += p.colA
		ib += 2 * panelWidth
	}
	p.put(i, j, s0, s1)
	p.put(i+1, j, t0, t1)
}

func sumBF16(p *productBF16, i, j int) float32 {
	var s float32
	ia, ib := i*p.rowA, 2*j
	for range p.k {
		s += widen(p.a[ia]) * widen(p.b[ib])
		s += widen(p.a[ia+1]) * widen(p.b[ib+1])
		ia += p.colA
		ib += 2 * panelWidth
	}
	return s
}

// nearestBF16 rounds one number as RoundBF16 does.
func nearestBF16(x float32) uint16 {
	bits := math.Float32bits(x)
	switch exponent := bits & 0x7f800000; {
	case x != x:
		return uint16(bits>>16) | 0x40 // quiet, and no infinity
	case exponent == 0:
		return uint16(bits>>16) & 0x8000
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

func roundBF16Generic(y []uint16, ldy int, x []float32, ldx, rows, k int) {
	for i := range rows {
		dst := y[i*ldy : i*ldy+k+k&1]
		for j, v := range x[i*ldx : i*ldx+k] {
			dst[j] = nearestBF16(v)
		}
		if k&1 != 0 {
			dst[k] = 0 // last, for the row may be rounded in place
		}
	}
}

// packRowsBF16Generic fills dst, of its K and N, with the transpose of w [N, K], packPairsBF16Generic with b [K, N].
func packRowsBF16Generic(dst PackedBF16, w []float32, ldw int)  { packBF16Generic(dst, w, 1, ldw) }
func packPairsBF16Generic(dst PackedBF16, b []float32, ldb int) { packBF16Generic(dst, b, ldb, 1) }

// packBF16Generic takes element (l, j) from x[l·rowStep + j·colStep].
func packBF16Generic(dst PackedBF16, x []float32, rowStep, colStep int) {
	clear(dst.Data)
	panel := 2 * panelWidth * steps[uint16](dst.K)
	for j := range dst.N {
		at := j/panelWidth*panel + j%panelWidth*2
		for l := range dst.K {
			dst.Data[at+l/2*2*panelWidth+l&1] = nearestBF16(x[l*rowStep+j*colStep])
		}
	}
}
