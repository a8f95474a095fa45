//go:build !purego

package kernels

func upsample16(dst, near, far []byte, even, odd, n int) {
	upsample16NEON(dst, near, far, even, odd, n)
}
func rgb16(dst, y, cb, cr []byte, n int) { rgb16NEON(dst, y, cb, cr, n) }
