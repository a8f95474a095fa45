package slicing

import (
	"cmp"
	"errors"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/adavit/adavit/vit"
)

// ridge is what is added to the moments' diagonal, of its mean, before a map is fitted: features that are nearly the
// same must not get large weights of opposite signs.
const ridge = 1e-4

// embed cuts what makes the tokens.
func (c *cut) embed(q, p *vit.Params) {
	from, to := p.Config, q.Config
	for _, t := range []struct{ to, from []float32 }{{q.ClassToken, p.ClassToken}, {q.DistToken, p.DistToken},
		{q.Registers, p.Registers}, {q.PatchBias, p.PatchBias}, {q.Position, positions(p, to)}} {
		if len(t.from) > 0 {
			store(t.to, product(matrix(t.from, from.Embed), c.write.T()))
		}
	}
	wide := product(c.write, matrix(p.PatchWeight, from.PatchLen())) // [E', C·P·P]
	shift, side := (to.Patch-from.Patch)/2, from.Patch
	for i := range to.Embed {
		for ch := range to.Channels {
			for y := range side {
				for x := range side {
					at := ((i*to.Channels+ch)*to.Patch+y+shift)*to.Patch + x + shift
					q.PatchWeight[at] = float32(wide.At(i, (ch*side+y)*side+x))
				}
			}
		}
	}
}

// positions are p's for the grid of another patch size.
func positions(p *vit.Params, to vit.Config) []float32 {
	m, err := (&vit.Model{Params: p}).Resize(to.GridH()*p.Config.Patch, to.GridW()*p.Config.Patch)
	if err != nil {
		panic(err) // the grid is smaller than that of p, which is valid
	}
	return m.Params.Position
}

// block cuts one block.
func (c *cut) block(q, p *vit.Block, to, from vit.Config, attended, hidden *moments) error {
	e, d := from.Embed, from.HeadDim()
	heads, err := c.branch(q.ProjWeight, q.ProjBias, p.ProjWeight, p.ProjBias, attended, d, to.Heads)
	if err != nil {
		return err
	}
	var rows []int // of queries, keys and values that stay
	for part := range 3 {
		for _, i := range heads {
			rows = append(rows, part*e+i)
		}
	}
	c.reads(q.QKVWeight, q.QKVBias, p.QKVWeight, p.QKVBias, rows, p.Norm1Weight, p.Norm1Bias)
	units, err := c.branch(q.FC2Weight, q.FC2Bias, p.FC2Weight, p.FC2Bias, hidden, 1, to.Hidden)
	if err != nil {
		return err
	}
	c.reads(q.FC1Weight, q.FC1Bias, p.FC1Weight, p.FC1Bias, units, p.Norm2Weight, p.Norm2Bias)
	ones(q.Norm1Weight)
	ones(q.Norm2Weight)
	return nil
}

// head cuts the last norm and the heads.
func (c *cut) head(q, p *vit.Params) {
	ones(q.NormWeight)
	e, n := p.Config.Embed, q.Config.Embed
	for _, h := range []struct{ weight, bias, from, fromBias []float32 }{
		{q.HeadWeight, q.HeadBias, p.HeadWeight, p.HeadBias},
		{q.HeadDistWeight, q.HeadDistBias, p.HeadDistWeight, p.HeadDistBias}} {
		copy(h.bias, h.fromBias)
		inputs := len(h.from) / max(len(h.bias), 1)
		for k := range h.bias {
			for at := 0; at < inputs; at += e { // a head may read several vectors
				w, bias := make([]float32, n), []float32{0}
				c.reads(w, bias, h.from[k*inputs+at:k*inputs+at+e], bias, []int{0}, p.NormWeight, p.NormBias)
				copy(h.weight[(k*inputs+at)/e*n:], w)
				h.bias[k] += bias[0]
			}
		}
	}
}

