package read

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// errNoView is for shapes and orders in which a plain vision transformer has no use for its numbers.
var errNoView = errors.New("its input is put into an order that no plain vision transformer has")

// moved makes an operator of one that puts the elements of its first input into another order or shape. A constant
// for which that is no view is written anew first.
func moved(inputs int, move func(c *call, x *value) (w *value, ok bool, err error)) operator {
	return one(inputs, func(c *call) (*value, error) {
		w, ok, err := move(c, c.in[0])
		if err == nil && !ok && c.in[0].isConstant() {
			var a *array
			if a, err = c.content(c.in[0]); err == nil {
				w, ok, err = move(c, constant(a))
			}
		}
		if err == nil && !ok {
			err = errNoView
		}
		return w, err
	})
}

func reshape(c *call, x *value) (*value, bool, error) {
	shape, err := c.list(c.in[1])
	if err != nil {
		return nil, false, err
	}
	if len(shape) > maxRank {
		return nil, false, fmt.Errorf("more than %d dimensions", maxRank)
	}
	free, known := -1, 1
	for i, d := range shape {
		switch {
		case d == 0 && c.int("allowzero", 0) == 0 && i < len(x.dims):
			shape[i] = x.dims[i].size()
		case d == -1 && free < 0:
			free = i
			continue
		case d < 0 || d > math.MaxInt32:
			return nil, false, fmt.Errorf("shape %v is impossible", shape)
		}
		if known *= shape[i]; known > math.MaxInt32 {
			return nil, false, fmt.Errorf("shape %v is impossible", shape)
		}
	}
	if free >= 0 {
		shape[free] = x.len() / max(known, 1)
		known *= shape[free]
	}
	if known != x.len() {
		return nil, false, fmt.Errorf("shape %v cannot become %v", x.shape(), shape)
	}
	w, ok := x.reshape(shape)
	return w, ok, nil
}

func flatten(c *call, x *value) (*value, bool, error) {
	a := c.int("axis", 1)
	if a < 0 {
		a += len(x.dims)
	}
	if a < 0 || a > len(x.dims) {
		return nil, false, fmt.Errorf("axis %d of %d", a, len(x.dims))
	}
	return x.with([]dim{fused(slices.Concat(x.dims[:a]...)), fused(slices.Concat(x.dims[a:]...))}), true, nil
}

func transpose(c *call, x *value) (*value, bool, error) {
	perm := integers(c.attributes["perm"].ints)
	if perm == nil {
		for i := range x.dims {
			perm = append(perm, len(x.dims)-1-i)
		}
	}
	sorted := slices.Sorted(slices.Values(perm))
	for i, p := range sorted {
		if p != i {
			return nil, false, fmt.Errorf("order %v of %d dimensions", perm, len(x.dims))
		}
	}
	if len(perm) != len(x.dims) {
		return nil, false, fmt.Errorf("order %v of %d dimensions", perm, len(x.dims))
	}
	return x.transpose(perm), true, nil
}

func squeeze(c *call, x *value) (*value, bool, error) {
	axes, err := c.ints("axes", 1)
	if err != nil {
		return nil, false, err
	}
	var dims []dim
	for i, d := range x.dims {
		drop := axes == nil && d.size() == 1
		for _, a := range axes {
			if a, err = axisOf(a, len(x.dims)); err != nil {
				return nil, false, err
			}
			drop = drop || a == i
		}
		if drop && d.size() != 1 {
			return nil, false, fmt.Errorf("dimension %d of %v is not 1", i, x.shape())
		}
		if !drop {
			dims = append(dims, d)
		}
	}
	return x.with(dims), true, nil
}

func unsqueeze(c *call, x *value) (*value, bool, error) {
	axes, err := c.ints("axes", 1)
	if err != nil {
		return nil, false, err
	}
	n := len(x.dims) + len(axes)
	if n > maxRank {
		return nil, false, fmt.Errorf("more than %d dimensions", maxRank)
	}
	dims, fresh := slices.Clone(x.dims), make([]bool, n)
	for _, a := range axes {
		if a, err = axisOf(a, n); err != nil {
			return nil, false, err
		}
		fresh[a] = true
	}
	for i, f := range fresh {
		if f {
			dims = slices.Insert(dims, min(i, len(dims)), nil)
		}
	}
	if len(dims) != n {
		return nil, false, fmt.Errorf("axes %v", axes)
	}
	return x.with(dims), true, nil
}

func expand(c *call, x *value) (*value, bool, error) {
	shape, err := c.list(c.in[1])
	if err != nil {
		return nil, false, err
	}
	if _, err = elements(shape); err != nil || len(shape) > maxRank {
		return nil, false, fmt.Errorf("shape %v is impossible", shape)
	}
	if shape, err = broadcast(x.shape(), shape); err != nil {
		return nil, false, err
	}
	w, err := x.expand(shape)
	return w, true, err
}

// tile repeats a dimension as a whole.
func tile(c *call, x *value) (*value, bool, error) {
	times, err := c.list(c.in[1])
	if err != nil {
		return nil, false, err
	}
	if _, err := elements(times); err != nil || len(times) != len(x.dims) {
		return nil, false, fmt.Errorf("repeats %v of shape %v", times, x.shape())
	}
	dims := slices.Clone(x.dims)
	for i, n := range times {
		dims[i] = fused(append([]atom{{n, 0}}, dims[i]...))
	}
	return x.with(dims), true, nil
}

