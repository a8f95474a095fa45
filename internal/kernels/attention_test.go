package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// attentionOf is attention of one image in float64: out [n, E] from qkv [n, 3E] and a bias [n], or nil, and the
// probabilities [heads][n][n].
func attentionOf(qkv matrix, n, heads, headDim int, bias []float32) (out [][]float64, probs [][][]float64) {
	embed := heads * headDim
	out = make([][]float64, n)
	for i := range out {
		out[i] = make([]float64, embed)
	}
	for h := range heads {
		p := make([][]float64, n)
		for i := range n {
			p[i] = make([]float64, n)
			total := 0.0
			for j := range n {
				s := 0.0
				if bias != nil {
					s = float64(bias[j])
				}
				for d := range headDim {
					s += qkv.at(i, h*headDim+d) * qkv.at(j, embed+h*headDim+d)
				}
				p[i][j] = math.Exp(s / math.Sqrt(float64(headDim)))
				total += p[i][j]
			}
			for j := range n {
				p[i][j] /= total
				for d := range headDim {
					out[i][h*headDim+d] += p[i][j] * qkv.at(j, 2*embed+h*headDim+d)
				}
			}
		}
		probs = append(probs, p)
	}
	return out, probs
}

var attentionShapes = []struct{ n, heads, headDim int }{
	{1, 1, 1}, {1, 3, 32}, {2, 2, 5}, {7, 3, 32}, {16, 1, 16}, {17, 2, 64}, {31, 2, 24}, {33, 1, 48},
	{50, 3, 32}, {197, 2, 64}, {197, 1, 20},
}

func TestAttention(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 10))
		for _, s := range attentionShapes {
			embed := s.heads * s.headDim
			qkv := randomMatrix(rng, s.n, 3*embed, 3*embed+4)
			want, _ := attentionOf(qkv, s.n, s.heads, s.headDim, nil)
			size := AttentionScratch(s.n, s.headDim)
			scratch := newMatrix(1, size, size, func() float32 { return nan })
			var whole matrix
			for _, queries := range []int{s.n, 1, min(s.n, 13)} {
				out := randomMatrix(rng, queries, embed, embed+3)
				Attention(out.data, out.ld, qkv.data, qkv.ld, s.n, s.heads, s.headDim, Queries{Count: queries},
					scratch.data[:size])
				out.checkCanaries(t)
				scratch.checkCanaries(t)
				if queries == s.n {
					whole = out
				}
				for i := range queries {
					for j := range embed {
						close(t, fmt.Sprintf("%+v: out[%d, %d]", s, i, j), out.data[i*out.ld+j], want[i][j], 2e-6)
						if out.at(i, j) != whole.at(i, j) {
							t.Fatalf("%+v: with %d queries out[%d, %d] is %v, with all %v",
								s, queries, i, j, out.at(i, j), whole.at(i, j))
						}
					}
				}
			}
		}
	})
}

// TestAttentionBackward compares with the formulas in float64, for all rows attending and for some.
func TestAttentionBackward(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 11))
		for _, s := range attentionShapes {
			for _, queries := range []int{s.n, s.n / 2, 1, 0} {
				checkAttentionBackward(t, rng, s.n, min(queries, s.n), s.heads, s.headDim)
			}
		}
	})
}

func checkAttentionBackward(t *testing.T, rng *rand.Rand, n, queries, heads, headDim int) {
	t.Helper()
	embed := heads * headDim
	qkv, dout := randomMatrix(rng, n, 3*embed, 3*embed+4), randomMatrix(rng, queries, embed, embed+3)
	bias := normal(rng, n)
	if queries == 1 {
		bias = nil
	}
	exact, probs := attentionOf(qkv, n, heads, headDim, bias)
	out := newMatrix(queries, embed, embed+3, func() float32 { return 0 })
	for i := range queries {
		for j := range embed {
			out.data[i*out.ld+j] = float32(exact[i][j])
		}
	}
	got := randomMatrix(rng, n, 3*embed, 3*embed+4)
	size := AttentionBackwardScratch(n, headDim)
	scratch := newMatrix(1, size, size, func() float32 { return nan })
	credit := randomMatrix(rng, 1, n, n+3)
	AttentionBackward(got.data, credit.data[:n], dout.data, dout.ld, qkv.data, qkv.ld, out.data, n, queries, heads,
		headDim, bias, scratch.data[:size])
	got.checkCanaries(t)
	credit.checkCanaries(t)
	scratch.checkCanaries(t)
	want := make([][]float64, n)
	for i := range want {
		want[i] = make([]float64, 3*embed)
	}
	worth := make([]float64, n)
	scale := 1 / math.Sqrt(float64(headDim))
	for h, p := range probs {
		q, k, v := h*headDim, embed+h*headDim, 2*embed+h*headDim
		for i := range queries {
			dot := 0.0
			dp := make([]float64, n)
			for j := range n {
				for d := range headDim {
					dp[j] += dout.at(i, q+d) * qkv.at(j, v+d)
					want[j][v+d] += p[i][j] * dout.at(i, q+d)
				}
				dot += p[i][j] * dp[j]
			}
			for j := range n {
				ds := p[i][j] * (dp[j] - dot) * scale
				worth[j] += ds / scale
				for d := range headDim {
					want[i][q+d] += ds * qkv.at(j, k+d)
					want[j][k+d] += ds * qkv.at(i, q+d)
				}
			}
		}
	}
	for i := range n {
		what := fmt.Sprintf("n %d, queries %d, %d×%d: credit[%d]", n, queries, heads, headDim, i)
		close(t, what, credit.data[i], worth[i], 1e-5)
		for j := range 3 * embed {
			what := fmt.Sprintf("n %d, queries %d, %d×%d: dqkv[%d, %d]", n, queries, heads, headDim, i, j)
			close(t, what, got.data[i*got.ld+j], want[i][j], 1e-5)
		}
	}
}

