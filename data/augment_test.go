package data

import (
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/adavit/adavit/picture"
)

// spots is a picture whose bytes all differ, so that every move shows.
func spots(c, h, w int) []byte {
	b := make([]byte, c*h*w)
	for i := range b {
		b[i] = byte(i + 1)
	}
	return b
}

func TestAugmentNothing(t *testing.T) {
	p := picture.DefaultPreprocessor(5, 7, 3)
	mean, std := p.MeanStd(3)
	src := spots(3, 5, 7)
	got, want := make([]float32, len(src)), make([]float32, len(src))
	Augment{}.Apply(got, src, 3, 5, 7, mean, std, Rand(1, 2, 3))
	p.Normalize(want, src, 3, 5, 7)
	for i := range got {
		if math.Abs(float64(got[i]-want[i])) > 1e-6 {
			t.Fatalf("value %d: %v, Normalize gives %v", i, got[i], want[i])
		}
	}
}

// TestAugmentMoves: every result is one of the shifted, mirrored pictures, and each of them turns up about equally
// often.
func TestAugmentMoves(t *testing.T) {
	const h, w, shift, rounds = 6, 5, 2, 5000
	src := spots(1, h, w)
	type move struct {
		dy, dx int
		flip   bool
	}
	count := map[move]int{}
	dst := make([]float32, h*w)
	rng := Rand(7, 0, 0)
	for range rounds {
		Augment{Shift: shift, Flip: true}.Apply(dst, src, 1, h, w, []float32{0}, []float32{1. / 255}, rng)
		found := 0
		for dy := -shift; dy <= shift; dy++ {
			for dx := -shift; dx <= shift; dx++ {
				for _, flip := range []bool{false, true} {
					same := true
					for y := range h {
						for x := range w {
							sy, sx, want := y-dy, x-dx, byte(0)
							if sy >= 0 && sy < h && sx >= 0 && sx < w {
								if flip {
									sx = w - 1 - sx
								}
								want = src[sy*w+sx]
							}
							same = same && math.Abs(float64(dst[y*w+x])-float64(want)) < 1e-3
						}
					}
					if same {
						found++
						count[move{dy, dx, flip}]++
					}
				}
			}
		}
		if found != 1 {
			t.Fatalf("%d moves explain %v", found, dst)
		}
	}
	if len(count) != 50 {
		t.Errorf("%d different moves, want 50", len(count))
	}
	for m, n := range count {
		if n < 60 || n > 145 { // 100 expected, deviation 10
			t.Errorf("%+v: %d times of %d", m, n, rounds)
		}
	}
}

func TestAugmentErase(t *testing.T) {
	const h, w, rounds, most = 20, 30, 2000, 0.3
	a := Augment{EraseProb: 0.25, EraseMax: most}
	src := make([]byte, 2*h*w) // black, which noise seldom is
	dst := make([]float32, 2*h*w)
	erased, area, sum, n := 0, 0.0, 0.0, 0
	for i := range rounds {
		a.Apply(dst, src, 2, h, w, []float32{0, 0}, []float32{1, 1}, Rand(1, 2, uint64(i)))
		y0, y1, x0, x1, hit := h, -1, w, -1, 0
		for c := range 2 {
			for y := range h {
				for x := range w {
					if v := dst[(c*h+y)*w+x]; v != 0 {
						y0, y1, x0, x1 = min(y0, y), max(y1, y), min(x0, x), max(x1, x)
						sum, n, hit = sum+float64(v), n+1, hit+1
					}
				}
			}
		}
		if hit == 0 {
			continue
		}
		erased++
		share := float64((y1-y0+1)*(x1-x0+1)) / (h * w)
		area += share
		if share > most*1.1 || float64(hit) < 0.9*2*share*h*w {
			t.Fatalf("round %d: rectangle of %v of the picture, %d values in it", i, share, hit)
		}
	}
	if erased < 425 || erased > 575 { // 500 expected, deviation 19
		t.Errorf("erased %d times of %d, want a quarter", erased, rounds)
	}
	if got, want := area/float64(erased), (eraseMin+most)/2; math.Abs(got-want) > 0.02 {
		t.Errorf("mean share %v, want %v", got, want)
	}
	if got := sum / float64(n); math.Abs(got-0.5) > 0.01 {
		t.Errorf("mean of the noise %v, want ½", got)
	}
}

