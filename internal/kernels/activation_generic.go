package kernels

import "math"

// Constants of exp: exp(x) = 2^n·exp(r), n = round(x·log2 e), r = x − n·ln 2 in two parts so that the product is
// exact, and exp(r) = 1 + r + r²·(expPoly[0] + expPoly[1]·r + …), fitted to minimise the relative error on |r| ≤ ln
// 2/2 (3e-9 before rounding).
const (
	log2E = 1.44269504088896341
	ln2Hi = 0.693145751953125 // 16 bits
	ln2Lo = 1.42860682030941723212e-6
	// Below expMin the result would be subnormal and is 0 instead; above expMax it is +Inf.
	expMin = -87.3365447
	expMax = 88.7228391
)

var expPoly = [...]float32{0.49999994, 0.16666521, 0.04166839, 0.008368717, 0.0013814599}

// Constants of erf: for |x| ≤ 3.5, erf(x) = x·P(w), w = x²·erfScale − 1 in [−1, 1], with P fitted to minimise the
// largest absolute error of erf (2.6e-7 before rounding). Where x is 3.52 P has just taken it past 1: x is clamped
// there, and the result to ±1, off by 7.5e-7 at most.
const (
	erfEnd   = 3.52
	erfScale = 2 / (3.5 * 3.5)
)

var erfPoly = [...]float32{0.403873, -0.20070104, 0.14675018, -0.11461275, 0.088402174, -0.064770654, 0.04501544,
	-0.030031752, 0.017049624, -0.007227924, 0.0044742813, -0.003987361, 0.0014809371}

const (
	sqrtHalf   = 0.70710678118654752440
	invSqrt2Pi = 0.39894228040143267794
)

func exp32(x float32) float32 {
	switch {
	case x < expMin:
		return 0
	case x > expMax:
		return float32(math.Inf(1))
	case x != x:
		return x
	}
	t := x * log2E
	// Adding and taking away 1.5·2²³ rounds to the nearest integer.
	const shift = 3 << 22
	n := float32(t+shift) - shift
	r := x - n*ln2Hi - n*ln2Lo
	c := &expPoly
	q := (((c[4]*r+c[3])*r+c[2])*r+c[1])*r + c[0]
	// 2^n in two factors, for n = 128 has no float of its own.
	half := int32(n) >> 1
	rest := int32(n) - half
	return (q*r*r + r + 1) * math.Float32frombits(uint32(half+127)<<23) * math.Float32frombits(uint32(rest+127)<<23)
}

func erf32(x float32) float32 {
	switch {
	case x >= erfEnd:
		return 1
	case x <= -erfEnd:
		return -1
	}
	w := x*x*erfScale - 1
	c := &erfPoly
	p := ((((c[12]*w+c[11])*w+c[10])*w+c[9])*w+c[8])*w + c[7]
	p = ((((((p*w+c[6])*w+c[5])*w+c[4])*w+c[3])*w+c[2])*w+c[1])*w + c[0]
	return max(-1, min(x*p, 1))
}

// geluGeneric writes y = gelu(x), both [rows, cols] of row stride ld.
func geluGeneric(y, x []float32, ld, rows, cols int) {
	for i := range rows {
		dst := y[i*ld : i*ld+cols]
		for j, v := range x[i*ld : i*ld+cols] {
			h := 0.5 * v
			dst[j] = h + h*erf32(v*sqrtHalf)
		}
	}
}

// Where the result is about to be rounded to 8 bits or bfloat16 geluQuick is exact enough, at half the cost. It takes
//
//	gelu(x) = max(x, 0) − |x|·Φ(−|x|)
//
// whose second term, a bump that dies out, is t·P(t − geluBumpEnd/2) with t = min(|x|, geluBumpEnd) and P fitted to
// minimise the largest absolute error (1.43e-5; 1.5e-5 with rounding, for every x). 0 stays 0, NaN stays NaN.
const geluBumpEnd = 4.5

var geluBumpPoly = [...]float32{0.012220983, -0.031710345, 0.03574155, -0.021631464, 0.0060958276,
	0.00064377516, -0.0009893096, 0.00017060371, 4.3906733e-05, -1.2893748e-05}

