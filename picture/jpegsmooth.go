package picture

// Where a progressive file ends before all of a block's first ten coefficients are known to their last bits, libjpeg
// makes up those that are still 0 from the means of the blocks around, and Pillow lets it. What follows gives
// libjpeg-turbo's bytes, of version 2.1 and newer, which look two blocks far.

// jpegKernel weighs the means of 5×5 blocks, in 1/256, for a coefficient of the block in their middle.
type jpegKernel [5][5]int

// transposed is the kernel for the coefficient whose two frequencies are swapped.
func (k jpegKernel) transposed() (t jpegKernel) {
	for y := range k {
		for x := range k {
			t[x][y] = k[y][x]
		}
	}
	return t
}

// jpegKernels are those of the coefficients 0 to 9 in a file's order: first where none but the means are known, then
// where others are, too. An empty one leaves its coefficient alone.
var jpegKernels = func() (all [2][10]jpegKernel) {
	smooth := jpegKernel{
		{-2, -6, -8, -6, -2}, {-6, 6, 42, 6, -6}, {-8, 42, 152, 42, -8}, {-6, 6, 42, 6, -6}, {-2, -6, -8, -6, -2}}
	slope := jpegKernel{
		{-1, -1, 0, 1, 1}, {-3, 13, 0, -13, 3}, {-3, 38, 0, -38, 3}, {-3, 13, 0, -13, 3}, {-1, -1, 0, 1, 1}}
	bend := jpegKernel{1: {0, 2, -5, 2}, 2: {1, 7, -14, 7, 1}, 3: {0, 2, -5, 2}}
	twist := jpegKernel{{-1, 0, 0, 0, 1}, {0, 9, 0, -9}, {}, {0, -9, 0, 9}, {1, 0, 0, 0, -1}}
	third := jpegKernel{1: {0, 1, 0, -1}, 2: {0, 2, 0, -2}, 3: {0, 1, 0, -1}}
	mixed := jpegKernel{1: {0, 1, -3, 1}, 3: {0, -1, 3, -1}}
	all[0] = [10]jpegKernel{smooth, slope, slope.transposed(), bend.transposed(), twist, bend,
		third, mixed, mixed.transposed(), third.transposed()}
	slope, bend = jpegKernel{2: {-7, 50, 0, -50, 7}}, jpegKernel{2: {-1, 13, -24, 13, -1}}
	twist = jpegKernel{{0, -1, 0, 1}, {-1, 10, 0, -10, 1}, {}, {1, -10, 0, 10, -1}, {0, 1, 0, -1}}
	all[1] = [10]jpegKernel{1: slope, slope.transposed(), bend.transposed(), twist, bend}
	return all
}()

// smoothed reports whether libjpeg would make up what scans that are not there leave open: by its rule, that happens if
// all means are known and not all of the nine coefficients after them, to their last bits, of all components.
func (d *jpegDecoder) smoothed() (yes bool) {
	for i := range d.components {
		c := &d.components[i]
		for k, left := range c.left {
			if k == 0 && left < 0 || c.quantisation[jpegPlace[k]] == 0 {
				return false
			}
			yes = yes || k > 0 && left != 0
		}
	}
	return yes && d.progressive
}

// smooth makes samples of a component's blocks.
func (d *jpegDecoder) smooth(c *jpegComponent) {
	across, lastRow := c.stride/8, d.unitsDown-1
	for u := range d.unitsDown {
		left := &c.left
		if u > d.lastGood { // the last scan has nothing here, and what it is about does not count
			if left = &c.leftBefore; d.scans == 1 {
				left = &[10]int8{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1}
			}
		}
		rows := c.v
		if rest := (c.height + 7) / 8 % c.v; u == lastRow && rest > 0 {
			rows = rest
		}
		for i := range rows {
			at := u*c.v + i
			near := [5]int{at, at, at, at, at}   // rows of blocks
			n, all := u*rows+i, rows*d.unitsDown // libjpeg's count, which is off in a last unit of fewer rows
			for step, there := range []bool{n > 0, n > 1} {
				if near[1-step] = near[2-step]; there {
					near[1-step] = at - 1 - step
				}
			}
			for step, there := range []bool{n < all-1, n < all-2} {
				if near[3+step] = near[2+step]; there {
					near[3+step] = at + 1 + step
				}
			}
			d.smoothRow(c, left, near, across)
		}
	}
}

// smoothRow makes samples of a row of blocks, the middle one of the rows near.
func (d *jpegDecoder) smoothRow(c *jpegComponent, left *[10]int8, near [5]int, across int) {
	known := &jpegKernels[0]
	for _, bits := range left[1:] {
		if bits != -1 {
			known = &jpegKernels[1]
		}
	}
	last := (c.width+7)/8 - 1
	for bx := range last + 1 {
		var means [5][5]int
		for y, by := range near {
			for x := range 5 {
				means[y][x] = int(c.coefficients[by*across+min(max(bx+x-2, 0), last)][0])
			}
		}
		b := c.coefficients[near[2]*across+bx]
		for k := range known {
			kernel, place := &known[k], jpegPlace[k]
			if *kernel == (jpegKernel{}) || k > 0 && (left[k] == 0 || b[place] != 0) {
				continue
			}
			sum := 0
			for y := range kernel {
				for x, weight := range kernel[y] {
					sum += weight * means[y][x]
				}
			}
			step := int(uint16(c.quantisation[place]))
			v := sum * int(uint16(c.quantisation[0]))
			size := (step<<7 + max(v, -v)) / (step << 8)
			if bits := left[k]; k > 0 && bits > 0 {
				size = min(size, 1<<bits-1) // or the scans would have told
			}
			if b[place] = int16(size); v < 0 {
				b[place] = int16(-size)
			}
		}
		c.inverse(bx, near[2], &b)
	}
}
