package kernels

import (
	"math/rand/v2"
	"testing"
)

// TestInt16NoReadBeyond runs the routines on memory that ends where their operands end.
func TestInt16NoReadBeyond(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(5, 27))
		for _, n := range []int{1, 7, 15, 16, 17, 31, 32, 33, 50} {
			for _, m := range []int{1, 5, 12} {
				const k = 19
				q, scale := as[int16](guarded(t, rng, m*wordStride(k)/2)), guarded(t, rng, m)
				active.wordRows(q, wordStride(k), scale, guarded(t, rng, m*k), k, m, k, 100)
				b := packedInt16{Panels[int16]{k, n, as[int16](guarded(t, rng, panelsLen[int16](k, n)/2))}, guarded(t, rng, n)}
				b.packColumns(guarded(t, rng, k*n), n)
				gemmInt16(guarded(t, rng, m*n), n, q, wordStride(k), scale, m, &b, guarded(t, rng, n))
				b.packRows(guarded(t, rng, k*n), k, as[int16](guarded(t, rng, panelWidth*wordStride(k)/2)))
				ld := (n + 15) &^ 15
				active.softmaxWords(guarded(t, rng, m*ld), guarded(t, rng, m), ld, m, n, 1, 10)
			}
			const heads, headDim, embed = 2, 9, 18
			Attention(guarded(t, rng, n*embed), embed, guarded(t, rng, n*3*embed), 3*embed, n, heads, headDim,
				Queries{Count: n, Reduced: true}, guarded(t, rng, AttentionReducedScratch(n, headDim)))
		}
	})
}
