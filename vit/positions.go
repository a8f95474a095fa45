package vit

import "github.com/adavit/adavit/picture"

// resampleGrid resamples a grid of vectors src [h, w, e] to dst [height, width, e], by the bicubic filter that timm
// uses for position embeddings (PyTorch's interpolate with antialias, which is Pillow's): Keys' cubic with a = −½,
// stretched by the factor when the grid shrinks. One axis goes after the other. Sums are in float64.
func resampleGrid(dst []float32, height, width int, src []float32, h, w, e int) {
	if height == h && width == w {
		copy(dst, src)
		return
	}
	across := make([]float64, h*width*e) // [h, width, e]
	for x := range width {
		first, weights := picture.Taps(picture.Bicubic, w, width, x, nil)
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
		first, weights := picture.Taps(picture.Bicubic, h, height, y, nil)
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
