//go:build (amd64 || arm64) && !purego

package kernels

// The assembly works on pairs of rows. Of an odd number the last is its own neighbour, by strides of 0, and then loses
// what it left in the neighbour's place. Each architecture has routines of the names that are called here: called by
// name, they leave what they are given on the stack.

// clearRow writes zeros to row l of p.
func clearRow(p PackedBF16, l int) {
	for first := 0; first < p.N; first += panelWidth {
		row := p.Data[first/panelWidth*panelBF16(p)+l/2*2*panelWidth+l&1:]
		for j := range panelWidth {
			row[2*j] = 0
		}
	}
}

func interleaveBF16SIMD(dst PackedBF16, at int, x []uint16, ldx, rows int) {
	for j := 0; j < dst.N; j += panelWidth {
		n, panel := min(panelWidth, dst.N-j), dst.Data[j/panelWidth*panelBF16(dst)+at*panelWidth:]
		interleave(panel, x[j:], 2*ldx, rows/2, n)
		if rows&1 != 0 {
			interleave(panel[(rows-1)*panelWidth:], x[(rows-1)*ldx+j:], 0, 1, n)
		}
	}
	if rows&1 != 0 {
		clearRow(dst, at+rows)
	}
}

func roundPairsBF16SIMD(y []uint16, ldy int, dst PackedBF16, at int, x []float32, ldx, rows int) {
	panel := 2 * panelBF16(dst)
	roundPairs(y, 2*ldy, dst.Data[at*panelWidth:], panel, x, 4*ldx, rows/2, dst.N)
	if rows&1 != 0 {
		last := rows - 1
		roundPairs(y[last*ldy:], 0, dst.Data[(at+last)*panelWidth:], panel, x[last*ldx:], 0, 1, dst.N)
		clearRow(dst, at+rows)
	}
}

func geluBackwardBF16SIMD(dx []uint16, ldx int, dxPairs, yPairs PackedBF16, at int, h []uint16, dy []float32,
	rows int) {
	f, panel := dxPairs.N, 2*panelBF16(dxPairs)
	geluBackwardPairs(dx, 2*ldx, dxPairs.Data[at*panelWidth:], yPairs.Data[at*panelWidth:], panel, h, dy, 4*f, rows/2, f)
	if rows&1 != 0 {
		last := rows - 1
		geluBackwardPairs(dx[last*ldx:], 0, dxPairs.Data[(at+last)*panelWidth:], yPairs.Data[(at+last)*panelWidth:],
			panel, h[last*f:], dy[last*f:], 0, 1, f)
		clearRow(dxPairs, at+rows)
		clearRow(yPairs, at+rows)
	}
}

func softmaxBackwardBF16SIMD(ds []uint16, ldd int, dsPairs, pPairs PackedBF16, dp, p, inverse []float32, ld int,
	scale float32) {
	rows, n, panel := dsPairs.K, dsPairs.N, 2*panelBF16(dsPairs)
	softmaxBackwardPairs(ds, 2*ldd, dsPairs.Data, pPairs.Data, panel, dp, p, inverse, 4*ld, rows/2, n, scale)
	if rows&1 != 0 {
		last := rows - 1
		twice := [2]float32{inverse[last], inverse[last]}
		softmaxBackwardPairs(ds[last*ldd:], 0, dsPairs.Data[last*panelWidth:], pPairs.Data[last*panelWidth:], panel,
			dp[last*ld:], p[last*ld:], twice[:], 0, 1, n, scale)
		clearRow(dsPairs, rows)
		clearRow(pPairs, rows)
	}
}

func columnSumsBF16SIMD(dst []float32, p PackedBF16) {
	for j := 0; j < p.N; j += panelWidth {
		pairSums(dst[j:], p.Data[j/panelWidth*panelBF16(p):], steps[uint16](p.K), min(panelWidth, p.N-j))
	}
}
