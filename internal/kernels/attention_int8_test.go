package kernels

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// withInt8Attention runs f on every path, in plain Go and NEON too with attention in 8 bits, where that does not pay.
func withInt8Attention(t *testing.T, f func(t *testing.T)) {
	eachPath(t, func(t *testing.T) {
		old := active
		defer func() { active = old }()
		forced := *active
		forced.int8Attention = forced.int8Attention || forced.name == portable.name || forced.name == "neon"
		active = &forced
		f(t)
	})
}

// TestAttentionInt8 holds the error against what the roundings can do, and a row's bits against those of the row
// among all.
func TestAttentionInt8(t *testing.T) {
	withInt8Attention(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(8, 30))
		for _, s := range attentionShapes {
			embed := s.heads * s.headDim
			qkv := randomMatrix(rng, s.n, 3*embed, 3*embed+4)
			bias := normal(rng, s.n)
			size := AttentionReducedScratch(s.n, s.headDim)
			scratch := newMatrix(1, size, size, func() float32 { return nan })
			run := func(first, queries int, bias []float32) matrix {
				out := randomMatrix(rng, max(0, min(queries, s.n-first)), embed, embed+3)
				Attention(out.data, out.ld, qkv.data, qkv.ld, s.n, s.heads, s.headDim,
					Queries{First: first, Count: queries, Bias: bias, Reduced: true, Int8: true}, scratch.data[:size])
				out.checkCanaries(t)
				scratch.checkCanaries(t)
				return out
			}
			for _, b := range [][]float32{nil, bias} {
				whole := run(0, s.n, b)
				want, _ := attentionOf(qkv, s.n, s.heads, s.headDim, b)
				for h := range s.heads {
					for i := range s.n {
						bound := int8AttentionBound(qkv, s.n, embed, h*s.headDim, s.headDim, i, b)
						for j := h * s.headDim; j < (h+1)*s.headDim; j++ {
							if d := math.Abs(whole.at(i, j) - want[i][j]); !(d <= bound) {
								t.Fatalf("%+v: out[%d, %d] is off by %v, at most %v expected", s, i, j, d, bound)
							}
						}
					}
				}
				for _, first := range []int{0, s.n / 3, s.n - 1} {
					for _, queries := range []int{1, 13, s.n} {
						part := run(first, queries, b)
						for i := range part.rows {
							for j := range embed {
								if part.at(i, j) != whole.at(first+i, j) {
									t.Fatalf("%+v: row %d of %d from %d differs from that among all", s, i, queries, first)
								}
							}
						}
					}
				}
			}
		}
	})
}

// int8AttentionBound is by how much an element of query i's output may be off: half a step of the values; and twice
// what the weights, which add up to 1, may be off in sum, as often as the largest value.
func int8AttentionBound(qkv matrix, n, embed, at, headDim, i int, bias []float32) float64 {
	largest := func(row, from int) (m, sum float64) {
		for d := range headDim {
			v := math.Abs(qkv.at(row, from+at+d))
			m, sum = max(m, v), sum+v
		}
		return m, sum
	}
	qm, qs := largest(i, 0)
	delta, value, p, most := 0.0, 0.0, make([]float64, n), math.Inf(-1)
	for j := range n {
		km, ks := largest(j, embed)
		delta = max(delta, (qs*km+ks*qm+float64(headDim)*qm*km/254)/254)
		vm, _ := largest(j, 2*embed)
		value = max(value, vm)
		for d := range headDim {
			p[j] += qkv.at(i, at+d) * qkv.at(j, embed+at+d)
		}
		if bias != nil {
			p[j] += float64(bias[j])
		}
		most = max(most, p[j])
	}
	root, sum := math.Sqrt(float64(headDim)), 0.0
	for _, v := range p {
		sum += math.Exp((v - most) / root)
	}
	weights := math.Expm1(2*delta/root) + (float64(n)/255)/sum*math.Exp(2*delta/root) + 1e-3
	return value/254 + 2*weights*value + 1e-6
}

