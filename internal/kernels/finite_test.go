package kernels

import (
	"math"
	"testing"
)

func TestFirstNotFinite(t *testing.T) {
	finite := []float32{0, float32(math.Copysign(0, -1)), 1, math.MaxFloat32, -math.MaxFloat32,
		math.SmallestNonzeroFloat32}
	inf := float32(math.Inf(1))
	bad := []float32{float32(math.NaN()), inf, -inf, math.Float32frombits(0xff800001), math.Float32frombits(0xffffffff)}
	for _, n := range awkward {
		x := make([]float32, n)
		for i := range x {
			x[i] = finite[i%len(finite)]
		}
		if at := FirstNotFinite(x); at != -1 {
			t.Fatalf("%v is not finite", x[at])
		}
		for at := n - 1; at >= 0; at-- { // those behind it are there already
			old := x[at]
			for _, x[at] = range bad {
				if got := FirstNotFinite(x); got != at {
					t.Fatalf("%v at %d of %d: found at %d", x[at], at, n, got)
				}
			}
			if at%3 == 0 {
				x[at] = old
			}
		}
	}
}

func BenchmarkFirstNotFinite(b *testing.B) {
	x := make([]float32, 8<<10)
	reportVectors(b, len(x), func() { FirstNotFinite(x) })
}
