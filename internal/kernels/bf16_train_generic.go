package kernels

import "math"

// fill writes value(i, j) to place (at+i, j), and zeros where there is no such row or column.
func fill(dst PackedBF16, at, rows int, value func(i, j int) uint16) {
	for first := 0; first < dst.N; first += panelWidth {
		panel := dst.Data[first/panelWidth*panelBF16(dst):]
		for i := range rows + rows&1 {
			row := panel[(at+i)/2*2*panelWidth+i&1:]
			for j := range panelWidth {
				row[2*j] = 0
				if i < rows && first+j < dst.N {
					row[2*j] = value(i, first+j)
				}
			}
		}
	}
}

func interleaveBF16Generic(dst PackedBF16, at int, x []uint16, ldx, rows int) {
	fill(dst, at, rows, func(i, j int) uint16 { return x[i*ldx+j] })
}

func roundPairsBF16Generic(y []uint16, ldy int, dst PackedBF16, at int, x []float32, ldx, rows int) {
	roundBF16Generic(y, ldy, x, ldx, rows, dst.N)
	interleaveBF16Generic(dst, at, y, ldy, rows)
}

func columnSumsBF16Generic(dst []float32, p PackedBF16) {
	for j := range dst {
		var even, odd float32
		column := p.Data[j/panelWidth*panelBF16(p)+j%panelWidth*2:]
		for l := range steps[uint16](p.K) {
			even += widen(column[l*2*panelWidth])
			odd += widen(column[l*2*panelWidth+1])
		}
		dst[j] += even + odd
	}
}

func geluBF16Generic(h, y []uint16, ldy int, x []float32, rows, cols int) {
	for i := range rows {
		row, in := y[i*ldy:i*ldy+cols+cols&1], h[i*cols:(i+1)*cols]
		for j, v := range x[i*cols : (i+1)*cols] {
			in[j] = nearestBF16(v)
			row[j] = nearestBF16(quickGELU(widen(in[j])))
		}
		if cols&1 != 0 {
			row[cols] = 0
		}
	}
}

// geluSlopePoly gives 1/2 − d/dt t·Φ(−t) at t = geluBumpEnd/2 + u, 0 ≤ t ≤ geluBumpEnd: gelu'(x) is 1/2 and that with
// x's sign, at t = |x|. It is fitted to minimise the largest absolute error, 2.4e-5 there, and at most 1e-4 beyond.
var geluSlopePoly = [...]float32{0.559165537, -0.0972104892, 0.0383074172, 0.0307629686, -0.0367965177, 0.0105754035,
	0.00363368657, -0.00267984299, 2.33628034e-05, 0.000239353103, -1.40847824e-05, -8.40650409e-06}

// quickGELU is geluQuick of one number, quickSlope its derivative, nearly.
func quickGELU(v float32) float32 {
	var y [1]float32
	geluQuickGeneric(y[:], []float32{v}, 1, 1, 1)
	return y[0]
}

func quickSlope(v float32) float32 {
	u := min(math.Float32frombits(math.Float32bits(v)&absBits), geluBumpEnd) - geluBumpEnd/2
	p := geluSlopePoly[len(geluSlopePoly)-1]
	for l := len(geluSlopePoly) - 2; l >= 0; l-- {
		p = p*u + geluSlopePoly[l]
	}
	return 0.5 + math.Float32frombits(math.Float32bits(p)^math.Float32bits(v)&^absBits)
}

func geluBackwardBF16Generic(dx []uint16, ldx int, dxPairs, yPairs PackedBF16, at int, h []uint16, dy []float32,
	rows int) {
	f := dxPairs.N
	fill(yPairs, at, rows, func(i, j int) uint16 { return nearestBF16(quickGELU(widen(h[i*f+j]))) })
	for i := range rows {
		row := dx[i*ldx : i*ldx+f+f&1]
		for j, v := range h[i*f : (i+1)*f] {
			row[j] = nearestBF16(dy[i*f+j] * quickSlope(widen(v)))
		}
		if f&1 != 0 {
			row[f] = 0
		}
	}
	interleaveBF16Generic(dxPairs, at, dx, ldx, rows)
}

// softmaxBackwardBF16Generic takes exponentials p [rows, N] and the reciprocals of their sums, so that P =
// p·inverse[row], and dp [rows, N], P's gradient, both of row stride ld. With D = Σ P∘dp of each row it writes P to
// pPairs, and P∘(dp − D)·scale, rounded, to rows of ds and to dsPairs, all of whose K rows these are.
func softmaxBackwardBF16Generic(ds []uint16, ldd int, dsPairs, pPairs PackedBF16, dp, p, inverse []float32, ld int,
	scale float32) {
	rows, n := dsPairs.K, dsPairs.N
	fill(pPairs, 0, rows, func(i, j int) uint16 { return nearestBF16(p[i*ld+j] * inverse[i]) })
	for i := range rows {
		e, g, out := p[i*ld:i*ld+n], dp[i*ld:i*ld+n], ds[i*ldd:i*ldd+n+n&1]
		d := dotGeneric(e, g) * inverse[i]
		for j, v := range e {
			out[j] = nearestBF16(v * inverse[i] * (g[j] - d) * scale)
		}
		if n&1 != 0 {
			out[n] = 0
		}
	}
	interleaveBF16Generic(dsPairs, 0, ds, ldd, rows)
}

func layerNormBackwardBF16Generic(dx, dgamma, dbeta []float32, y []uint16, ldy int, dy, x, gamma, beta []float32, rows,
	dim int, eps float32) {
	layerNormBF16Generic(y, ldy, x, gamma, beta, rows, dim, eps)
	for i := range rows {
		row := x[i*dim : (i+1)*dim]
		mean, rstd := moments(row, eps)
		layerNormBackwardGeneric(dx[i*dim:], dgamma, dbeta, dy[i*dim:], row, gamma, []float32{mean}, []float32{rstd}, 1, dim)
	}
}
