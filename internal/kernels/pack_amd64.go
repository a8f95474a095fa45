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

// packRowsBF16AVX512 and packRowsBF16AVX2 round 32 rows at a time and transpose pairs as if they were floats.
func packRowsBF16AVX512(dst PackedBF16, w []float32, ldw int) {
	var buffer pairBuffer
	for j := 0; j < dst.N; j += panelWidth {
		n := min(panelWidth, dst.N-j)
		for l := 0; l < dst.K; l += pairDepth {
			k := min(pairDepth, dst.K-l)
			roundHalfAVX512BF16(halves(buffer[:]), pairDepth, w[j*ldw+l:], ldw, n, k)
			transposePanelAVX512(pairsOf(&dst, j, l), buffer[:], pairDepth/2, (k+1)/2, n)
		}
	}
}

func packRowsBF16AVX2(dst PackedBF16, w []float32, ldw int) {
	var buffer pairBuffer
	for j := 0; j < dst.N; j += panelWidth {
		n := min(panelWidth, dst.N-j)
		for l := 0; l < dst.K; l += pairDepth {
			k := min(pairDepth, dst.K-l)
			roundHalfAVX2(halves(buffer[:]), pairDepth, w[j*ldw+l:], ldw, n, k)
			transposePanelAVX2(pairsOf(&dst, j, l), buffer[:], pairDepth/2, (k+1)/2, n)
		}
	}
}

// pairDepth is the number of k's that packRowsBF16 takes at a time.
const pairDepth = 64

type pairBuffer = [panelWidth * pairDepth / 2]float32

// pairsOf is p's memory of column j, a panel's first, from row l on, as if pairs were floats.
func pairsOf(p *PackedBF16, j, l int) []float32 {
	x := p.Data[j*(p.K+p.K&1)+l*panelWidth:]
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(x))), len(x)/2)
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
