package kernels

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// The parts of a product's columns are computed one by one and have the bits of the whole, in every precision.
func TestColumns(t *testing.T) {
	const m, k = 5, 70
	eachPath(t, func(t *testing.T) {
		for _, n := range []int{1, 31, 32, 33, 64, 197} {
			for _, parts := range []int{1, 2, 3, 8} {
				t.Run(fmt.Sprintf("%d/%d", n, parts), func(t *testing.T) {
					bounds := make([]int, parts+1)
					SplitColumns(bounds, n)
					if bounds[0] != 0 || bounds[parts] != n || !slices.IsSorted(bounds) {
						t.Fatalf("bounds %v of %d columns", bounds, n)
					}
					rng := rand.New(rand.NewPCG(1, 2))
					w, x := normal(rng, n*k), normal(rng, m*k)
					var f Packed
					var h PackedBF16
					var q PackedInt8
					PackTransposed(&f, w, k, k, n)
					PackBF16(&h, w, k, k, n)
					PackInt8(&q, w, k, k, n)
					xh := make([]uint16, m*BF16Stride(k))
					RoundBF16(xh, BF16Stride(k), x, k, m, k)
					xq, scale := make([]uint8, m*Int8Stride(k)), make([]float32, m)
					QuantizeRows(xq, Int8Stride(k), scale, x, k, m, k)
					for name, product := range map[string]func(c []float32, lo, hi int){
						"f32": func(c []float32, lo, hi int) {
							p := f.Columns(lo, hi)
							GemmPacked(c, n, x, k, m, &p, Epilogue{})
						},
						"bf16": func(c []float32, lo, hi int) {
							p := h.Columns(lo, hi)
							GemmBF16(c, n, xh, BF16Stride(k), m, &p, Epilogue{})
						},
						"int8": func(c []float32, lo, hi int) {
							p := q.Columns(lo, hi)
							GemmInt8(c, n, xq, Int8Stride(k), scale, m, &p, Epilogue{})
						},
					} {
						want, got := make([]float32, m*n), make([]float32, m*n)
						product(want, 0, n)
						for i := range parts {
							if lo, hi := bounds[i], bounds[i+1]; lo < hi {
								product(got[lo:], lo, hi)
							}
						}
						if !slices.Equal(got, want) {
							t.Errorf("%s: the parts %v differ from the whole", name, bounds)
						}
					}
				})
			}
		}
	})
}

func TestColumnsOfPartsOfPanels(t *testing.T) {
	p := Packed{K: 1, N: 70, Data: make([]float32, 96)}
	for _, c := range [][2]int{{-32, 32}, {1, 32}, {0, 31}, {64, 96}, {64, 32}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("columns %v are taken", c)
				}
			}()
			p.Columns(c[0], c[1])
		}()
	}
	if empty := p.Columns(70, 70); empty.N != 0 {
		t.Errorf("no columns: %+v", empty)
	}
}