func slice(c *call, x *value) (*value, bool, error) {
	starts, err1 := c.ints("starts", 1)
	ends, err2 := c.ints("ends", 2)
	axes, err3 := c.ints("axes", 3)
	steps, err4 := c.ints("steps", 4)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, false, err
	}
	if len(ends) != len(starts) || axes != nil && len(axes) != len(starts) || steps != nil && len(steps) != len(starts) {
		return nil, false, errors.New("lists of several lengths")
	}
	for i := range starts {
		axis, step := i, 1
		if axes != nil {
			axis = axes[i]
		}
		if steps != nil {
			step = steps[i]
		}
		axis, err := axisOf(axis, len(x.dims))
		if err != nil {
			return nil, false, err
		}
		n := x.dims[axis].size()
		from, to := clip(starts[i], n), clip(ends[i], n)
		if step < 1 {
			return nil, false, fmt.Errorf("step %d", step)
		}
		count := 0
		if to > from {
			count = (to-from-1)/step + 1
		}
		var ok bool
		if x, ok = x.slice(axis, from, count, step); !ok {
			return nil, false, nil
		}
	}
	return x, true, nil
}

// clip counts a bound from the front and keeps it within n.
func clip(v, n int) int {
	if v < 0 {
		v += n
	}
	return max(0, min(v, n))
}

// gather takes places along an axis: one, or a run, of anything; any of a constant.
func gather(c *call, x *value) (*value, bool, error) {
	axis, err := axisOf(c.int("axis", 0), len(x.dims))
	if err != nil {
		return nil, false, err
	}
	places, err := c.list(c.in[1])
	if err != nil {
		return nil, false, err
	}
	n, run := x.dims[axis].size(), true
	for i := range places {
		if places[i] < -n || places[i] >= n {
			return nil, false, fmt.Errorf("place %d of %d", places[i], n)
		}
		places[i] = (places[i] + n) % n
		run = run && places[i] == places[0]+i
	}
	w, ok := x, false
	if run && len(places) > 0 {
		w, ok = x.slice(axis, places[0], len(places), 1)
	}
	if !ok {
		if w, err = c.pick(x, axis, places); err != nil || w == nil {
			return nil, false, err
		}
	}
	cut, ok := w.with([]dim{w.dims[axis]}).reshape(c.in[1].shape()) // places may have any shape
	if !ok {
		return nil, false, nil
	}
	return w.with(slices.Replace(slices.Clone(w.dims), axis, axis+1, cut.dims...)), true, nil
}

// pick is gather for constants of whole numbers, such as shapes; nil for others.
func (c *call) pick(x *value, axis int, places []int) (*value, error) {
	if !x.isConstant() || len(x.dims) != 1 {
		return nil, nil
	}
	a, err := c.content(x)
	if err != nil {
		return nil, err
	}
	if err := c.spend(len(places)); err != nil {
		return nil, err
	}
	out := newArray(a.whole, []int{len(places)})
	for i, p := range places {
		if a.whole {
			out.i[i] = a.i[p]
		} else {
			out.f[i] = a.f[p]
		}
	}
	return constant(out), nil
}

// split cuts a dimension into parts.
func split(c *call) ([]*value, error) {
	x := c.in[0]
	axis, err := axisOf(c.int("axis", 0), len(x.dims))
	if err != nil {
		return nil, err
	}
	sizes, err := c.ints("split", 1)
	if err != nil {
		return nil, err
	}
	n := x.dims[axis].size()
	if sizes == nil {
		parts := max(c.int("num_outputs", len(c.out)), 1)
		for left := n; left > 0 && len(sizes) < len(c.out); left -= (n-1)/parts + 1 {
			sizes = append(sizes, min(left, (n-1)/parts+1))
		}
	}
	var out []*value
	from := 0
	for _, size := range sizes {
		if size < 0 || size > n-from {
			return nil, fmt.Errorf("parts %v of %d", sizes, n)
		}
		w, ok := x.slice(axis, from, size, 1)
		if !ok {
			return nil, errNoView
		}
		out = append(out, w)
		from += size
	}
	if from != n || len(out) != len(c.out) {
		return nil, fmt.Errorf("parts %v of %d", sizes, n)
	}
	return out, nil
}

// concat puts constants together; of anything else it is an expression.
func concat(c *call) (*value, error) {
	axis, err := axisOf(c.int("axis", 0), len(c.in[0].dims))
	if err != nil {
		return nil, err
	}
	shape := c.in[0].shape()
	shape[axis] = 0
	constants := true
	for _, v := range c.in {
		if v == nil || len(v.dims) != len(shape) {
			return nil, errors.New("inputs of several ranks")
		}
		part := v.shape()
		shape[axis] += part[axis]
		constants = constants && v.isConstant()
		part[axis] = shape[axis]
		if !slices.Equal(part, shape) {
			return nil, fmt.Errorf("shape %v does not go with the others", v.shape())
		}
	}
	if !constants {
		e := c.make("Concat", shape, c.in...)
		e.axis = axis
		return wholeOf(e), nil
	}
	n, err := elements(shape)
	if err == nil {
		err = c.spend(n)
	}
	if err != nil {
		return nil, err
	}
	out := newArray(c.in[0].of.constant.whole, shape)
	outer, _ := elements(shape[:axis])
	at := 0 // of a part in a row of the result
	for _, v := range c.in {
		a, err := c.content(v)
		if err != nil || a.whole != out.whole {
			return nil, errors.Join(err, errors.New("inputs of several types"))
		}
		size, row := a.len()/max(outer, 1), n/max(outer, 1)
		for k := range outer {
			if a.whole {
				copy(out.i[k*row+at:], a.i[k*size:(k+1)*size])
			} else {
				copy(out.f[k*row+at:], a.f[k*size:(k+1)*size])
			}
		}
		at += size
	}
	return constant(out), nil
}
