package kernels

import (
	"runtime"
	"time"
)

// PeakFLOPS measures how many floating-point operations a second one core does on the path in use when nothing but
// independent multiply-adds run (each counts as two): the best of several slices of the time d.
func PeakFLOPS(d time.Duration) float64 { return active.peak.rate(d) }

// PeakBF16 is PeakFLOPS for sums of bfloat16 products: of the machine's dot or matrix product where it has one (two or
// four multiply-adds a lane), otherwise of the float32 multiply-adds that GemmBF16 makes do with.
func PeakBF16(d time.Duration) float64 { return active.peakBF16.rate(d) }

// PeakInt8 is PeakFLOPS for sums of products of bytes, with the instructions that GemmInt8 uses on the path in use.
func PeakInt8(d time.Duration) float64 { return active.peakInt8.rate(d) }

// peakLoop does so many rounds of so many independent operations.
type peakLoop struct {
	run func(rounds int)
	ops float64
}

func (l peakLoop) rate(d time.Duration) float64 {
	const slices = 8
	best, n := 0.0, 1<<10
	for end := time.Now().Add(d); ; {
		start := time.Now()
		l.run(n)
		took := time.Since(start)
		if took < d/slices/2 {
			n *= 2
		} else if took > 0 {
			best = max(best, l.ops*float64(n)/took.Seconds())
		}
		if time.Now().After(end) && best > 0 {
			return best
		}
	}
}

// multiplyAddsGeneric and dotsInt8Generic run rounds of eight multiply-adds, of floats and of tile4x2's integers.
func multiplyAddsGeneric(rounds int) { multiplyAdds(rounds, float32(0.999), 1e-3) }
func dotsInt8Generic(rounds int)     { multiplyAdds(rounds, int64(rounds|1), int64(rounds)<<32) }

func multiplyAdds[T float32 | int64](rounds int, x, y T) {
	var s0, s1, s2, s3, s4, s5, s6, s7 T
	for range rounds {
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
}
