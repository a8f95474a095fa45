// Package slicing cuts a narrower vision transformer out of a trained one, to be trained further: a small student that
// starts from most of what its teacher knows.
//
// It is SliceGPT (Ashkboos et al. 2024) with a few changes for classifiers of few pictures, METHOD.md (56)–(59). The
// residual stream keeps its E'−1 strongest directions: principal components of what layer norms see, which count for
// more where the loss depends on them. Attention keeps its strongest heads and an MLP its strongest hidden units; the
// linear maps behind them are fitted anew, so that what is left does the work of what went, by least squares over some
// pictures. Patches may become larger: the filters lie in the middle of theirs, and positions are resampled.
package slicing

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"

	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// Size is what a model is cut to; 0 leaves a number as it is. In JSON it is part of a recipe.
type Size struct {
	Embed  int `json:"embed,omitempty"`  // width of the residual stream, Heads times the width of a head
	Heads  int `json:"heads,omitempty"`  // that stay of each block's
	Hidden int `json:"hidden,omitempty"` // units of each block's MLP that stay
	Patch  int `json:"patch,omitempty"`  // side of a patch, at least the model's
}

// sensitivity is the share of the gradients in the choice of directions, METHOD.md (57).
const sensitivity = 0.1

// Of returns the configuration of a model of configuration c cut to a size, or why it cannot be.
func (s Size) Of(c vit.Config) (vit.Config, error) {
	to := c
	to.Embed, to.Heads = cmp.Or(s.Embed, c.Embed), cmp.Or(s.Heads, c.Heads)
	to.Hidden, to.Patch = cmp.Or(s.Hidden, c.Hidden), cmp.Or(s.Patch, c.Patch)
	for _, v := range []struct {
		name               string
		value, least, most int
	}{
		{"embed", to.Embed, 2, c.Embed}, {"heads", to.Heads, 1, c.Heads}, {"hidden", to.Hidden, 1, c.Hidden},
		{"patch", to.Patch, c.Patch, min(c.Height, c.Width)},
	} {
		if v.value < v.least || v.value > v.most {
			return to, fmt.Errorf("slice: %s is %d, want %d to %d", v.name, v.value, v.least, v.most)
		}
	}
	if to.Heads*c.HeadDim() != to.Embed {
		return to, fmt.Errorf("slice: %d heads of %d numbers need an embed of %d, not %d", to.Heads, c.HeadDim(),
			to.Heads*c.HeadDim(), to.Embed)
	}
	if err := to.Validate(); err != nil {
		return to, fmt.Errorf("slice: %w", err)
	}
	return to, nil
}

// Slice returns parameters of the given size that do nearly what p does on images like those of the batches. It
// runs on one thread, so that its sums have one order.
func Slice(p *vit.Params, to Size, b iter.Seq[train.Batch]) (*vit.Params, error) {
	c, err := to.Of(p.Config)
	if err != nil {
		return nil, err
	}
	seen, err := observe(p, b)
	if err != nil {
		return nil, fmt.Errorf("slice: %w", err)
	}
	out, err := newCut(seen.stream.second(), seen.gradient.second(), c.Embed)
	if err != nil {
		return nil, fmt.Errorf("slice: %w", err)
	}
	q := vit.NewParams(c)
	out.embed(q, p)
	for l := range q.Blocks {
		if err := out.block(&q.Blocks[l], &p.Blocks[l], c, p.Config, seen.features[2*l], seen.features[2*l+1]); err != nil {
			return nil, fmt.Errorf("slice: block %d: %w", l+1, err)
		}
	}
	out.head(q, p)
	return q, nil
}

// cut is the change of the residual stream, x' = write·x. What reads x through a layer norm reads x' by read.
type cut struct {
	write *mat.Dense // [E', E]
	read  *mat.Dense // [E, E']
}

// newCut finds the directions that stay, METHOD.md (56)–(58).
func newCut(stream, gradient *mat.SymDense, width int) (*cut, error) {
	e := stream.SymmetricDim()
	var both mat.SymDense
	both.ScaleSym((1-sensitivity)/mat.Trace(stream), stream)
	if t := mat.Trace(gradient); t > 0 {
		var g mat.SymDense
		g.ScaleSym(sensitivity/t, gradient)
		both.AddSym(&both, &g)
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(&both, true) {
		return nil, fmt.Errorf("the principal components of %d numbers were not found", e)
	}
	var all, kept mat.Dense
	eigen.VectorsTo(&all) // columns by rising eigenvalues
	directions := all.Slice(0, e, e-(width-1), e)
	kept.Product(directions.T(), stream, directions)
	captured := mat.Trace(&kept) / mat.Trace(stream)

	spread := spread(width)
	c := &cut{write: new(mat.Dense), read: new(mat.Dense)}
	c.write.Mul(spread, directions.T())
	center(c.write)
	c.read.Mul(directions, spread.T())
	c.read.Scale(math.Sqrt(float64(e)/float64(width)*captured), c.read)
	return c, nil
}

// spread is an orthonormal basis [E', E'−1] of the vectors whose mean is 0, which is all that a layer norm sees. Any
// would do; a random one gives every number its share of the strong directions, as rounding likes it.
func spread(width int) mat.Matrix {
	r := rand.New(rand.NewPCG(1, 2))
	a := mat.NewDense(width, width, nil)
	for i := range width {
		for j := range width {
			a.Set(i, j, r.NormFloat64())
		}
		a.Set(i, 0, 1)
	}
	var qr mat.QR
	qr.Factorize(a)
	var q mat.Dense
	qr.QTo(&q)
	return q.Slice(0, width, 1, width)
}

// center takes the mean away from what rows are multiplied with.
func center(m *mat.Dense) {
	rows, cols := m.Dims()
	for i := range rows {
		row, mean := m.RawRowView(i), 0.0
		for _, v := range row {
			mean += v
		}
		mean /= float64(cols)
		for j := range row {
			row[j] -= mean
		}
	}
}
