//go:build !amd64 || purego

package kernels

func gemmPanelInt8(p *panelInt8) { gemmPanelInt8Generic(p) }

func quantizeRows(q []uint8, ldq int, scale, x []float32, ldx, rows, k int) {
	quantizeRowsGeneric(q, ldq, scale, x, ldx, rows, k)
}

func geluQuick(y, x []float32, ld, rows, cols int) { geluQuickGeneric(y, x, ld, rows, cols) }

func dotsInt8(n int) float64 { return dotsInt8Generic(n) }
