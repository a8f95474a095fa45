package main

import "math"

// The constants are those of activation_generic.go and bf16_train_generic.go, which say where they come from.
var (
	expPoly = []float64{0.49999994, 0.16666521, 0.04166839, 0.008368717, 0.0013814599}
	erfPoly = []float64{0.403873, -0.20070104, 0.14675018, -0.11461275, 0.088402174, -0.064770654, 0.04501544,
		-0.030031752, 0.017049624, -0.007227924, 0.0044742813, -0.003987361, 0.0014809371}
	geluBumpPoly = []float64{0.012220983, -0.031710345, 0.03574155, -0.021631464, 0.0060958276,
		0.00064377516, -0.0009893096, 0.00017060371, 4.3906733e-05, -1.2893748e-05}
	geluCoarsePoly = []float64{0.49932952, -0.38519542, -0.05218324, 0.14727491, -0.06046698, 0.01049046, -0.00068655}
	geluSlopePoly  = []float64{0.559165537, -0.0972104892, 0.0383074172, 0.0307629686, -0.0367965177, 0.0105754035,
		0.00363368657, -0.00267984299, 2.33628034e-05, 0.000239353103, -1.40847824e-05, -8.40650409e-06}
)

const (
	ln2Hi       = 0.693145751953125
	ln2Lo       = 1.42860682030941723212e-6
	expMin      = -87.3365447
	erfEnd      = 3.52
	erfScale    = 2 / (3.5 * 3.5)
	invSqrt2Pi  = 0.39894228040143267794
	geluBumpEnd = 4.5

	geluCoarseEnd = 3.9
)

// horner returns p·x + c in a new vector, and gives p back: a multiply-add overwrites what it adds to, so the constant
// is loaded anew each time.
func horner(p, x int, c float64) int {
	t := fill(c)
	v("fmla", t, p, x)
	free(p)
	return t
}

// polynomial returns one in x, in a new vector; its constant is the first of the coefficients.
func polynomial(coefficients []float64, x int) int {
	last := len(coefficients) - 1
	p := fill(coefficients[last])
	for i := last - 1; i >= 0; i-- {
		p = horner(p, x, coefficients[i])
	}
	return p
}

// clamp replaces x by what lies nearest to it between low and high, two vectors. NaN stays.
func clamp(x, low, high int) {
	v("fmax", x, x, low)
	v("fmin", x, x, high)
}

// expConstants are the vectors that exp needs beside what it reads from memory.
type expConstants struct{ low, log2E, ln2Hi, ln2Lo int }

func newExpConstants() expConstants {
	return expConstants{fill(expMin), fill(math.Log2E), fill(ln2Hi), fill(ln2Lo)}
}

// exp returns the exponential of each lane of x ≤ 0.5, which it changes: 0 where x is below expMin, NaN for NaN.
func exp(x int, c expConstants) int {
	below, n := vec(), vec()
	v("fcmgt", below, c.low, x) // false for NaN
	v("fmax", x, x, c.low)
	v("fmul", n, x, c.log2E)
	v("frintn", n, n)
	v("fmls", x, n, c.ln2Hi)
	v("fmls", x, n, c.ln2Lo)
	p := fill(expPoly[4])
	for i := 3; i >= 0; i-- {
		p = horner(p, x, expPoly[i])
	}
	// 1 + x + p·x²
	p = horner(p, x, 1)
	p = horner(p, x, 1)
	v("fcvtns", n, n)
	v("shl", n, n, 23)
	v("add", p, p, n) // the exponent goes up by n
	v("bic", p, p, below)
	free(below, n)
	return p
}

// erfConstants are what erf needs.
type erfConstants struct{ low, high, minusOne, one, scale int }

func newErfConstants() erfConstants {
	return erfConstants{fill(-erfEnd), fill(erfEnd), fill(-1), fill(1), fill(erfScale)}
}

// erf returns erf(x) and leaves x clamped.
func erf(x int, c erfConstants) int {
	clamp(x, c.low, c.high)
	square, w, w2 := vec(), vec(), vec()
	v("fmul", square, x, x)
	v("mov", w, c.minusOne)
	v("fmla", w, square, c.scale)
	v("fmul", w2, w, w)
	even, odd := fill(erfPoly[12]), fill(erfPoly[11])
	for i := 10; i >= 0; i -= 2 {
		even = horner(even, w2, erfPoly[i])
		if i > 0 {
			odd = horner(odd, w2, erfPoly[i-1])
		}
	}
	v("fmla", even, odd, w)
	v("fmul", even, even, x)
	clamp(even, c.minusOne, c.one)
	free(square, w, w2, odd)
	return even
}