// reads cuts rows of the linear map weight [out, E], bias [out] that reads the stream through a layer norm, whose own
// weight and bias go into the map.
func (c *cut) reads(q, qBias, weight, bias []float32, rows []int, normWeight, normBias []float32) {
	e := len(normWeight)
	w := mat.NewDense(len(rows), e, nil)
	for i, r := range rows {
		sum := float64(bias[r])
		for j, g := range normWeight {
			w.Set(i, j, float64(weight[r*e+j])*float64(g))
			sum += float64(weight[r*e+j]) * float64(normBias[j])
		}
		qBias[i] = float32(sum)
	}
	store(q, product(w, c.read))
}

// branch cuts the linear map weight [E, in], bias [E] that a branch ends with. The features that stay are the strongest
// groups of so many; what the map made of the others is fitted to them, METHOD.md (59). It returns the features.
func (c *cut) branch(q, qBias, weight, bias []float32, m *moments, group, stay int) ([]int, error) {
	in, e := m.width, len(bias)
	all := mat.NewDense(e, in+1, nil)
	for i := range e {
		for j := range in {
			all.Set(i, j, float64(weight[i*in+j]))
		}
		all.Set(i, in, float64(bias[i]))
	}
	second := m.matrix()
	keep := strongest(all, second, group, stay)
	some := append(slices.Clone(keep), in) // and the 1, which is the bias's
	var rest []int
	for i := range in {
		if _, found := slices.BinarySearch(keep, i); !found {
			rest = append(rest, i)
		}
	}
	fit := columns(all, some)
	if len(rest) > 0 {
		a, b := mat.NewSymDense(len(some), nil), mat.NewDense(len(some), len(rest), nil)
		add := 0.0
		for _, k := range keep {
			add += ridge * second.At(k, k) / float64(len(keep))
		}
		for i, k := range some {
			for j := i; j < len(some); j++ {
				a.SetSym(i, j, second.At(k, some[j]))
			}
			a.SetSym(i, i, a.At(i, i)+add)
			for j, r := range rest {
				b.Set(i, j, second.At(k, r))
			}
		}
		var solve mat.Cholesky
		var more mat.Dense // [stay+1, E]
		if !solve.Factorize(a) {
			return nil, errors.New("what its features have in common cannot be told apart from noise")
		}
		if err := solve.SolveTo(&more, product(b, columns(all, rest).T())); err != nil {
			return nil, err
		}
		fit.Add(fit, more.T())
	}
	whole := product(c.write, fit) // [E', stay+1]
	store(q, whole.Slice(0, len(qBias), 0, len(keep)))
	store(qBias, whole.Slice(0, len(qBias), len(keep), len(some)))
	return keep, nil
}

// strongest returns the features of the groups whose part in the map's output is largest, in their order.
func strongest(all *mat.Dense, second *mat.SymDense, group, stay int) (keep []int) {
	e, in := all.Dims()
	power := make([]float64, (in-1)/group)
	order := make([]int, len(power))
	for g := range power {
		order[g] = g
		lo, hi := g*group, (g+1)*group
		w := all.Slice(0, e, lo, hi)
		power[g] = mat.Trace(product(product(w, second.SliceSym(lo, hi)), w.T()))
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(power[b], power[a]) })
	order = order[:stay]
	slices.Sort(order)
	for _, g := range order {
		for i := range group {
			keep = append(keep, g*group+i)
		}
	}
	return keep
}

// columns returns some columns of a matrix.
func columns(m *mat.Dense, which []int) *mat.Dense {
	rows, _ := m.Dims()
	c := mat.NewDense(rows, len(which), nil)
	for j, k := range which {
		for i := range rows {
			c.Set(i, j, m.At(i, k))
		}
	}
	return c
}

func product(a, b mat.Matrix) *mat.Dense {
	var c mat.Dense
	c.Mul(a, b)
	return &c
}

// matrix is a copy of rows of so many numbers.
func matrix(x []float32, cols int) mat.Matrix {
	d := make([]float64, len(x))
	for i, v := range x {
		d[i] = float64(v)
	}
	return mat.NewDense(len(x)/cols, cols, d)
}

// store writes the rows of a matrix one after another.
func store(dst []float32, m mat.Matrix) {
	rows, cols := m.Dims()
	for i := range rows {
		for j := range cols {
			dst[i*cols+j] = float32(m.At(i, j))
		}
	}
}

func ones(x []float32) {
	for i := range x {
		x[i] = 1
	}
}
