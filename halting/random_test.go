package halting

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// lots returns the lots that an image's tokens get, given how they go into block 1, and their depths.
func lots(rate float64, special, layers int, previous []float32, n int) ([]float32, []int32) {
	var st State
	st.Reset(n)
	for l := 1; l <= layers; l++ {
		r := rowsOf(l, layers, n, len(previous)/n)
		r.Readouts.Special, r.Token = special, r.Token[:0]
		for k, d := range st.Depth {
			if d == 0 {
				r.Token = append(r.Token, int32(k))
			}
		}
		if r.Previous = nil; (Random{}).Needs(l, layers).Previous {
			r.Previous = previous
		}
		Random{rate}.Step(&st, r)
	}
	return st.Cumulative, st.Depth
}

// TestRandom: patches halt with the same chance after each block, independently of their neighbours, of the block, of
// what they show themselves, and of the same place in other images.
func TestRandom(t *testing.T) {
	const images, n, width, layers, rate = 2000, 51, 8, 6, 0.25
	rng := rand.New(rand.NewPCG(1, 2))
	normal := func(x []float32) {
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
	}
	var halted, ran [layers + 1]float64
	before, sum, squares, place, image, content, far := make([]float32, n), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
	for range images {
		x := make([]float32, n*width)
		normal(x[:n/2*width]) // the other half is background, the same in all images
		v, depth := lots(rate, 1, layers, x, n)
		if v[0] != 0 || depth[0] != layers {
			t.Fatalf("the class token has lot %v and halts after block %d", v[0], depth[0])
		}
		for k := 1; k < n; k++ {
			if !(v[k] >= 0 && v[k] < 1) {
				t.Fatalf("token %d: lot %v", k, v[k])
			}
			for l := 1; l <= int(depth[k]); l++ {
				ran[l]++
			}
			halted[depth[k]]++
			u := float64(v[k]) - 0.5
			sum += u
			squares += u * u
			if k > 1 {
				place += u * (float64(v[k-1]) - 0.5)
			}
			image += u * (float64(before[k]) - 0.5)
			content += u * float64(x[k*width])
			if k > n/2 {
				far += u * (float64(before[k]) - 0.5)
			}
		}
		copy(before, v)
	}
	const all = float64(images * (n - 1))
	for what, c := range map[string]struct{ got, want, deviation float64 }{
		"mean":            {sum / all, 0, math.Sqrt(1. / 12 / all)},
		"variance":        {squares / all, 1. / 12, math.Sqrt(1. / 180 / all)},
		"with neighbours": {place / all, 0, 1. / 12 / math.Sqrt(all)},
		"image to image":  {image / all, 0, 1. / 12 / math.Sqrt(all)},
		"with content":    {content / all, 0, math.Sqrt(1. / 24 / all)},
		"of background":   {far / all, 0, 1. / 12 / math.Sqrt(2*all)},
	} {
		if math.Abs(c.got-c.want) > 4*c.deviation {
			t.Errorf("lots, %s: %v, want %v ± %v", what, c.got, c.want, c.deviation)
		}
	}
	for l := 1; l < layers; l++ {
		if got := halted[l] / ran[l]; math.Abs(got-rate) > 4*math.Sqrt(rate*(1-rate)/ran[l]) {
			t.Errorf("of the patches that run in block %d a share of %v halts, want %v", l, got, rate)
		}
	}
}

// TestRandomFingerprint: an image's lots do not depend on the last bits of its tokens, but on which is the larger.
func TestRandomFingerprint(t *testing.T) {
	const n, width, layers = 9, 5, 4
	x := make([]float32, n*width)
	for i := range x {
		x[i] = float32(i * 29 % 47)
	}
	want, depth := lots(0.5, 2, layers, x, n)
	if depth[0] != layers || depth[1] != layers || slices.Min(depth) == layers {
		t.Errorf("depths %v", depth)
	}
	y := slices.Clone(x)
	for i := range y {
		y[i] *= 1 + float32(i%3)*0x1p-20
	}
	if got, _ := lots(0.5, 2, layers, y, n); !slices.Equal(got, want) {
		t.Errorf("lots %v, of nearly the same tokens %v", want, got)
	}
	y[3*width] += 100
	if got, _ := lots(0.5, 2, layers, y, n); slices.Equal(got, want) {
		t.Errorf("another image has the same lots %v", got)
	}
	if _, got := lots(0, 2, layers, x, n); slices.Min(got) != layers {
		t.Errorf("rate 0: depths %v", got)
	}
	if _, got := lots(1, 2, layers, x, n); slices.Max(got[2:]) != 1 {
		t.Errorf("rate 1: depths %v", got)
	}
	x[2*width] = float32(math.NaN()) // means nothing, and breaks nothing
	lots(0.5, 2, layers, x, n)
	if (Random{}).Needs(1, 1) != (Needs{}) {
		t.Error("with one block there is nothing to decide")
	}
}
