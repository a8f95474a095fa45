package picture

import (
	"math"
	"slices"

	"github.com/adavit/adavit/internal/kernels"
)

// Resampling filters, with the numbers that Pillow and preprocessor_config.json give them.
const (
	Bilinear = 2
	Bicubic  = 3
)

// Resizing follows Pillow's 8-bit path, so that a model sees the very bytes that it was trained on. Output pixel i of
// n, made from m input pixels, has its centre at c = (i+½)·m/n. With s = max(m/n, 1) the input pixels whose centres lie
// within radius·s of c contribute with weight
//
//	w[j] ∝ filter((j + ½ − c)/s),   Σ w = 1
//
// so a shrinking picture is low-passed, not sampled. Weights are rounded to multiples of 2⁻²², and each of the two
// passes, across and down, rounds to a byte.

// triangle is linear interpolation, radius 1.
func triangle(x float64) float64 { return max(0, 1-math.Abs(x)) }

// cubic is Keys' cubic convolution with a = −½, radius 2.
func cubic(x float64) float64 {
	const a = -0.5
	switch x = math.Abs(x); {
	case x < 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return a * (((x-5)*x+8)*x - 4)
	}
	return 0
}

// reach gives the input pixels [first, end) that output pixel i is made of when m pixels become n, its centre among
// them, and how far the filter is stretched.
func reach(filter, m, n, i int) (first, end int, centre, stretch float64) {
	radius := 2.0
	if filter == Bilinear {
		radius = 1
	}
	scale := float64(m) / float64(n)
	stretch = max(scale, 1)
	radius *= stretch
	centre = (float64(i) + 0.5) * scale
	return max(int(centre-radius+0.5), 0), min(int(centre+radius+0.5), m), centre, stretch
}

// Taps gives the first input pixel and the weights of output pixel i when m pixels become n; the weights sum to 1 and
// overwrite w.
func Taps(filter, m, n, i int, w []float64) (first int, weights []float64) {
	kernel := cubic
	if filter == Bilinear {
		kernel = triangle
	}
	first, end, centre, stretch := reach(filter, m, n, i)
	weights = w[:0]
	sum := 0.0
	for j := first; j < end; j++ {
		v := kernel((float64(j) - centre + 0.5) / stretch)
		weights = append(weights, v)
		sum += v
	}
	for j := range weights {
		weights[j] /= sum
	}
	return first, weights
}

// span is output pixels from … from+count−1 when in pixels become out.
type span struct{ in, out, from, count, filter int }

// axis is how the pixels of a span are made. All have equally many weights, some of which may be 0.
type axis struct {
	span
	begin, end int     // the input pixels that are needed
	first      []int32 // where each output pixel's begin, counted from begin
	taps       int
	weight     []int32 // [span.count, taps], in fixed point

	unrounded []float64
}

// set prepares the axis for a span; pictures of one size, one after the other, share that work.
func (a *axis) set(s span) {
	if a.span == s {
		return
	}
	a.span, a.begin, a.end, a.taps = s, s.from, s.from+s.count, 1
	a.first, a.weight = a.first[:0], a.weight[:0]
	if s.in == s.out { // Pillow leaves this pass out; to take one pixel whole is the same
		for i := range s.count {
			a.first, a.weight = append(a.first, int32(i)), append(a.weight, 1<<kernels.WeightBits)
		}
		return
	}
	for i := range s.count {
		first, end, _, _ := reach(s.filter, s.in, s.out, s.from+i)
		if i == 0 {
			a.begin = first
		}
		a.end, a.taps = end, max(a.taps, end-first)
	}
	a.weight = slices.Grow(a.weight, s.count*a.taps)[:s.count*a.taps]
	clear(a.weight)
	for i := range s.count {
		var first int
		first, a.unrounded = Taps(s.filter, s.in, s.out, s.from+i, a.unrounded)
		from := min(first, a.end-a.taps) // at the far edge zeros go before the weights
		a.first = append(a.first, int32(from-a.begin))
		row := a.weight[i*a.taps+first-from:]
		for j, v := range a.unrounded {
			row[j] = int32(math.Round(v * (1 << kernels.WeightBits)))
		}
	}
}
