package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// layerNormOf is layer norm of one row in float64, with its mean and 1/√(var + eps).
func layerNormOf(x, gamma, beta []float32, eps float64) (y []float64, mean, rstd float64) {
	for _, v := range x {
		mean += float64(v)
	}
	mean /= float64(len(x))
	variance := 0.0
	for _, v := range x {
		variance += (float64(v) - mean) * (float64(v) - mean)
	}
	rstd = 1 / math.Sqrt(variance/float64(len(x))+eps)
	for j, v := range x {
		y = append(y, (float64(v)-mean)*rstd*float64(gamma[j])+float64(beta[j]))
	}
	return y, mean, rstd
}

func TestLayerNorm(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 3))
		for _, dim := range []int{0, 1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 48, 96, 197, 384} {
			for _, rows := range []int{0, 1, 3, 17} {
				x := randomMatrix(rng, rows, dim, dim)
				for i := range rows {
					for j := range dim {
						x.data[i*dim+j] += float32(3 * i) // a mean that is large beside the deviation
					}
				}
				gamma, beta := normal(rng, dim), normal(rng, dim)
				y, train := randomMatrix(rng, rows, dim, dim), randomMatrix(rng, rows, dim, dim)
				mean, rstd := make([]float32, rows), make([]float32, rows)
				LayerNorm(y.data, x.data, gamma, beta, rows, dim, 1e-6)
				LayerNormTrain(train.data, mean, rstd, x.data, gamma, beta, rows, dim, 1e-6)
				sameBits(t, "LayerNormTrain", train, y)
				y.checkCanaries(t)
				for i := range rows {
					if dim == 0 {
						break
					}
					row := x.data[i*dim : (i+1)*dim]
					want, mu, r := layerNormOf(row, gamma, beta, 1e-6)
					// The deviation of a row of two may be much smaller than its mean, whose rounding then shows.
					limit := 3e-6 * (1 + r*float64(1+3*i))
					for j, w := range want {
						close(t, fmt.Sprintf("dim %d: y[%d, %d]", dim, i, j), y.data[i*dim+j], w, limit)
					}
					close(t, "mean", mean[i], mu, 1e-6)
					if math.Abs(float64(rstd[i])-r) > limit*r {
						t.Fatalf("dim %d: rstd %v, want %v", dim, rstd[i], r)
					}
					alone := make([]float32, dim)
					LayerNorm(alone, row, gamma, beta, 1, dim, 1e-6)
					for j, v := range alone {
						if v != y.data[i*dim+j] {
							t.Fatalf("dim %d: row %d alone differs from row %d of %d", dim, i, i, rows)
						}
					}
				}
				LayerNorm(x.data, x.data, gamma, beta, rows, dim, 1e-6)
				sameBits(t, "in place", x, y)
			}
		}
		x := normal(rng, 3*20)
		x[27] = nan
		ones := normal(rng, 20)
		LayerNorm(x, x, ones, ones, 3, 20, 1e-6)
		for j, v := range x {
			if (v != v) != (j/20 == 1) {
				t.Fatalf("NaN in row 1: [%d, %d] is %v", j/20, j%20, v)
			}
		}
	})
}

func TestLayerNormBackward(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 4))
		for _, dim := range []int{1, 2, 7, 8, 15, 16, 17, 31, 33, 96, 197} {
			const rows = 5
			x, dy, gamma, beta := normal(rng, rows*dim), normal(rng, rows*dim), normal(rng, dim), normal(rng, dim)
			y, mean, rstd := make([]float32, rows*dim), make([]float32, rows), make([]float32, rows)
			LayerNormTrain(y, mean, rstd, x, gamma, beta, rows, dim, 1e-2)
			dx := randomMatrix(rng, rows, dim, dim)
			dgamma, dbeta := randomMatrix(rng, 1, dim, dim), randomMatrix(rng, 1, dim, dim)
			oldX, oldGamma, oldBeta := dx.clone(), dgamma.clone(), dbeta.clone()
			LayerNormBackward(dx.data, dgamma.data, dbeta.data, dy, x, gamma, mean, rstd, rows, dim)
			wantGamma, wantBeta := make([]float64, dim), make([]float64, dim)
			for i := range rows {
				_, mu, r := layerNormOf(x[i*dim:(i+1)*dim], gamma, beta, 1e-2)
				var a, b float64
				for j := range dim {
					n, g := (float64(x[i*dim+j])-mu)*r, float64(dy[i*dim+j])
					wantBeta[j] += g
					wantGamma[j] += g * n
					a += g * float64(gamma[j]) / float64(dim)
					b += g * float64(gamma[j]) * n / float64(dim)
				}
				for j := range dim {
					n, g := (float64(x[i*dim+j])-mu)*r, float64(dy[i*dim+j])
					want := oldX.at(i, j) + r*(g*float64(gamma[j])-a-n*b)
					close(t, fmt.Sprintf("dim %d: dx[%d, %d]", dim, i, j), dx.data[i*dim+j], want, 2e-5)
				}
			}
			for j := range dim {
				close(t, "dgamma", dgamma.data[j], oldGamma.at(0, j)+wantGamma[j], 1e-5)
				close(t, "dbeta", dbeta.data[j], oldBeta.at(0, j)+wantBeta[j], 1e-5)
			}
			dx.checkCanaries(t)
			dgamma.checkCanaries(t)
			dbeta.checkCanaries(t)
		}
	})
}

func BenchmarkLayerNorm(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 5))
	for _, dim := range []int{96, 384} {
		rows := 38400 / dim
		x, y, g := normal(rng, 38400), make([]float32, 38400), normal(rng, dim)
		mean, rstd, dg, db := make([]float32, rows), make([]float32, rows), make([]float32, dim), make([]float32, dim)
		b.Run(fmt.Sprint("forward", dim), func(b *testing.B) {
			reportVectors(b, 38400, func() { LayerNormTrain(y, mean, rstd, x, g, g, rows, dim, 1e-6) })
		})
		b.Run(fmt.Sprint("backward", dim), func(b *testing.B) {
			reportVectors(b, 38400, func() { LayerNormBackward(y, dg, db, x, x, g, mean, rstd, rows, dim) })
		})
	}
}
