package kernels

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
)

// randomSamples returns n bytes, among which 0 and 255 are frequent.
func randomSamples(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(min(max(rng.IntN(512)-128, 0), 255))
	}
	return b
}

// TestInverseDCT compares with the definition in floating point, and all paths with one another: also where numbers
// leave 16 bits.
func TestInverseDCT(t *testing.T) {
	const stride, canary = 13, 77
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(5, 6))
		for trial := range 3000 {
			var b, q DCTBlock
			scale := 1 << (trial % 16)
			for i := range q {
				q[i] = int16(1 + rng.IntN(scale))
				if trial%3 == 0 || rng.IntN(8) == 0 {
					b[i] = int16(rng.IntN(2*scale) - scale)
				}
			}
			if trial < 500 { // as in a picture: samples of -1 … 1 times some
				for i := range b {
					q[i], b[i] = int16(1+i%3), int16(rng.IntN(1+2*trial/4)-trial/4)
				}
			}
			got, want := bytes.Repeat([]byte{canary}, 8*stride), bytes.Repeat([]byte{canary}, 8*stride)
			InverseDCT(got[:7*stride+8], stride, &b, &q)
			inverseDCTGeneric(want, stride, &b, &q)
			if !bytes.Equal(got, want) {
				t.Fatalf("trial %d: got\n%v, want\n%v", trial, got, want)
			}
			if trial >= 500 {
				continue
			}
			for y := range 8 {
				for x := range 8 {
					exact := min(max(128+cosines(&b, &q, y, x), 0), 255)
					if v := got[y*stride+x]; math.Abs(float64(v)-exact) > 1 {
						t.Fatalf("trial %d: sample %d,%d is %d, want %.2f", trial, y, x, v, exact)
					}
				}
			}
		}
	})
}

// cosines is the inverse transform's definition.
func cosines(b, q *DCTBlock, y, x int) (sum float64) {
	basis := func(u, x int) float64 {
		if u == 0 {
			return math.Sqrt2 / 4
		}
		return math.Cos(float64(2*x+1)*float64(u)*math.Pi/16) / 2
	}
	for v := range 8 {
		for u := range 8 {
			i := DCTPlace(v, u)
			sum += float64(b[i]) * float64(q[i]) * basis(v, y) * basis(u, x)
		}
	}
	return sum
}

// TestUpsample compares with the definition, in any order.
func TestUpsample(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 8))
		for n := range 100 {
			near, far := randomSamples(rng, n), randomSamples(rng, n)
			even, odd := rng.IntN(16), rng.IntN(16)
			got := bytes.Repeat([]byte{77}, 2*n+20)
			Upsample(got, near, far, even, odd)
			s := func(i int) int {
				i = min(max(i, 0), n-1)
				return 3*int(near[i]) + int(far[i])
			}
			for i, v := range got {
				want := 77
				switch {
				case i >= 2*n:
				case i%2 == 0:
					want = (3*s(i/2) + s(i/2-1) + even) / 16
				default:
					want = (3*s(i/2) + s(i/2+1) + odd) / 16
				}
				if int(v) != want {
					t.Fatalf("%d samples: pixel %d is %d, want %d", n, i, v, want)
				}
			}
		}
	})
}

// TestRGB compares with the conversion in floating point, then rows of all lengths with the plain ones.
func TestRGB(t *testing.T) {
	near := func(got byte, exact float64) bool { // the constants are rounded too
		return math.Abs(float64(got)-min(max(exact, 0), 255)) <= 0.502
	}
	eachPath(t, func(t *testing.T) {
		y, cb, cr, dst := make([]byte, 256), make([]byte, 256), make([]byte, 256), make([]byte, 3*256)
		for u := 0; u < 256; u += 5 {
			for v := 0; v < 256; v += 5 {
				for i := range y {
					y[i], cb[i], cr[i] = byte(i), byte(u), byte(v)
				}
				RGB(dst, y, cb, cr)
				u, v := float64(u)-128, float64(v)-128
				r, g, b := 1.402*v, -0.344136*u-0.714136*v, 1.772*u
				for i := range y {
					l, p := float64(i), dst[3*i:3*i+3]
					if !near(p[0], l+r) || !near(p[1], l+g) || !near(p[2], l+b) {
						t.Fatalf("luma %d, chroma %v %v: %v, want %v %v %v", i, u, v, p, l+r, l+g, l+b)
					}
				}
			}
		}
		rng := rand.New(rand.NewPCG(9, 10))
		for n := range 100 {
			y, cb, cr := randomSamples(rng, n), randomSamples(rng, n), randomSamples(rng, n)
			got := bytes.Repeat([]byte{77}, 3*n+20)
			want := bytes.Clone(got)
			RGB(got, y, cb, cr)
			rgbGeneric(want, y, cb, cr)
			if !bytes.Equal(got, want) {
				t.Fatalf("%d pixels: got\n%v, want\n%v", n, got, want)
			}
		}
	})
}
