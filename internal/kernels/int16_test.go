package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestWordRows demands the bits of the portable routine on every path, for rows and for columns.
func TestWordRows(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 27))
		for _, k := range []int{1, 7, 8, 9, 16, 33, 63, 64, 65, 197} {
			const rows = 5
			x := randomMatrix(rng, rows, k, k+3)
			for i := range rows {
				Scale(x.data[i*x.ld:i*x.ld+k], float32(math.Pow(10, float64(5*i-9))))
			}
			x.data[x.ld+k/2] = inf
			clear(x.data[2*x.ld : 2*x.ld+k])
			limit := float32(wordLimit(k))
			results := func() (q []int16, scale []float32) {
				ld := wordStride(k) + 2
				q, scale = slices.Repeat([]int16{77}, (rows+1)*ld), slices.Repeat([]float32{canary}, rows+1)
				active.wordRows(q, ld, scale, x.data, x.ld, rows, k, limit)
				clear(q[ld : ld+k]) // anything, as the scale is NaN
				return q, scale
			}
			compareWords(t, fmt.Sprintf("rows of %d", k), results)

			// The same numbers as columns.
			y := newMatrix(k, rows, rows+2, func() float32 { return 0 })
			for i := range k {
				for j := range rows {
					y.data[i*y.ld+j] = x.data[j*x.ld+i]
				}
			}
			compareWords(t, fmt.Sprintf("columns of %d", k), func() (q []int16, scale []float32) {
				q, scale = make([]int16, 2*panelWidth*steps[int16](k)), slices.Repeat([]float32{canary}, rows+1)
				active.wordColumns(q, scale, y.data, y.ld, k, rows, limit)
				for at := range q {
					if j := at / 2 % panelWidth; j == 1 || j >= rows { // that, and the panel's other columns
						q[at] = 0
					}
				}
				return q, scale
			})
		}
	})
}

// compareWords demands what the portable path gives of the path in use.
func compareWords(t *testing.T, what string, results func() ([]int16, []float32)) {
	t.Helper()
	q, scale := results()
	here := active
	active = &portable
	want, wantScale := results()
	active = here
	for i, v := range q {
		if v != want[i] {
			t.Fatalf("%s: word %d is %d, want %d", what, i, v, want[i])
		}
	}
	for i, v := range scale {
		if v != wantScale[i] && (v == v || wantScale[i] == wantScale[i]) {
			t.Fatalf("%s: scale %d is %v, want %v", what, i, v, wantScale[i])
		}
	}
}

// TestGemmInt16 holds products against their definition, with sums that just fit an int32 among them.
func TestGemmInt16(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(2, 27))
		for _, m := range []int{1, 5, 6, 7, 13, 25} {
			for _, n := range []int{1, 15, 16, 17, 31, 32, 33, 64} {
				for _, k := range []int{1, 2, 9, 64, 197} {
					limit, ld := wordLimit(k), wordStride(k)
					word := func() int16 {
						if rng.IntN(2) == 0 {
							return int16(limit)
						}
						return int16(rng.IntN(2*limit+1) - limit)
					}
					a, at := make([]int16, m*ld), func(i, l int) int { return i*ld + l }
					b := packedInt16{MakePanels[int16](k, n), normal(rng, n)}
					bt := func(l, j int) int {
						return j/panelWidth*2*panelWidth*steps[int16](k) + l/2*2*panelWidth + j%panelWidth*2 + l&1
					}
					for l := range k {
						for i := range m {
							a[at(i, l)] = word()
						}
						for j := range n {
							b.Data[bt(l, j)] = word()
						}
					}
					rowScale, c := normal(rng, m), randomMatrix(rng, m, n, n+7)
					var bias []float32
					if (m+n)%2 == 0 {
						bias = normal(rng, n)
					}
					gemmInt16(c.data, c.ld, a, ld, rowScale, m, &b, bias)
					c.checkCanaries(t)
					for i := range m {
						for j := range n {
							sum := int32(0)
							for l := range k {
								sum += int32(a[at(i, l)]) * int32(b.Data[bt(l, j)])
							}
							want, off := float64(sum)*float64(rowScale[i])*float64(b.scale[j]), 0.0
							if bias != nil {
								off = float64(bias[j])
							}
							if d := math.Abs(c.at(i, j) - want - off); !(d <= 3e-7*(math.Abs(want)+math.Abs(off))) {
								t.Fatalf("[%d, %d, %d]: c[%d, %d] = %v, want %v", m, n, k, i, j, c.at(i, j), want+off)
							}
						}
					}
				}
			}
		}
	})
}

