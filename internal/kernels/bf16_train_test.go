package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// randomHalves returns n bfloat16s of a normal density.
func randomHalves(rng *rand.Rand, n int) []uint16 {
	x := make([]uint16, n)
	for i := range x {
		x[i] = nearestBF16(float32(rng.NormFloat64()))
	}
	return x
}

// newPairs returns panels for k rows of n numbers that hold canaries.
func newPairs(k, n int) PackedBF16 {
	p := MakePanels[uint16](k, n)
	for i := range p.Data {
		p.Data[i] = halfCanary
	}
	return p
}

// checkPairsAre fails unless p holds want(l, j), in bits, and zeros elsewhere.
func checkPairsAre(t *testing.T, what string, p PackedBF16, want func(l, j int) uint16) {
	t.Helper()
	even := p.K + p.K&1
	for j := range panelsOf(p.N) * panelWidth {
		for l := range even {
			var w uint16
			if l < p.K && j < p.N {
				w = want(l, j)
			}
			if got := p.Data[j/panelWidth*panelWidth*even+l/2*2*panelWidth+j%panelWidth*2+l&1]; got != w {
				t.Fatalf("%s [%d, %d]: (%d, %d) is %#x, want %#x", what, p.K, p.N, l, j, got, w)
			}
		}
	}
}

// nearHalves fails unless got and want are neighbours, or nearly: the paths differ in float32's last bits.
func nearHalves(t *testing.T, what string, got, want uint16) {
	t.Helper()
	g, w := float64(widen(got)), float64(widen(want))
	if !(math.Abs(g-w) <= 0x1p-7*math.Abs(w)+1e-6) {
		t.Fatalf("%s is %v, want %v", what, g, w)
	}
}

// TestPairs writes rows side by side, part by part, as they are and rounded.
func TestPairs(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(15, 1))
		for _, k := range awkward {
			for _, n := range awkward {
				x, ld := normal(rng, k*(n+3)), n+3
				h := make([]uint16, len(x))
				roundBF16Generic(h, len(h)+1, x, len(x), 1, len(x)&^1)
				for i, v := range x {
					h[i] = nearestBF16(v)
				}
				y := newHalfMatrix(k, n, BF16Stride(n)+32)
				plain, both := newPairs(k, n), newPairs(k, n)
				for at := 0; at < k; at += 16 {
					rows := min(16, k-at)
					InterleaveBF16(&plain, at, h[at*ld:], ld, rows)
					RoundPairsBF16(y.data[at*y.ld:], y.ld, &both, at, x[at*ld:], ld, rows)
				}
				want := func(l, j int) uint16 { return h[l*ld+j] }
				checkPairsAre(t, "interleaved", plain, want)
				checkPairsAre(t, "rounded", both, want)
				for i := range k {
					for j := range n {
						if y.data[i*y.ld+j] != want(i, j) {
							t.Fatalf("[%d, %d]: row %d of %d", k, n, i, j)
						}
					}
				}
				sums, exact := normal(rng, n), make([]float64, n)
				for j := range exact {
					exact[j] = float64(sums[j])
					for i := range k {
						exact[j] += float64(widen(want(i, j)))
					}
				}
				ColumnSumsBF16(sums, &plain)
				for j, v := range exact {
					close(t, fmt.Sprintf("[%d, %d]: sum of column %d", k, n, j), sums[j], v, 1e-5)
				}
			}
		}
	})
}

// TestGemmTNBF16 compares with float64 sums of the rounded numbers.
func TestGemmTNBF16(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(15, 2))
		for _, m := range awkward {
			for _, n := range awkward {
				for _, k := range []int{0, 1, 2, 17, 100} {
					a, b := rounded(randomMatrix(rng, k, m, m+1)), rounded(randomMatrix(rng, k, n, n+1))
					pa, pb := MakePanels[uint16](k, m), MakePanels[uint16](k, n)
					InterleaveBF16(&pa, 0, a.data, a.ld, k)
					InterleaveBF16(&pb, 0, b.data, b.ld, k)
					got := randomMatrix(rng, m, n, n+7)
					want := exact{m: m, n: n, k: k, a: func(i, l int) float64 { return a.at(l, i) }, b: b.at}
					if add := k > 1; add {
						old := got.clone()
						want.c = &old
					}
					GemmTNBF16(got.data, got.ld, &pa, &pb, want.c != nil)
					want.check(t, got)
				}
			}
		}
	})
}

