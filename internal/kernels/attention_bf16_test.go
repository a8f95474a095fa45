package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestAttentionReduced holds the error against the bound that AttentionReduced documents.
func TestAttentionReduced(t *testing.T) {
	eachPathBF16(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 10))
		for _, s := range attentionShapes {
			embed := s.heads * s.headDim
			qkv := randomMatrix(rng, s.n, 3*embed, 3*embed+4)
			want, _ := attentionOf(qkv, s.n, s.heads, s.headDim)
			size := AttentionReducedScratch(s.n, s.headDim)
			scratch := newMatrix(1, size, size, func() float32 { return nan })
			var whole matrix
			for _, queries := range []int{s.n, 1, min(s.n, 13)} {
				out := randomMatrix(rng, queries, embed, embed+3)
				AttentionReduced(out.data, out.ld, qkv.data, qkv.ld, s.n, queries, s.heads, s.headDim, scratch.data[:scratch.cols])
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
								t.Fatalf("%+v: out[%d, %d] = %v, want %v ± %.2g", s, i, j, out.at(i, j), want[i][j], bound)
							}
							if out.at(i, j) != whole.at(i, j) {
								t.Fatalf("%+v: with %d queries out[%d, %d] is %v, with all %v", s, queries, i, j, out.at(i, j), whole.at(i, j))
							}
						}
					}
				}
			}
		}
	})
}

// reducedBound is (2⁻⁸ + 2δ)·max|v| of the head whose columns start at, with a little for second order and float32 sums.
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
	delta := 0x1p-8 * product / math.Sqrt(float64(headDim))
	return 1.1 * (0x1p-8 + 2*delta) * largest
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
			reportPeakBF16(b, flops, func() { AttentionReduced(out, embed, qkv, 3*embed, s.n, s.n, s.heads, s.headDim, scratch) })
		})
		b.Run(fmt.Sprintf("full/n%d_h%d_d%d", s.n, s.heads, s.headDim), func(b *testing.B) {
			reportPeak(b, flops, func() { Attention(out, embed, qkv, 3*embed, s.n, s.n, s.heads, s.headDim, full) })
		})
	}
}
