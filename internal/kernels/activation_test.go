package kernels

import (
	"math"
	"math/rand/v2"
	"testing"
)

var (
	inf = float32(math.Inf(1))
	nan = float32(math.NaN())
)

func geluOf(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) }

func geluSlope(x float64) float64 {
	return (1+math.Erf(x/math.Sqrt2))/2 + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
}

// sweep returns numbers that cover ±limit evenly, and every scale of size down to the subnormals.
func sweep(limit float32) []float32 {
	var x []float32
	const n = 1 << 16
	for i := range n {
		x = append(x, limit*(2*float32(i)/(n-1)-1))
	}
	for v := float32(1e-42); v < 1e38; v *= 1.37 {
		x = append(x, v, -v)
	}
	return append(x, 1e-45, 0, float32(math.Copysign(0, -1)), math.MaxFloat32, -math.MaxFloat32)
}

// TestErf holds the largest error of the portable erf; the others are held by gelu's.
func TestErf(t *testing.T) {
	worst, where := 0.0, float32(0)
	for _, v := range sweep(6) {
		e := math.Abs(float64(erf32(v)) - math.Erf(float64(v)))
		if !(e <= 2e-6) {
			t.Fatalf("erf(%v) = %v, want %v", v, erf32(v), math.Erf(float64(v)))
		}
		if e > worst {
			worst, where = e, v
		}
	}
	t.Logf("largest error %.3g at %v", worst, where)
	for v, want := range map[float32]float32{inf: 1, -inf: -1, 20: 1, -20: -1} {
		if got := erf32(v); got != want {
			t.Fatalf("erf(%v) = %v", v, got)
		}
	}
	if v := erf32(nan); v == v {
		t.Fatalf("erf(NaN) = %v", v)
	}
}

func TestGELU(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		x := sweep(12)
		x = x[:len(x)-2] // not the largest floats
		y, again := make([]float32, len(x)), make([]float32, len(x))
		dx, dy := make([]float32, len(x)), make([]float32, len(x))
		for i := range dy {
			dy[i] = 1 + float32(i%3)
		}
		GELU(y, x)
		GELUBackward(dx, again, x, dy)
		for i, v := range x {
			limit := 1.2e-6 * (1 + math.Abs(float64(v)))
			want := geluOf(float64(v))
			if !(math.Abs(float64(y[i])-want) <= limit) || !(math.Abs(float64(again[i])-want) <= limit) {
				t.Fatalf("gelu(%v) = %v, with the gradient %v, want %v", v, y[i], again[i], want)
			}
			if want := geluSlope(float64(v)) * float64(dy[i]); !(math.Abs(float64(dx[i])-want) <= 5e-6) {
				t.Fatalf("gelu'(%v)·%v = %v, want %v", v, dy[i], dx[i], want)
			}
		}
		clear(again)
		GELUBackward(again, nil, x, dy)
		for i := range dx {
			if again[i] != dx[i] {
				t.Fatalf("gelu'(%v) is %v with y and %v without", x[i], dx[i], again[i])
			}
		}
		special := []float32{nan, inf, -30}
		GELU(special, special)
		if special[0] == special[0] || special[1] != inf || special[2] != 0 {
			t.Fatalf("gelu of NaN, +Inf, -30 is %v", special)
		}
		ones := []float32{1, 1, 1}
		GELUBackward(ones, nil, []float32{nan, inf, -inf}, ones)
		if ones[0] == ones[0] || ones[1] != 1 || ones[2] != 0 {
			t.Fatalf("gelu' of NaN, +Inf, -Inf is %v", ones)
		}
	})
}

// TestActivationLengths checks every length at which vectors end, and that nothing beyond is written.
func TestActivationLengths(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 1))
		for n := range 70 {
			x, z, dx := randomMatrix(rng, 1, n, n), randomMatrix(rng, 1, n, n), randomMatrix(rng, 1, n, n)
			GELU(z.data[:n], x.data[:n])
			for j := range n {
				close(t, "gelu", z.data[j], geluOf(x.at(0, j)), 3e-6)
			}
			z.checkCanaries(t)
			dy := dx.clone()
			GELUBackward(dx.data[:n], z.data[:n], x.data[:n], dy.data[:n])
			for j := range n {
				close(t, "gelu", z.data[j], geluOf(x.at(0, j)), 3e-6)
				close(t, "gelu'", dx.data[j], geluSlope(x.at(0, j))*dy.at(0, j), 5e-6)
			}
			z.checkCanaries(t)
			dx.checkCanaries(t)
		}
	})
}

