package kernels

// Add computes dst += src.
func Add(dst, src []float32) { Axpy(dst, 1, src) }

// Axpy computes dst += alpha·src.
func Axpy(dst []float32, alpha float32, src []float32) {
	checkLen("Axpy", "dst", len(dst), len(src))
	active.axpy(dst[:len(src)], src, alpha)
}

// Scale computes x = alpha·x.
func Scale(x []float32, alpha float32) { active.scale(x, alpha) }

// Lerp computes dst += t·(src − dst): a step of an exponential moving average.
func Lerp(dst, src []float32, t float32) {
	checkLen("Lerp", "dst", len(dst), len(src))
	active.lerp(dst[:len(src)], src, t)
}

// Dot returns Σ a·b over len(a) floats, summed in an order that len(a) alone decides.
func Dot(a, b []float32) float32 {
	checkLen("Dot", "b", len(b), len(a))
	return active.dot(a, b[:len(a)])
}

// SumSquares returns Σ x², the squares added up in float64.
func SumSquares(x []float32) float64 { return active.sumSquares(x) }

// ColumnSums adds the sum of each column of x [rows, cols] (row stride ld) to dst [cols]: a bias's gradient.
func ColumnSums(dst, x []float32, ld, rows, cols int) {
	checkMatrix("ColumnSums", "x", len(x), ld, rows, cols)
	checkLen("ColumnSums", "dst", len(dst), cols)
	if rows > 0 && cols > 0 {
		active.columnSums(dst[:cols], x, ld, rows, cols)
	}
}

// AdamWStep is one step's constants. Correction1 and Correction2 are 1 − Beta1^t and 1 − Beta2^t of step t = 1, 2, …;
// GradScale is what the gradient is multiplied by first (1, or less when it is clipped).
type AdamWStep struct {
	LR, Beta1, Beta2, Eps, Decay, Correction1, Correction2, GradScale float32
}

// AdamW updates parameters p and their moments m and v with gradient g (Loshchilov and Hutter 2019). With g' =
// GradScale·g:
//
//	m = Beta1·m + (1 − Beta1)·g',  v = Beta2·v + (1 − Beta2)·g'²
//	p = p − LR·Decay·p − LR·(m/Correction1)/(√(v/Correction2) + Eps)
func AdamW(p, m, v, g []float32, s AdamWStep) {
	n := len(p)
	checkLen("AdamW", "m", len(m), n)
	checkLen("AdamW", "v", len(v), n)
	checkLen("AdamW", "g", len(g), n)
	active.adamW(p, m[:n], v[:n], g[:n], adamWConstants{1 - s.LR*s.Decay, s.Beta1, 1 - s.Beta1, s.Beta2, 1 - s.Beta2,
		s.GradScale, s.LR / s.Correction1, 1 / s.Correction2, s.Eps})
}

// adamWConstants are 1−LR·Decay, β1, 1−β1, β2, 1−β2, GradScale, LR/Correction1, 1/Correction2 and Eps.
type adamWConstants = [9]float32
