package kernels

import "math"

func gemmInt16Generic(w productInt16) {
	for w.next() {
		p := productInt16{w.panel(), w.rowScale[w.i:], w.scale[w.j:]}
		for i := range p.m {
			for j := range p.n {
				sum, a := int32(0), p.a[i*p.rowA:]
				for l := range 2 * p.k {
					sum += int32(a[l]) * int32(p.b[l/2*2*panelWidth+2*j+l&1])
				}
				p.putOne(i, j, float32(sum)*p.scale[j]*p.rowScale[i])
			}
		}
	}
}

// word rounds v·perScale, or returns 0 for what no scale fits.
func word(v, perScale float32) int16 {
	if perScale == 0 {
		return 0
	}
	return int16(math.RoundToEven(float64(v * perScale)))
}

// wordRowsGeneric writes the rows of x [rows, k] to q, of row stride ldq, as words up to limit, and their scales. Up to
// a multiple of 64 words follow zeros. Rows of zeros, NaN and infinities have the scales that QuantizeRows gives.
func wordRowsGeneric(q []int16, ldq int, scale, x []float32, ldx, rows, k int, limit float32) {
	for i := range rows {
		row, out := x[i*ldx:i*ldx+k], q[i*ldq:i*ldq+wordStride(k)]
		var perScale float32
		scale[i], perScale = scaleOf(largestBits(row), limit)
		for l, v := range row {
			out[l] = word(v, perScale)
		}
		clear(out[k:])
	}
}

// wordColumnsGeneric is wordRows of the columns of x [rows, cols], cols ≤ 16, laid out as the first ones of a panel at
// q: as [⌈rows/2⌉][32][2], with a zero behind an odd column. The panel's other columns may change.
func wordColumnsGeneric(q []int16, scale, x []float32, ldx, rows, cols int, limit float32) {
	for j := range cols {
		var largest uint32
		for i := range rows {
			largest = max(largest, math.Float32bits(x[i*ldx+j])&absBits)
		}
		var perScale float32
		scale[j], perScale = scaleOf(largest, limit)
		for i := range rows + rows&1 {
			at := i/2*2*panelWidth + 2*j + i&1
			if q[at] = 0; i < rows {
				q[at] = word(x[i*ldx+j], perScale)
			}
		}
	}
}

// softmaxWordsGeneric turns each row's first half into the words of 2^log2Limit·exp(scale·x − largest), with zeros up
// to a multiple of 16 columns, which there must be memory for, and writes the reciprocals of the sums [rows], taken
// before rounding, to inverse. NaN makes a row's sum NaN, and its words anything up to the limit.
func softmaxWordsGeneric(x, inverse []float32, ld, rows, cols int, scale, log2Limit float32) {
	limit := float32(math.Exp2(float64(log2Limit)))
	for i := range rows {
		row := x[i*ld : i*ld+cols]
		out := as[int16](x[i*ld : i*ld+ld])
		largest := float32(math.Inf(-1))
		for _, v := range row {
			largest = max(largest, v*scale)
		}
		total := float32(0)
		for j, v := range row {
			e := limit * exp32(v*scale-largest)
			if total += e; e == e {
				out[j] = int16(math.RoundToEven(float64(e)))
			} else {
				out[j] = 0
			}
		}
		clear(out[cols : (cols+15)&^15])
		inverse[i] = 1 / total
	}
}
