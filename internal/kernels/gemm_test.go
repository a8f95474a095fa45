package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// exact is what a test's product should be: sum(i, j) over k in float64, then the epilogue.
type exact struct {
	m, n, k int
	a, b    func(i, j int) float64
	bias    []float32
	c       *matrix // added, if not nil
	gelu    bool
}

func (p exact) at(i, j int) float64 {
	s := 0.0
	for l := range p.k {
		s += p.a(i, l) * p.b(l, j)
	}
	if p.bias != nil {
		s += float64(p.bias[j])
	}
	if p.c != nil {
		s += p.c.at(i, j)
	}
	if p.gelu {
		s = s / 2 * (1 + math.Erf(s/math.Sqrt2))
	}
	return s
}

func (p exact) check(t *testing.T, got matrix) {
	t.Helper()
	for i := range p.m {
		for j := range p.n {
			want := p.at(i, j)
			if !(math.Abs(got.at(i, j)-want) <= 1e-5*(1+math.Sqrt(float64(p.k)))*(1+math.Abs(want))) {
				t.Fatalf("m %d n %d k %d: c[%d, %d] = %v, want %v", p.m, p.n, p.k, i, j, got.at(i, j), want)
			}
		}
	}
	got.checkCanaries(t)
}

// TestGemm compares every product with the same in float64, over sizes where tiles end, with strides larger than
// widths.
func TestGemm(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		shapes := [][3]int{{13, 40, 700}, {5, 33, 513}, {400, 33, 20}} // longer than the blocks of rows and of k
		for _, m := range awkward {
			for _, n := range awkward {
				for _, k := range awkward {
					if m*n*k <= 1<<19 {
						shapes = append(shapes, [3]int{m, n, k})
					}
				}
			}
		}
		for _, s := range shapes {
			m, n, k := s[0], s[1], s[2]
			a, b, c := randomMatrix(rng, m, k, k+3), randomMatrix(rng, k, n, n+5), randomMatrix(rng, m, n, n+7)
			add := (m+n+k)%2 == 0
			want := exact{m: m, n: n, k: k, a: a.at, b: b.at}
			if add {
				old := c.clone()
				want.c = &old
			}
			got := c.clone()
			Gemm(got.data, got.ld, a.data, a.ld, b.data, b.ld, m, n, k, add)
			want.check(t, got)

			at := newMatrix(k, m, m+1, func() float32 { return 0 })
			for i := range m {
				for l := range k {
					at.data[l*at.ld+i] = a.data[i*a.ld+l]
				}
			}
			again := c.clone()
			GemmTN(again.data, again.ld, at.data, at.ld, b.data, b.ld, m, n, k, add)
			if k <= depthBlock {
				sameBits(t, "GemmTN", again, got)
			} else {
				want.check(t, again)
			}

			var packed Packed
			Pack(&packed, b.data, b.ld, k, n)
			again = c.clone()
			GemmPacked(again.data, again.ld, a.data, a.ld, m, &packed, Epilogue{Add: add})
			sameBits(t, "GemmPacked", again, got)

			want.bias, want.gelu = normal(rng, n), (m+k)%3 == 0
			got = c.clone()
			GemmPacked(got.data, got.ld, a.data, a.ld, m, &packed, Epilogue{Bias: want.bias, Add: add, GELU: want.gelu})
			want.check(t, got)
		}
	})
}

func sameBits(t *testing.T, what string, got, want matrix) {
	t.Helper()
	for i, v := range got.all {
		if math.Float32bits(v) != math.Float32bits(want.all[i]) {
			t.Fatalf("%s [%d, %d]: float %d is %v, not %v", what, got.rows, got.cols, i-margin, v, want.all[i])
		}
	}
}

// TestPackTransposed compares with packing a transpose written out.
func TestPackTransposed(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 4))
		var got, want Packed
		for _, k := range awkward {
			for _, n := range awkward {
				b := randomMatrix(rng, n, k, k+3)
				bt := make([]float32, k*n)
				for j := range n {
					for l := range k {
						bt[l*n+j] = b.data[j*b.ld+l]
					}
				}
				got.Data = append(got.Data[:0], normal(rng, PackedLen(k, n)+1)...) // old contents must not show
				PackTransposed(&got, b.data, b.ld, k, n)
				Pack(&want, bt, n, k, n)
				if len(got.Data) != PackedLen(k, n) {
					t.Fatalf("k %d n %d: %d floats, want %d", k, n, len(got.Data), PackedLen(k, n))
				}
				for i, v := range got.Data {
					if v != want.Data[i] {
						t.Fatalf("k %d n %d: packed float %d = %v, want %v", k, n, i, v, want.Data[i])
					}
				}
			}
		}
	})
}

