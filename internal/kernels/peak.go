package kernels

import (
	"runtime"
	"time"
)

// PeakFLOPS measures how many floating-point operations a second one core does on the path in use when nothing but independent
// multiply-adds run (each counts as two). It takes about d and returns the best of several slices of that time.
func PeakFLOPS(d time.Duration) float64 { return peak(d, multiplyAdds) }

// peak measures run, which does as many rounds of work as it is told and returns how many operations those were: see PeakFLOPS.
func peak(d time.Duration, run func(rounds int) float64) float64 {
	const slices = 8
	best := 0.0
	n := 1 << 10
	for end := time.Now().Add(d); ; {
		start := time.Now()
		flops := run(n)
		took := time.Since(start)
		if took < d/slices/2 {
			n *= 2
		} else if took > 0 {
			best = max(best, flops/took.Seconds())
		}
		if time.Now().After(end) && best > 0 {
			return best
		}
	}
}

// multiplyAddsGeneric runs n rounds of multiply-adds and returns how many operations they were.
func multiplyAddsGeneric(n int) float64 {
	var s0, s1, s2, s3, s4, s5, s6, s7 float32
	x, y := float32(0.999), float32(1e-3)
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
	return 16 * float64(n)
}
