package kernels

import (
	"math/rand/v2"
	"testing"
	"unsafe"
)

// TestJPEGNoReadBeyond runs the routines on memory that ends where their operands end.
func TestJPEGNoReadBeyond(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(9, 5))
		bytes := func(n int) []byte { return guardedBytes[uint8](t, rng, (n+3)/4*4)[(4-n%4)%4:] }
		block := func() *DCTBlock { return (*DCTBlock)(unsafe.Pointer(&guarded(t, rng, 32)[0])) }
		for _, n := range []int{1, 2, 15, 16, 17, 18, 19, 31, 32, 33, 34, 35, 50} {
			Upsample(bytes(2*n), bytes(n), bytes(n), 8, 7)
			RGB(bytes(3*n), bytes(n), bytes(n), bytes(n))
		}
		for _, stride := range []int{8, 16, 37} {
			for _, coefficients := range []int{1, 64} {
				b := block()
				clear(b[coefficients:])
				InverseDCT(bytes(7*stride+8), stride, b, block())
			}
		}
	})
}
