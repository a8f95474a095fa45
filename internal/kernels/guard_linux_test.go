package kernels

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"unsafe"
)

// guarded returns n floats right below a page that may not be touched: reading past them ends the test.
func guarded(t *testing.T, rng *rand.Rand, n int) []float32 {
	t.Helper()
	page := syscall.Getpagesize()
	size := (4*n + page - 1) / page * page
	const access, kind = syscall.PROT_READ | syscall.PROT_WRITE, syscall.MAP_ANON | syscall.MAP_PRIVATE
	memory, err := syscall.Mmap(-1, 0, size+page, access, kind)
	if err != nil {
		t.Skip("no memory to guard: ", err)
	}
	t.Cleanup(func() { syscall.Munmap(memory) })
	if err := syscall.Mprotect(memory[size:], syscall.PROT_NONE); err != nil {
		t.Skip("no page to guard with: ", err)
	}
	if n == 0 {
		return nil
	}
	x := unsafe.Slice((*float32)(unsafe.Pointer(&memory[size-4*n])), n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// TestNoReadBeyond runs the routines on memory that ends where their operands end.
func TestNoReadBeyond(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 14))
		for _, n := range []int{1, 7, 9, 15, 16, 17, 31, 32, 33, 50} {
			for _, m := range []int{1, 5, 13} {
				const k = 19
				a, b, bt, c := guarded(t, rng, m*k), guarded(t, rng, k*n), guarded(t, rng, n*k), guarded(t, rng, m*n)
				bias, at := guarded(t, rng, n), guarded(t, rng, k*m)
				packed := Packed{Data: guarded(t, rng, PackedLen(k, n))}
				Gemm(c, n, a, k, b, n, m, n, k, true)
				GemmTN(c, n, at, m, b, n, m, n, k, true)
				PackTransposed(&packed, bt, k, k, n)
				GemmPacked(c, n, a, k, m, &packed, Epilogue{Bias: bias, Add: true, GELU: true})
				Pack(&packed, b, n, k, n)
				active.softmaxRows(c, nil, n, m, n, 1)
				ColumnSums(bias, c, n, m, n)
				mean, rstd, dx := guarded(t, rng, m), guarded(t, rng, m), guarded(t, rng, m*n)
				LayerNormTrain(c, mean, rstd, c, bias, bias, m, n, 1e-6)
				LayerNormBackward(dx, bias, bias, c, c, bias, mean, rstd, m, n)
				GELU(c, c)
				Scale(c, 0.5)
				GELUBackward(c, dx, c, c)
				Axpy(c, 2, dx)
				Lerp(c, dx, 0.5)
				Dot(c, dx)
				SumSquares(c)
				AdamW(c, dx, dx, c, AdamWStep{Correction1: 1, Correction2: 1})
			}
			const heads, headDim, embed = 2, 9, 18
			qkv, dqkv, out := guarded(t, rng, n*3*embed), guarded(t, rng, n*3*embed), guarded(t, rng, n*embed)
			scratch := guarded(t, rng, max(AttentionScratch(n, headDim), AttentionBackwardScratch(n, headDim)))
			Attention(out, embed, qkv, 3*embed, n, heads, headDim, Queries{Count: n}, scratch)
			AttentionReceived(guarded(t, rng, n), qkv, 3*embed, n, heads, headDim, guarded(t, rng, n), scratch)
			for _, queries := range []int{n, n / 2} {
				some := out[:queries*embed]
				credit := guarded(t, rng, n)
				AttentionBackward(dqkv, credit, some, embed, qkv, 3*embed, some, n, queries, heads, headDim,
					guarded(t, rng, n), scratch)
			}
		}
	})
}

// TestResampleNoReadBeyond runs the routines on memory that ends where their operands end.
func TestResampleNoReadBeyond(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(9, 4))
		for _, n := range []int{16, 32, 48, 64, 112} {
			for _, taps := range []int{1, 2, 5} {
				first := unsafe.Slice((*int32)(unsafe.Pointer(&guarded(t, rng, 2)[0])), 2)
				first[0], first[1] = 0, 3
				weights := unsafe.Slice((*int32)(unsafe.Pointer(&guarded(t, rng, 2*taps)[0])), 2*taps)
				ld := n + 4
				src := guardedBytes[uint8](t, rng, (2+taps)*ld+n)
				Resample(guardedBytes[uint8](t, rng, 2*n), src, ld, n, first, weights)
			}
			for _, ld := range []int{16, 20} {
				TransposeBytes(guardedBytes[uint8](t, rng, (n-1)*ld+16), ld, guardedBytes[uint8](t, rng, 15*(n+4)+n), n+4, n)
			}
		}
		TransposeBytes(guardedBytes[uint8](t, rng, 8*16), 16, guardedBytes[uint8](t, rng, 16*8), 8, 8)
	})
}
