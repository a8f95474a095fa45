package kernels

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestGELUQuick holds the documented errors over all magnitudes, and the special values.
func TestGELUQuick(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		testApproximateGELU(t, active.geluQuick, 1.5e-5)
		testApproximateGELU(t, active.geluCoarse, 1.9e-4)
	})
}

func testApproximateGELU(t *testing.T, gelu activation, limit float64) {
	t.Helper()
	var x []float32
	for v := float32(-9); v < 9; v += 1.0 / 1024 {
		x = append(x, v)
	}
	x = append(x, 1e-30, -1e-30, 1e-6, 4.5, -4.5, 88, -88, 1e30, -1e30, math.MaxFloat32, -math.MaxFloat32)
	y, worst := make([]float32, len(x)), 0.0
	gelu(y, x, len(x), 1, len(x))
	for i, v := range x {
		want := float64(v) / 2 * math.Erfc(-float64(v)/math.Sqrt2)
		// Above 1 a float32 cannot be that exact.
		d := math.Abs(float64(y[i])-want) / max(1, math.Abs(want)*math.Pow(2, -8))
		worst = max(worst, d)
		if !(d <= limit) {
			t.Fatalf("gelu(%v) = %v, want %v", v, y[i], want)
		}
	}
	t.Logf("largest error %.3g", worst)
	inf := float32(math.Inf(1))
	odd := []float32{0, inf, -inf, nan}
	gelu(odd, odd, 4, 1, 4)
	if odd[0] != 0 || odd[1] != inf || math.Abs(float64(odd[2])) > limit || odd[3] == odd[3] {
		t.Fatalf("gelu of 0, ∞, −∞ and NaN is %v", odd)
	}
}

// TestGELUQuickShapes demands the same bits in any place of any shape, and nothing else written.
func TestGELUQuickShapes(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 22))
		for _, cols := range []int{1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 70} {
			for _, rows := range []int{1, 2, 5} {
				for _, gelu := range []activation{active.geluQuick, active.geluCoarse} {
					x, y := randomMatrix(rng, rows, cols, cols+3), randomMatrix(rng, rows, cols, cols+3)
					gelu(y.data, x.data, x.ld, rows, cols)
					y.checkCanaries(t)
					for i := range rows {
						for j := range cols {
							alone := []float32{x.data[i*x.ld+j]}
							gelu(alone, alone, 1, 1, 1)
							if alone[0] != y.data[i*y.ld+j] {
								t.Fatalf("[%d, %d] of [%d, %d] is %v, alone %v", i, j, rows, cols, y.at(i, j), alone[0])
							}
						}
					}
				}
			}
		}
	})
}
