package kernels

import "runtime"

// gemmPanelInt8Generic is the portable gemmPanelInt8, in tiles of 2 rows × 2 columns. Integers add up to the same in any order.
func gemmPanelInt8Generic(p *panelInt8) {
	for i := 0; i < p.m; i += 2 {
		// An odd last row or column is computed twice over, and stored once.
		i1 := min(i+1, p.m-1)
		for j := 0; j < p.n; j += 2 {
			j1 := min(j+1, p.n-1)
			s := p.tile2x2(i, i1, j, j1)
			p.put(i, j, s[0])
			if j1 > j {
				p.put(i, j1, s[1])
			}
			if i1 > i {
				p.put(i1, j, s[2])
				if j1 > j {
					p.put(i1, j1, s[3])
				}
			}
		}
	}
}

// tile2x2 returns the sums of rows i and i1 with columns j and j1.
func (p *panelInt8) tile2x2(i, i1, j, j1 int) [4]int32 {
	s0, s1 := -p.offset[j], -p.offset[j1]
	t0, t1 := s0, s1
	a, c := p.q[i*p.ldq:i*p.ldq+4*p.steps], p.q[i1*p.ldq:i1*p.ldq+4*p.steps]
	b := p.b
	for len(a) >= 4 && len(c) >= 4 && len(b) >= 4*PanelWidth {
		x0, x1, x2, x3 := int32(a[0]), int32(a[1]), int32(a[2]), int32(a[3])
		y0, y1, y2, y3 := int32(c[0]), int32(c[1]), int32(c[2]), int32(c[3])
		w := (*[4]int8)(b[4*j:])
		v0, v1, v2, v3 := int32(w[0]), int32(w[1]), int32(w[2]), int32(w[3])
		s0 += x0*v0 + x1*v1 + x2*v2 + x3*v3
		t0 += y0*v0 + y1*v1 + y2*v2 + y3*v3
		w = (*[4]int8)(b[4*j1:])
		v0, v1, v2, v3 = int32(w[0]), int32(w[1]), int32(w[2]), int32(w[3])
		s1 += x0*v0 + x1*v1 + x2*v2 + x3*v3
		t1 += y0*v0 + y1*v1 + y2*v2 + y3*v3
		a, c, b = a[4:], c[4:], b[4*PanelWidth:]
	}
	return [4]int32{s0, s1, t0, t1}
}

// put stores element (i, j), whose sum is s.
func (p *panelInt8) put(i, j int, s int32) {
	v := float32(s) * p.scale[j] * p.rowScale[i]
	if p.bias != nil {
		v += p.bias[j]
	}
	c := &p.c[i*p.ldc+j]
	if p.add {
		v += *c
	}
	*c = v
}

// dotsInt8Generic runs n rounds of products of bytes added up in 32 bits and returns how many operations they were.
func dotsInt8Generic(n int) float64 {
	var s0, s1, s2, s3, s4, s5, s6, s7 int32
	q, w := [4]uint8{1, 2, 3, 4}, [2]int8{-1, 2}
	for i := range n {
		x0, x1, x2, x3 := int32(q[0]), int32(q[1]), int32(q[2]), int32(q[3])
		y0, y1 := int32(w[0]), int32(w[1])
		s0 += x0 * y0
		s1 += x1 * y0
		s2 += x2 * y0
		s3 += x3 * y0
		s4 += x0 * y1
		s5 += x1 * y1
		s6 += x2 * y1
		s7 += x3 * y1
		q[i&3], w[i&1] = uint8(i), int8(i)
	}
	runtime.KeepAlive(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7)
	return 16 * float64(n)
}
