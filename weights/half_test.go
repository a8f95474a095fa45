package weights

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// halfValue computes a half's value from the definition, without bit tricks.
func halfValue(h Float16) float64 {
	sign := 1.0
	if h>>15 == 1 {
		sign = -1
	}
	exponent, fraction := int(h>>10&31), float64(h&1023)
	switch exponent {
	case 0:
		return sign * fraction / 1024 * math.Pow(2, -14)
	case 31:
		if fraction == 0 {
			return math.Inf(int(sign))
		}
		return math.NaN()
	}
	return sign * (1 + fraction/1024) * math.Pow(2, float64(exponent-15))
}

func TestEveryHalf(t *testing.T) {
	for i := range 1 << 16 {
		h := Float16(i)
		got, want := float64(h.Float32()), halfValue(h)
		if math.IsNaN(want) {
			if !math.IsNaN(got) {
				t.Fatalf("%#04x is %v, want NaN", i, got)
			}
			if back := ToFloat16(h.Float32()); !math.IsNaN(halfValue(back)) || back>>15 != h>>15 {
				t.Fatalf("NaN %#04x comes back as %#04x", i, back)
			}
			continue
		}
		if got != want || math.Signbit(got) != math.Signbit(want) {
			t.Fatalf("%#04x is %v, want %v", i, got, want)
		}
		if back := ToFloat16(h.Float32()); back != h {
			t.Fatalf("%#04x comes back as %#04x", i, back)
		}
	}
}

// TestHalfRounding tries, for every pair of neighbouring halves, the number half way between them (ties go to the even
// one) and the float32 next to it on either side. 65504's upper neighbour counts as 65536, which stands for infinity.
func TestHalfRounding(t *testing.T) {
	for i := range 0x7c00 {
		low, high := Float16(i), Float16(i+1)
		top := halfValue(high)
		if high == 0x7c00 {
			top = 65536
		}
		tie := float32((halfValue(low) + top) / 2) // exact: one more bit than a half has
		even := low
		if low&1 == 1 {
			even = high
		}
		inf := float32(math.Inf(1))
		for _, c := range []struct {
			x    float32
			want Float16
		}{{math.Nextafter32(tie, 0), low}, {tie, even}, {math.Nextafter32(tie, inf), high}} {
			if got := ToFloat16(c.x); got != c.want {
				t.Fatalf("%v becomes %#04x, want %#04x", c.x, got, c.want)
			}
			if got := ToFloat16(-c.x); got != c.want|0x8000 {
				t.Fatalf("%v becomes %#04x, want %#04x", -c.x, got, c.want|0x8000)
			}
		}
	}
	for x, want := range map[float32]Float16{
		65519.996: 0x7bff, 65520: 0x7c00, math.MaxFloat32: 0x7c00,
		float32(math.Inf(1)): 0x7c00, math.SmallestNonzeroFloat32: 0,
		0x1p-25: 0, 0x1.000002p-25: 1, 0x1p-24: 1, 1: 0x3c00, -2: 0xc000,
	} {
		if got := ToFloat16(x); got != want {
			t.Errorf("%v becomes %#04x, want %#04x", x, got, want)
		}
	}
	if got := ToFloat16(float32(math.Copysign(0, -1))); got != 0x8000 {
		t.Errorf("-0 becomes %#04x", got)
	}
}

// TestBFloat16Rounding compares with rounding to 8 bits of precision by math/big, which knows neither overflow nor
// subnormals; those are tried one by one.
func TestBFloat16Rounding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float32Range(0x1p-126, 0x1.fep127).Draw(t, "x")
		if rapid.Bool().Draw(t, "tie") {
			x = math.Float32frombits(math.Float32bits(x)&0xffff0000 | 0x8000)
		}
		want, _ := new(big.Float).SetPrec(8).SetMode(big.ToNearestEven).SetFloat64(float64(x)).Float32()
		if got := ToBFloat16(x).Float32(); got != want {
			t.Fatalf("%v becomes %v, want %v", x, got, want)
		}
		if got := ToBFloat16(-x).Float32(); got != -want {
			t.Fatalf("%v becomes %v, want %v", -x, got, -want)
		}
	})
	for bits, want := range map[uint32]BFloat16{
		0x7f7fffff: 0x7f80, 0x7f800000: 0x7f80, 0xff800000: 0xff80,
		0x80000000: 0x8000, 0x00008000: 0, 0x00008001: 1, 0x00018000: 2,
	} {
		if got := ToBFloat16(math.Float32frombits(bits)); got != want {
			t.Errorf("%#08x becomes %#04x, want %#04x", bits, got, want)
		}
	}
	for _, bits := range []uint32{0x7f800001, 0x7fffffff, 0xffc00000} {
		if x := ToBFloat16(math.Float32frombits(bits)).Float32(); !math.IsNaN(float64(x)) {
			t.Errorf("NaN %#08x becomes %v", bits, x)
		}
	}
}
