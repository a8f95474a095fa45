package infer

import (
	"fmt"
	"slices"

	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// Precision is the arithmetic of the large products: q, k, v, proj, fc1 and fc2 of every block, the patch embedding if
// a patch has no fewer numbers than a token, and attention's own where that is faster (see kernels.Queries). Everything
// else stays in float32 whatever the precision: layer norms, softmax, GELU, the residual stream, the mean field, the
// heads, and the gate, the first number of every token, by which tokens halt (see residual).
type Precision string

// The precisions, Auto being the wish for the fastest that the model bears (see Resolve).
const (
	Auto Precision = ""
	F32  Precision = "f32"  // float32
	BF16 Precision = "bf16" // weights and activations rounded to bfloat16, sums in float32
	Int8 Precision = "int8" // 8 bits with a scale for each output of the weights and each token, sums exact
)

// precisions lists them from the most exact to the fastest.
var precisions = []Precision{F32, BF16, Int8}

// ParsePrecision reads a precision's name; "" and "auto" are Auto.
func ParsePrecision(name string) (Precision, error) {
	switch p := Precision(name); {
	case p == Auto || p == "auto":
		return Auto, nil
	case slices.Contains(precisions, p):
		return p, nil
	}
	return Auto, fmt.Errorf("precision %q is not known (known: f32, bf16, int8, auto)", name)
}

// Resolve returns the precision that p means for a model, which may be nil where there is no more than an architecture.
// Auto is the one that the model's card names, else that which its stored weights are rounded for, else the fastest
// that costs it no more than a tenth of a point of top-1 by that card; where nothing is said of precisions, F32. A wish
// of the environment that this machine's kernels cannot fulfil is an error here, before anything is packed.
func Resolve(p Precision, m *vit.Model) (Precision, error) {
	if err := kernels.Configured(); err != nil {
		return Auto, usage.Wrap(err)
	}
	p, err := ParsePrecision(string(p))
	if err != nil || p != Auto {
		return p, usage.Wrap(err)
	}
	if m == nil {
		return F32, nil
	}
	if p, err = ParsePrecision(m.Precision); err != nil {
		return Auto, fmt.Errorf("%s: %w", vit.CardFile, err)
	}
	if p != Auto {
		return p, nil
	}
	if p = RoundedFor(m); p != Auto {
		return p, nil
	}
	if kernels.Path() != "portable" { // plain Go gains nothing from fewer bits
		for _, p := range []Precision{Int8, BF16} {
			if loss, ok := m.PrecisionLoss[string(p)]; ok && loss <= 0.1 {
				return p, nil
			}
		}
	}
	return F32, nil
}

// RoundedFor returns the precision that a model's stored weights were rounded for, Auto if they were not.
func RoundedFor(m *vit.Model) Precision {
	if m.Params == nil {
		return Auto
	}
	return map[weights.DType]Precision{weights.I8: Int8, weights.BF16: BF16}[m.Params.Rounded()]
}

// Caution returns what a user should know who runs a model in a precision: that its stored weights were rounded for
// another. "" is nothing, and so is what Resolve refuses.
func Caution(p Precision, m *vit.Model) string {
	p, err := Resolve(p, m)
	if of := RoundedFor(m); err == nil && of != Auto && of != p {
		return fmt.Sprintf("the model's weights are stored as %s rounds them, and run in %s with what that has left of them",
			of, p)
	}
	return ""
}

// operand is a matrix of activations [rows, width] as the products of one precision take it.
type operand struct {
	precision Precision
	stride    int // elements between rows
	f32       []float32
	bf16      []uint16
	int8      []uint8   // value + 128
	scale     []float32 // [rows] of int8
	sums      []float32 // [rows] not of the operand: what gated returns
}

// newOperand makes room for rows of the given width. In f32 there is none: a float32 matrix is taken as it is.
func newOperand(w *worker, p Precision, rows, width int) operand {
	o := operand{precision: p}
	switch p {
	case BF16:
		o.stride = kernels.BF16Stride(width)
		o.bf16, o.sums = room[uint16](w, rows*o.stride), room[float32](w, rows)
	case Int8:
		o.stride = kernels.Int8Stride(width)
		o.int8, o.scale, o.sums = room[uint8](w, rows*o.stride), room[float32](w, rows), room[float32](w, rows)
	}
	return o
}

// from returns the rows from i on.
func (o operand) from(i int) operand {
	switch o.precision {
	case BF16:
		o.bf16, o.sums = o.bf16[i*o.stride:], o.sums[i:]
	case Int8:
		o.int8, o.scale, o.sums = o.int8[i*o.stride:], o.scale[i:], o.sums[i:]
	default:
		o.f32 = o.f32[i*o.stride:]
	}
	return o
}

// of returns x [rows, width], rows ldx apart, as an operand in o's memory, or x itself in f32.
func (o operand) of(x []float32, ldx, rows, width int) operand {
	switch o.precision {
	case BF16:
		kernels.RoundBF16(o.bf16, o.stride, x, ldx, rows, width)
	case Int8:
		kernels.QuantizeRows(o.int8, o.stride, o.scale, x, ldx, rows, width)
	default:
		o.f32, o.stride = x, ldx
	}
	return o
}

// gated makes an operand in bf16 or int8 of x [rows, len(gate)], rows ldx apart, or with gelu of its GELU, and returns
// its rows' products with gate [rows] in float32. With gelu it leaves anything in x.
func (o operand) gated(x []float32, ldx, rows int, gate []float32, gelu bool) []float32 {
	sums := o.sums[:rows]
	if o.precision == BF16 {
		kernels.RoundGated(o.bf16, o.stride, sums, x, ldx, rows, len(gate), gate, gelu)
	} else {
		kernels.QuantizeGated(o.int8, o.stride, o.scale, sums, x, ldx, rows, len(gate), gate, gelu)
	}
	return sums
}

// ofRows returns the given rows of x alone, in increasing order, as an operand in o's memory. In f32 they close up
// inside of x, from row `to` on, which is at most the first of them.
func (o operand) ofRows(x []float32, ldx, width int, rows []int, to int) operand {
	for i, n := 0, 0; i < len(rows); i += n {
		n = consecutive(rows[i:])
		if from := x[rows[i]*ldx:]; o.precision == F32 {
			copy(x[(to+i)*ldx:], from[:n*ldx])
		} else {
			o.from(i).of(from, ldx, n, width)
		}
	}
	if o.precision == F32 {
		return o.of(x[to*ldx:], ldx, len(rows), width)
	}
	return o
}

// consecutive returns how many consecutive numbers rows begin with.
func consecutive(rows []int) int {
	n := 1
	for n < len(rows) && rows[n] == rows[0]+n {
		n++
	}
	return n
}

// ofNorm returns n(x), x [rows, E] without gaps, as an operand in o's memory, or in y [rows, E] in f32; y may be
// written to in any case.
func (o operand) ofNorm(n *norm, y, x []float32, rows int) operand {
	e := len(n.gamma)
	switch o.precision {
	case BF16:
		kernels.LayerNormBF16(o.bf16, o.stride, x, n.gamma, n.beta, rows, e, n.eps)
	case Int8:
		kernels.LayerNormQuantize(o.int8, o.stride, o.scale, x, n.gamma, n.beta, rows, e, n.eps, y)
	default:
		n.to(y, x, rows)
		o.f32, o.stride = y, e
	}
	return o
}
