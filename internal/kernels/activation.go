package kernels

// GELU writes gelu(x) = x·Φ(x) = x·(1 + erf(x/√2))/2 of each x to y (len(y) = len(x); y may be x).
func GELU(y, x []float32) {
	checkLen("GELU", "y", len(y), len(x))
	active.gelu(y, x, len(x), 1, len(x))
}

// GELUBackward computes dx = dy·gelu'(x) with gelu'(x) = Φ(x) + x·φ(x), φ(x) = exp(−x²/2)/√(2π); dx may be dy. Unless
// y is nil it also writes y = gelu(x), so that training need not keep it. All have x's length.
func GELUBackward(dx, y, x, dy []float32) {
	n := len(x)
	checkLen("GELUBackward", "dx", len(dx), n)
	checkLen("GELUBackward", "dy", len(dy), n)
	if y != nil {
		checkLen("GELUBackward", "y", len(y), n)
		y = y[:n]
	}
	active.geluBackward(dx[:n], y, x, dy[:n])
}
