package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestAttentionReduced holds the error against the bound that Queries documents.
func TestAttentionReduced(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 10))
		for _, s := range attentionShapes {
			embed := s.heads * s.headDim
			qkv := randomMatrix(rng, s.n, 3*embed, 3*embed+4)
			want, _ := attentionOf(qkv, s.n, s.heads, s.headDim, nil)
			size := AttentionReducedScratch(s.n, s.headDim)
			scratch := newMatrix(1, size, size, func() float32 { return nan })
			var whole matrix
			for _, queries := range []int{s.n, 1, min(s.n, 13)} {
				out := randomMatrix(rng, queries, embed, embed+3)
				Attention(out.data, out.ld, qkv.data, qkv.ld, s.n, s.heads, s.headDim,
					Queries{Count: queries, Reduced: true}, scratch.data[:size])
				out.checkCanaries(t)
				scratch.checkCanaries(t)
				if queries == s.n {
					whole = out
				}
				for h := range s.heads {
					bound := reducedBound(qkv, s.n, embed, h*s.headDim, s.headDim)
					for i := range queries {
						for j := h * s.headDim; j < (h+1)*s.headDim; j++ {
							if !(math.Abs(out.at(i, j)-want[i][j]) <= bound) {
								t.Fatalf("%+v: out[%d, %d] = %v, want %v ± %.2g",
									s, i, j, out.at(i, j), want[i][j], bound)
							}
							if out.at(i, j) != whole.at(i, j) {
								t.Fatalf("%+v: with %d queries out[%d, %d] is %v, with all %v",
									s, queries, i, j, out.at(i, j), whole.at(i, j))
							}
						}
					}
				}
			}
		}
	})
}

// TestAttentionFrom demands the bits of the whole image from a part of its rows, wherever the part begins.
func TestAttentionFrom(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 15))
		for _, s := range attentionShapes {
			embed := s.heads * s.headDim
			qkv := randomMatrix(rng, s.n, 3*embed, 3*embed+4)
			scratch := make([]float32, AttentionReducedScratch(s.n, s.headDim))
			for _, reduced := range []bool{false, true} {
				whole := make([]float32, s.n*embed)
				run := func(out []float32, ldo, first, queries int) {
					Attention(out, ldo, qkv.data, qkv.ld, s.n, s.heads, s.headDim,
						Queries{First: first, Count: queries, Reduced: reduced}, scratch)
				}
				run(whole, embed, 0, s.n)
				for _, first := range []int{s.n / 3, s.n / 2, s.n - 1, s.n} {
					for _, queries := range []int{1, 14, s.n} {
						rows := min(queries, s.n-first)
						out := randomMatrix(rng, rows, embed, embed+3)
						run(out.data, out.ld, first, queries)
						out.checkCanaries(t)
						for i := range rows {
							for j := range embed {
								if got, want := out.data[i*out.ld+j], whole[(first+i)*embed+j]; got != want {
									t.Fatalf("%+v, reduced %v, from %d: out[%d, %d] is %v, in the whole image %v",
										s, reduced, first, i, j, got, want)
								}
							}
						}
					}
				}
			}
		}
	})
}

// reducedBound is (2⁻⁷ + 2δ)·max|v| of the head whose columns start at, with a little for second order and float32
// sums.
func reducedBound(qkv matrix, n, embed, at, headDim int) float64 {
	largest, product := 0.0, 0.0
	for i := range n {
		for d := range headDim {
			largest = max(largest, math.Abs(qkv.at(i, 2*embed+at+d)))
		}
		for j := range n {
			s := 0.0
			for d := range headDim {
				s += math.Abs(qkv.at(i, at+d) * qkv.at(j, embed+at+d))
			}
			product = max(product, s)
		}
	}
	delta := 0x1p-7 * product / math.Sqrt(float64(headDim))
	return 1.1 * (0x1p-7 + 2*delta) * largest
}

