package kernels

import "math"

// Where the result is about to be rounded to 8 bits or bfloat16 GELU need not be as exact as GELU's. geluQuick takes it as
//
//	gelu(x) = max(x, 0) − |x|·Φ(−|x|)
//
// whose second term, a bump that dies out, is t·P(t − geluBumpEnd/2) with t = min(|x|, geluBumpEnd) and P fitted to minimise the largest absolute
// error (1.43e-5; 1.5e-5 with rounding, for every x). It costs half of what GELU does; 0 stays 0, NaN stays NaN.
const geluBumpEnd = 4.5

var geluBumpPoly = [...]float32{0.012220983, -0.031710345, 0.03574155, -0.021631464, 0.0060958276, 0.00064377516, -0.0009893096, 0.00017060371,
	4.3906733e-05, -1.2893748e-05}

// geluQuickGeneric is the portable geluQuick: y = gelu(x), both [rows, cols] of row stride ld; y may be x.
func geluQuickGeneric(y, x []float32, ld, rows, cols int) {
	for i := range rows {
		dst := y[i*ld : i*ld+cols]
		for j, v := range x[i*ld : i*ld+cols] {
			t := math.Float32frombits(math.Float32bits(v) & absBits)
			t = min(t, geluBumpEnd)
			u := t - geluBumpEnd/2
			p := geluBumpPoly[9]
			for l := 8; l >= 0; l-- {
				p = p*u + geluBumpPoly[l]
			}
			dst[j] = max(v, 0) - t*p
		}
	}
}
