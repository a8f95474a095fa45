package kernels

// LayerNorm writes y = gamma·(x − mean)/√(var + eps) + beta for each row of x [rows, dim]; mean and var (the mean
// squared deviation) are the row's own. Rows are contiguous; y may be x.
func LayerNorm(y, x, gamma, beta []float32, rows, dim int, eps float32) {
	checkNorm(y, x, gamma, beta, rows, dim)
	if rows > 0 && dim > 0 {
		active.layerNorm(y, nil, nil, x, gamma, beta, rows, dim, eps)
	}
}

// LayerNormTrain is LayerNorm, to the bit, that keeps mean [rows] and rstd [rows] = 1/√(var + eps) for the backward.
func LayerNormTrain(y, mean, rstd, x, gamma, beta []float32, rows, dim int, eps float32) {
	checkNorm(y, x, gamma, beta, rows, dim)
	checkLen("LayerNormTrain", "mean", len(mean), rows)
	checkLen("LayerNormTrain", "rstd", len(rstd), rows)
	if rows > 0 && dim > 0 {
		active.layerNorm(y, mean, rstd, x, gamma, beta, rows, dim, eps)
	}
}

// LayerNormBackward adds the gradients of LayerNorm's inputs, given that of its output dy [rows, dim]. With n = (x −
// mean)·rstd, for each row
//
//	dbeta += dy,  dgamma += dy·n,  dx += rstd·(dy·gamma − mean(dy·gamma) − n·mean(dy·gamma·n))
func LayerNormBackward(dx, dgamma, dbeta, dy, x, gamma, mean, rstd []float32, rows, dim int) {
	checkNorm(dx, x, gamma, dbeta, rows, dim)
	checkLen("LayerNormBackward", "dy", len(dy), rows*dim)
	checkLen("LayerNormBackward", "dgamma", len(dgamma), dim)
	checkLen("LayerNormBackward", "mean", len(mean), rows)
	checkLen("LayerNormBackward", "rstd", len(rstd), rows)
	if rows > 0 && dim > 0 {
		active.layerNormBackward(dx, dgamma, dbeta, dy, x, gamma, mean, rstd, rows, dim)
	}
}

func checkNorm(y, x, gamma, beta []float32, rows, dim int) {
	if rows < 0 || dim < 0 {
		panic("kernels: LayerNorm: negative shape")
	}
	checkLen("LayerNorm", "output", len(y), rows*dim)
	checkLen("LayerNorm", "x", len(x), rows*dim)
	checkLen("LayerNorm", "gamma", len(gamma), dim)
	checkLen("LayerNorm", "beta", len(beta), dim)
}
