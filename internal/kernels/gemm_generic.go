package kernels

// gemmPanelGeneric is the portable gemmPanel: tiles of 2 rows × 4 columns, whose accumulators fit the registers that the compiler has.
func gemmPanelGeneric(p *panel) {
	if p.k == 0 {
		for i := range p.m {
			row := p.c[i*p.ldc : i*p.ldc+p.n]
			for j := range row {
				var s float32
				if p.bias != nil {
					s = p.bias[j]
				}
				if p.add {
					s += row[j]
				}
				row[j] = s
			}
		}
		return
	}
	for i := 0; i < p.m; i += 2 {
		for j := 0; j < p.n; j += 4 {
			var s [8]float32
			rows, cols := min(2, p.m-i), min(4, p.n-j)
			switch {
			case rows == 2 && cols == 4:
				tile2x4(&s, p, i, j)
			case cols == 4:
				tile1x4(&s, p, i, j)
			default:
				for r := range rows {
					for q := range cols {
						s[4*r+q] = tile1x1(p, i+r, j+q)
					}
				}
			}
			for r := range rows {
				row := p.c[(i+r)*p.ldc+j : (i+r)*p.ldc+j+cols]
				for q := range row {
					v := s[4*r+q]
					if p.bias != nil {
						v += p.bias[j+q]
					}
					if p.add {
						v += row[q]
					}
					row[q] = v
				}
			}
		}
	}
}

// tile2x4 is the inner loop: s = rows i, i+1 of a times columns j … j+3 of b.
// Each product is rounded before it is added (the conversions say so), hence no tile shape can fuse what another does not.
func tile2x4(s *[8]float32, p *panel, i, j int) {
	var s0, s1, s2, s3, t0, t1, t2, t3 float32
	a, b := p.a[i*p.rowA:], p.b[j:]
	rowA, colA, ldb := p.rowA, p.colA, p.ldb
	ia, ib := 0, 0
	for range p.k {
		x, y := a[ia], a[ia+rowA]
		w := (*[4]float32)(b[ib:])
		s0 += float32(x * w[0])
		s1 += float32(x * w[1])
		s2 += float32(x * w[2])
		s3 += float32(x * w[3])
		t0 += float32(y * w[0])
		t1 += float32(y * w[1])
		t2 += float32(y * w[2])
		t3 += float32(y * w[3])
		ia += colA
		ib += ldb
	}
	*s = [8]float32{s0, s1, s2, s3, t0, t1, t2, t3}
}

func tile1x4(s *[8]float32, p *panel, i, j int) {
	var s0, s1, s2, s3 float32
	a, b := p.a[i*p.rowA:], p.b[j:]
	ia, ib := 0, 0
	for range p.k {
		x := a[ia]
		w := (*[4]float32)(b[ib:])
		s0 += float32(x * w[0])
		s1 += float32(x * w[1])
		s2 += float32(x * w[2])
		s3 += float32(x * w[3])
		ia += p.colA
		ib += p.ldb
	}
	s[0], s[1], s[2], s[3] = s0, s1, s2, s3
}

func tile1x1(p *panel, i, j int) float32 {
	var s float32
	for l := range p.k {
		s += float32(p.a[i*p.rowA+l*p.colA] * p.b[l*p.ldb+j])
	}
	return s
}

// transposePanelGeneric writes dst [k, 32] = bᵀ for b [n, k] of row stride ldb, n ≤ 32, and zeros in the other columns.
func transposePanelGeneric(dst, b []float32, ldb, k, n int) {
	if n < PanelWidth {
		clear(dst[:k*PanelWidth])
	}
	for j := range n {
		row := b[j*ldb : j*ldb+k]
		col := dst[j:]
		for l, v := range row {
			col[l*PanelWidth] = v
		}
	}
}
