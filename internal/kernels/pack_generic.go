package kernels

// transposePanelGeneric writes dst [k, 32] = bᵀ for b [n, k] of row stride ldb, n ≤ 32, and zeros in the other columns.
func transposePanelGeneric(dst, b []float32, ldb, k, n int) {
	if n < panelWidth {
		clear(dst[:k*panelWidth])
	}
	for j := range n {
		col := dst[j:]
		for l, v := range b[j*ldb : j*ldb+k] {
			col[l*panelWidth] = v
		}
	}
}
