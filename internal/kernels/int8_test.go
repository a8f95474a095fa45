package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// quantized are rows as QuantizeRows writes them.
type quantized struct {
	q           []uint8
	scale       []float32
	rows, k, ld int
}

func quantize(x []float32, ldx, rows, k int) quantized {
	a := quantized{make([]uint8, rows*Int8Stride(k)), make([]float32, rows), rows, k, Int8Stride(k)}
	QuantizeRows(a.q, a.ld, a.scale, x, ldx, rows, k)
	return a
}

// at is the number that stands for element (i, l).
func (a quantized) at(i, l int) int { return int(a.q[i*a.ld+l]) - 128 }

// at is the number that stands for w[j][l], wherever the layout has put it.
func (b *PackedInt8) at(j, l int) int {
	return int(b.Data[j/panelWidth*panelWidth*4*steps[int8](b.K)+l/4*4*panelWidth+j%panelWidth*4+l%4])
}

// sum is what the assembly must add up to, exactly.
func (b *PackedInt8) sum(a quantized, i, j int) int {
	s := 0
	for l := range b.K {
		s += a.at(i, l) * b.at(j, l)
	}
	return s
}

// TestGemmInt8Sums compares the integers with a plain loop: all scales are 1, so that C is the sum itself (below 2²⁴
// a float32 has them all).
func TestGemmInt8Sums(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 20))
		shapes := [][3]int{{13, 40, 700}, {5, 33, 513}, {400, 33, 20}}
		for _, m := range awkward {
			for _, n := range awkward {
				for _, k := range awkward {
					if m*n*k <= 1<<18 {
						shapes = append(shapes, [3]int{m, n, k})
					}
				}
			}
		}
		for _, s := range shapes {
			m, n, k := s[0], s[1], s[2]
			a, b := randomInt8(rng, m, k), randomPackedInt8(rng, k, n)
			for i := range b.Scale {
				b.Scale[i] = 1
			}
			for i := range a.scale {
				a.scale[i] = 1
			}
			c := randomMatrix(rng, m, n, n+7)
			GemmInt8(c.data, c.ld, a.q, a.ld, a.scale, m, b, Epilogue{})
			for i := range m {
				for j := range n {
					if want := b.sum(a, i, j); c.at(i, j) != float64(want) {
						t.Fatalf("m %d n %d k %d: c[%d, %d] = %v, want %d", m, n, k, i, j, c.at(i, j), want)
					}
				}
			}
			c.checkCanaries(t)
		}
	})
}

// randomInt8 returns rows of all bytes that there are, even 0, which QuantizeRows never writes.
func randomInt8(rng *rand.Rand, rows, k int) quantized {
	a := quantized{make([]uint8, rows*Int8Stride(k)), normal(rng, rows), rows, k, Int8Stride(k)}
	for i := range a.q {
		a.q[i] = uint8(rng.UintN(256))
	}
	return a
}

func randomPackedInt8(rng *rand.Rand, k, n int) *PackedInt8 {
	b := new(PackedInt8)
	PackInt8(b, normal(rng, n*k), k, k, n)
	return b
}

// TestGemmInt8Extremes has the largest sums: a dot product of pairs in 16 bits would saturate.
func TestGemmInt8Extremes(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		const m, n = 13, 33
		for _, k := range []int{1, 2, 4, 5, 384, 4096, maxInt8K} {
			for _, x := range []float32{1, -1} {
				for _, y := range []float32{1, -1} {
					w, v, c := make([]float32, n*k), make([]float32, m*k), make([]float32, m*n)
					for i := range w {
						w[i] = y
					}
					for i := range v {
						v[i] = x
					}
					var b PackedInt8
					PackInt8(&b, w, k, k, n)
					a := quantize(v, k, m, k)
					for i := range b.Scale {
						b.Scale[i] = 1
					}
					for i := range a.scale {
						a.scale[i] = 1
					}
					GemmInt8(c, n, a.q, a.ld, a.scale, m, &b, Epilogue{})
					for i, got := range c {
						if want := float32(127 * 127 * k * int(x*y)); got != want {
							t.Fatalf("k %d, all %v times all %v: c[%d] = %v, want %v", k, x, y, i, got, want)
						}
					}
				}
			}
		}
	})
}

