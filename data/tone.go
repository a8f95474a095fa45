package data

import "slices"

// Changes of a picture's tones: each byte is looked up in a table of its channel. The arithmetic is Pillow's
// (ImageOps), truncations included.

// canvas is a picture in memory that operations change: pix [c, h, w].
type canvas struct {
	pix, spare []byte // of one length; spare's content is of no interest
	c, h, w    int
}

// channel is one channel of pix.
func (p *canvas) channel(ch int) []byte { return p.pix[ch*p.h*p.w:][:p.h*p.w] }

// take makes spare, which an operation filled, the picture.
func (p *canvas) take() { p.pix, p.spare = p.spare, p.pix }

// lookUp replaces every byte v by f(v); f is asked for 0 to 255 in turn.
func lookUp(pix []byte, f func(v int) int) {
	var table [256]byte
	for v := range table {
		table[v] = byte(f(v))
	}
	for i, v := range pix {
		pix[i] = table[v]
	}
}

// invert turns dark into bright.
func (p *canvas) invert() { p.solarize(0) }

// solarize inverts the bytes from threshold on.
func (p *canvas) solarize(threshold float64) {
	lookUp(p.pix, func(v int) int {
		if v < int(threshold) {
			return v
		}
		return 255 - v
	})
}

// solarizeAdd brightens the bytes below 128 by add.
func (p *canvas) solarizeAdd(add float64) {
	lookUp(p.pix, func(v int) int {
		if v < 128 {
			return min(v+int(add), 255)
		}
		return v
	})
}

// posterize keeps the upper bits of each byte, 0 to 8.
func (p *canvas) posterize(bits float64) {
	mask := 0xff << max(8-int(bits), 0) & 0xff
	lookUp(p.pix, func(v int) int { return v & mask })
}

// autoContrast stretches each channel to all of 0 … 255. A channel of one value stays as it is.
func (p *canvas) autoContrast() {
	for ch := range p.c {
		pix := p.channel(ch)
		low, high := int(slices.Min(pix)), int(slices.Max(pix))
		if high <= low {
			continue
		}
		gain := 255 / float64(high-low)
		bias := float64(-low) * gain
		lookUp(pix, func(v int) int { return min(max(int(float64(float64(v)*gain)+bias), 0), 255) })
	}
}

// equalize gives each channel an even histogram: with a step of the share of one of 255 levels, the brightest value not
// counted, value v becomes the number of steps in the counts below v, half a step added.
func (p *canvas) equalize() {
	for ch := range p.c {
		pix := p.channel(ch)
		var count [256]int
		for _, v := range pix {
			count[v]++
		}
		step := (len(pix) - count[slices.Max(pix)]) / 255
		if step == 0 { // too few pixels, or all of one value
			continue
		}
		below := step / 2
		lookUp(pix, func(v int) int {
			level := below / step
			below += count[v]
			return min(level, 255)
		})
	}
}
