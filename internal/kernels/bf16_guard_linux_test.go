package kernels

import (
	"math/rand/v2"
	"testing"
)

// guardedHalves returns n uint16s, an even number, right below a page that may not be touched.
func guardedHalves(t *testing.T, rng *rand.Rand, n int) []uint16 {
	return as[uint16](guarded(t, rng, n/2))
}

// TestNoReadBeyondBF16 runs the routines on memory that ends where their operands end.
func TestNoReadBeyondBF16(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 14))
		for _, n := range []int{1, 7, 9, 15, 16, 17, 31, 32, 33, 50} {
			even := n + n&1
			for _, m := range []int{1, 5, 13} {
				for _, k := range []int{1, 18, 19, 65} {
					lda := k + k&1
					w, x := guarded(t, rng, n*k), guarded(t, rng, m*k)
					c, bias := guarded(t, rng, m*n), guarded(t, rng, n)
					packed := PackedBF16{Data: guardedHalves(t, rng, panelsLen[uint16](k, n))}
					PackBF16(&packed, w, k, k, n)
					a := guardedHalves(t, rng, m*lda)
					RoundBF16(a, lda, x, k, m, k)
					GemmBF16(c, n, a, lda, m, &packed, Epilogue{Bias: bias, Add: true, GELU: true})
					pairs := PackedBF16{K: k, N: n, Data: guardedHalves(t, rng, panelsLen[uint16](k, n))}
					active.packPairsBF16(pairs, guarded(t, rng, k*n), n)
				}
				y, gamma := guardedHalves(t, rng, m*even), guarded(t, rng, n)
				LayerNormBF16(y, even, guarded(t, rng, m*n), gamma, gamma, m, n, 1e-6)
				ld := (n + 15) &^ 15
				active.softmaxRowsBF16(guarded(t, rng, m*ld), guarded(t, rng, m), ld, m, n, 1)
			}
			const heads, headDim = 2, 9
			qkv, out := guarded(t, rng, n*3*heads*headDim), guarded(t, rng, n*heads*headDim)
			scratch := guarded(t, rng, AttentionReducedScratch(n, headDim))
			Attention(out, heads*headDim, qkv, 3*heads*headDim, n, heads, headDim, Queries{Count: n, Reduced: true}, scratch)
		}
	})
}
