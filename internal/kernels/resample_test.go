package kernels

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// randomBytes returns n bytes, of which many are 0 or 255.
func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(max(rng.IntN(600)-170, 0) * rng.IntN(4) / 3)
	}
	return b
}

// TestResample compares with sums of one byte after the other, in 64 bits.
func TestResample(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(9, 1))
		for _, n := range []int{0, 16, 32, 48, 64, 96, 112, 144, 160, 336} {
			for _, taps := range []int{1, 2, 4, 5, 13} {
				for _, count := range []int{0, 1, 5} {
					height, ld := taps+rng.IntN(9), n+rng.IntN(20)
					src := randomBytes(rng, height*ld)
					first, weights := make([]int32, count), make([]int32, count*taps)
					for i := range first {
						first[i] = int32(rng.IntN(height - taps + 1))
					}
					for i := range weights {
						weights[i] = int32((4*rng.Float64() - 2) * (1 << WeightBits) / float64(taps))
					}
					want := bytes.Repeat([]byte{77}, count*n+64)
					for i := range count * n {
						sum := int64(1 << (WeightBits - 1))
						for j, w := range weights[i/n*taps:][:taps] {
							sum += int64(w) * int64(src[(int(first[i/n])+j)*ld+i%n])
						}
						want[i] = byte(min(max(sum>>WeightBits, 0), 255))
					}
					got := bytes.Repeat([]byte{77}, len(want))
					Resample(got[:count*n], src, ld, n, first, weights)
					for i, v := range got {
						if v != want[i] {
							t.Fatalf("%d rows of %d bytes, %d taps: byte %d is %d, want %d", count, n, taps, i, v, want[i])
						}
					}
				}
			}
		}
	})
}

func TestTransposeBytes(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(9, 2))
		for n := 0; n <= 80; n += 8 {
			lds, ldd := n+rng.IntN(20), 16+rng.IntN(20)
			src := randomBytes(rng, 15*lds+n)
			got := bytes.Repeat([]byte{77}, n*ldd+64)
			TransposeBytes(got, ldd, src, lds, n)
			for at, v := range got {
				want := byte(77)
				if k, i := at/ldd, at%ldd; k < n && i < 16 {
					want = src[i*lds+k]
				}
				if v != want {
					t.Fatalf("%d columns: byte %d is %d, want %d", n, at, v, want)
				}
			}
		}
	})
}

// TestResampleChecks: operands that are too short panic, whatever the path.
func TestResampleChecks(t *testing.T) {
	src, weights := make([]byte, 5*16), make([]int32, 4)
	for what, f := range map[string]func(){
		"src":     func() { Resample(make([]byte, 32), src, 16, 16, []int32{0, 4}, weights) },
		"dst":     func() { Resample(make([]byte, 31), src, 16, 16, []int32{0, 3}, weights) },
		"first":   func() { Resample(make([]byte, 32), src, 16, 16, []int32{0, -1}, weights) },
		"n":       func() { Resample(make([]byte, 32), src, 16, 8, []int32{0, 3}, weights) },
		"columns": func() { TransposeBytes(make([]byte, 999), 16, make([]byte, 999), 16, 7) },
		"rows":    func() { TransposeBytes(make([]byte, 8*16), 16, make([]byte, 16*8-1), 8, 8) },
		"room":    func() { TransposeBytes(make([]byte, 8*16-1), 16, make([]byte, 16*8), 8, 8) },
	} {
		t.Run(what, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
	Resample(make([]byte, 32), src, 16, 16, []int32{0, 3}, weights)
}

func BenchmarkResample(b *testing.B) {
	rng := rand.New(rand.NewPCG(9, 3))
	for _, taps := range []int{5, 20} {
		b.Run(fmt.Sprint(taps), func(b *testing.B) {
			const n, height = 48, 300
			src, dst := randomBytes(rng, n*height), make([]byte, n*224)
			first, weights := make([]int32, 224), make([]int32, 224*taps)
			for i := range first {
				first[i] = int32(i)
			}
			for b.Loop() {
				Resample(dst, src, n, n, first, weights)
			}
		})
	}
}