func TestAugmentAffine(t *testing.T) {
	const side = 21
	src := make([]byte, side*side)
	for y := range side {
		for x := range side {
			src[y*side+x] = byte(100 + 3*y - 2*x) // a plane, which bilinear interpolation keeps
		}
	}
	got := make([]float32, side*side)
	for _, flip := range []bool{false, true} {
		angle, scale := 0.1, 1.05
		warp(got, src, side, side, 1, -2, flip, angle, scale, 1, 0)
		for y := 5; y < 16; y++ {
			for x := 5; x < 16; x++ {
				// The inverse map: undo the shift, turn back by angle, undo the scale.
				oy, ox := float64(y-1-10), float64(x+2-10)
				sy := (math.Cos(angle)*oy-math.Sin(angle)*ox)/scale + 10
				sx := (math.Sin(angle)*oy+math.Cos(angle)*ox)/scale + 10
				if flip {
					sx = 20 - sx
				}
				if want := 100 + 3*sy - 2*sx; math.Abs(float64(got[y*side+x])-want) > 1e-3 {
					t.Fatalf("flip %v at %d,%d: %v, want %v", flip, y, x, got[y*side+x], want)
				}
			}
		}
	}
	// Far outside there is black.
	warp(got, src, side, side, 40, 0, false, 0.1, 1, 1, 0)
	if slices.Max(got) != 0 {
		t.Errorf("%v came from outside the picture", slices.Max(got))
	}
}

func TestAugmentRepeats(t *testing.T) {
	a := Augment{Shift: 2, Flip: true, Affine: 0.1, EraseProb: 0.5, EraseMax: 0.3}
	if err := a.Validate(); err != nil {
		t.Fatal(err)
	}
	src := spots(1, 28, 28)
	mean, std := []float32{0.3}, []float32{0.35}
	one, two := make([]float32, 784), make([]float32, 784)
	a.Apply(one, src, 1, 28, 28, mean, std, Rand(1, 2, 3))
	a.Apply(two, src, 1, 28, 28, mean, std, Rand(1, 2, 3))
	if !slices.Equal(one, two) {
		t.Error("the same stream gave two pictures")
	}
	for _, other := range [][3]uint64{{2, 2, 3}, {1, 3, 3}, {1, 2, 4}, {2, 1, 3}} {
		a.Apply(two, src, 1, 28, 28, mean, std, Rand(other[0], other[1], other[2]))
		if slices.Equal(one, two) {
			t.Errorf("stream %v gave the picture of 1, 2, 3", other)
		}
	}
	rng := Rand(1, 2, 3)
	if n := testing.AllocsPerRun(100, func() { a.Apply(one, src, 1, 28, 28, mean, std, rng) }); n != 0 {
		t.Errorf("%v allocations a picture", n)
	}
	for _, bad := range []Augment{{Shift: -1}, {Affine: 2}, {Affine: math.NaN()},
		{EraseProb: -1}, {EraseProb: 0.5}, {EraseMax: 2}} {
		if bad.Validate() == nil {
			t.Errorf("%+v passed", bad)
		}
	}
}

// TestAugmentBits: a seed gives the pictures that it always gave, so that models can be trained again. The bytes are
// those of before there were more augmentations than these.
func TestAugmentBits(t *testing.T) {
	a := Augment{Shift: 2, Flip: true, EraseProb: 0.25, EraseMax: 0.3}
	hash := sha256.New()
	dst, pixels := make([]float32, 784), make([]byte, 784)
	for i := range uint64(200) {
		a.Apply(dst, spots(1, 28, 28), 1, 28, 28, []float32{0.5}, []float32{0.5}, Rand(1, 2, i))
		for k, v := range dst {
			pixels[k] = byte(math.Round(255 * float64(v*0.5+0.5)))
		}
		hash.Write(pixels)
	}
	if got, want := fmt.Sprintf("%x", hash.Sum(nil)[:8]), "88c35791fd2e86d8"; got != want {
		t.Errorf("checksum %s, want %s", got, want)
	}
}

func TestOrder(t *testing.T) {
	a := Order(5, 6, 1000)
	if !slices.Equal(a, Order(5, 6, 1000)) {
		t.Error("two orders of one epoch")
	}
	if slices.Equal(a, Order(5, 7, 1000)) || slices.Equal(a, Order(6, 6, 1000)) {
		t.Error("two epochs or seeds share their order")
	}
	slices.Sort(a)
	for i, v := range a {
		if i != v {
			t.Fatalf("not a permutation: %d at place %d", v, i)
		}
	}
	if len(Order(1, 2, 0)) != 0 {
		t.Error("an order of nothing")
	}
	// Every place gets every number: 4! orders, equally often.
	count := map[[4]int]int{}
	for e := range uint64(4800) {
		count[[4]int(Order(9, e, 4))]++
	}
	for o, n := range count {
		if n < 140 || n > 260 { // 200 expected, deviation 14
			t.Errorf("order %v: %d times", o, n)
		}
	}
	if len(count) != 24 {
		t.Errorf("%d orders of 4, want 24", len(count))
	}
}

func BenchmarkAugment(b *testing.B) {
	a := Augment{Shift: 2, Flip: true, EraseProb: 0.25, EraseMax: 0.3}
	src, dst, rng := spots(1, 28, 28), make([]float32, 784), Rand(1, 2, 3)
	for name, affine := range map[string]float64{"shift": 0, "affine": 0.1} {
		b.Run(name, func(b *testing.B) {
			a.Affine = affine
			for b.Loop() {
				a.Apply(dst, src, 1, 28, 28, []float32{0.3}, []float32{0.35}, rng)
			}
		})
	}
}
