package picture

import (
	"fmt"
	"image"
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

// taps are the input pixels and weights of one output pixel on one axis.
type taps struct {
	first  int
	weight []int32 // one for each input pixel from first on
}

// makeTaps gives the taps of outputs from … from+count−1 when m pixels become n, in fixed point.
func makeTaps(m, n, from, count, filter int) []taps {
	all := make([]taps, count)
	var w []float64
	for i := range all {
		t := &all[i]
		t.first, w = Taps(filter, m, n, from+i, w)
		t.weight = make([]int32, len(w))
		for j, v := range w {
			t.weight[j] = int32(math.Round(v * (1 << weightBits)))
		}
	}
	return all
}

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
	for _, t := range down {
		held = max(held, len(t.weight))
	}
	line := make([]byte, w*ch)
	rowLen := win.width * ch
	ring := make([]byte, held*rowLen) // resized source row y sits at place y mod held
	acc := make([]int32, rowLen)
	next := down[0].first // the next source row to be read
	for i, t := range down {
		for ; next < t.first+len(t.weight); next++ {
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
		for j, weight := range t.weight {
			row := ring[(t.first+j)%held*rowLen:][:rowLen]
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
func resizeRow(dst, src []byte, across []taps, ch int) {
	for i, t := range across {
		if ch == 1 {
			sum := int32(1 << (weightBits - 1))
			for j, v := range src[t.first:][:len(t.weight)] {
				sum += int32(v) * t.weight[j]
			}
			dst[i] = clip8(sum)
			continue
		}
		r, g, b := int32(1<<(weightBits-1)), int32(1<<(weightBits-1)), int32(1<<(weightBits-1))
		p := src[t.first*3:][:len(t.weight)*3]
		for j, weight := range t.weight {
			r += int32(p[3*j]) * weight
			g += int32(p[3*j+1]) * weight
			b += int32(p[3*j+2]) * weight
		}
		dst[3*i], dst[3*i+1], dst[3*i+2] = clip8(r), clip8(g), clip8(b)
	}
}

// clip8 is the byte of a fixed-point sum.
func clip8(v int32) byte { return byte(min(max(v>>weightBits, 0), 255)) }

// Part is a rectangle of a picture, in pixels.
type Part struct{ Top, Left, Height, Width int }

// cut shows a part of a picture. Rows are read whole, so that colour that is kept at half the resolution is
// interpolated as in the whole picture.
func (r rows) cut(p Part) rows {
	line := make([]byte, r.width*r.channels)
	return rows{height: p.Height, width: p.Width, channels: r.channels, row: func(y int, dst []byte) {
		r.row(p.Top+y, line)
		copy(dst[:p.Width*r.channels], line[p.Left*r.channels:])
	}}
}

// ResizePart writes the part of img, resized, to dst [channels, height, width].
func ResizePart(dst []byte, img image.Image, p Part, channels, height, width, filter int) error {
	win := window{fullHeight: height, fullWidth: width, height: height, width: width}
	return resizePlanes(dst, width, 0, readRows(img, channels).cut(p), win, filter)
}

// resizePlanes writes that window of the source, resized, to dst [channels, height, width], where its first pixel is
// number at; the rest is black.
func resizePlanes(dst []byte, width, at int, src rows, win window, filter int) error {
	if src.channels == 1 {
		clear(dst)
		return resize(dst[at:], width, src, win, filter)
	}
	mixed := make([]byte, len(dst)) // [height, width, 3]
	if err := resize(mixed[3*at:], 3*width, src, win, filter); err != nil {
		return err
	}
	n := len(mixed) / 3
	r, g, b := dst[:n], dst[n:2*n], dst[2*n:3*n]
	for i := range n {
		r[i], g[i], b[i] = mixed[3*i], mixed[3*i+1], mixed[3*i+2]
	}
	return nil
}

// Sides returns height and width of a picture that can be cropped; other sides are an error.
func Sides(img image.Image) (h, w int, err error) {
	h, w = img.Bounds().Dy(), img.Bounds().Dx()
	if most := defaultLimits; h < 1 || w < 1 || int64(h) > most.side || int64(w) > most.side {
		return 0, 0, fmt.Errorf("picture of %d×%d pixels", w, h)
	}
	return h, w, nil
}
