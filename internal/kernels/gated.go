package kernels

// QuantizeGated is QuantizeRows that reads the rows of x for a gate, too: sums[i] is Dot of row i and gate [k], bit for
// bit. With gelu x first becomes its GELU, as GemmInt8 computes it.
func QuantizeGated(q []uint8, ldq int, scale, sums, x []float32, ldx, rows, k int, gate []float32, gelu bool) {
	checkMatrix("QuantizeGated", "q", len(q), ldq, rows, int8Padded(k))
	checkLen("QuantizeGated", "scale", len(scale), rows)
	checkGated("QuantizeGated", sums, x, ldx, rows, k, gate)
	if rows <= 0 || k <= 0 {
		clear(sums[:max(rows, 0)])
		return
	}
	together := active.quantizeGated
	if gelu {
		together = active.geluQuantize
	}
	if together != nil {
		together(q, ldq, scale, sums, x, ldx, rows, k, gate)
		return
	}
	if gelu {
		active.geluCoarse(x, x, ldx, rows, k)
	}
	dots(sums, x, ldx, rows, gate[:k])
	active.quantizeRows(q, ldq, scale, x, ldx, rows, k)
}

// RoundGated is RoundBF16 that reads the rows of x for a gate, too: sums[i] is Dot of row i and gate [k], bit for bit.
// With gelu it takes the GELU of x, as GemmBF16 computes it; what x holds afterwards is undefined then.
func RoundGated(y []uint16, ldy int, sums, x []float32, ldx, rows, k int, gate []float32, gelu bool) {
	checkMatrix("RoundGated", "y", len(y), ldy, rows, k+k&1)
	checkGated("RoundGated", sums, x, ldx, rows, k, gate)
	if rows <= 0 || k <= 0 {
		clear(sums[:max(rows, 0)])
		return
	}
	together := active.roundGated
	if gelu {
		together = active.geluRound
	}
	if together != nil {
		together(y, ldy, sums, x, ldx, rows, k, gate)
		return
	}
	if gelu {
		active.geluQuick(x, x, ldx, rows, k)
	}
	dots(sums, x, ldx, rows, gate[:k])
	active.roundBF16(y, ldy, x, ldx, rows, k)
}

func checkGated(routine string, sums, x []float32, ldx, rows, k int, gate []float32) {
	checkMatrix(routine, "x", len(x), ldx, rows, k)
	checkLen(routine, "sums", len(sums), rows)
	checkLen(routine, "gate", len(gate), k)
}

// dots writes Dot of each row of x and gate to sums.
func dots(sums, x []float32, ldx, rows int, gate []float32) {
	for i := range rows {
		sums[i] = active.dot(x[i*ldx:i*ldx+len(gate)], gate)
	}
}
