//go:build !purego

package kernels

func upsample16(dst, near, far []byte, even, odd, n int) {
	upsample16AVX2(dst, near, far, even, odd, n)
}
func rgb16(dst, y, cb, cr []byte, n int) { rgb16AVX2(dst, y, cb, cr, n) }