// TestGemmInt8 compares with the same in float64, to the rounding of the epilogue, and the float64 with the product
// that was quantised.
func TestGemmInt8(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(2, 20))
		for _, m := range []int{1, 7, 12, 13, 25} {
			for _, n := range []int{1, 15, 16, 17, 31, 32, 33, 64, 100} {
				for _, k := range []int{0, 1, 3, 48, 193} {
					x, w, c := randomMatrix(rng, m, k, k+3), randomMatrix(rng, n, k, k+5), randomMatrix(rng, m, n, n+7)
					old := c.clone()
					var b PackedInt8
					PackInt8(&b, w.data, w.ld, k, n)
					a := quantize(x.data, x.ld, m, k)
					want := exact{m: m, n: n, k: k}
					want.a = func(i, l int) float64 { return float64(a.scale[i]) * float64(a.at(i, l)) }
					want.b = func(l, j int) float64 { return float64(b.Scale[j]) * float64(b.at(j, l)) }
					for i := range m {
						for l := range k {
							if d := math.Abs(want.a(i, l) - x.at(i, l)); d > 0.5001*float64(a.scale[i]) {
								t.Fatalf("x[%d, %d] is off by %v, its scale %v", i, l, d, a.scale[i])
							}
						}
					}
					for j := range n {
						sum := 0
						for l := range k {
							if d := math.Abs(want.b(l, j) - w.at(j, l)); d > 0.5001*float64(b.Scale[j]) {
								t.Fatalf("w[%d, %d] is off by %v, its scale %v", j, l, d, b.Scale[j])
							}
							sum += 128 * b.at(j, l)
						}
						if int(b.Offset[j]) != sum {
							t.Fatalf("offset %d is %d, want %d", j, b.Offset[j], sum)
						}
					}
					e := Epilogue{}
					if (m+n)%2 == 0 {
						e.Bias = normal(rng, n)
						want.bias = e.Bias
					}
					if (n+k)%2 == 0 {
						e.Add = true
						want.c = &old
					}
					GemmInt8(c.data, c.ld, a.q, a.ld, a.scale, m, &b, e)
					want.check(t, c)
					e.GELU = true
					again := old.clone()
					GemmInt8(again.data, again.ld, a.q, a.ld, a.scale, m, &b, e)
					active.geluCoarse(c.data, c.data, c.ld, m, n)
					sameBits(t, "with gelu", again, c)
				}
			}
		}
	})
}

// TestInt8RowsAlone demands that a row has the same bits alone as among any number of others, and a column the same
// in a part of the weight.
func TestInt8RowsAlone(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 20))
		const m, n, k, cut = 451, 72, 65, panelWidth
		b, bias := randomPackedInt8(rng, k, n), normal(rng, n)
		a := quantize(normal(rng, m*k), k, m, k)
		e := Epilogue{Bias: bias, Add: true, GELU: true}
		start := normal(rng, m*n)
		whole := slices.Clone(start)
		GemmInt8(whole, n, a.q, a.ld, a.scale, m, b, e)
		check := func(what string, got []float32) {
			t.Helper()
			for i, v := range got {
				if math.Float32bits(v) != math.Float32bits(whole[i]) {
					t.Fatalf("%s: c[%d, %d] = %v, with all rows %v", what, i/n, i%n, v, whole[i])
				}
			}
		}
		for size := 1; size < 40; size++ {
			got := slices.Clone(start)
			for i := 0; i < m; i += size {
				GemmInt8(got[i*n:], n, a.q[i*a.ld:], a.ld, a.scale[i:], min(size, m-i), b, e)
			}
			check(fmt.Sprint(size, " rows at a time"), got)
		}
		size := panelsLen[int8](k, cut)
		left := &PackedInt8{Panels[int8]{k, cut, b.Data[:size]}, b.Scale[:cut], b.Offset[:cut]}
		right := &PackedInt8{Panels[int8]{k, n - cut, b.Data[size:]}, b.Scale[cut:], b.Offset[cut:]}
		got := slices.Clone(start)
		GemmInt8(got, n, a.q, a.ld, a.scale, m, left, Epilogue{Bias: bias[:cut], Add: true, GELU: true})
		GemmInt8(got[cut:], n, a.q, a.ld, a.scale, m, right, Epilogue{Bias: bias[cut:], Add: true, GELU: true})
		check("cut in two", got)
	})
}