func BenchmarkAttentionReduced(b *testing.B) {
	rng := rand.New(rand.NewPCG(7, 13))
	for _, s := range []struct{ n, heads, headDim int }{{50, 3, 32}, {197, 6, 64}, {197, 3, 64}, {100, 6, 64}} {
		embed := s.heads * s.headDim
		qkv, out := normal(rng, s.n*3*embed), make([]float32, s.n*embed)
		scratch := make([]float32, AttentionReducedScratch(s.n, s.headDim))
		full := make([]float32, AttentionScratch(s.n, s.headDim))
		flops := 4 * s.heads * s.n * s.n * s.headDim
		b.Run(fmt.Sprintf("reduced/n%d_h%d_d%d", s.n, s.heads, s.headDim), func(b *testing.B) {
			reportPeakBF16(b, flops, func() {
				Attention(out, embed, qkv, 3*embed, s.n, s.heads, s.headDim,
					Queries{Count: s.n, Reduced: true}, scratch)
			})
		})
		b.Run(fmt.Sprintf("full/n%d_h%d_d%d", s.n, s.heads, s.headDim), func(b *testing.B) {
			reportPeak(b, flops, func() {
				Attention(out, embed, qkv, 3*embed, s.n, s.heads, s.headDim, Queries{Count: s.n}, full)
			})
		})
	}
}

// TestSoftmaxRowsBF16 holds the exponentials against rounding to bfloat16 and the sums against the approximation that
// precedes it.
func TestSoftmaxRowsBF16(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 11))
		for _, cols := range []int{1, 2, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 80, 197} {
			const rows = 3
			ld := (cols + 15) &^ 15
			for _, scale := range []float32{1, 0.125, 30} {
				x := newMatrix(rows, ld, ld, func() float32 { return float32(rng.NormFloat64()) - 40 })
				exact := x.clone()
				inverse := newMatrix(1, rows, rows, func() float32 { return nan })
				active.softmaxRowsBF16(x.data, inverse.data, ld, rows, cols, scale)
				inverse.checkCanaries(t)
				for i := range rows {
					largest, total := math.Inf(-1), 0.0
					for j := range cols {
						largest = max(largest, exact.at(i, j)*float64(scale))
					}
					half := as[uint16](x.data[i*ld : (i+1)*ld])
					for j := range cols {
						want := math.Exp(exact.at(i, j)*float64(scale) - largest)
						total += want
						// The product scale·x is rounded, hence the last factor.
						tolerance := want * (0x1p-8 + 4e-6*(1+float64(scale)))
						if got := float64(widen(half[j])); !(math.Abs(got-want) <= tolerance+1e-37) {
							t.Fatalf("%d columns, scale %v: exponential [%d, %d] is %v, want %v",
								cols, scale, i, j, got, want)
						}
					}
					close(t, "inverse", inverse.data[i], 1/total, 4e-6*(1+float64(scale)))
					if cols%2 != 0 && half[cols] != 0 {
						t.Fatalf("%d columns: followed by %#x, not by a zero", cols, half[cols])
					}
				}
				for _, v := range x.all[margin+rows*ld : len(x.all)] {
					if v != canary {
						t.Fatalf("%d columns: %v behind the rows", cols, v)
					}
				}
			}
		}
		// What is infinitely far below the largest is 0; NaN anywhere reaches the whole row through its sum.
		x, inverse := normal(rng, 3*48), make([]float32, 3)
		x[5], x[48+40] = -inf, nan
		active.softmaxRowsBF16(x, inverse, 48, 3, 41, 1)
		if v := as[uint16](x)[5]; v != 0 {
			t.Errorf("exp(-Inf) is %v", widen(v))
		}
		for i, v := range inverse {
			if (v != v) != (i == 1) || math.IsInf(float64(v), 0) {
				t.Errorf("NaN in row 1: inverse of row %d is %v", i, v)
			}
		}
	})
}

// TestNoAllocationBF16 runs everything that a pass in bfloat16 calls.
func TestNoAllocationBF16(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 12))
		const n, heads, headDim, embed = 19, 2, 17, 34
		qkv, out, bias := normal(rng, n*3*embed), make([]float32, n*embed), normal(rng, 3*embed)
		scratch := make([]float32, AttentionReducedScratch(n, headDim))
		y := make([]uint16, n*BF16Stride(embed))
		w := normal(rng, 3*embed*embed)
		var packed PackedBF16
		PackBF16(&packed, w, embed, embed, 3*embed)
		if a := testing.AllocsPerRun(5, func() {
			PackBF16(&packed, w, embed, embed, 3*embed)
			RoundBF16(y, BF16Stride(embed), out, embed, n, embed)
			LayerNormBF16(y, BF16Stride(embed), out, bias, bias, n, embed, 1e-6)
			GemmBF16(qkv, 3*embed, y, BF16Stride(embed), n, &packed, Epilogue{Bias: bias, Add: true, GELU: true})
			Attention(out, embed, qkv, 3*embed, n, heads, headDim, Queries{Count: n, Reduced: true}, scratch)
		}); a != 0 {
			t.Fatalf("%v allocations", a)
		}
	})
}
