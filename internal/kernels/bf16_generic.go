package kernels

// gemmPanelBF16Generic is the portable gemmPanelBF16, in tiles of 2 rows × 2 columns.
func gemmPanelBF16Generic(p *panelBF16) {
	i := 0
	for ; i+2 <= p.m; i += 2 {
		j := 0
		for ; j+2 <= p.n; j += 2 {
			tileBF16(p, i, j)
		}
		if j < p.n {
			p.put(i, j, p.dot(i, j))
			p.put(i+1, j, p.dot(i+1, j))
		}
	}
	if i < p.m {
		for j := range p.n {
			p.put(i, j, p.dot(i, j))
		}
	}
}

// put stores the sum s of element (i, j), after the bias and what c held.
func (p *panelBF16) put(i, j int, s float32) {
	if p.bias != nil {
		s += p.bias[j]
	}
	c := &p.c[i*p.ldc+j]
	if p.add {
		s += *c
	}
	*c = s
}

// tileBF16 is the inner loop: rows i, i+1 of a times columns j, j+1 of b. Products are exact, so fusing them with the sum changes nothing.
func tileBF16(p *panelBF16, i, j int) {
	var s0, s1, t0, t1 float32
	n := 2 * p.pairs
	a0, a1 := p.a[i*p.lda:][:n], p.a[(i+1)*p.lda:][:n]
	ib := 2 * j
	for l := 0; l+1 < len(a0) && l+1 < len(a1); l += 2 {
		w := (*[4]uint16)(p.b[ib:])
		x, y := widen(a0[l]), widen(a1[l])
		u, v := widen(w[0]), widen(w[2])
		s0 += x * u
		s1 += x * v
		t0 += y * u
		t1 += y * v
		x, y = widen(a0[l+1]), widen(a1[l+1])
		u, v = widen(w[1]), widen(w[3])
		s0 += x * u
		s1 += x * v
		t0 += y * u
		t1 += y * v
		ib += 2 * PanelWidth
	}
	p.put(i, j, s0)
	p.put(i, j+1, s1)
	p.put(i+1, j, t0)
	p.put(i+1, j+1, t1)
}

// dot is the sum of element (i, j).
func (p *panelBF16) dot(i, j int) float32 {
	var s float32
	ib := 2 * j
	for l := range p.pairs {
		s += widen(p.a[i*p.lda+2*l]) * widen(p.b[ib])
		s += widen(p.a[i*p.lda+2*l+1]) * widen(p.b[ib+1])
		ib += 2 * PanelWidth
	}
	return s
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

func layerNormBF16Generic(y []uint16, ldy int, x, gamma, beta []float32, rows, dim int, eps float32) {
	gamma, beta = gamma[:dim], beta[:dim]
	for i := range rows {
		row, out := x[i*dim:(i+1)*dim], y[i*ldy:i*ldy+dim+dim&1]
		mu, r := moments(row, eps)
		if dim&1 != 0 {
			out[dim] = 0
		}
		for j, v := range row {
			out[j] = nearestBF16((v-mu)*r*gamma[j] + beta[j])
		}
	}
}

// packRowsBF16Generic fills dst, of its K and N, with the transpose of w [N, K].
func packRowsBF16Generic(dst *PackedBF16, w []float32, ldw int) {
	k, n, pairs := dst.K, dst.N, (dst.K+1)/2
	clear(dst.Data)
	for j := range n {
		at := dst.Data[j/PanelWidth*PanelWidth*2*pairs+j%PanelWidth*2:]
		for l, v := range w[j*ldw : j*ldw+k] {
			at[l/2*2*PanelWidth+l&1] = nearestBF16(v)
		}
	}
}

// packPairsBF16Generic fills dst, of its K and N, with b [K, N].
func packPairsBF16Generic(dst *PackedBF16, b []float32, ldb int) {
	pairs := (dst.K + 1) / 2
	clear(dst.Data)
	for l := range dst.K {
		for j, v := range b[l*ldb : l*ldb+dst.N] {
			dst.Data[j/PanelWidth*PanelWidth*2*pairs+l/2*2*PanelWidth+j%PanelWidth*2+l&1] = nearestBF16(v)
		}
	}
}
