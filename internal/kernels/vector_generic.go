package kernels

import "math"

func axpyGeneric(dst, src []float32, alpha float32) {
	for i, v := range src {
		dst[i] += alpha * v
	}
}

func scaleGeneric(x []float32, alpha float32) {
	for i := range x {
		x[i] *= alpha
	}
}

// scaleRowsGeneric multiplies row i of x [rows, cols] by factors[i].
func scaleRowsGeneric(x []float32, ld, rows, cols int, factors []float32) {
	for i := range rows {
		scaleGeneric(x[i*ld:i*ld+cols], factors[i])
	}
}

func lerpGeneric(dst, src []float32, t float32) {
	for i, v := range src {
		dst[i] += t * (v - dst[i])
	}
}

// dotRowsGeneric writes to dst[i] the dot product of rows i of a and b, both [rows, cols] of row stride ld.
func dotRowsGeneric(dst, a, b []float32, ld, rows, cols int) {
	for i := range rows {
		dst[i] = dotGeneric(a[i*ld:i*ld+cols], b[i*ld:i*ld+cols])
	}
}

func dotGeneric(a, b []float32) float32 {
	var s [4]float32
	for len(a) >= 4 && len(b) >= 4 {
		s[0] += a[0] * b[0]
		s[1] += a[1] * b[1]
		s[2] += a[2] * b[2]
		s[3] += a[3] * b[3]
		a, b = a[4:], b[4:]
	}
	for i, v := range a {
		s[i] += v * b[i]
	}
	return s[0] + s[1] + (s[2] + s[3])
}

func sumSquaresGeneric(x []float32) float64 {
	var s, t float64
	for len(x) >= 2 {
		s += float64(x[0]) * float64(x[0])
		t += float64(x[1]) * float64(x[1])
		x = x[2:]
	}
	if len(x) > 0 {
		s += float64(x[0]) * float64(x[0])
	}
	return s + t
}

// columnSumsGeneric sums four columns at a time over all rows, so that the sums stay in registers.
func columnSumsGeneric(dst, x []float32, ld, rows, cols int) {
	j := 0
	for ; j+4 <= cols; j += 4 {
		var s0, s1, s2, s3 float32
		for i := range rows {
			v := (*[4]float32)(x[i*ld+j:])
			s0 += v[0]
			s1 += v[1]
			s2 += v[2]
			s3 += v[3]
		}
		dst[j] += s0
		dst[j+1] += s1
		dst[j+2] += s2
		dst[j+3] += s3
	}
	for ; j < cols; j++ {
		var s float32
		for i := range rows {
			s += x[i*ld+j]
		}
		dst[j] += s
	}
}

func adamWGeneric(p, m, v, g []float32, c adamWConstants) {
	keep, beta1, rest1, beta2, rest2 := c[0], c[1], c[2], c[3], c[4]
	gradScale, step, perC2, eps := c[5], c[6], c[7], c[8]
	for i, w := range p {
		d := g[i] * gradScale
		m1 := beta1*m[i] + rest1*d
		v1 := beta2*v[i] + rest2*d*d
		m[i], v[i] = m1, v1
		p[i] = w*keep - step*m1/(float32(math.Sqrt(float64(v1*perC2)))+eps)
	}
}