// TestGemmInt8Odd has rows and columns of zeros, and with NaN and infinities in them: those come out as NaN, the
// others as if alone.
func TestGemmInt8Odd(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(4, 20))
		const m, n, k = 25, 40, 70
		inf := float32(math.Inf(1))
		x, w, bias := normal(rng, m*k), normal(rng, n*k), normal(rng, n)
		var clean, b PackedInt8
		PackInt8(&clean, w, k, k, n)
		a := quantize(x, k, m, k)
		want, got := make([]float32, m*n), make([]float32, m*n)
		GemmInt8(want, n, a.q, a.ld, a.scale, m, &clean, Epilogue{Bias: bias})
		clear(x[3*k : 4*k])
		clear(w[5*k : 6*k])
		x[7*k+69], x[8*k], x[24*k+33] = nan, inf, -inf
		w[6*k+64], w[38*k+1] = nan, -inf
		PackInt8(&b, w, k, k, n)
		a = quantize(x, k, m, k)
		GemmInt8(got, n, a.q, a.ld, a.scale, m, &b, Epilogue{Bias: bias})
		for at, v := range got {
			i, j := at/n, at%n
			switch {
			case i == 7 || i == 8 || i == 24 || j == 6 || j == 38:
				if v == v {
					t.Fatalf("[%d, %d] is %v", i, j, v)
				}
			case i == 3 || j == 5:
				if v != bias[j] {
					t.Fatalf("[%d, %d] is %v, not the bias %v", i, j, v, bias[j])
				}
			case v != want[at]:
				t.Fatalf("[%d, %d] is %v, not %v", i, j, v, want[at])
			}
		}
	})
}

// TestPackInt8Again packs into memory that holds something else.
func TestPackInt8Again(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 20))
	b := randomPackedInt8(rng, 70, 100)
	data := &b.Data[0]
	w := normal(rng, 31*67)
	PackInt8(b, w, 67, 67, 31)
	if &b.Data[0] != data {
		t.Fatal("memory was not used again")
	}
	var fresh PackedInt8
	PackInt8(&fresh, w, 67, 67, 31)
	if !slices.Equal(b.Data, fresh.Data) || !slices.Equal(b.Scale, fresh.Scale) ||
		!slices.Equal(b.Offset, fresh.Offset) {
		t.Fatal("what the memory held shows")
	}
}

// BenchmarkGemmInt8 reports each shape's share of the peak that is measured beside it: of the product, and of the
// product with the rows' quantisation.
func BenchmarkGemmInt8(b *testing.B) {
	for _, s := range [][3]int{
		{197, 384, 1152}, {197, 384, 384}, {197, 384, 1536}, {197, 1536, 384}, {197, 192, 576}, {197, 192, 768},
		{197, 768, 192}, {1576, 384, 1536}, {20, 384, 1536}, {1, 384, 1536},
	} {
		m, k, n := s[0], s[1], s[2]
		rng := rand.New(rand.NewPCG(6, 20))
		weight := randomPackedInt8(rng, k, n)
		x, c := normal(rng, m*k), make([]float32, m*n)
		a := quantize(x, k, m, k)
		for _, with := range []string{"product", "quantise"} {
			b.Run(fmt.Sprintf("%s/m%d_k%d_n%d", with, m, k, n), func(b *testing.B) {
				reportPeakOf(b, PeakInt8, 2*m*k*n, func() {
					if with == "quantise" {
						QuantizeRows(a.q, a.ld, a.scale, x, k, m, k)
					}
					GemmInt8(c, n, a.q, a.ld, a.scale, m, weight, Epilogue{})
				})
			})
		}
	}
}

// BenchmarkGemmInt8Cold meets another weight each time, as a model's layers do, so that it comes from memory.
func BenchmarkGemmInt8Cold(b *testing.B) {
	const k, n, layers = 384, 1536, 96
	rng := rand.New(rand.NewPCG(7, 20))
	weights, y := make([]PackedInt8, layers), normal(rng, k*n)
	for i := range weights {
		PackInt8(&weights[i], y, k, k, n)
	}
	for _, m := range []int{1, 12, 20, 72, 197} {
		a, c, i := quantize(normal(rng, m*k), k, m, k), make([]float32, m*n), 0
		b.Run(fmt.Sprintf("m%d", m), func(b *testing.B) {
			reportPeakOf(b, PeakInt8, 2*m*k*n, func() {
				GemmInt8(c, n, a.q, a.ld, a.scale, m, &weights[i%layers], Epilogue{})
				i++
			})
		})
	}
}

// TestInt8Allocates demands that steady state allocates nothing.
func TestInt8Allocates(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(9, 20))
		const m, n, k = 13, 40, 70
		b, x, ones, c := randomPackedInt8(rng, k, n), normal(rng, m*k), normal(rng, k), make([]float32, m*n)
		a := quantize(x, k, m, k)
		w := normal(rng, n*k)
		if allocs := testing.AllocsPerRun(10, func() {
			PackInt8(b, w, k, k, n)
			QuantizeRows(a.q, a.ld, a.scale, x, k, m, k)
			LayerNormQuantize(a.q, a.ld, a.scale, x, ones, ones, m, k, 1e-6, c)
			GemmInt8(c, n, a.q, a.ld, a.scale, m, b, Epilogue{Bias: ones[:n], Add: true, GELU: true})
		}); allocs != 0 {
			t.Fatalf("%v allocations", allocs)
		}
	})
}
