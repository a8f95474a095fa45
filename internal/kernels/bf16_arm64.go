//go:build !purego

package kernels

func gemmBF16NEON(w productBF16) { multiplyBF16(&w, routine{pairsPlain, 5, 16}) }
func gemmBF16Dots(w productBF16) { multiplyBF16(&w, routine{pairsDot, 5, 16}) }

func multiplyBF16(w *productBF16, r routine) {
	g := w.args()
	for w.columns(&g, r.columns) {
		if g.columns < r.columns {
			var e edge
			w.multiplyEdge(r, g, &e)
			continue
		}
		g.tile(w.rows, r.rows)
		r.kind.run(&g)
	}
}
