package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestAttentionRow compares with the probabilities of the plain attention, averaged over the heads.
func TestAttentionRow(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 30))
		for _, s := range attentionShapes {
			embed := s.heads * s.headDim
			qkv := randomMatrix(rng, s.n, 3*embed, 3*embed+4)
			_, probs := attentionOf(qkv, s.n, s.heads, s.headDim, nil)
			for _, row := range []int{0, s.n - 1} {
				out, scratch := randomMatrix(rng, 1, s.n, s.n+3), randomMatrix(rng, 1, s.n, s.n)
				AttentionRow(out.data[:s.n], qkv.data, qkv.ld, s.n, row, s.heads, s.headDim, scratch.data[:s.n])
				out.checkCanaries(t)
				scratch.checkCanaries(t)
				for j := range s.n {
					want := 0.0
					for _, p := range probs {
						want += p[row][j] / float64(s.heads)
					}
					close(t, fmt.Sprintf("%+v: row %d, key %d", s, row, j), float32(out.at(0, j)), want, 2e-6)
				}
			}
			keys := randomMatrix(rng, s.n, s.headDim, s.headDim)
			MeanKeys(keys.data[:s.n*s.headDim], qkv.data, qkv.ld, s.n, s.heads, s.headDim)
			keys.checkCanaries(t)
			for i := range s.n {
				for d := range s.headDim {
					want := 0.0
					for h := range s.heads {
						want += qkv.at(i, embed+h*s.headDim+d) / float64(s.heads)
					}
					close(t, fmt.Sprintf("%+v: mean key %d, %d", s, i, d), float32(keys.at(i, d)), want, 2e-6)
				}
			}
		}
	})
}

// TestAttentionReceived compares with the means of the plain attention's columns, with a bias and without.
func TestAttentionReceived(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 33))
		for _, s := range attentionShapes {
			embed, size := s.heads*s.headDim, AttentionScratch(s.n, s.headDim)
			qkv := randomMatrix(rng, s.n, 3*embed, 3*embed+4)
			for _, bias := range [][]float32{nil, normal(rng, s.n)} {
				_, probs := attentionOf(qkv, s.n, s.heads, s.headDim, bias)
				out, scratch := randomMatrix(rng, 1, s.n, s.n+3), randomMatrix(rng, 1, size, size)
				AttentionReceived(out.data[:s.n], qkv.data, qkv.ld, s.n, s.heads, s.headDim, bias, scratch.data[:size])
				out.checkCanaries(t)
				scratch.checkCanaries(t)
				for j := range s.n {
					want := 0.0
					for _, p := range probs {
						for i := range p {
							want += p[i][j] / float64(s.n*s.heads)
						}
					}
					close(t, fmt.Sprintf("%+v: key %d", s, j), float32(out.at(0, j)), want, 2e-6)
				}
			}
		}
	})
}

// TestAttentionRowBackward compares with the formula on the plain attention's probabilities.
func TestAttentionRowBackward(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 32))
		for _, s := range attentionShapes {
			embed, scale := s.heads*s.headDim, 1/(float64(s.heads)*math.Sqrt(float64(s.headDim)))
			qkv, d := randomMatrix(rng, s.n, 3*embed, 3*embed+4), normal(rng, s.n)
			_, probs := attentionOf(qkv, s.n, s.heads, s.headDim, nil)
			for _, row := range []int{0, s.n - 1} {
				got, scratch := randomMatrix(rng, s.n, 3*embed, 3*embed+4), randomMatrix(rng, 1, s.n, s.n)
				want := make([][]float64, s.n) // on top of what is there
				for i := range want {
					for j := range 3 * embed {
						want[i] = append(want[i], got.at(i, j))
					}
				}
				for h, p := range probs {
					mean := 0.0
					for j := range s.n {
						mean += p[row][j] * float64(d[j])
					}
					for j := range s.n {
						ds := p[row][j] * (float64(d[j]) - mean) * scale
						for i := range s.headDim {
							want[row][h*s.headDim+i] += ds * qkv.at(j, embed+h*s.headDim+i)
							want[j][embed+h*s.headDim+i] += ds * qkv.at(row, h*s.headDim+i)
						}
					}
				}
				AttentionRowBackward(got.data, d, qkv.data, qkv.ld, s.n, row, s.heads, s.headDim, scratch.data[:s.n])
				got.checkCanaries(t)
				scratch.checkCanaries(t)
				for i := range s.n {
					for j := range 3 * embed {
						what := fmt.Sprintf("%+v: row %d: dqkv[%d, %d]", s, row, i, j)
						close(t, what, got.data[i*got.ld+j], want[i][j], 5e-6)
					}
				}
			}
		}
	})
}

// TestAttentionBiased: with √headDim·log(s) as its bias a key counts as if it were there s times, in float32 and in
// bfloat16.
func TestAttentionBiased(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 31))
		for _, s := range attentionShapes {
			embed := s.heads * s.headDim
			qkv := randomMatrix(rng, s.n, 3*embed, 3*embed)
			bias := make([]float32, s.n)
			var times []int // rows of the image in which nothing is merged
			for j := range s.n {
				size := 1 + rng.IntN(3)
				bias[j] = float32(math.Sqrt(float64(s.headDim)) * math.Log(float64(size)))
				for range size {
					times = append(times, j)
				}
			}
			long := randomMatrix(rng, len(times), 3*embed, 3*embed)
			for i, j := range times {
				copy(long.data[i*3*embed:(i+1)*3*embed], qkv.data[j*3*embed:(j+1)*3*embed])
			}
			for _, reduced := range []bool{false, true} {
				room, tolerance := AttentionScratch, 5e-6
				if reduced {
					room, tolerance = AttentionReducedScratch, 0.03
				}
				got, want := randomMatrix(rng, s.n, embed, embed+3), randomMatrix(rng, len(times), embed, embed)
				scratch := make([]float32, room(len(times), s.headDim))
				Attention(got.data, got.ld, qkv.data, qkv.ld, s.n, s.heads, s.headDim,
					Queries{Count: s.n, Bias: bias, Reduced: reduced}, scratch)
				Attention(want.data, want.ld, long.data, long.ld, len(times), s.heads, s.headDim,
					Queries{Count: len(times), Reduced: reduced}, scratch)
				got.checkCanaries(t)
				for i, j := range times {
					for d := range embed {
						if a, b := got.at(j, d), want.at(i, d); math.Abs(a-b) > tolerance*(1+math.Abs(b)) {
							t.Fatalf("%+v, reduced %v: out[%d, %d] is %v, with all keys written out %v",
								s, reduced, j, d, a, b)
						}
					}
				}
			}
		}
	})
}
