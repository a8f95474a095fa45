package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestVectors compares the element-wise routines and the reductions with float64 at every length up to where the
// unrolled loops have ended twice.
func TestVectors(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 6))
		for n := range 150 {
			x, y := randomMatrix(rng, 1, n, n), randomMatrix(rng, 1, n, n)
			check := func(what string, run func(dst, src []float32), want func(d, s float64) float64) {
				t.Helper()
				dst, src := x.clone(), y.clone()
				run(dst.data[:n], src.data[:n])
				for j := range n {
					close(t, fmt.Sprintf("%s of %d: [%d]", what, n, j), dst.data[j], want(x.at(0, j), y.at(0, j)), 1e-6)
				}
				dst.checkCanaries(t)
				sameBits(t, what+": source", src, y)
			}
			check("Add", Add, func(d, s float64) float64 { return d + s })
			check("Axpy", func(d, s []float32) { Axpy(d, -1.5, s) }, func(d, s float64) float64 { return d - 1.5*s })
			check("Scale", func(d, s []float32) { Scale(d, 0.3) },
				func(d, s float64) float64 { return d * float64(float32(0.3)) })
			check("Lerp", func(d, s []float32) { Lerp(d, s, 0.1) },
				func(d, s float64) float64 { return d + float64(float32(0.1))*(s-d) })
			dot, squares := 0.0, 0.0
			for j := range n {
				dot += x.at(0, j) * y.at(0, j)
				squares += x.at(0, j) * x.at(0, j)
			}
			close(t, fmt.Sprintf("Dot of %d", n), Dot(x.data[:n], y.data[:n]), dot, 1e-5)
			if got := SumSquares(x.data[:n]); math.Abs(got-squares) > 1e-12*(1+squares) {
				t.Fatalf("SumSquares of %d = %v, want %v", n, got, squares)
			}
		}
	})
}

func TestColumnSums(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 7))
		for _, rows := range []int{0, 1, 7, 33} {
			for _, cols := range []int{0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 133, 197} {
				x, dst := randomMatrix(rng, rows, cols, cols+3), randomMatrix(rng, 1, cols, cols)
				old := dst.clone()
				ColumnSums(dst.data[:cols], x.data, x.ld, rows, cols)
				for j := range cols {
					want := old.at(0, j)
					for i := range rows {
						want += x.at(i, j)
					}
					close(t, fmt.Sprintf("[%d, %d]: sum of column %d", rows, cols, j), dst.data[j], want, 1e-5)
				}
				dst.checkCanaries(t)
			}
		}
	})
}

// TestAdamW follows three steps in float64.
func TestAdamW(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 8))
		for _, n := range []int{0, 1, 7, 8, 15, 16, 17, 31, 33, 100} {
			zero := func() float32 { return 0 }
			p, m, v := randomMatrix(rng, 1, n, n), newMatrix(1, n, n, zero), newMatrix(1, n, n, zero)
			wp, wm, wv := make([]float64, n), make([]float64, n), make([]float64, n)
			for j := range n {
				wp[j] = p.at(0, j)
			}
			for step := 1; step <= 3; step++ {
				g := randomMatrix(rng, 1, n, n)
				c1, c2 := 1-math.Pow(0.9, float64(step)), 1-math.Pow(0.999, float64(step))
				s := AdamWStep{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Decay: 0.05, GradScale: 0.7,
					Correction1: float32(c1), Correction2: float32(c2)}
				AdamW(p.data[:n], m.data[:n], v.data[:n], g.data[:n], s)
				for j := range n {
					d := g.at(0, j) * 0.7
					wm[j] = 0.9*wm[j] + 0.1*d
					wv[j] = 0.999*wv[j] + 0.001*d*d
					wp[j] -= 1e-2 * 0.05 * wp[j]
					wp[j] -= 1e-2 * (wm[j] / c1) / (math.Sqrt(wv[j]/c2) + 1e-8)
					what := fmt.Sprintf("%d floats, step %d: [%d]", n, step, j)
					close(t, what+" m", m.data[j], wm[j], 1e-6)
					close(t, what+" v", v.data[j], wv[j], 1e-6)
					close(t, what+" p", p.data[j], wp[j], 3e-6)
				}
			}
			for _, x := range []matrix{p, m, v} {
				x.checkCanaries(t)
			}
		}
	})
}

func BenchmarkVector(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 9))
	const n = 1 << 14
	x, y, z, w := normal(rng, n), normal(rng, n), make([]float32, n), make([]float32, n)
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"Axpy", func() { Axpy(x, 1e-9, y) }},
		{"Dot", func() { Dot(x, y) }},
		{"SumSquares", func() { SumSquares(x) }},
		{"ColumnSums", func() { ColumnSums(z[:96], x, 96, n/96, 96) }},
		{"AdamW", func() {
			AdamW(x, z, w, y, AdamWStep{LR: 1e-9, Beta1: .9, Beta2: .999, Eps: 1e-8,
				Correction1: 1, Correction2: 1, GradScale: 1})
		}},
	} {
		b.Run(c.name, func(b *testing.B) { reportVectors(b, n, c.f) })
	}
}
