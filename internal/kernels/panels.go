package kernels

// Packed right-hand sides are cut into panels of PanelWidth columns, each contiguous, one after the other: whole
// panels are a matrix of their own.

// Columns returns columns lo … hi−1 of p [K, N], which share its memory. Both are bounds that SplitColumns or
// FirstPanel gives.
func (p *Packed) Columns(lo, hi int) Packed {
	checkColumns(lo, hi, p.N)
	return Packed{K: p.K, N: hi - lo, Data: p.Data[PackedLen(p.K, lo):PackedLen(p.K, hi)]}
}

// Columns returns columns lo … hi−1 of p [K, N], which share its memory. Both are bounds that SplitColumns or
// FirstPanel gives.
func (p *PackedBF16) Columns(lo, hi int) PackedBF16 {
	checkColumns(lo, hi, p.N)
	return PackedBF16{K: p.K, N: hi - lo, Data: p.Data[PackedBF16Len(p.K, lo):PackedBF16Len(p.K, hi)]}
}

// Columns returns columns lo … hi−1 of p [K, N], which share its memory. Both are bounds that SplitColumns or
// FirstPanel gives.
func (p *PackedInt8) Columns(lo, hi int) PackedInt8 {
	checkColumns(lo, hi, p.N)
	return PackedInt8{K: p.K, N: hi - lo, Data: p.Data[PackedInt8Len(p.K, lo):PackedInt8Len(p.K, hi)],
		Scale: p.Scale[lo:hi], Offset: p.Offset[lo:hi]}
}

func checkColumns(lo, hi, n int) {
	if lo < 0 || lo > hi || hi > n || lo%PanelWidth != 0 && lo != n || hi%PanelWidth != 0 && hi != n {
		panic("kernels: Columns: these are not whole panels")
	}
}

// FirstPanel returns how many of n columns the first panel holds: the fewest for which a product of their own pays.
func FirstPanel(n int) int { return min(PanelWidth, n) }

// SplitColumns divides n columns into len(bounds)−1 parts of whole panels, as equal as can be: part i is
// bounds[i] … bounds[i+1]−1. Where there are fewer panels than parts some are empty.
func SplitColumns(bounds []int, n int) {
	panels, parts := (n+PanelWidth-1)/PanelWidth, len(bounds)-1
	for i := range bounds {
		bounds[i] = min(panels*i/parts*PanelWidth, n)
	}
}
