package kernels

import "math"

func layerNormGeneric(y, mean, rstd, x, gamma, beta []float32, rows, dim int, eps float32) {
	gamma, beta = gamma[:dim], beta[:dim]
	for i := range rows {
		row, out := x[i*dim:(i+1)*dim], y[i*dim:(i+1)*dim]
		mu, r := moments(row, eps)
		for j, v := range row {
			out[j] = (v-mu)*r*gamma[j] + beta[j]
		}
		if mean != nil {
			mean[i], rstd[i] = mu, r
		}
	}
}

func layerNormBF16Generic(y []uint16, ldy int, x, gamma, beta []float32, rows, dim int, eps float32) {
	gamma, beta = gamma[:dim], beta[:dim]
	for i := range rows {
		row, out := x[i*dim:(i+1)*dim], y[i*ldy:i*ldy+dim+dim&1]
		mu, r := moments(row, eps)
		if dim&1 != 0 {
			out[dim] = 0
		}
		for j, v := range row {
			out[j] = nearestBF16((v-mu)*r*gamma[j] + beta[j])
		}
	}
}

// moments returns the mean and 1/√(var + eps) of a row that is not empty.
func moments(row []float32, eps float32) (mean, rstd float32) {
	// Four partial sums: faster, and more exact than one.
	var s [4]float32
	for j, v := range row {
		s[j&3] += v
	}
	mean = (s[0] + s[1] + (s[2] + s[3])) / float32(len(row))
	s = [4]float32{}
	for j, v := range row {
		v -= mean
		s[j&3] += v * v
	}
	return mean, float32(1 / math.Sqrt(float64((s[0]+s[1]+(s[2]+s[3]))/float32(len(row))+eps)))
}

func layerNormBackwardGeneric(dx, dgamma, dbeta, dy, x, gamma, mean, rstd []float32, rows, dim int) {
	gamma, dgamma, dbeta = gamma[:dim], dgamma[:dim], dbeta[:dim]
	for i := range rows {
		row, g, out := x[i*dim:(i+1)*dim], dy[i*dim:(i+1)*dim], dx[i*dim:(i+1)*dim]
		mu, r := mean[i], rstd[i]
		var s, t [2]float32
		for j, v := range row {
			n := (v - mu) * r
			d := g[j]
			dbeta[j] += d
			dgamma[j] += d * n
			d *= gamma[j]
			s[j&1] += d
			t[j&1] += d * n
		}
		a, b := (s[0]+s[1])/float32(dim), (t[0]+t[1])/float32(dim)
		for j, v := range row {
			out[j] += r * (g[j]*gamma[j] - a - (v-mu)*r*b)
		}
	}
}
