//go:build !purego

package kernels

import "unsafe"

func transposePanelAVX512(dst, b []float32, ldb, k, n int) {
	for j := 0; j < panelWidth; j += 16 {
		count := min(max(n-j, 1), 16)
		transposeAVX512(dst[j:], b[min(j, n-count)*ldb:], ldb, count, k, lowBits(n-j))
	}
}

func transposePanelAVX2(dst, b []float32, ldb, k, n int) {
	for j := 0; j < panelWidth; j += 8 {
		count := min(max(n-j, 1), 8)
		transposeAVX2(dst[j:], b[min(j, n-count)*ldb:], ldb, count, k, lowBits(n-j))
	}
}

// lowBits has the lowest n bits set.
func lowBits(n int) uint64 { return 1<<uint(max(n, 0)) - 1 }

func packRowsBF16AVX512(dst PackedBF16, w []float32, ldw int) { packRowsBF16(dst, w, ldw, true) }
func packRowsBF16AVX2(dst PackedBF16, w []float32, ldw int)   { packRowsBF16(dst, w, ldw, false) }

// packRowsBF16 rounds 32 rows at a time and transposes pairs as if they were floats.
func packRowsBF16(dst PackedBF16, w []float32, ldw int, avx512 bool) {
	const depth = 64 // k's at a time
	var buffer [panelWidth * depth / 2]float32
	for j := 0; j < dst.N; j += panelWidth {
		n := min(panelWidth, dst.N-j)
		for l := 0; l < dst.K; l += depth {
			k, x, to := min(depth, dst.K-l), w[j*ldw+l:], dst.Data[j*(dst.K+dst.K&1)+l*panelWidth:]
			pairs := unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(to))), len(to)/2)
			if avx512 {
				roundHalfAVX512BF16(halves(buffer[:]), depth, x, ldw, n, k)
				transposePanelAVX512(pairs, buffer[:], depth/2, (k+1)/2, n)
			} else {
				roundHalfAVX2(halves(buffer[:]), depth, x, ldw, n, k)
				transposePanelAVX2(pairs, buffer[:], depth/2, (k+1)/2, n)
			}
		}
	}
}

func packPairsBF16AVX512(dst PackedBF16, b []float32, ldb int) {
	pairs, even := dst.K/2, dst.K+dst.K&1
	for j := 0; j < dst.N; j += panelWidth {
		n, panel := min(panelWidth, dst.N-j), dst.Data[j*even:][:even*panelWidth]
		if pairs > 0 {
			packPairsAVX512BF16(panel, b[j:], ldb, pairs, n)
		}
		if even > dst.K {
			last := panel[2*pairs*panelWidth:]
			clear(last)
			for i, v := range b[(dst.K-1)*ldb+j:][:n] {
				last[2*i] = nearestBF16(v)
			}
		}
	}
}
