package vit

// ImageLen is C·H·W, the numbers of an image as the model takes it.
func (c Config) ImageLen() int { return c.Channels * c.Height * c.Width }

// CutPatches writes the len(dst)/PatchLen patches of an image [C, H, W] from number first on, row by row over the
// picture, as rows [C, P, P], the order of a convolution's weight: a patch embedding is then one product with
// PatchWeight.
func (c Config) CutPatches(first int, dst, image []float32) {
	columns := c.GridW()
	for k := first; len(dst) > 0; k++ {
		corner := k/columns*c.Patch*c.Width + k%columns*c.Patch
		for channel := range c.Channels {
			for y := range c.Patch {
				from := (channel*c.Height+y)*c.Width + corner
				copy(dst[:c.Patch], image[from:from+c.Patch])
				dst = dst[c.Patch:]
			}
		}
	}
}