// TestSoftmaxRowsInt8 holds bytes and sums against the definition, and that nothing else is written.
func TestSoftmaxRowsInt8(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(9, 30))
		for _, cols := range []int{1, 2, 15, 16, 17, 31, 32, 33, 48, 49, 63, 64, 65, 80, 197} {
			for _, scale := range []float32{1, 0.125, 30} {
				const rows, first = 3, 5
				ld := (cols + 15) &^ 15
				x := newMatrix(rows, ld, ld, func() float32 { return float32(rng.NormFloat64()) - 40 })
				exact, inverse := x.clone(), newMatrix(1, rows, rows, func() float32 { return nan })
				active.softmaxRowsInt8(x.data, inverse.data, ld, rows, cols, first, scale)
				inverse.checkCanaries(t)
				x.checkCanaries(t)
				for i := range rows {
					bytes := as[uint8](x.data[i*ld : (i+1)*ld])
					largest, sum := float64(slices.Max(exact.data[i*ld:i*ld+cols])), 0.0
					for j, u := range bytes[:(cols+63)&^63] {
						sum += float64(u)
						if j >= cols {
							if u != 0 {
								t.Fatalf("%d columns: byte %d behind them is %d", cols, j, u)
							}
							continue
						}
						p := 255 * math.Exp(float64(scale)*(exact.at(i, j)-largest))
						size, threshold := p*(7e-4+1e-5*float64(scale)), float64(softmaxThreshold(first+i, j))
						if got := float64(u); got > p+size+threshold || got < math.Floor(p-size+threshold) {
							t.Fatalf("%d columns, scale %v: byte [%d, %d] is %d of %v + %v",
								cols, scale, i, j, u, p, threshold)
						}
					}
					if float64(inverse.data[i]) != float64(float32(1/float32(sum))) {
						t.Fatalf("%d columns: inverse is %v of the sum %v", cols, inverse.data[i], sum)
					}
				}
			}
		}
		// What is infinitely far below the largest is 0, and a row of NaN has no sum.
		x, inverse := normal(rng, 2*16), make([]float32, 2)
		x[5] = float32(math.Inf(-1))
		for j := range 16 {
			x[16+j] = nan
		}
		active.softmaxRowsInt8(x, inverse, 16, 2, 16, 0, 1)
		if b := as[uint8](x); b[5] != 0 || !math.IsInf(float64(inverse[1]), 1) {
			t.Errorf("exp(-Inf) is %d, one over a sum of NaN %v", b[5], inverse[1])
		}
	})
}

// TestPackValuesInt8 demands the bits of the definition.
func TestPackValuesInt8(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(10, 30))
		for _, k := range []int{1, 2, 3, 4, 5, 7, 50, 197} {
			for _, n := range []int{1, 15, 16, 17, 31, 32, 33, 64, 80} {
				b := randomMatrix(rng, k, n, n+3)
				if n > 20 { // columns of zeros and of NaN
					b.data[17], b.data[18] = nan, 0
					for l := range k {
						b.data[l*b.ld+18] = 0
					}
				}
				got, want := MakePackedInt8(k, n), MakePackedInt8(k, n)
				for i := range got.Data {
					got.Data[i] = 77
				}
				active.packValuesInt8(got, b.data, b.ld)
				packValuesInt8Generic(want, b.data, b.ld)
				for j, v := range want.Scale {
					if v != got.Scale[j] && v == v {
						t.Fatalf("[%d, %d]: scale %d is %v, want %v", k, n, j, got.Scale[j], v)
					}
				}
				if n > 20 {
					if got.Scale[17] == got.Scale[17] {
						t.Fatal("a column with NaN has a scale")
					}
					continue
				}
				if !slices.Equal(got.Data, want.Data) {
					t.Fatalf("[%d, %d]: bytes differ", k, n)
				}
			}
		}
	})
}
