package data

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

// lookUp replaces every byte of a channel.
func lookUp(pix []byte, table *[256]byte) {
	for i, v := range pix {
		pix[i] = table[v]
	}
}

// each replaces every byte v of the picture by f(v).
func (p *canvas) each(f func(v int) int) {
	var table [256]byte
	for v := range table {
		table[v] = byte(f(v))
	}
	lookUp(p.pix, &table)
}

// invert turns dark into bright.
func (p *canvas) invert() { p.each(func(v int) int { return 255 - v }) }

// solarize inverts the bytes from threshold on.
func (p *canvas) solarize(threshold int) {
	p.each(func(v int) int {
		if v < threshold {
			return v
		}
		return 255 - v
	})
}

// solarizeAdd brightens the bytes below 128 by add.
func (p *canvas) solarizeAdd(add int) {
	p.each(func(v int) int {
		if v < 128 {
			return min(v+add, 255)
		}
		return v
	})
}

// posterize keeps the upper bits of each byte, 0 to 8.
func (p *canvas) posterize(bits int) {
	mask := 0xff << max(8-bits, 0) & 0xff
	p.each(func(v int) int { return v & mask })
}

// histogram counts the bytes of a channel.
func histogram(pix []byte) (count [256]int) {
	for _, v := range pix {
		count[v]++
	}
	return count
}

// autoContrast stretches each channel to all of 0 … 255. A channel of one value stays as it is.
func (p *canvas) autoContrast() {
	for ch := range p.c {
		pix := p.channel(ch)
		low, high := 255, 0
		for _, v := range pix {
			low, high = min(low, int(v)), max(high, int(v))
		}
		if high <= low {
			continue
		}
		gain := 255 / float64(high-low)
		bias := float64(-low) * gain
		var table [256]byte
		for v := range table {
			table[v] = byte(min(max(int(float64(float64(v)*gain)+bias), 0), 255))
		}
		lookUp(pix, &table)
	}
}

// equalize gives each channel an even histogram: with a step of the share of one of 255 levels, the brightest value not
// counted, value v becomes the number of steps in the counts below v, half a step added.
func (p *canvas) equalize() {
	for ch := range p.c {
		pix := p.channel(ch)
		count := histogram(pix)
		top := 255
		for top > 0 && count[top] == 0 {
			top--
		}
		step := (len(pix) - count[top]) / 255
		if step == 0 { // too few pixels, or all of one value
			continue
		}
		var table [256]byte
		for v, below := 0, step/2; v < 256; v++ {
			table[v] = byte(min(below/step, 255))
			below += count[v]
		}
		lookUp(pix, &table)
	}
}