// geluCoarse does the same with fewer coefficients, in t itself and up to geluCoarseEnd, within 1.9e-4: far less than
// what rounding a row to 8 bits moves its numbers by.
const geluCoarseEnd = 3.9

var geluCoarsePoly = [...]float32{0.49932952, -0.38519542, -0.05218324, 0.14727491, -0.06046698, 0.01049046,
	-0.00068655}

// geluQuickGeneric writes y = gelu(x), both [rows, cols] of row stride ld; y may be x.
func geluQuickGeneric(y, x []float32, ld, rows, cols int) {
	for i := range rows {
		dst := y[i*ld : i*ld+cols]
		for j, v := range x[i*ld : i*ld+cols] {
			t := min(math.Float32frombits(math.Float32bits(v)&absBits), geluBumpEnd)
			u := t - geluBumpEnd/2
			p := geluBumpPoly[9]
			for l := 8; l >= 0; l-- {
				p = p*u + geluBumpPoly[l]
			}
			dst[j] = max(v, 0) - t*p
		}
	}
}

// geluCoarseGeneric is geluQuickGeneric with geluCoarse's error.
func geluCoarseGeneric(y, x []float32, ld, rows, cols int) {
	for i := range rows {
		dst := y[i*ld : i*ld+cols]
		for j, v := range x[i*ld : i*ld+cols] {
			t := min(math.Float32frombits(math.Float32bits(v)&absBits), geluCoarseEnd)
			p := geluCoarsePoly[6]
			for l := 5; l >= 0; l-- {
				p = p*t + geluCoarsePoly[l]
			}
			dst[j] = max(v, 0) - t*p
		}
	}
}

func geluBackwardGeneric(dx, y, x, dy []float32) {
	for i, v := range x {
		cdf := 0.5 + 0.5*erf32(v*sqrtHalf)
		// The density is 0 from 15 on; the clamp keeps 0·∞ away.
		z := max(-15, min(v, 15))
		g := dy[i] * (cdf + z*invSqrt2Pi*exp32(-0.5*z*z))
		if y != nil {
			y[i] = v * cdf
		}
		dx[i] = g
	}
}

// softmaxRowsGeneric replaces each row of x [rows, cols] by softmax(scale·row). With inverse [rows] not nil the
// division is left to the caller: rows become exp(scale·(row − largest)), and inverse the reciprocals of their sums.
func softmaxRowsGeneric(x, inverse []float32, ld, rows, cols int, scale float32) {
	for i := range rows {
		row := x[i*ld : i*ld+cols]
		largest := float32(math.Inf(-1))
		for j, v := range row {
			v *= scale
			row[j] = v
			if v > largest {
				largest = v
			}
		}
		var s [4]float32
		for j, v := range row {
			e := exp32(v - largest)
			row[j] = e
			s[j&3] += e
		}
		f := 1 / (s[0] + s[1] + (s[2] + s[3]))
		if inverse != nil {
			inverse[i] = f
			continue
		}
		scaleGeneric(row, f)
	}
}

// softmaxRowsBF16Generic replaces each row of x [rows, cols] (row stride ld ≥ cols, even) by exp(scale·(row −
// largest)) rounded to bfloat16, in the first half of the row's memory and filled up with a zero where cols is odd;
// inverse [rows] becomes the reciprocals of the sums of the exponentials before rounding.
func softmaxRowsBF16Generic(x, inverse []float32, ld, rows, cols int, scale float32) {
	softmaxRowsGeneric(x, inverse, ld, rows, cols, scale)
	for i := range rows {
		row := x[i*ld : (i+1)*ld]
		// Number j's place lies before those that are still to be read.
		roundBF16Generic(as[uint16](row), 2*ld, row, ld, 1, cols)
	}
}

// softmaxBackwardGeneric turns ds, p's gradient, into that of the scores: p∘(ds − dot[row])·scale, all [rows, cols].
func softmaxBackwardGeneric(ds, p, dot []float32, ld, rows, cols int, scale float32) {
	for i := range rows {
		d := dot[i]
		row := ds[i*ld : i*ld+cols]
		for j, v := range p[i*ld : i*ld+cols] {
			row[j] = v * (row[j] - d) * scale
		}
	}
}
