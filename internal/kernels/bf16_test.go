package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// halfMatrix is [rows, cols] of row stride ld in the middle of canaries.
type halfMatrix struct {
	all, data      []uint16
	rows, cols, ld int
}

const halfCanary = 0x5a5a

func newHalfMatrix(rows, cols, ld int) halfMatrix {
	all := make([]uint16, margin+rows*ld+margin)
	for i := range all {
		all[i] = halfCanary
	}
	return halfMatrix{all, all[margin : len(all)-margin], rows, cols, ld}
}

func (m halfMatrix) at(i, j int) float64 { return float64(widen(m.data[i*m.ld+j])) }

// checkCanaries fails if anything but the rows and the zero behind an odd one was written.
func (m halfMatrix) checkCanaries(t *testing.T) {
	t.Helper()
	for i, v := range m.all {
		row, col := (i-margin)/m.ld, (i-margin)%m.ld
		switch {
		case i >= margin && row < m.rows && col < m.cols:
		case i >= margin && row < m.rows && col == m.cols && m.cols&1 != 0:
			if v != 0 {
				t.Fatalf("[%d, %d]: row %d is followed by %#x, not by a zero", m.rows, m.cols, row, v)
			}
		case v != halfCanary:
			t.Fatalf("[%d, %d] of stride %d: %d outside was overwritten by %#x", m.rows, m.cols, m.ld, i-margin, v)
		}
	}
}

// rounded returns x [rows, k] as RoundBF16 leaves it.
func rounded(x matrix) halfMatrix {
	y := newHalfMatrix(x.rows, x.cols, BF16Stride(x.cols))
	roundBF16Generic(y.data, y.ld, x.data, x.ld, x.rows, x.cols)
	return y
}

// TestNearestBF16 holds the portable rounding against the definition: of the two neighbours the nearer, of two as
// near the even one.
func TestNearestBF16(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 1))
	for range 1 << 16 {
		bits := rng.Uint32()
		switch rng.IntN(4) {
		case 0:
			bits = bits&^0xffff | 0x8000 // halfway
		case 1:
			bits = bits&^0xffff | 0x7fff + rng.Uint32N(3)
		}
		x := math.Float32frombits(bits)
		if x != x || math.IsInf(float64(x), 0) || math.Abs(float64(x)) < 0x1p-126 {
			continue
		}
		got := nearestBF16(x)
		down, up := uint16(bits>>16), uint16(bits>>16)+1
		value := func(h uint16) float64 { // the one after the largest counts as 2¹²⁸, to which it rounds
			if h&0x7fff == 0x7f80 {
				return math.Copysign(0x1p128, float64(x))
			}
			return float64(widen(h))
		}
		low, high := math.Abs(float64(x)-value(down)), math.Abs(value(up)-float64(x))
		want := down
		if high < low || high == low && up&1 == 0 {
			want = up
		}
		if got != want {
			t.Fatalf("%v (%#x) rounds to %#x, want %#x", x, bits, got, want)
		}
	}
	for x, want := range map[float32]uint16{
		0: 0, 1: 0x3f80, -2: 0xc000, inf: 0x7f80, -inf: 0xff80, math.MaxFloat32: 0x7f80, 1e-40: 0, -1e-40: 0x8000,
	} {
		if got := nearestBF16(x); got != want {
			t.Errorf("%v rounds to %#x, want %#x", x, got, want)
		}
	}
	for _, bits := range []uint32{0x7f800001, 0xffffffff, 0x7fc00000} {
		if h := nearestBF16(math.Float32frombits(bits)); widen(h) == widen(h) {
			t.Errorf("NaN %#x rounds to %v", bits, widen(h))
		}
	}
}

// TestRoundBF16 compares every path's rounding with the portable one, in bits.
func TestRoundBF16(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(6, 2))
		for _, rows := range []int{0, 1, 3} {
			for k := range 70 {
				x := newMatrix(rows, k, k+3, func() float32 { return math.Float32frombits(rng.Uint32()) })
				for i := range rows {
					for j := range k {
						switch at := &x.data[i*x.ld+j]; rng.IntN(6) {
						case 0:
							*at = math.Float32frombits(math.Float32bits(*at)&^0xffff | 0x8000)
						case 1:
							signalling := math.Float32frombits(0x7f800001)
							*at = []float32{0, inf, -inf, nan, math.MaxFloat32, 1e-40, -1e-45, signalling}[rng.IntN(8)]
						case 2:
							*at = float32(rng.NormFloat64())
						}
					}
				}
				got, want := newHalfMatrix(rows, k, BF16Stride(k)), newHalfMatrix(rows, k, BF16Stride(k))
				RoundBF16(got.data, got.ld, x.data, x.ld, rows, k)
				roundBF16Generic(want.data, want.ld, x.data, x.ld, rows, k)
				got.checkCanaries(t)
				for i := range rows {
					for j := range k {
						if g, w := got.data[i*got.ld+j], want.data[i*want.ld+j]; g != w {
							v := x.data[i*x.ld+j]
							t.Fatalf("k %d: [%d, %d] %v (%#x) rounds to %#x, want %#x",
								k, i, j, v, math.Float32bits(v), g, w)
						}
					}
				}
			}
		}
	})
}

