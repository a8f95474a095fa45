package kernels

import (
	"math/rand/v2"
	"testing"
)

// TestNoReadBeyondTraining runs the routines of training in bfloat16 on memory that ends where their operands end.
func TestNoReadBeyondTraining(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(15, 14))
		for _, n := range []int{1, 15, 16, 17, 32, 50} {
			for _, rows := range []int{1, 2, 5, 12} {
				ld := BF16Stride(n)
				panels := func() *PackedBF16 {
					return &PackedBF16{K: rows, N: n, Data: guardedHalves(t, rng, panelsLen[uint16](rows, n))}
				}
				a, b, narrow := panels(), panels(), rows*n/2*2 // guarded memory comes in even numbers
				RoundPairsBF16(guardedHalves(t, rng, rows*ld), ld, a, 0, guarded(t, rng, rows*n), n, rows)
				if narrow == rows*n {
					h := guardedHalves(t, rng, narrow)
					InterleaveBF16(b, 0, h, n, rows)
					GELUBF16(h, guardedHalves(t, rng, rows*ld), ld, guarded(t, rng, rows*n), rows, n)
					GELUBackwardBF16(guardedHalves(t, rng, rows*ld), ld, a, b, 0, h, guarded(t, rng, rows*n), rows)
				} else {
					RoundPairsBF16(guardedHalves(t, rng, rows*ld), ld, b, 0, guarded(t, rng, rows*n), n, rows)
				}
				ColumnSumsBF16(guarded(t, rng, n), a)
				GemmTNBF16(guarded(t, rng, n*n), n, a, b, true)
				LayerNormBackwardBF16(guarded(t, rng, rows*n), guarded(t, rng, n), guarded(t, rng, n),
					guardedHalves(t, rng, rows*(n+n&1)), n+n&1, guarded(t, rng, rows*n), guarded(t, rng, rows*n),
					guarded(t, rng, n), guarded(t, rng, n), rows, n, 1e-6)
			}
			const heads, headDim = 2, 8
			var w AttentionBF16
			qkv, out := guardedHalves(t, rng, n*3*heads*headDim), guardedHalves(t, rng, n*heads*headDim)
			for i := range qkv {
				qkv[i] = nearestBF16(float32(rng.NormFloat64()))
			}
			w.Forward(out, heads*headDim, qkv, 3*heads*headDim, n, n, heads, headDim, nil)
			w.Backward(guarded(t, rng, n*3*heads*headDim), 3*heads*headDim, guarded(t, rng, n), out, heads*headDim, qkv,
				3*heads*headDim, n, n, heads, headDim, nil)
		}
	})
}
