package read

import (
	"errors"
	"math"
)

// pointwise are the operators on two numbers that constants are folded by.
var pointwise = map[string]struct {
	floats func(a, b float64) float64
	whole  func(a, b int64) int64
	truth  bool // the result is one, whatever the inputs
}{
	"Add": {func(a, b float64) float64 { return a + b }, func(a, b int64) int64 { return a + b }, false},
	"Sub": {func(a, b float64) float64 { return a - b }, func(a, b int64) int64 { return a - b }, false},
	"Mul": {func(a, b float64) float64 { return a * b }, func(a, b int64) int64 { return a * b }, false},
	"Div": {func(a, b float64) float64 { return a / b }, quotient, false},
	"Mod": {nil, func(a, b int64) int64 { return a - b*floored(a, b) }, false},
	"Pow": {math.Pow, func(a, b int64) int64 { return int64(math.Pow(float64(a), float64(b))) }, false},
	"Min": {math.Min, func(a, b int64) int64 { return min(a, b) }, false},
	"Max": {math.Max, func(a, b int64) int64 { return max(a, b) }, false},
	"And": {nil, func(a, b int64) int64 { return a & b }, true},
	"Or":  {nil, func(a, b int64) int64 { return a | b }, true},
	"Equal": {func(a, b float64) float64 { return float64(truth(a == b)) },
		func(a, b int64) int64 { return truth(a == b) }, true},
	"Less": {func(a, b float64) float64 { return float64(truth(a < b)) },
		func(a, b int64) int64 { return truth(a < b) }, true},
	"Greater": {func(a, b float64) float64 { return float64(truth(a > b)) },
		func(a, b int64) int64 { return truth(a > b) }, true},
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// quotient is ONNX's division of whole numbers, towards zero. By zero it is zero: a constant that is of any account
// has no such part.
func quotient(a, b int64) int64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// floored is a division towards minus infinity.
func floored(a, b int64) int64 {
	q := quotient(a, b)
	if b != 0 && a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// unary are the operators on one number.
var unary = map[string]func(float64) float64{
	"Sqrt": math.Sqrt, "Neg": func(x float64) float64 { return -x }, "Abs": math.Abs, "Floor": math.Floor,
	"Ceil": math.Ceil, "Reciprocal": func(x float64) float64 { return 1 / x },
	"Not": func(x float64) float64 { return 1 - x },
}

// together returns the contents of constants in their common shape.
func (c *call) together(in ...*value) ([]*array, error) {
	var shape []int
	var err error
	for _, v := range in {
		if shape, err = broadcast(shape, v.shape()); err != nil {
			return nil, err
		}
	}
	if _, err := elements(shape); err != nil {
		return nil, err
	}
	list := make([]*array, len(in))
	for i, v := range in {
		if v, err = v.expand(shape); err == nil {
			list[i], err = c.content(v)
		}
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// fold computes an operator on two constants.
func (c *call) fold() (*value, error) {
	op := pointwise[c.op]
	list, err := c.together(c.in[0], c.in[1])
	if err != nil {
		return nil, err
	}
	a, b := list[0], list[1]
	if a.whole != b.whole || !a.whole && op.floats == nil {
		return nil, errors.New("constants of a type that is not wanted here")
	}
	if err := c.spend(a.len()); err != nil {
		return nil, err
	}
	out := newArray(a.whole || op.truth, a.shape)
	for k := range a.len() {
		switch {
		case a.whole:
			out.i[k] = op.whole(a.i[k], b.i[k])
		case out.whole:
			out.i[k] = int64(op.floats(float64(a.f[k]), float64(b.f[k])))
		default:
			out.f[k] = float32(op.floats(float64(a.f[k]), float64(b.f[k])))
		}
	}
	return constant(out), nil
}

// foldOne computes an operator on one constant.
func (c *call) foldOne(f func(float64) float64) (*value, error) {
	a, err := c.content(c.in[0])
	if err == nil {
		err = c.spend(a.len())
	}
	if err != nil {
		return nil, err
	}
	out := newArray(a.whole, a.shape)
	for k := range a.len() {
		if a.whole {
			out.i[k] = int64(f(float64(a.i[k])))
		} else {
			out.f[k] = float32(f(float64(a.f[k])))
		}
	}
	return constant(out), nil
}

// cast changes a constant's type between whole numbers and others; between floating types nothing changes, for all are
// held as float32.
func (c *call) cast(whole bool) (*value, error) {
	x := c.in[0]
	if !x.isConstant() {
		if whole {
			return nil, errors.New("what depends on the input becomes whole numbers")
		}
		return x, nil
	}
	if x.of.constant.whole == whole {
		return x, nil
	}
	a, err := c.content(x)
	if err == nil {
		err = c.spend(a.len())
	}
	if err != nil {
		return nil, err
	}
	out := newArray(whole, a.shape)
	for k := range a.len() {
		if whole {
			out.i[k] = int64(a.f[k])
		} else {
			out.f[k] = float32(a.i[k])
		}
	}
	return constant(out), nil
}

// where chooses between constants. Of anything else it may only replace what is no number: some exporters guard a
// softmax so, which with finite inputs never fires.
func where(c *call) (*value, error) {
	if c.in[0].of.kind == "IsNaN" {
		if guarded := c.in[0].of.args[0]; guarded.same(c.in[2]) {
			return guarded, nil
		}
	}
	list, err := c.together(c.in...)
	if err != nil {
		return nil, err
	}
	when, a, b := list[0], list[1], list[2]
	if !when.whole || a.whole != b.whole {
		return nil, errors.New("constants of a type that is not wanted here")
	}
	if err := c.spend(a.len()); err != nil {
		return nil, err
	}
	out := newArray(a.whole, a.shape)
	for k, yes := range when.i {
		from := b
		if yes != 0 {
			from = a
		}
		if a.whole {
			out.i[k] = from.i[k]
		} else {
			out.f[k] = from.f[k]
		}
	}
	return constant(out), nil
}

// number is the one number that all elements of a constant are.
func (e *evaluator) number(v *value) (float64, bool) {
	if !v.isConstant() || v.of.constant.len() == 0 || v.len() == 0 {
		return 0, false
	}
	x, equal, seen := v.of.constant.at(v.offset), true, 0
	once := make([]dim, len(v.dims)) // repeated elements need one look
	for i, d := range v.dims {
		for _, a := range d {
			if a.stride > 0 {
				once[i] = append(once[i], a)
			}
		}
	}
	v.with(once).places(func(place int) bool {
		seen++
		equal = v.of.constant.at(place) == x
		return equal
	})
	return x, equal && e.spend(seen) == nil
}