// TestLayerNormBF16 demands the bits of LayerNorm and RoundBF16 one after the other.
func TestLayerNormBF16(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(6, 3))
		for _, dim := range []int{0, 1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 48, 96, 197, 384} {
			for _, rows := range []int{0, 1, 3, 17} {
				x, gamma, beta := normal(rng, rows*dim), normal(rng, dim), normal(rng, dim)
				got, want := newHalfMatrix(rows, dim, BF16Stride(dim)), newHalfMatrix(rows, dim, BF16Stride(dim))
				y := make([]float32, rows*dim)
				LayerNorm(y, x, gamma, beta, rows, dim, 1e-6)
				RoundBF16(want.data, want.ld, y, dim, rows, dim)
				LayerNormBF16(got.data, got.ld, x, gamma, beta, rows, dim, 1e-6)
				got.checkCanaries(t)
				if !slices.Equal(got.all, want.all) {
					t.Fatalf("[%d, %d]: not what LayerNorm and RoundBF16 give", rows, dim)
				}
			}
		}
	})
}

// TestPackBF16 compares both packings with their definition, over old contents that must not show.
func TestPackBF16(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(6, 4))
		var rows PackedBF16
		for _, k := range awkward {
			for _, n := range awkward {
				w := randomMatrix(rng, n, k, k+3)
				size := panelsLen[uint16](k, n)
				rows.Data = slices.Grow(rows.Data[:0], size+1)[:size+1]
				pairs := PackedBF16{K: k, N: n, Data: make([]uint16, size)}
				for i := range rows.Data {
					rows.Data[i] = halfCanary
				}
				for i := range pairs.Data {
					pairs.Data[i] = halfCanary
				}
				PackBF16(&rows, w.data, w.ld, k, n)
				transposed := newMatrix(k, n, n+2, func() float32 { return 0 })
				for j := range n {
					for l := range k {
						transposed.data[l*transposed.ld+j] = w.data[j*w.ld+l]
					}
				}
				active.packPairsBF16(pairs, transposed.data, transposed.ld)
				if rows.K != k || rows.N != n || len(rows.Data) != size {
					t.Fatalf("k %d n %d: packed as [%d, %d] in %d", k, n, rows.K, rows.N, len(rows.Data))
				}
				i, even := 0, k+k&1
				for panel := 0; panel < n; panel += panelWidth {
					for l := 0; l < even; l += 2 {
						for j := panel; j < panel+panelWidth; j++ {
							for u := l; u < l+2; u++ {
								var want uint16
								if u < k && j < n {
									want = nearestBF16(w.data[j*w.ld+u])
								}
								if rows.Data[i] != want || pairs.Data[i] != want {
									t.Fatalf("k %d n %d: element (%d, %d) is %#x by rows and %#x by pairs, want %#x",
										k, n, u, j, rows.Data[i], pairs.Data[i], want)
								}
								i++
							}
						}
					}
				}
			}
		}
	})
}

// TestGemmBF16 compares with float64 sums of the rounded numbers. Without the machine's dot product all paths must
// give the same bits: every product is exact, every sum has one order.
func TestGemmBF16(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(6, 5))
		shapes := [][3]int{{13, 40, 700}, {400, 33, 20}}
		for _, m := range awkward {
			for _, n := range awkward {
				for _, k := range awkward {
					if m*n*k <= 1<<19 {
						shapes = append(shapes, [3]int{m, n, k})
					}
				}
			}
		}
		for _, s := range shapes {
			m, n, k := s[0], s[1], s[2]
			x, w, c := randomMatrix(rng, m, k, k+3), randomMatrix(rng, n, k, k+5), randomMatrix(rng, m, n, n+7)
			a, b := rounded(x), rounded(w)
			var packed PackedBF16
			PackBF16(&packed, w.data, w.ld, k, n)
			want := exact{m: m, n: n, k: k, a: a.at, b: func(l, j int) float64 { return b.at(j, l) }}
			if (m+n+k)%2 == 0 {
				old := c.clone()
				want.c = &old
			}
			if n%2 == 0 {
				want.bias = normal(rng, n)
			}
			e := Epilogue{Bias: want.bias, Add: want.c != nil}
			got := c.clone()
			GemmBF16(got.data, got.ld, a.data, a.ld, m, &packed, e)
			want.check(t, got)
			if !active.bf16Dots {
				twin := c.clone()
				restore, err := Use("portable")
				if err != nil {
					t.Fatal(err)
				}
				GemmBF16(twin.data, twin.ld, a.data, a.ld, m, &packed, e)
				restore()
				sameBits(t, "GemmBF16 and its portable twin", got, twin)
			}
			activated := got.clone()
			active.geluQuick(activated.data, activated.data, activated.ld, m, n)
			e.GELU = true
			got = c.clone()
			GemmBF16(got.data, got.ld, a.data, a.ld, m, &packed, e)
			sameBits(t, "GemmBF16 with gelu", got, activated)
		}
	})
}

