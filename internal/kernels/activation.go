package kernels

// Erf writes the error function of each x to y (len(y) = len(x); y may be x). The error is at most 2e-6 absolute for every x;
// ±∞ gives ±1 and NaN gives NaN.
func Erf(y, x []float32) {
	checkLen("Erf: y", len(y), len(x))
	erfRow(y[:len(x)], x)
}

// GELU writes gelu(x) = x·Φ(x) = x·(1 + erf(x/√2))/2 of each x to y (len(y) = len(x); y may be x).
func GELU(y, x []float32) {
	checkLen("GELU: y", len(y), len(x))
	geluBlock(y, x, len(x), 1, len(x))
}

// GELUBackward computes dx = dy·gelu'(x) with gelu'(x) = Φ(x) + x·φ(x), φ(x) = exp(−x²/2)/√(2π); dx may be dy. Unless y is nil it
// also writes y = gelu(x), so that training need not keep it. All have x's length.
func GELUBackward(dx, y, x, dy []float32) {
	n := len(x)
	checkLen("GELUBackward: dx", len(dx), n)
	checkLen("GELUBackward: dy", len(dy), n)
	if y != nil {
		checkLen("GELUBackward: y", len(y), n)
		y = y[:n]
	}
	geluBackward(dx[:n], y, x, dy[:n])
}

// SoftmaxRows replaces each row of x [rows, cols] (row stride ld) by softmax(scale·row).
func SoftmaxRows(x []float32, ld, rows, cols int, scale float32) {
	checkMatrix("SoftmaxRows: x", len(x), ld, rows, cols)
	if cols > 0 && rows > 0 {
		softmaxRows(x, nil, ld, rows, cols, scale)
	}
}