// TestGELUBF16 compares gelu's derivative with its definition, and what the paths make of both with each other.
func TestGELUBF16(t *testing.T) {
	for x := -20.0; x <= 20; x += 1e-3 {
		v := float64(float32(x))
		close(t, fmt.Sprintf("gelu'(%v)", v), quickSlope(float32(x)),
			0.5*math.Erfc(-v/math.Sqrt2)+v*math.Exp(-v*v/2)/math.Sqrt(2*math.Pi), 1e-4)
	}
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(15, 3))
		for _, rows := range awkward[:6] {
			for _, f := range awkward {
				x, dy, ld := normal(rng, rows*f), normal(rng, rows*f), BF16Stride(f)
				for i := range x {
					x[i] *= 3
				}
				h, y, dx := make([]uint16, rows*f), make([]uint16, rows*ld), make([]uint16, rows*ld)
				GELUBF16(h, y, ld, x, rows, f)
				dxPairs, yPairs := newPairs(rows, f), newPairs(rows, f)
				GELUBackwardBF16(dx, ld, &dxPairs, &yPairs, 0, h, dy, rows)
				for i := range rows {
					for j := range f {
						v := x[i*f+j]
						if h[i*f+j] != nearestBF16(v) {
							t.Fatalf("[%d, %d]: %v is rounded to %v", rows, f, v, widen(h[i*f+j]))
						}
						v = widen(h[i*f+j])
						nearHalves(t, fmt.Sprintf("gelu(%v)", v), y[i*ld+j], nearestBF16(quickGELU(v)))
						nearHalves(t, fmt.Sprintf("gelu'(%v)", v), dx[i*ld+j], nearestBF16(dy[i*f+j]*quickSlope(v)))
					}
				}
				checkPairsAre(t, "y", yPairs, func(l, j int) uint16 { return y[l*ld+j] })
				checkPairsAre(t, "dx", dxPairs, func(l, j int) uint16 { return dx[l*ld+j] })
			}
		}
		nans := []float32{nan, inf, -inf, 0, float32(math.Copysign(0, -1)), 100, -100}
		h, y, dx := make([]uint16, 7), make([]uint16, 32), make([]uint16, 32)
		GELUBF16(h, y, 32, nans, 1, 7)
		pairs, more := newPairs(1, 7), newPairs(1, 7)
		GELUBackwardBF16(dx, 32, &pairs, &more, 0, h, []float32{1, 1, 1, 1, 1, 1, 1}, 1)
		for j, want := range []float32{nan, 1, 0, 0.5, 0.5, 1, 0} {
			if got := widen(dx[j]); math.IsNaN(float64(want)) != math.IsNaN(float64(got)) ||
				math.Abs(float64(got-want)) > 2e-4 {
				t.Errorf("gelu'(%v) = %v", nans[j], got)
			}
		}
	})
}

// TestLayerNormBackwardBF16 demands LayerNormBackward's gradients, nearly, and LayerNormBF16's output.
func TestLayerNormBackwardBF16(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(15, 4))
		for _, dim := range []int{0, 1, 2, 15, 16, 17, 33, 96, 197} {
			for _, rows := range []int{0, 1, 5} {
				x, dy, gamma, beta := normal(rng, rows*dim), normal(rng, rows*dim), normal(rng, dim), normal(rng, dim)
				dx, dgamma, dbeta := normal(rng, rows*dim), normal(rng, dim), normal(rng, dim)
				y, out := newHalfMatrix(rows, dim, BF16Stride(dim)), newHalfMatrix(rows, dim, BF16Stride(dim))
				LayerNormBF16(out.data, out.ld, x, gamma, beta, rows, dim, 1e-6)
				plain, mean, rstd := make([]float32, rows*dim), make([]float32, rows), make([]float32, rows)
				LayerNormTrain(plain, mean, rstd, x, gamma, beta, rows, dim, 1e-6)
				want := [][]float32{slices.Clone(dx), slices.Clone(dgamma), slices.Clone(dbeta)}
				LayerNormBackward(want[0], want[1], want[2], dy, x, gamma, mean, rstd, rows, dim)
				LayerNormBackwardBF16(dx, dgamma, dbeta, y.data, y.ld, dy, x, gamma, beta, rows, dim, 1e-6)
				y.checkCanaries(t)
				for i := range y.all {
					nearHalves(t, fmt.Sprintf("[%d, %d]: y[%d]", rows, dim, i), y.all[i], out.all[i])
				}
				for i, g := range [][]float32{dx, dgamma, dbeta} {
					for j, v := range g {
						if dim > 1 { // else the deviation is 0
							close(t, fmt.Sprintf("[%d, %d]: gradient %d, %d", rows, dim, i, j), v, float64(want[i][j]), 1e-4)
						}
					}
				}
			}
		}
	})
}

