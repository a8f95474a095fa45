package vit

import (
	"math"

	"github.com/adavit/adavit/picture"
)

// taps says which of m numbers make number i of n, and with which weights.
type taps func(m, n, i int) (first int, weights []float64)

// antialiased is the bicubic filter that timm uses for position embeddings (PyTorch's interpolate with antialias, which
// is Pillow's): Keys' cubic with a = −½, stretched by the factor when the grid shrinks.
func antialiased(m, n, i int) (int, []float64) { return picture.Taps(picture.Bicubic, m, n, i, nil) }

// plain is PyTorch's bicubic filter without antialias: Keys' cubic with a = −¾ over four numbers, those beyond the edge
// being the edge's.
func plain(m, n, i int) (int, []float64) {
	at := (float64(i)+0.5)*float64(m)/float64(n) - 0.5
	base := math.Floor(at)
	inside := func(j int) int { return min(max(int(base)+j, 0), m-1) }
	first := inside(-1)
	weights := make([]float64, inside(2)-first+1)
	for j := -1; j <= 2; j++ {
		const a = -0.75
		x, v := math.Abs(at-base-float64(j)), 0.0
		switch {
		case x <= 1:
			v = ((a+2)*x-(a+3))*x*x + 1
		case x < 2:
			v = ((x-5)*x+8)*x*a - 4*a
		}
		weights[inside(j)-first] += v
	}
	return first, weights
}

// resampleGrid resamples a grid of vectors src [h, w, e] to dst [height, width, e]. One axis goes after the other. Sums
// are in float64.
func resampleGrid(dst []float32, height, width int, src []float32, h, w, e int, filter taps) {
	if height == h && width == w {
		copy(dst, src)
		return
	}
	across := make([]float64, h*width*e) // [h, width, e]
	for x := range width {
		first, weights := filter(w, width, x)
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
		first, weights := filter(h, height, y)
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

// suited returns a model of DINOv2's kinds for pictures of the size that its preprocessor makes: transformers fits
// these models' positions to every picture, so that config.json's size need not be that.
func (m *Model) suited() (*Model, error) {
	c, size := m.Params.Config, m.Preprocessor.Size
	if m.Preprocessor.DoCenterCrop {
		size = m.Preprocessor.Crop
	}
	if size.Height == 0 || size.Width == 0 || size.Height == c.Height && size.Width == c.Width {
		return m, nil
	}
	filter := plain
	if c.Registers > 0 {
		filter = antialiased
	}
	keep := m.Preprocessor
	resized, err := m.resize(size.Height, size.Width, filter)
	if err != nil {
		return nil, err
	}
	resized.Preprocessor = keep
	return resized, nil
}
