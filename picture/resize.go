package picture

import (
	"fmt"
	"math"
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
// so a shrinking picture is low-passed, not sampled. Weights are rounded to multiples of 2⁻²², rows come before
// columns, and each pass rounds to a byte.

// weightBits are the fraction's bits in a fixed-point weight: a byte times a weight, summed, stays within 32 bits.
const weightBits = 22

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

// taps are the input pixels and weights of a run of output pixels on one axis.
type taps struct {
	first  []int     // first[i]: the first input pixel of output i
	weight [][]int32 // weight[i]: one for each input pixel from first[i] on
}

// Taps gives the first input pixel and the weights of output pixel i when m pixels become n; the weights sum to 1 and
// overwrite w.
func Taps(filter, m, n, i int, w []float64) (first int, weights []float64) {
	kernel, radius := cubic, 2.0
	if filter == Bilinear {
		kernel, radius = triangle, 1.0
	}
	scale := float64(m) / float64(n)
	stretch := max(scale, 1)
	radius *= stretch
	centre := (float64(i) + 0.5) * scale
	first = max(int(centre-radius+0.5), 0)
	end := min(int(centre+radius+0.5), m)
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

// makeTaps gives the taps of outputs from … from+count−1 when m pixels become n, in fixed point.
func makeTaps(m, n, from, count, filter int) taps {
	t := taps{make([]int, count), make([][]int32, count)}
	var w []float64
	for i := range count {
		t.first[i], w = Taps(filter, m, n, from+i, w)
		t.weight[i] = make([]int32, len(w))
		for j, v := range w {
			t.weight[i][j] = int32(math.Round(v * (1 << weightBits)))
		}
	}
	return t
}

// last is the pixel after the last one of output i.
func (t taps) last(i int) int { return t.first[i] + len(t.weight[i]) }

// window is the part [top, top+height) × [left, left+width) of a picture that was resized to fullHeight × fullWidth.
type window struct {
	fullHeight, fullWidth    int
	top, left, height, width int
}

// resize writes that window of the source, resized, to dst [height, width, channels], whose rows are stride bytes
// apart. Nothing outside of the window is computed, and no more source rows are held than one output row needs.
func resize(dst []byte, stride int, src rows, win window, filter int) error {
	h, w, ch := src.height, src.width, src.channels
	if h < 1 || w < 1 || win.fullHeight < 1 || win.fullWidth < 1 {
		return fmt.Errorf("resizing %d×%d to %d×%d", h, w, win.fullHeight, win.fullWidth)
	}
	across := makeTaps(w, win.fullWidth, win.left, win.width, filter)
	down := makeTaps(h, win.fullHeight, win.top, win.height, filter)
	held := 1
	for _, weights := range down.weight {
		held = max(held, len(weights))
	}
	line := make([]byte, w*ch)
	rowLen := win.width * ch
	ring := make([]byte, held*rowLen) // resized source row y sits at place y mod held
	acc := make([]int32, rowLen)
	next := down.first[0] // the next source row to be read
	for i := range win.height {
		for ; next < down.last(i); next++ {
			src.row(next, line)
			row := ring[next%held*rowLen:][:rowLen]
			if w == win.fullWidth {
				copy(row, line[win.left*ch:])
			} else {
				resizeRow(row, line, across, ch)
			}
		}
		out := dst[i*stride:][:rowLen]
		if h == win.fullHeight {
			copy(out, ring[(win.top+i)%held*rowLen:])
			continue
		}
		for k := range acc {
			acc[k] = 1 << (weightBits - 1)
		}
		for j, weight := range down.weight[i] {
			row := ring[(down.first[i]+j)%held*rowLen:][:rowLen]
			for k, v := range row {
				acc[k] += int32(v) * weight
			}
		}
		for k, v := range acc {
			out[k] = clip8(v)
		}
	}
	return nil
}

// resizeRow applies the taps along one row of ch interleaved channels.
func resizeRow(dst, src []byte, t taps, ch int) {
	for i, weights := range t.weight {
		if ch == 1 {
			sum := int32(1 << (weightBits - 1))
			for j, v := range src[t.first[i]:][:len(weights)] {
				sum += int32(v) * weights[j]
			}
			dst[i] = clip8(sum)
			continue
		}
		r, g, b := int32(1<<(weightBits-1)), int32(1<<(weightBits-1)), int32(1<<(weightBits-1))
		p := src[t.first[i]*3:][:len(weights)*3]
		for j, weight := range weights {
			r += int32(p[3*j]) * weight
			g += int32(p[3*j+1]) * weight
			b += int32(p[3*j+2]) * weight
		}
		dst[3*i], dst[3*i+1], dst[3*i+2] = clip8(r), clip8(g), clip8(b)
	}
}

// clip8 is the byte of a fixed-point sum.
func clip8(v int32) byte { return byte(min(max(v>>weightBits, 0), 255)) }