// TestExp measures the exponential through softmax, where the largest of the row is 0. Its relative error may be 2⁻²³
// for itself, and |x|·2⁻²³ for rounding x, as scale·x may be.
func TestExp(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		worst := 0.0
		for x := float32(0); x > -87.3; x -= 0.0173 {
			row := []float32{0, x}
			var inverse [1]float32
			active.softmaxRows(row, inverse[:], 2, 1, 2, 1)
			want := math.Exp(float64(x))
			if row[0] != 1 {
				t.Fatalf("exp(0) = %v", row[0])
			}
			worst = max(worst, math.Abs(float64(row[1])-want)/want*(1<<23)/(1-float64(x)))
		}
		if t.Logf("largest error (1 + |x|)·2⁻²³·%.2f", worst); worst > 1 {
			t.Fatalf("error of exp is (1 + |x|)·2⁻²³·%v", worst)
		}
		row := []float32{0, -inf, -1000, -88, -104}
		active.softmaxRows(row, nil, 5, 1, 5, 1)
		if row[0] != 1 || row[1] != 0 || row[2] != 0 ||
			!(row[3] >= 0 && row[3] < 1e-37) || !(row[4] >= 0 && row[4] < 1e-44) {
			t.Fatalf("softmax with very small terms: %v", row)
		}
	})
}

func TestSoftmaxRows(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(2, 2))
		for _, rows := range []int{0, 1, 7, 17} {
			for _, cols := range []int{0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 50, 197} {
				for _, scale := range []float32{1, 0.125, -0.5, 30, 0} {
					x := randomMatrix(rng, rows, cols, cols+5)
					for i := range rows {
						for j := range cols {
							x.data[i*x.ld+j] -= 40 // all far below 0, as the zeros of a masked vector would not be
						}
					}
					y := x.clone()
					active.softmaxRows(y.data, nil, y.ld, rows, cols, scale)
					y.checkCanaries(t)
					for i := range rows {
						largest, total := math.Inf(-1), 0.0
						for j := range cols {
							largest = max(largest, x.at(i, j)*float64(scale))
						}
						for j := range cols {
							total += math.Exp(x.at(i, j)*float64(scale) - largest)
						}
						for j := range cols {
							want := math.Exp(x.at(i, j)*float64(scale)-largest) / total
							if !(math.Abs(y.at(i, j)-want) <= 1e-6*want*(1+math.Abs(40*float64(scale)))+1e-37) {
								t.Fatalf("[%d, %d] scale %v: p[%d, %d] = %v, want %v",
									rows, cols, scale, i, j, y.at(i, j), want)
							}
						}
					}
				}
			}
		}
		// NaN anywhere makes the whole row NaN, and no other.
		for cols := 1; cols < 40; cols++ {
			for at := range cols {
				x := normal(rng, 3*cols)
				x[cols+at] = nan
				active.softmaxRows(x, nil, cols, 3, cols, 1)
				for j, v := range x {
					if (v != v) != (j/cols == 1) {
						t.Fatalf("%d columns, NaN at %d of row 1: [%d, %d] is %v", cols, at, j/cols, j%cols, v)
					}
				}
			}
		}
	})
}

func BenchmarkActivation(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 3))
	const n = 4096
	x, y, z := normal(rng, n), make([]float32, n), make([]float32, n)
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"GELU", func() { GELU(y, x) }},
		{"GELUBackward", func() { GELUBackward(y, z, x, x) }},
		{"Softmax64", func() { active.softmaxRows(z, nil, 64, n/64, 50, 0.1) }},
	} {
		b.Run(c.name, func(b *testing.B) { reportVectors(b, n, c.f) })
	}
}
