package kernels

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestGated demands the bits of GELU, Dot and rounding one after the other, and that nothing else is written.
func TestGated(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(4, 23))
		for _, k := range []int{1, 7, 15, 16, 17, 33, 63, 64, 65, 80, 96, 128, 197, 200} {
			for _, rows := range []int{0, 1, 3} {
				for _, gelu := range []bool{false, true} {
					x, gate := randomMatrix(rng, rows, k, k+3), normal(rng, k)
					checkGatedInt8(t, x, gate, gelu)
					checkGatedBF16(t, x, gate, gelu)
				}
			}
		}
		sums := []float32{nan, nan}
		if QuantizeGated(nil, 64, sums, sums, nil, 0, 2, 0, nil, false); sums[0] != 0 || sums[1] != 0 {
			t.Errorf("sums over no columns are %v", sums)
		}
	})
}

func checkGatedInt8(t *testing.T, x matrix, gate []float32, gelu bool) {
	t.Helper()
	rows, k := x.rows, x.cols
	again := x.clone()
	if gelu {
		active.geluCoarse(again.data, again.data, again.ld, rows, k)
	}
	want := quantize(slices.Clone(again.data), again.ld, rows, k)
	got, scale, sums := make([]uint8, len(want.q)+8), newMatrix(1, rows, rows, zero), newMatrix(1, rows, rows, zero)
	QuantizeGated(got[:len(want.q)], want.ld, scale.data, sums.data, x.data, x.ld, rows, k, gate, gelu)
	x.checkCanaries(t)
	scale.checkCanaries(t)
	sums.checkCanaries(t)
	for i := range rows {
		at, n := i*want.ld, int8Padded(k)
		if !slices.Equal(got[at:at+n], want.q[at:at+n]) || scale.data[i] != want.scale[i] {
			t.Fatalf("[%d, %d], gelu %v: row %d differs", rows, k, gelu, i)
		}
		if d := Dot(again.data[i*again.ld:][:k], gate); sums.data[i] != d {
			t.Fatalf("[%d, %d], gelu %v: sum %d is %v, want %v", rows, k, gelu, i, sums.data[i], d)
		}
	}
	if !slices.Equal(got[len(want.q):], make([]uint8, 8)) {
		t.Fatal("written behind the rows")
	}
}

func checkGatedBF16(t *testing.T, x matrix, gate []float32, gelu bool) {
	t.Helper()
	rows, k, ld := x.rows, x.cols, BF16Stride(x.cols)
	again, sums := x.clone(), newMatrix(1, rows, rows, zero)
	if gelu {
		active.geluQuick(again.data, again.data, again.ld, rows, k)
	}
	want, got := make([]uint16, rows*ld+8), make([]uint16, rows*ld+8)
	RoundBF16(want, ld, again.data, again.ld, rows, k)
	RoundGated(got, ld, sums.data, x.data, x.ld, rows, k, gate, gelu)
	x.checkCanaries(t)
	sums.checkCanaries(t)
	if !slices.Equal(got, want) {
		t.Fatalf("[%d, %d], gelu %v: the rounded rows differ", rows, k, gelu)
	}
	for i := range rows {
		if d := Dot(again.data[i*again.ld:][:k], gate); sums.data[i] != d {
			t.Fatalf("[%d, %d], gelu %v: sum %d is %v, want %v", rows, k, gelu, i, sums.data[i], d)
		}
	}
}

func zero() float32 { return 0 }
