package read

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// both follows an operator on two numbers each of which may depend on the input.
func both(c *call) (*value, error) {
	a, b := c.in[0], c.in[1]
	switch {
	case a.isConstant() && b.isConstant():
		return c.fold()
	case c.op == "Add" && a.isConstant():
		return c.plus(b, a, 1)
	case c.op == "Add" && b.isConstant():
		return c.plus(a, b, 1)
	case c.op == "Sub" && b.isConstant():
		return c.plus(a, b, -1)
	case c.op == "Mul" && a.isConstant():
		return c.times(b, a)
	case c.op == "Mul" && b.isConstant():
		return c.times(a, b)
	case c.op == "Div" && b.isConstant():
		return c.dividedBy(a, b)
	case c.op == "Pow" && b.isConstant():
		return c.power(a, b)
	case c.op == "Add":
		if !slices.Equal(a.shape(), b.shape()) {
			return nil, fmt.Errorf("shapes %v and %v", a.shape(), b.shape())
		}
		return wholeOf(c.make("Add", a.shape(), c.settled(a), c.settled(b))), nil
	case c.op == "Sub":
		if m := b.of; m.kind == "ReduceMean" && b.all() && b.scale == 1 && m.axis == len(m.args[0].dims)-1 &&
			m.args[0].same(a) && len(b.dims) == len(a.dims) {
			return wholeOf(c.make(centeredKind, a.shape(), a)), nil
		}
	case c.op == "Div":
		return c.normalized(a, b)
	case c.op == "Mul":
		return c.product(a, b)
	}
	return nil, errors.New("this use of it is not known from a plain vision transformer")
}

var errNormalised = errors.New("the graph normalises its pictures itself; export the network without that")

// settled is v with its scale, if it has one, made part of its expression.
func (c *call) settled(v *value) *value {
	if c.near(v.scale, 1) {
		w := *v
		w.scale = 1
		return &w
	}
	if v.of.kind != linearKind && v.of.kind != normKind {
		return v // whoever looks at it later minds the scale
	}
	e := *v.of
	if c.spend(2*e.width()) != nil {
		return v // the next node fails of that
	}
	e.gamma, e.beta = slices.Clone(e.gamma), slices.Clone(e.beta)
	if e.gamma == nil {
		e.gamma = slices.Repeat([]float32{1}, e.width())
	}
	for i := range e.gamma {
		e.gamma[i] *= float32(v.scale)
	}
	for i := range e.beta {
		e.beta[i] *= float32(v.scale)
	}
	w := *v
	w.of, w.scale = &e, 1
	return &w
}

// row returns a constant as a row that is repeated along the last dimension of x; ok is false if it is none.
func (c *call) row(x, k *value) (row []float32, ok bool, err error) {
	n := x.of.width()
	if !x.rows() || k.len() != n || len(k.dims) == 0 || k.dims[len(k.dims)-1].size() != n {
		return nil, false, nil
	}
	a, err := c.content(k)
	if err == nil && a.whole {
		err = errors.New("whole numbers where others are wanted")
	}
	if err == nil {
		err = c.spend(n)
	}
	if err != nil {
		return nil, false, err
	}
	return slices.Clone(a.f), true, nil
}

// fits says whether a constant is repeated along x, and x not along the constant.
func fits(x, k *value) error {
	shape, err := broadcast(x.shape(), k.shape())
	if err == nil && !slices.Equal(shape, x.shape()) {
		err = fmt.Errorf("shapes %v and %v", x.shape(), k.shape())
	}
	return err
}

// plus is x + sign·k for a constant k: a bias, or an expression of its own.
func (c *call) plus(x, k *value, sign float32) (*value, error) {
	if err := fits(x, k); err != nil {
		return nil, err
	}
	if v, same := c.number(k); same && v == 0 {
		return x, nil
	}
	x = c.settled(x)
	if x.of.kind == linearKind || x.of.kind == normKind {
		row, ok, err := c.row(x, k)
		if err != nil {
			return nil, err
		}
		if v, same := c.number(k); same && !ok && x.rows() {
			if err := c.spend(x.of.width()); err != nil {
				return nil, err
			}
			row, ok = slices.Repeat([]float32{float32(v)}, x.of.width()), true
		}
		if ok {
			e := *x.of
			for i := range row {
				row[i] *= sign
				if e.beta != nil {
					row[i] += e.beta[i]
				}
			}
			e.beta = row
			return wholeOf(&e).as(x), nil
		}
	}
	if x.of.kind == inputKind {
		return nil, errNormalised
	}
	if sign < 0 {
		return nil, errors.New("a constant is subtracted")
	}
	return wholeOf(c.make(plusKind, x.shape(), x, k)), nil
}

// as cuts the whole of an expression into the dimensions of another value, which is whole too.
func (v *value) as(w *value) *value { return v.with(w.dims) }

// times is x·k for a constant k: a scale, or factors of a linear map or norm.
func (c *call) times(x, k *value) (*value, error) {
	if err := fits(x, k); err != nil {
		return nil, err
	}
	if v, same := c.number(k); same {
		return x.scaled(v)
	}
	if x.of.kind == inputKind {
		return nil, errNormalised
	}
	x = c.settled(x)
	if x.of.kind != linearKind && x.of.kind != normKind {
		return nil, errors.New("a multiplication by a constant that is no scale of a norm or of a linear map")
	}
	row, ok, err := c.row(x, k)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errors.New("a multiplication by a constant that is no scale of a norm or of a linear map")
	}
	e := *x.of
	e.beta = slices.Clone(e.beta)
	for i, v := range row {
		if e.beta != nil {
			e.beta[i] *= v
		}
		if e.gamma != nil {
			row[i] *= e.gamma[i]
		}
	}
	e.gamma = row
	return wholeOf(&e).as(x), nil
}

func (v *value) scaled(by float64) (*value, error) {
	if math.IsNaN(by) || math.IsInf(by, 0) || by == 0 {
		return nil, fmt.Errorf("a multiplication by %v", by)
	}
	w := *v
	w.scale *= by
	return &w, nil
}

func (c *call) dividedBy(x, k *value) (*value, error) {
	if err := fits(x, k); err != nil {
		return nil, err
	}
	v, same := c.number(k)
	if !same {
		return nil, errors.New("a division by a constant that is not one number")
	}
	return x.scaled(1 / v)
}
