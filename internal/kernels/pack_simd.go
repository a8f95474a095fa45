//go:build (amd64 || arm64) && !purego

package kernels

// packRowsBF16 rounds 32 rows at a time and transposes pairs as if they were floats. best chooses among the routines of
// the architecture: called by name, they leave the buffer on the stack.
func packRowsBF16(dst PackedBF16, w []float32, ldw int, best bool) {
	const depth = 64 // k's at a time
	var buffer [panelWidth * depth / 2]float32
	for j := 0; j < dst.N; j += panelWidth {
		n := min(panelWidth, dst.N-j)
		for l := 0; l < dst.K; l += depth {
			k, x, to := min(depth, dst.K-l), w[j*ldw+l:], dst.Data[j*(dst.K+dst.K&1)+l*panelWidth:]
			roundHalf(as[uint16](buffer[:]), depth, x, ldw, n, k, best)
			transposeHalves(as[float32](to), buffer[:], depth/2, (k+1)/2, n, best)
		}
	}
}

// blankRows gives rows of q whose scale is NaN, of which quantising says nothing, the byte of 0.
func blankRows(q []uint8, ld int, scale []float32) {
	for i, s := range scale {
		if s != s {
			for l := range ld {
				q[i*ld+l] = 128
			}
		}
	}
}
