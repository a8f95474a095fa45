package read

import (
	"fmt"
	"slices"
)

// value is what flows along an edge of a graph: some elements of an expression, in some order, times a scale. Reshape,
// Transpose, Slice, Split and the like make new values of the same expression, so that however a graph turns its tokens
// into heads and back, what comes out is places in rows of a product.
type value struct {
	of     *expression
	offset int
	dims   []dim
	scale  float64
}

// dim is one dimension of a value: atoms, row-major. None make a dimension of 1.
type dim []atom

// atom is a run of n elements of an expression, stride apart. A repeated element has stride 0.
type atom struct{ n, stride int }

func (d dim) size() int {
	n := 1
	for _, a := range d {
		n *= a.n
	}
	return n
}

// fused puts atoms together that are one run. Dimensions of one form only are then equal.
func fused(list []atom) dim {
	var out dim
	for _, a := range list {
		last := len(out) - 1
		switch {
		case a.n == 0:
			return dim{{0, 0}}
		case a.n == 1:
		case last >= 0 && out[last].stride == a.n*a.stride:
			out[last] = atom{out[last].n * a.n, a.stride}
		default:
			out = append(out, a)
		}
	}
	return out
}

// wholeOf is all of an expression.
func wholeOf(e *expression) *value {
	v := &value{of: e, scale: 1, dims: make([]dim, len(e.shape))}
	stride := 1
	for i := len(e.shape) - 1; i >= 0; i-- {
		v.dims[i] = fused([]atom{{e.shape[i], stride}})
		stride *= e.shape[i]
	}
	return v
}

func (v *value) shape() []int {
	shape := make([]int, len(v.dims))
	for i, d := range v.dims {
		shape[i] = d.size()
	}
	return shape
}

func (v *value) len() int {
	n := 1
	for _, d := range v.dims {
		n *= d.size()
	}
	return n
}

// with returns v with other dimensions.
func (v *value) with(dims []dim) *value {
	w := *v
	w.dims = dims
	return &w
}

// flat returns all elements of v as one dimension.
func (v *value) flat() dim { return fused(slices.Concat(v.dims...)) }

// all says whether v is its whole expression in its own order, however it is cut into dimensions.
func (v *value) all() bool {
	n := 1
	for _, d := range v.of.shape {
		n *= d
	}
	return v.offset == 0 && slices.Equal(v.flat(), fused([]atom{{n, 1}}))
}

// rows says whether v is all rows of its expression: the whole, cut into dimensions of which the last is as it was.
func (v *value) rows() bool {
	return v.all() && len(v.dims) > 0 && v.dims[len(v.dims)-1].size() == v.of.width()
}

// same says whether two values are the same elements.
func (v *value) same(w *value) bool {
	return v.of == w.of && v.offset == w.offset && v.scale == w.scale &&
		slices.EqualFunc(v.dims, w.dims, func(a, b dim) bool { return slices.Equal(a, b) })
}

// reshape cuts v's elements into other dimensions, of as many elements; ok is false if that is no view.
func (v *value) reshape(shape []int) (w *value, ok bool) {
	list := slices.Clone(v.flat())
	dims := make([]dim, len(shape))
	for i, n := range shape {
		if v.len() == 0 {
			dims[i] = fused([]atom{{n, 0}})
			continue
		}
		var atoms []atom
		for n > 1 {
			if len(list) == 0 {
				return nil, false
			}
			head := list[0]
			switch {
			case n%head.n == 0:
				atoms = append(atoms, head)
				list, n = list[1:], n/head.n
			case head.n%n == 0:
				atoms = append(atoms, atom{n, head.stride * (head.n / n)})
				list[0] = atom{head.n / n, head.stride}
				n = 1
			default:
				return nil, false
			}
		}
		dims[i] = fused(atoms)
	}
	return v.with(dims), len(list) == 0 || v.len() == 0
}

// slice takes count places of a dimension, step apart from start on; ok is false if that is no view.
func (v *value) slice(axis, start, count, step int) (w *value, ok bool) {
	d := v.dims[axis]
	w = v.with(slices.Clone(v.dims))
	switch {
	case count == 0:
		w.dims[axis] = dim{{0, 0}}
		return w, true
	case start == 0 && step == 1 && count == d.size():
		return w, true
	case count == 1:
		for k := len(d) - 1; k >= 0; k-- {
			w.offset += start % d[k].n * d[k].stride
			start /= d[k].n
		}
		w.dims[axis] = nil
		return w, true
	case len(d) == 0:
		return nil, false
	}
	inner := d[1:].size()
	if start%inner != 0 || count%inner != 0 || step != 1 && len(d) > 1 {
		return nil, false
	}
	w.offset += start / inner * d[0].stride
	w.dims[axis] = fused(append([]atom{{count / inner, d[0].stride * step}}, d[1:]...))
	return w, true
}

// transpose reorders the dimensions.
func (v *value) transpose(perm []int) *value {
	dims := make([]dim, len(perm))
	for i, p := range perm {
		dims[i] = v.dims[p]
	}
	return v.with(dims)
}

// expand repeats elements along dimensions of 1 until the shape is reached.
func (v *value) expand(shape []int) (*value, error) {
	if len(v.dims) > len(shape) {
		return nil, fmt.Errorf("shape %v cannot be repeated to %v", v.shape(), shape)
	}
	dims := make([]dim, len(shape))
	copy(dims[len(shape)-len(v.dims):], v.dims)
	for i, n := range shape {
		switch d := dims[i].size(); {
		case d == n:
		case d == 1:
			dims[i] = fused([]atom{{n, 0}})
		default:
			return nil, fmt.Errorf("shape %v cannot be repeated to %v", v.shape(), shape)
		}
	}
	return v.with(dims), nil
}

// places calls f with the place of every element of v in its expression, in v's order, until f returns false.
func (v *value) places(f func(place int) bool) {
	atoms := v.flat()
	if v.len() == 0 {
		return
	}
	at, place := make([]int, len(atoms)), v.offset
	for f(place) {
		k := len(atoms) - 1
		for ; k >= 0; k-- {
			at[k]++
			place += atoms[k].stride
			if at[k] < atoms[k].n {
				break
			}
			place -= atoms[k].n * atoms[k].stride
			at[k] = 0
		}
		if k < 0 {
			return
		}
	}
}

// broadcast is the common shape of a and b.
func broadcast(a, b []int) ([]int, error) {
	out := make([]int, max(len(a), len(b)))
	for i := range out {
		x, y := 1, 1
		if j := i - len(out) + len(a); j >= 0 {
			x = a[j]
		}
		if j := i - len(out) + len(b); j >= 0 {
			y = b[j]
		}
		switch {
		case x == y || y == 1:
			out[i] = x
		case x == 1:
			out[i] = y
		default:
			return nil, fmt.Errorf("shapes %v and %v do not go together", a, b)
		}
	}
	return out, nil
}
