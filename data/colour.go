package data

import "math/rand/v2"

// Changes of a picture's brightness, contrast, saturation and sharpness. Each one blends the picture x with a poorer
// one, d, by a factor f:
//
//	x ← d + f · (x − d)
//
// so that 1 changes nothing, 0 gives d, and more than 1 exaggerates. The arithmetic is that of Pillow's ImageEnhance:
// single precision, cut off, not rounded.

// blend is one byte between a poorer one and its own.
func blend(poor, own byte, factor float32) byte {
	v := float32(poor) + float32(factor*float32(int(own)-int(poor)))
	return byte(min(max(v, 0), 255))
}

// brightness blends with black.
func (p *canvas) brightness(factor float64) { p.blendFlat(0, factor) }

// contrast blends with the mean of the picture's grey, rounded.
func (p *canvas) contrast(factor float64) {
	sum := 0
	for i := range p.h * p.w {
		sum += int(p.grey(i))
	}
	p.blendFlat(byte(float64(sum)/float64(p.h*p.w)+0.5), factor)
}

// blendFlat blends with one grey value.
func (p *canvas) blendFlat(grey byte, factor float64) {
	lookUp(p.pix, func(v int) int { return int(blend(grey, byte(v), float32(factor))) })
}

// grey is the picture's grey at pixel i: Pillow's "L" (see rows).
func (p *canvas) grey(i int) byte {
	if p.c != 3 {
		return p.pix[i]
	}
	n := p.h * p.w
	return byte((19595*uint32(p.pix[i]) + 38470*uint32(p.pix[n+i]) + 7471*uint32(p.pix[2*n+i]) + 1<<15) >> 16)
}

// saturation blends with the grey picture; a grey picture stays as it is.
func (p *canvas) saturation(factor float64) {
	if p.c != 3 {
		return
	}
	n := p.h * p.w
	for i := range n {
		g := p.grey(i)
		for j := i; j < 3*n; j += n {
			p.pix[j] = blend(g, p.pix[j], float32(factor))
		}
	}
}

// sharpness blends with the picture smoothed: of the nine pixels about each, the middle one counts five times. The
// pixels along the edges are not smoothed.
func (p *canvas) sharpness(factor float64) {
	if p.h < 3 || p.w < 3 {
		return
	}
	copy(p.spare, p.pix)
	for ch := range p.c {
		in, out := p.spare[ch*p.h*p.w:][:p.h*p.w], p.channel(ch)
		for y := 1; y < p.h-1; y++ {
			above, line, below := in[(y-1)*p.w:][:p.w], in[y*p.w:][:p.w], in[(y+1)*p.w:][:p.w]
			for x := 1; x < p.w-1; x++ {
				sum := 4 * int(line[x])
				for k := x - 1; k <= x+1; k++ {
					sum += int(above[k]) + int(line[k]) + int(below[k])
				}
				// sum/13, rounded; it never lies half-way.
				out[y*p.w+x] = blend(byte((2*sum+13)/26), line[x], float32(factor))
			}
		}
	}
}

// maxJitter bounds ColorJitter, above which nothing of a picture would be left.
const maxJitter = 10

// jitter changes brightness, contrast and saturation by factors uniform in 1 ± amount, not below 0, in random order
// (torchvision's ColorJitter).
func (p *canvas) jitter(amount float64, rng *rand.Rand) {
	order := [3]int{0, 1, 2}
	for i := 2; i > 0; i-- {
		j := rng.IntN(i + 1)
		order[i], order[j] = order[j], order[i]
	}
	var factor [3]float64
	low := max(1-amount, 0)
	for i := range factor {
		factor[i] = low + (1+amount-low)*rng.Float64()
	}
	p.adjust(order, factor)
}

// adjust makes the three changes in the given order: 0 brightness, 1 contrast, 2 saturation, each with its factor.
func (p *canvas) adjust(order [3]int, factor [3]float64) {
	for _, which := range order {
		[...]func(*canvas, float64){(*canvas).brightness, (*canvas).contrast,
			(*canvas).saturation}[which](p, factor[which])
	}
}
