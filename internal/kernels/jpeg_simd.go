//go:build (amd64 || arm64) && !purego

package kernels

// The routines in assembly, of which each architecture has its own, take 16 samples at a time and no fewer.

// upsampleSIMD leaves the first and the last sample, which have one neighbour, to plain Go.
func upsampleSIMD(dst, near, far []byte, even, odd int) {
	n := len(near)
	if n < 18 {
		upsampleGeneric(dst, near, far, even, odd)
		return
	}
	upsample16(dst, near, far, even, odd, n-2)
	var edge [4]byte
	upsampleGeneric(edge[:], near[:2], far[:2], even, odd)
	copy(dst[:2], edge[:2])
	upsampleGeneric(edge[:], near[n-2:], far[n-2:], even, odd)
	copy(dst[2*n-2:], edge[2:])
}

func rgbSIMD(dst, y, cb, cr []byte) {
	if len(y) < 16 {
		rgbGeneric(dst, y, cb, cr)
		return
	}
	rgb16(dst, y, cb, cr, len(y))
}
