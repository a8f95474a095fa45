package kernels

import (
	"math/rand/v2"
	"testing"
	"unsafe"
)

// guardedBytes returns n bytes (a multiple of 4) right below a page that may not be touched.
func guardedBytes[T int8 | uint8](t *testing.T, rng *rand.Rand, n int) []T {
	t.Helper()
	if n == 0 {
		return nil
	}
	x := unsafe.Slice((*T)(unsafe.Pointer(&guarded(t, rng, n/4)[0])), n)
	for i := range x {
		x[i] = T(rng.IntN(255) - 127)
	}
	return x
}

// TestInt8NoReadBeyond runs the routines on memory that ends where their operands end.
func TestInt8NoReadBeyond(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(8, 20))
		for _, n := range []int{1, 7, 15, 16, 17, 31, 32, 33, 50} {
			for _, m := range []int{1, 5, 13} {
				for _, k := range []int{1, 19, 64, 67} {
					x, gamma, ld := guarded(t, rng, m*k), guarded(t, rng, k), Int8Stride(k)
					q, scale := guardedBytes[uint8](t, rng, (m-1)*ld+int8Padded(k)), guarded(t, rng, m)
					QuantizeRows(q, ld, scale, x, k, m, k)
					LayerNormQuantize(q, ld, scale, x, gamma, gamma, m, k, 1e-6, guarded(t, rng, k))
					offset := unsafe.Slice((*int32)(unsafe.Pointer(&guarded(t, rng, n)[0])), n)
					b := &PackedInt8{Panels[int8]{k, n, guardedBytes[int8](t, rng, panelsLen[int8](k, n))}, guarded(t, rng, n), offset}
					c, bias := guarded(t, rng, m*n), guarded(t, rng, n)
					end := (m-1)*ld + 4*steps[int8](k)
					copy(q[len(q)-end:], q[:end])
					GemmInt8(c, n, q[len(q)-end:], ld, scale, m, b, Epilogue{Bias: bias, Add: true, GELU: true})
					active.packValuesInt8(*b, guarded(t, rng, k*n), n)
				}
				ld := (n + 15) &^ 15
				active.softmaxRowsInt8(guarded(t, rng, m*ld), guarded(t, rng, m), ld, m, n, 3, 1)
			}
		}
	})
}