// TestRowsAlone demands that a row of a product has the same bits alone as among any number of others.
func TestRowsAlone(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(5, 6))
		const m, n, k = 451, 72, 65
		a, b, bias := normal(rng, m*k), normal(rng, k*n), normal(rng, n)
		var packed Packed
		Pack(&packed, b, n, k, n)
		e := Epilogue{Bias: bias, Add: true, GELU: true}
		start := normal(rng, m*n)
		whole := append([]float32(nil), start...)
		GemmPacked(whole, n, a, k, m, &packed, e)
		for size := 1; size < 40; size++ {
			got := append([]float32(nil), start...)
			for i := 0; i < m; i += size {
				GemmPacked(got[i*n:], n, a[i*k:], k, min(size, m-i), &packed, e)
			}
			for i, v := range got {
				if math.Float32bits(v) != math.Float32bits(whole[i]) {
					t.Fatalf("%d rows at a time: c[%d, %d] = %v, with all rows %v", size, i/n, i%n, v, whole[i])
				}
			}
		}
	})
}

// BenchmarkGemm reports each shape's share of the peak that is measured beside it.
func BenchmarkGemm(b *testing.B) {
	shapes := []struct {
		form    string
		m, k, n int
	}{
		{"packed", 197, 384, 1152}, {"packed", 197, 384, 384}, {"packed", 197, 384, 1536}, {"packed", 197, 1536, 384},
		{"packed", 400, 96, 288}, {"packed", 3200, 96, 288}, {"packed", 400, 96, 96}, {"packed", 3200, 96, 96},
		{"packed", 400, 96, 384}, {"packed", 3200, 96, 384}, {"packed", 400, 384, 96}, {"packed", 3200, 384, 96},
		{"packed", 1, 384, 1000}, {"packed", 20, 384, 1536},
		{"TN", 384, 400, 96}, {"TN", 96, 400, 384}, {"TN", 288, 400, 96},
		{"TN", 384, 3200, 96}, {"TN", 384, 800, 96}, {"TN", 96, 3200, 384},
		{"plain", 400, 384, 96}, {"plain", 400, 96, 384},
	}
	for _, s := range shapes {
		b.Run(fmt.Sprintf("%s/m%d_k%d_n%d", s.form, s.m, s.k, s.n), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(7, 8))
			x, y, c := normal(rng, s.m*s.k), normal(rng, s.k*s.n), make([]float32, s.m*s.n)
			var packed Packed
			Pack(&packed, y, s.n, s.k, s.n)
			reportPeak(b, 2*s.m*s.k*s.n, func() {
				switch s.form {
				case "packed":
					GemmPacked(c, s.n, x, s.k, s.m, &packed, Epilogue{})
				case "TN":
					GemmTN(c, s.n, x, s.m, y, s.n, s.m, s.n, s.k, false)
				case "plain":
					Gemm(c, s.n, x, s.k, y, s.n, s.m, s.n, s.k, false)
				}
			})
		})
	}
}

// BenchmarkGemmCold meets another weight each time, as a model's layers do, so that it comes from memory.
func BenchmarkGemmCold(b *testing.B) {
	const k, n, layers = 384, 1536, 40
	rng := rand.New(rand.NewPCG(9, 10))
	weights, y := make([]Packed, layers), normal(rng, k*n)
	for i := range weights {
		Pack(&weights[i], y, n, k, n)
	}
	for _, m := range []int{1, 12, 20, 72, 197} {
		x, c, i := normal(rng, m*k), make([]float32, m*n), 0
		b.Run(fmt.Sprintf("m%d", m), func(b *testing.B) {
			reportPeak(b, 2*m*k*n, func() {
				GemmPacked(c, n, x, k, m, &weights[i%layers], Epilogue{})
				i++
			})
		})
	}
}