// TestSoftmaxWords holds the words against the exponentials and the sums against theirs.
func TestSoftmaxWords(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 27))
		for _, cols := range []int{1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 65, 197} {
			for rows := 1; rows <= 4; rows++ {
				ld, limit := (cols+15)&^15, float64(wordLimit(cols))
				x := newMatrix(rows, ld, ld, func() float32 { return float32(rng.NormFloat64()*3) - 40 })
				exact := x.clone()
				inverse := newMatrix(1, rows, rows, func() float32 { return nan })
				active.softmaxWords(x.data, inverse.data, ld, rows, cols, 0.5, float32(math.Log2(limit-0.5)))
				x.checkCanaries(t)
				inverse.checkCanaries(t)
				for i := range rows {
					largest, total := math.Inf(-1), 0.0
					for j := range cols {
						largest = max(largest, 0.5*exact.at(i, j))
					}
					out := as[int16](x.data[i*ld : (i+1)*ld])
					for j := range cols {
						want := (limit - 0.5) * math.Exp(0.5*exact.at(i, j)-largest)
						total += want
						if got := float64(out[j]); !(math.Abs(got-want) <= 0.5+1e-5*want) || got > limit {
							t.Fatalf("%d columns: [%d, %d] is %v, want %v", cols, i, j, got, want)
						}
					}
					close(t, "inverse", inverse.data[i], 1/total, 1e-5)
					for j := cols; j < ld; j++ {
						if out[j] != 0 {
							t.Fatalf("%d columns: word %d is %d", cols, j, out[j])
						}
					}
				}
			}
		}
		// What is infinitely far below the largest is 0; NaN anywhere reaches the whole row through its sum.
		x, inverse := normal(rng, 3*48), make([]float32, 3)
		x[5], x[48+40] = -inf, nan
		active.softmaxWords(x, inverse, 48, 3, 41, 1, 10)
		if v := as[int16](x)[5]; v != 0 {
			t.Errorf("exp(-Inf) is %v", v)
		}
		for i, v := range inverse {
			if (v != v) != (i == 1) || math.IsInf(float64(v), 0) {
				t.Errorf("NaN in row 1: inverse of row %d is %v", i, v)
			}
		}
	})
}

// TestAttentionReducedNaN demands that NaN in q of a row reaches that row of out and no other, in k or v all rows, and
// no other head.
func TestAttentionReducedNaN(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(4, 27))
		const n, heads, headDim, embed = 37, 2, 24, 48
		scratch, out := make([]float32, AttentionReducedScratch(n, headDim)), make([]float32, n*embed)
		odd := func(x []float32) bool { return slices.ContainsFunc(x, func(v float32) bool { return v != v }) }
		for part, all := range []bool{false, true, true} {
			qkv := normal(rng, n*3*embed)
			qkv[5*3*embed+part*embed+headDim+3] = nan
			Attention(out, embed, qkv, 3*embed, n, heads, headDim, Queries{Count: n, Reduced: true}, scratch)
			for i := range n {
				row := out[i*embed : (i+1)*embed]
				if odd(row[:headDim]) || odd(row[headDim:]) != (all || i == 5) {
					t.Errorf("NaN in part %d of row 5: row %d is %v", part, i, row)
				}
			}
		}
	})
}