// TestAttentionBF16 compares forward and backward with float64 on the rounded numbers, within what rounding once more
// on the way may cost.
func TestAttentionBF16(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(15, 5))
		var w AttentionBF16
		for _, s := range append(attentionShapes, struct{ n, heads, headDim int }{400, 1, 5}) {
			for _, queries := range []int{s.n, s.n / 2, 1, 0} {
				checkAttentionBF16(t, rng, &w, s.n, min(queries, s.n), s.heads, s.headDim)
			}
		}
	})
}

func checkAttentionBF16(t *testing.T, rng *rand.Rand, w *AttentionBF16, n, queries, heads, headDim int) {
	t.Helper()
	name := fmt.Sprintf("n %d, %d queries, %d × %d", n, queries, heads, headDim)
	embed := heads * headDim
	ldq, ldo := 3*embed+3, BF16Stride(embed)+1
	half := halfMatrix{data: randomHalves(rng, n*ldq), rows: n, cols: 3 * embed, ld: ldq}
	qkv := newMatrix(n, 3*embed, 3*embed, func() float32 { return 0 })
	for i := range n {
		WidenBF16(qkv.data[i*3*embed:], half.data[i*ldq:i*ldq+3*embed])
	}
	bias := normal(rng, n)
	if queries == 1 {
		bias = nil
	}
	exact, probs := attentionOf(qkv, n, heads, headDim, bias)
	out := newHalfMatrix(queries, embed, ldo)
	w.Forward(out.data, ldo, half.data, ldq, n, queries, heads, headDim, bias)
	out.checkCanaries(t)
	for i := range queries {
		for j := range embed {
			if d := math.Abs(out.at(i, j) - exact[i][j]); !(d <= 0x1p-6) {
				t.Fatalf("%s: out[%d, %d] = %v, want %v", name, i, j, out.at(i, j), exact[i][j])
			}
		}
	}
	dout := randomHalves(rng, queries*ldo+2)
	got := randomMatrix(rng, n, 3*embed, 3*embed+4)
	credit := normal(rng, n)
	w.Backward(got.data, got.ld, credit, dout, ldo, half.data, ldq, n, queries, heads, headDim, bias)
	got.checkCanaries(t)
	want, worth := make([]float64, n*3*embed), make([]float64, n)
	for h := range heads {
		at := h * headDim
		for i := range queries {
			dp, dot := make([]float64, n), 0.0
			for j := range n {
				for d := range headDim {
					dp[j] += float64(widen(dout[i*ldo+at+d])) * qkv.at(j, 2*embed+at+d)
				}
				dot += probs[h][i][j] * dp[j]
			}
			for j := range n {
				ds := probs[h][i][j] * (dp[j] - dot)
				worth[j] += ds
				for d := range headDim {
					want[i*3*embed+at+d] += ds * qkv.at(j, embed+at+d) / math.Sqrt(float64(headDim))
					want[j*3*embed+embed+at+d] += ds * qkv.at(i, at+d) / math.Sqrt(float64(headDim))
					want[j*3*embed+2*embed+at+d] += probs[h][i][j] * float64(widen(dout[i*ldo+at+d]))
				}
			}
		}
	}
	largest := 0.0
	for _, v := range want {
		largest = max(largest, math.Abs(v))
	}
	for i := range n {
		for j := range 3 * embed {
			if d := math.Abs(got.at(i, j) - want[i*3*embed+j]); !(d <= 0x1p-7*(largest+0.1)) {
				t.Fatalf("%s: dqkv[%d, %d] = %v, want %v", name, i, j, got.at(i, j), want[i*3*embed+j])
			}
		}
		if d := math.Abs(float64(credit[i]) - worth[i]); !(d <= 0.02*math.Sqrt(float64(headDim*heads))) {
			t.Fatalf("%s: credit[%d] = %v, want %v", name, i, credit[i], worth[i])
		}
	}
}
