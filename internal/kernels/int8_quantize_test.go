package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestQuantizeRows demands the bits of the definition on every path, and that nothing but the rows is written.
func TestQuantizeRows(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 21))
		for _, k := range []int{0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 96, 127, 128, 129, 197, 384} {
			for _, rows := range []int{0, 1, 3, 13} {
				x := randomMatrix(rng, rows, k, k+3)
				for i := range rows {
					f := float32(math.Pow(10, float64(3*i-9)))
					for l := range k {
						x.data[i*x.ld+l] *= f
					}
				}
				ld := Int8Stride(k)
				q := make([]uint8, margin+rows*ld+margin)
				for i := range q {
					q[i] = 77
				}
				scale := newMatrix(1, rows, rows, func() float32 { return canary })
				QuantizeRows(q[margin:len(q)-margin], ld, scale.data, x.data, x.ld, rows, k)
				scale.checkCanaries(t)
				for at, v := range q {
					i, l := (at-margin)/ld, (at-margin)%ld
					want := uint8(77)
					switch {
					case at < margin || i >= rows || l >= int8Padded(k):
					case l >= k:
						want = 128
					default:
						want = uint8(128 + math.RoundToEven(float64(x.data[i*x.ld+l]*(127/rowMax(x, i)))))
					}
					if v != want {
						t.Fatalf("[%d, %d] of [%d, %d]: %d, want %d", i, l, rows, k, v, want)
					}
				}
				for i := range rows {
					if want := rowMax(x, i) / 127; k > 0 && scale.data[i] != want {
						t.Fatalf("k %d: scale %v, want %v", k, scale.data[i], want)
					}
				}
			}
		}
	})
}

func rowMax(x matrix, i int) float32 {
	largest := float32(0)
	for l := range x.cols {
		largest = max(largest, float32(math.Abs(x.at(i, l))))
	}
	return largest
}

// TestQuantizeOddRows has ties, zeros, the smallest and the largest numbers, NaN and infinities.
func TestQuantizeOddRows(t *testing.T) {
	inf := float32(math.Inf(1))
	rows := []struct {
		x     []float32
		scale float32
		q     []uint8
	}{
		{[]float32{127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, -127}, 1, []uint8{255, 128, 130, 130, 128, 126, 126, 1}},
		{[]float32{0, float32(math.Copysign(0, -1)), 0}, 0, []uint8{128, 128, 128}},
		{[]float32{1e-45, -1e-45, 1e-38, 9e-31}, 0, []uint8{128, 128, 128, 128}},
		{[]float32{2e-30, -1e-30}, 2e-30 / float32(127), []uint8{255, 64}},
		{[]float32{math.MaxFloat32, -math.MaxFloat32, 1}, math.MaxFloat32 / 127, []uint8{255, 1, 128}},
		{[]float32{1, nan, 2}, nan, nil},
		{[]float32{nan}, nan, nil},
		{[]float32{1, inf, 2}, nan, nil},
		{[]float32{-inf, 1, nan}, nan, nil},
	}
	eachPath(t, func(t *testing.T) {
		for _, r := range rows {
			for _, lead := range []int{0, 5, 60, 64, 130} { // zeros before the row, so that it meets every lane
				x := append(make([]float32, lead), r.x...)
				got := quantize(x, len(x), 1, len(x))
				scale := got.scale[0]
				if math.Float32bits(scale) != math.Float32bits(r.scale) && (r.scale == r.scale || scale == scale) {
					t.Fatalf("%v: scale %v, want %v", r.x, scale, r.scale)
				}
				if r.q != nil && !slices.Equal(got.q[lead:len(x)], r.q) {
					t.Fatalf("%v: %v, want %v", r.x, got.q[lead:len(x)], r.q)
				}
			}
		}
	})
}

// TestLayerNormQuantize demands the bytes and scales of one after the other.
func TestLayerNormQuantize(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(2, 21))
		for _, dim := range []int{0, 1, 7, 33, 384, 4096, 5000} {
			for _, rows := range []int{0, 1, 12, 30} {
				x, gamma, beta := normal(rng, rows*dim), normal(rng, dim), normal(rng, dim)
				y := make([]float32, rows*dim)
				LayerNorm(y, x, gamma, beta, rows, dim, 1e-6)
				want := quantize(y, dim, rows, dim)
				q, scale := make([]uint8, len(want.q)), make([]float32, rows)
				scratch := make([]float32, dim+(rows%5)*dim/2)
				LayerNormQuantize(q, want.ld, scale, x, gamma, beta, rows, dim, 1e-6, scratch)
				if !slices.Equal(scale, want.scale) {
					t.Fatalf("%d rows of %d: scales %v, want %v", rows, dim, scale, want.scale)
				}
				for i := range rows {
					if !slices.Equal(q[i*want.ld:][:dim], want.q[i*want.ld:][:dim]) {
						t.Fatalf("%d rows of %d: row %d differs", rows, dim, i)
					}
				}
			}
		}
	})
}

func TestInt8Stride(t *testing.T) {
	for k := range 5000 {
		if s := Int8Stride(k); s < k || s%64 != 0 || s%256 == 0 || s > k+127+1 {
			t.Fatalf("k %d: stride %d", k, s)
		}
	}
}

func BenchmarkQuantizeRows(b *testing.B) {
	for _, s := range [][2]int{{197, 384}, {197, 1536}, {12, 384}} {
		rows, k := s[0], s[1]
		rng := rand.New(rand.NewPCG(3, 21))
		x, ones := normal(rng, rows*k), normal(rng, k)
		a := quantize(x, k, rows, k)
		b.Run(fmt.Sprintf("quantise/%dx%d", rows, k), func(b *testing.B) {
			reportVectors(b, len(x), func() { QuantizeRows(a.q, a.ld, a.scale, x, k, rows, k) })
		})
		b.Run(fmt.Sprintf("norm/%dx%d", rows, k), func(b *testing.B) {
			y := make([]float32, len(x))
			reportVectors(b, len(x), func() { LayerNorm(y, x, ones, ones, rows, k, 1e-6) })
		})
		b.Run(fmt.Sprintf("both/%dx%d", rows, k), func(b *testing.B) {
			scratch := make([]float32, 4096)
			reportVectors(b, len(x), func() {
				LayerNormQuantize(a.q, a.ld, a.scale, x, ones, ones, rows, k, 1e-6, scratch)
			})
		})
	}
}
