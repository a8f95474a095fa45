package slicing

import (
	"iter"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// observed are second moments over some pictures.
type observed struct {
	stream   *moments   // [E] of the residual stream as layer norms see it: without its mean, divided by its deviation
	gradient *moments   // [E] of the loss's gradient with respect to that, the sum of squares of each branch being 1
	features []*moments // [2L] of what the last linear map of each branch reads

	scratch []float32
}

// observe runs the dense model over batches.
func observe(p *vit.Params, batches iter.Seq[train.Batch]) (*observed, error) {
	dense := *p
	dense.Config.Halting = halting.Config{}
	c := dense.Config
	n, err := train.NewNetwork(&dense, 1)
	if err != nil {
		return nil, err
	}
	o := &observed{stream: newMoments(c.Embed, c.Special()), gradient: newMoments(c.Embed, 0)}
	for range c.Layers {
		o.features = append(o.features, newMoments(c.Embed, c.Special()), newMoments(c.Hidden, c.Special()))
	}
	// Labels are smoothed, or pictures that the model is sure of would have no gradient.
	for b := range batches {
		if err := n.Observe(b, train.Loss{LabelSmoothing: 0.1}, o.see); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// see counts in a branch.
func (o *observed) see(v train.Observed) {
	o.features[v.Branch].add(v.Features, v.Ran)
	e := o.stream.width
	o.scratch = append(o.scratch[:0], v.Stream...)
	x, g := o.scratch, append([]float32(nil), v.Gradient...)
	squares := 0.0
	for i := range v.Token {
		row, slope := x[i*e:(i+1)*e], g[i*e:(i+1)*e]
		deviation := standardize(row)
		for j := range slope {
			slope[j] *= deviation
			squares += float64(slope[j]) * float64(slope[j])
		}
	}
	o.stream.add(x, v.Token)
	if squares > 0 {
		kernels.Scale(g, float32(1/math.Sqrt(squares)))
		o.gradient.add(g, v.Token)
	}
}

// standardize takes the mean from x and divides it by its deviation, which it returns; 0 if x has none.
func standardize(x []float32) float32 {
	mean, square := 0.0, 0.0
	for _, v := range x {
		mean += float64(v) / float64(len(x))
	}
	for _, v := range x {
		square += (float64(v) - mean) * (float64(v) - mean)
	}
	deviation := math.Sqrt(square / float64(len(x)))
	for j, v := range x {
		if deviation > 0 {
			v = float32((float64(v) - mean) / deviation)
		}
		x[j] = v
	}
	return float32(deviation)
}

// moments are the second moments of rows with a 1 behind them, so that they have the mean, too.
type moments struct {
	width, special int // tokens before number special are special, the others patches
	sum            [2]struct {
		rows     int
		products []float64 // [width+1, width+1]
	}
	rows, products []float32 // scratch
}

func newMoments(width, special int) *moments {
	m := &moments{width: width, special: special, products: make([]float32, (width+1)*(width+1))}
	for kind := range m.sum {
		m.sum[kind].products = make([]float64, len(m.products))
	}
	return m
}

// add counts in rows x [T, width] of the tokens at the given places.
func (m *moments) add(x []float32, token []int32) {
	w := m.width + 1
	for kind := range m.sum {
		m.rows = m.rows[:0]
		for i, k := range token {
			if (int(k) < m.special) == (kind == 0) {
				m.rows = append(append(m.rows, x[i*m.width:(i+1)*m.width]...), 1)
			}
		}
		s, n := &m.sum[kind], len(m.rows)/w
		if n == 0 {
			continue
		}
		kernels.GemmTN(m.products, w, m.rows, w, m.rows, w, w, w, n, false)
		for i, v := range m.products {
			s.products[i] += float64(v)
		}
		s.rows += n
	}
}

// matrix returns the moments [width+1, width+1]: the mean over special tokens, which are few, and that over patches
// count alike.
func (m *moments) matrix() *mat.SymDense {
	w := m.width + 1
	a := mat.NewSymDense(w, nil)
	for _, s := range m.sum {
		for i := range w {
			for j := i; j < w && s.rows > 0; j++ {
				a.SetSym(i, j, a.At(i, j)+s.products[i*w+j]/float64(s.rows))
			}
		}
	}
	return a
}

// second is the part of matrix without the mean.
func (m *moments) second() *mat.SymDense {
	return m.matrix().SliceSym(0, m.width).(*mat.SymDense)
}
