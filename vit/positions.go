package vit

import "math"

// resampleGrid resamples a grid of vectors src [h, w, e] to dst [height, width, e], by the bicubic filter that timm uses for position embeddings
// (PyTorch's interpolate with antialias, which is Pillow's): Keys' cubic with a = −½, stretched by the factor when the grid shrinks. One axis
// goes after the other. Sums are in float64.
func resampleGrid(dst []float32, height, width int, src []float32, h, w, e int) {
	if height == h && width == w {
		copy(dst, src)
		return
	}
	across := make([]float64, h*width*e) // [h, width, e]
	for x := range width {
		first, weights := cubicTaps(w, width, x)
		for y := range h {
			out := across[(y*width+x)*e:][:e]
			for j, weight := range weights {
				for k, v := range src[(y*w+first+j)*e:][:e] {
					out[k] += weight * float64(v)
				}
			}
		}
	}
	sum := make([]float64, width*e)
	for y := range height {
		first, weights := cubicTaps(h, height, y)
		clear(sum)
		for j, weight := range weights {
			for k, v := range across[(first+j)*width*e:][:width*e] {
				sum[k] += weight * v
			}
		}
		for k, v := range sum {
			dst[y*width*e+k] = float32(v)
		}
	}
}

// cubicTaps gives the first input and the weights that make output i of n from m inputs; the weights sum to 1.
func cubicTaps(m, n, i int) (first int, weights []float64) {
	scale := float64(m) / float64(n)
	stretch := max(scale, 1)
	centre := (float64(i) + 0.5) * scale
	first = max(int(centre-2*stretch+0.5), 0)
	last := min(int(centre+2*stretch+0.5), m)
	sum := 0.0
	for j := first; j < last; j++ {
		v := cubic((float64(j) + 0.5 - centre) / stretch)
		weights = append(weights, v)
		sum += v
	}
	for j := range weights {
		weights[j] /= sum
	}
	return first, weights
}

// cubic is Keys' convolution kernel with a = −½.
func cubic(x float64) float64 {
	x = math.Abs(x)
	switch {
	case x < 1:
		return (1.5*x-2.5)*x*x + 1
	case x < 2:
		return ((-0.5*x+2.5)*x-4)*x + 2
	}
	return 0
}