// TestRowsAloneBF16 demands that a row of a product has the same bits alone as among any number of others.
func TestRowsAloneBF16(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(6, 6))
		const m, n, k = 451, 72, 65
		a, bias := rounded(randomMatrix(rng, m, k, k)), normal(rng, n)
		var packed PackedBF16
		PackBF16(&packed, normal(rng, n*k), k, k, n)
		e := Epilogue{Bias: bias, Add: true, GELU: true}
		start := normal(rng, m*n)
		whole := slices.Clone(start)
		GemmBF16(whole, n, a.data, a.ld, m, &packed, e)
		for size := 1; size < 40; size++ {
			got := slices.Clone(start)
			for i := 0; i < m; i += size {
				GemmBF16(got[i*n:], n, a.data[i*a.ld:], a.ld, min(size, m-i), &packed, e)
			}
			for i, v := range got {
				if math.Float32bits(v) != math.Float32bits(whole[i]) {
					t.Fatalf("%d rows at a time: c[%d, %d] = %v, with all rows %v", size, i/n, i%n, v, whole[i])
				}
			}
		}
	})
}

// TestSpecialBF16: NaN and infinities reach their own row's results and no other; rows of zeros give zeros.
func TestSpecialBF16(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(6, 7))
		const m, n, k = 5, 40, 33
		x := randomMatrix(rng, m, k, k)
		x.data[1*k+32] = nan
		x.data[2*k+7] = inf
		clear(x.data[3*k : 4*k])
		a := newHalfMatrix(m, k, BF16Stride(k))
		RoundBF16(a.data, a.ld, x.data, x.ld, m, k)
		var packed PackedBF16
		PackBF16(&packed, normal(rng, n*k), k, k, n)
		c := make([]float32, m*n)
		GemmBF16(c, n, a.data, a.ld, m, &packed, Epilogue{})
		for i, v := range c {
			ok := v == v && !math.IsInf(float64(v), 0)
			switch i / n {
			case 1:
				ok = v != v
			case 2:
				ok = math.IsInf(float64(v), 0)
			case 3:
				ok = v == 0
			}
			if !ok {
				t.Fatalf("c[%d, %d] = %v", i/n, i%n, v)
			}
		}
	})
}

// reportPeakBF16 is reportPeak beside PeakBF16.
func reportPeakBF16(b *testing.B, flops int, f func()) { reportPeakOf(b, PeakBF16, flops, f) }

// BenchmarkGemmBF16 reports each shape's share of the peak, without and with the rounding of its left side.
func BenchmarkGemmBF16(b *testing.B) {
	rng := rand.New(rand.NewPCG(6, 8))
	for _, s := range []struct{ m, k, n int }{
		{197, 384, 1152}, {197, 384, 384}, {197, 384, 1536}, {197, 1536, 384}, {197, 192, 576},
		{20, 384, 1536}, {1, 384, 1000},
	} {
		x, c, y := normal(rng, s.m*s.k), make([]float32, s.m*s.n), make([]uint16, s.m*BF16Stride(s.k))
		var packed PackedBF16
		PackBF16(&packed, normal(rng, s.n*s.k), s.k, s.k, s.n)
		RoundBF16(y, BF16Stride(s.k), x, s.k, s.m, s.k)
		for _, rounds := range []bool{false, true} {
			b.Run(fmt.Sprintf("m%d_k%d_n%d/rounding=%v", s.m, s.k, s.n, rounds), func(b *testing.B) {
				reportPeakBF16(b, 2*s.m*s.k*s.n, func() {
					if rounds {
						RoundBF16(y, BF16Stride(s.k), x, s.k, s.m, s.k)
					}
					GemmBF16(c, s.n, y, BF16Stride(s.k), s.m, &packed, Epilogue{})
				})
			})
		}
	}
}
