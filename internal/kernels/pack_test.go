package kernels

import (
	"fmt"
	"math"
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

// Every path quantises weights to the same bits, whole or panel by panel, whatever the memory held before.
func TestPackInt8Paths(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	type size struct{ k, n int }
	var sizes []size
	for _, n := range []int{1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 49, 64, 197} {
		for _, k := range []int{1, 3, 4, 5, 63, 64, 65, 197, 384} {
			sizes = append(sizes, size{k, n})
		}
	}
	for _, s := range append(sizes, size{2048, 33}, size{2049, 17}, size{5000, 5}) {
		k, n, ldw := s.k, s.n, s.k+rng.IntN(3)
		w := normal(rng, (n-1)*ldw+k)
		clear(w[:k]) // a row of zeros, one of the largest numbers, and where there is room NaN, infinity and tiny ones
		for i, v := range []float32{math.MaxFloat32, nan, float32(math.Inf(-1)), 1e-40} {
			if i+1 < n {
				w[(i+1)*ldw+rng.IntN(k)] = v
			}
			if i+1 < n && v == 1e-40 {
				clear(w[(i+1)*ldw:][:k])
			}
		}
		want := MakePackedInt8(k, n)
		packRowsInt8Generic(want, w, ldw)
		eachPath(t, func(t *testing.T) {
			whole, parts := randomPackedInt8(rng, k, n), MakePackedInt8(k, n)
			PackInt8(whole, w, ldw, k, n)
			for j := 0; j < n; j += FirstPanel(n) {
				hi := min(j+FirstPanel(n), n)
				part := parts.Columns(j, hi)
				PackInt8(&part, w[j*ldw:], ldw, k, hi-j)
			}
			rows, again := make([]int8, n*k), randomPackedInt8(rng, k+3, n+40)
			for j := range n {
				for l := range k {
					rows[j*k+l] = want.Data[j/panelWidth*4*panelWidth*steps[int8](k)+l/4*4*panelWidth+j%panelWidth*4+l%4]
				}
			}
			PackInt8Rows(again, rows, want.Scale, k, n)
			for what, got := range map[string]*PackedInt8{"whole": whole, "in parts": &parts, "of bytes": again} {
				for j, scale := range got.Scale {
					if math.Float32bits(scale)&absBits != math.Float32bits(want.Scale[j])&absBits {
						t.Fatalf("[%d, %d] %s: scale %d is %v, want %v", k, n, what, j, scale, want.Scale[j])
					}
				}
				if !slices.Equal(got.Data, want.Data) || !slices.Equal(got.Offset, want.Offset) {
					t.Fatalf("[%d, %d] %s: other bytes or offsets than plain Go's", k, n, what)
				}
			}
		})
	}
}
