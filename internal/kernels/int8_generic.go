package kernels

import "runtime"

// gemmPanelInt8Generic is the portable gemmPanelInt8, in tiles of 4 rows × 2 columns. Integers add up to the same in any order.
func gemmPanelInt8Generic(p *panelInt8) {
	for i := 0; i < p.m; i += 4 {
		// Rows and columns behind the last are the last one again, whose sums are the same.
		i1, i2, i3 := min(i+1, p.m-1), min(i+2, p.m-1), min(i+3, p.m-1)
		for j := 0; j < p.n; j += 2 {
			j1 := min(j+1, p.n-1)
			s, t, u, v := p.tile4x2(i, i1, i2, i3, j, j1)
			p.putPair(i, j, s)
			if i1 > i {
				p.putPair(i1, j, t)
			}
			if i2 > i1 {
				p.putPair(i2, j, u)
			}
			if i3 > i2 {
				p.putPair(i3, j, v)
			}
		}
	}
}

// tile4x2 returns the sums of four rows with columns j and j1, those of j1 times 2³² added to those of j: with both columns' weights in one integer of
// 64 bits a multiplication does two products. No sum reaches 2³¹ (maxInt8K), so putPair can tell the two apart.
func (p *panelInt8) tile4x2(i, i1, i2, i3, j, j1 int) (s, t, u, v int64) {
	s = -(int64(p.offset[j1])<<32 + int64(p.offset[j]))
	t, u, v = s, s, s
	k := 4 * p.steps
	a, c, d, e := p.q[i*p.ldq:i*p.ldq+k], p.q[i1*p.ldq:i1*p.ldq+k], p.q[i2*p.ldq:i2*p.ldq+k], p.q[i3*p.ldq:i3*p.ldq+k]
	b := p.b
	for len(a) >= 4 && len(c) >= 4 && len(d) >= 4 && len(e) >= 4 && len(b) >= 4*PanelWidth {
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
		a, c, d, e, b = a[4:], c[4:], d[4:], e[4:], b[4*PanelWidth:]
	}
	return s, t, u, v
}

// putPair stores elements (i, j) and, if there is one, (i, j+1), from the sums that tile4x2 returned.
func (p *panelInt8) putPair(i, j int, s int64) {
	first := int32(s)
	p.put(i, j, first)
	if j+1 < p.n {
		p.put(i, j+1, int32((s-int64(first))>>32))
	}
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

// dotsInt8Generic runs n rounds of multiplications and additions as tile4x2 has them, two products in each, and returns how many operations they were.
func dotsInt8Generic(n int) float64 {
	var s0, s1, s2, s3, s4, s5, s6, s7 int64
	x, y := int64(n|1), int64(n)<<32
	for range n {
		s0 = s0*x + y
		s1 = s1*x + y
		s2 = s2*x + y
		s3 = s3*x + y
		s4 = s4*x + y
		s5 = s5*x + y
		s6 = s6*x + y
		s7 = s7*x + y
	}
	runtime.KeepAlive(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7)
	return 32 * float64(n)
}
