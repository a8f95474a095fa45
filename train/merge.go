package train

import "github.com/adavit/adavit/internal/kernels"

// merge is what a block saves where a scheme looks at the class token's attention or merges rows: image i's row r goes
// into row into[r] with the factor share[r], x'[j] = Σ share[r]·x[r]. In a scheme that looks at attention share[r] =
// a[r]/Σ a where several rows meet, a being their attention (halting.TopK); else shares are constants (halting.ToMe).
type merge struct {
	attention  []float32 // [T] what the class token pays each row, mean over the heads
	into       []int32   // [T] by place in the image
	share      []float32 // [T]
	done       []bool    // [images] whether any row went into another
	before     []float32 // [T, E] the rows of those images as they were
	dattention []float32 // [T]
}

// forImage returns m, made on its first use, ready for image i of a block of t rows at most.
func (m *merge) forImage(i, images, t int) *merge {
	if m == nil {
		m = &merge{attention: make([]float32, t), into: make([]int32, t), share: make([]float32, t),
			done: make([]bool, images), dattention: make([]float32, t)}
	}
	m.done[i] = false
	return m
}

// forward merges image i's rows lo … hi−1 of x [T, E] as into and share say.
func (m *merge) forward(x []float32, i, lo, hi, e int) {
	for r := lo; r < hi; r++ {
		m.done[i] = m.done[i] || int(m.into[r]) != r-lo
	}
	if !m.done[i] {
		return
	}
	if m.before == nil {
		m.before = make([]float32, len(m.into)*e)
	}
	copy(m.before[lo*e:hi*e], x[lo*e:hi*e])
	for r := lo; r < hi; r++ {
		if int(m.into[r]) == r-lo && m.share[r] != 1 {
			kernels.Scale(x[r*e:(r+1)*e], m.share[r])
		}
	}
	for r := lo; r < hi; r++ {
		if j := lo + int(m.into[r]); j != r {
			kernels.Axpy(x[j*e:(j+1)*e], m.share[r], m.before[r*e:(r+1)*e])
		}
	}
}

// backward turns dx [T, E], the gradient of image i's rows lo … hi−1 after the merging, into that before it, in place,
// and keeps that of the attention. With D[r] = x[r]·dx'[into r], METHOD.md (39), the gradient of a share,
//
//	dx[r] = share[r]·dx'[into r],   da[r] = (D[r] − Σ share·D)/Σ a   over the rows that met
func (m *merge) backward(dx []float32, i, lo, hi, e int) {
	if !m.done[i] {
		return
	}
	clear(m.dattention[lo:hi])
	// Rows that others went into come last: theirs is the gradient that the others need.
	for r := lo; r < hi; r++ {
		if j := lo + int(m.into[r]); j != r {
			d := dx[j*e : (j+1)*e]
			m.dattention[r] = kernels.Dot(m.before[r*e:(r+1)*e], d)
			copy(dx[r*e:(r+1)*e], d)
			kernels.Scale(dx[r*e:(r+1)*e], m.share[r])
		}
	}
	for r := lo; r < hi; r++ {
		if int(m.into[r]) == r-lo && m.share[r] != 1 {
			m.meet(dx, r, lo, hi, e)
		}
	}
}

// meet is backward for row j, and for the attention of all rows that went into it.
func (m *merge) meet(dx []float32, j, lo, hi, e int) {
	d := dx[j*e : (j+1)*e]
	m.dattention[j] = kernels.Dot(m.before[j*e:(j+1)*e], d)
	kernels.Scale(d, m.share[j])
	sum, mean := 0.0, 0.0
	for r := lo; r < hi; r++ {
		if lo+int(m.into[r]) == j {
			sum += float64(m.attention[r])
			mean += float64(m.share[r]) * float64(m.dattention[r])
		}
	}
	for r := lo; r < hi; r++ {
		switch {
		case lo+int(m.into[r]) != j:
		case sum > 0:
			m.dattention[r] = float32((float64(m.dattention[r]) - mean) / sum)
		default: // then the shares are equal whatever the attention
			m.dattention[r] = 0
		}
	}
}

// shareBackward adds to w.dqkv what the shares of merged rows send back to the attention of block l.
func (n *Network) shareBackward(s *shard, l int, w *scratch) {
	c, a := n.config, &s.blocks[l]
	if !n.scheme.needs[l].Attention {
		return
	}
	for i := range s.images {
		if lo, hi, in, end := a.image(i); a.merge.done[i] {
			kernels.AttentionRowBackward(w.dqkv[in*3*c.Embed:], a.merge.dattention[lo:hi], n.qkvOf(a, in, end, w), 3*c.Embed,
				hi-lo, 0, c.Heads, c.HeadDim(), w.attention)
		}
	}
}
