package kernels

// gemmGeneric works in tiles of 2 rows × 3 columns: with more the compiler has not enough registers.
func gemmGeneric(w productF32) {
	for w.next() {
		p, i := w.panel(), 0
		for ; i+2 <= p.m && p.k > 0; i += 2 {
			j := 0
			for ; j+3 <= p.n; j += 3 {
				tile2x3(&p, i, j)
			}
			if j+2 == p.n {
				tile2x2(&p, i, j)
			} else if j < p.n {
				tile1x1(&p, i, j)
				tile1x1(&p, i+1, j)
			}
		}
		for ; i < p.m; i++ {
			j := 0
			for ; j+4 <= p.n && p.k > 0; j += 4 {
				tile1x4(&p, i, j)
			}
			for ; j < p.n; j++ {
				tile1x1(&p, i, j)
			}
		}
	}
}

// put stores the sums of elements (i, j), (i, j+1), ….
func (p *product[A, B]) put(i, j int, sums ...float32) {
	for u, s := range sums {
		p.putOne(i, j+u, s)
	}
}

// putOne stores the sum s of element (i, j), after the bias and what c held.
func (p *product[A, B]) putOne(i, j int, s float32) {
	if p.bias != nil {
		s += p.bias[j]
	}
	c := &p.c[i*p.ldc+j]
	if p.add {
		s += *c
	}
	*c = s
}

// tile2x3 is the inner loop: rows i, i+1 of a times columns j … j+2 of b. Each product is rounded before it is added
// (the conversions say so), hence no tile shape can fuse what another does not.
func tile2x3(p *productF32, i, j int) {
	var s0, s1, s2, t0, t1, t2 float32
	a, b := p.a[i*p.rowA:], p.b[j:]
	rowA, colA, ldb := p.rowA, p.colA, p.ldb
	ia, ib := 0, 0
	for range p.k {
		x, y := a[ia], a[ia+rowA]
		w := (*[3]float32)(b[ib:])
		s0 += float32(x * w[0])
		t0 += float32(y * w[0])
		s1 += float32(x * w[1])
		t1 += float32(y * w[1])
		s2 += float32(x * w[2])
		t2 += float32(y * w[2])
		ia += colA
		ib += ldb
	}
	p.put(i, j, s0, s1, s2)
	p.put(i+1, j, t0, t1, t2)
}

func tile2x2(p *productF32, i, j int) {
	var s0, s1, t0, t1 float32
	a, b := p.a[i*p.rowA:], p.b[j:]
	rowA, colA, ldb := p.rowA, p.colA, p.ldb
	ia, ib := 0, 0
	for range p.k {
		x, y := a[ia], a[ia+rowA]
		w := (*[2]float32)(b[ib:])
		s0 += float32(x * w[0])
		t0 += float32(y * w[0])
		s1 += float32(x * w[1])
		t1 += float32(y * w[1])
		ia += colA
		ib += ldb
	}
	p.put(i, j, s0, s1)
	p.put(i+1, j, t0, t1)
}

func tile1x4(p *productF32, i, j int) {
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
	p.put(i, j, s0, s1, s2, s3)
}

func tile1x1(p *productF32, i, j int) {
	var s float32
	for l := range p.k {
		s += float32(p.a[i*p.rowA+l*p.colA] * p.b[l*p.ldb+j])
	}
	p.putOne(i, j, s)
}