// TestNoAllocation runs everything that a step of inference or training calls.
func TestNoAllocation(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 12))
		const n, heads, headDim, embed = 19, 2, 16, 32
		qkv, out, dqkv := normal(rng, n*3*embed), make([]float32, n*embed), make([]float32, n*3*embed)
		scratch := make([]float32, max(AttentionScratch(n, headDim), AttentionBackwardScratch(n, headDim)))
		w, bias, stats := normal(rng, 3*embed*embed), normal(rng, 3*embed), make([]float32, n)
		var packed Packed
		Pack(&packed, w, 3*embed, embed, 3*embed)
		if a := testing.AllocsPerRun(5, func() {
			PackTransposed(&packed, w, embed, embed, 3*embed)
			Pack(&packed, w, 3*embed, embed, 3*embed)
			GemmPacked(dqkv, 3*embed, out, embed, n, &packed, Epilogue{Bias: bias, GELU: true})
			Gemm(dqkv, 3*embed, out, embed, w, 3*embed, n, 3*embed, embed, true)
			GemmTN(w, 3*embed, out, embed, dqkv, 3*embed, embed, 3*embed, n, true)
			Attention(out, embed, qkv, 3*embed, n, heads, headDim, Queries{Count: n}, scratch)
			AttentionBackward(dqkv, nil, out, embed, qkv, 3*embed, out, n, n, heads, headDim, nil, scratch)
			AttentionReceived(stats, qkv, 3*embed, n, heads, headDim, nil, scratch)
			LayerNormTrain(out, stats, stats, out, bias, bias, n, embed, 1e-6)
			LayerNormBackward(out, bias, bias, out, out, bias, stats, stats, n, embed)
			active.softmaxRows(out, nil, embed, n, embed, 1)
			GELU(out, out)
			GELUBackward(out, nil, out, out)
			Add(out, out)
			Scale(out, 0.5)
			Lerp(out, qkv[:len(out)], 0.5)
			Dot(out, out)
			SumSquares(out)
			ColumnSums(bias, qkv, 3*embed, n, 3*embed)
			AdamW(w, w, w, w, AdamWStep{Correction1: 1, Correction2: 1})
		}); a != 0 {
			t.Fatalf("%v allocations", a)
		}
	})
}

func BenchmarkAttention(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 13))
	for _, s := range []struct{ n, heads, headDim int }{
		{50, 3, 32}, {25, 3, 32}, {197, 6, 64}, {100, 6, 64}, {197, 12, 64},
	} {
		embed := s.heads * s.headDim
		qkv, out, dqkv := normal(rng, s.n*3*embed), make([]float32, s.n*embed), make([]float32, s.n*3*embed)
		scratch := make([]float32, max(AttentionScratch(s.n, s.headDim), AttentionBackwardScratch(s.n, s.headDim)))
		flops := 4 * s.heads * s.n * s.n * s.headDim
		b.Run(fmt.Sprintf("forward/n%d_h%d_d%d", s.n, s.heads, s.headDim), func(b *testing.B) {
			reportPeak(b, flops, func() {
				Attention(out, embed, qkv, 3*embed, s.n, s.heads, s.headDim, Queries{Count: s.n}, scratch)
			})
		})
		b.Run(fmt.Sprintf("backward/n%d_h%d_d%d", s.n, s.heads, s.headDim), func(b *testing.B) {
			reportPeak(b, flops/2*5, func() {
				AttentionBackward(dqkv, nil, out, embed, qkv, 3*embed, out, s.n, s.n, s.heads, s.headDim, nil, scratch)
			})
		})
	}
}
