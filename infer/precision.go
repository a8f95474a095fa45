package infer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/adavit/adavit/internal/kernels"
)

// Precision is the arithmetic of the large products: q, k, v, proj, fc1 and fc2 of every block. Everything else stays in float32 whatever the precision:
// patch embedding, layer norms, softmax, GELU, the residual stream, the mean field, the heads, and the gate, the first number of every token,
// by which tokens halt (see residual).
type Precision string

const (
	F32  Precision = "f32"  // float32
	BF16 Precision = "bf16" // weights and activations rounded to bfloat16, sums in float32
	Int8 Precision = "int8" // weights in 8 bits with a scale for each output, activations in 8 bits with a scale for each token, sums exact
)

// precisions lists them from the most exact to the fastest.
var precisions = []Precision{F32, BF16, Int8}

// ParsePrecision reads a precision's name; "" is f32.
func ParsePrecision(name string) (Precision, error) {
	if name == "" {
		return F32, nil
	}
	if p := Precision(name); slices.Contains(precisions, p) {
		return p, nil
	}
	var known []string
	for _, p := range precisions {
		known = append(known, string(p))
	}
	return "", fmt.Errorf("precision %q is not known (known: %s)", name, strings.Join(known, ", "))
}

// operand is a matrix of activations [rows, width] as the products of one precision take it.
type operand struct {
	precision Precision
	stride    int // elements between rows
	f32       []float32
	bf16      []uint16
	int8      []uint8   // value + 128
	scale     []float32 // [rows] of int8
}

// newOperand makes room for rows of the given width. In f32 there is none: a float32 matrix is taken as it is.
func newOperand(p Precision, rows, width int) operand {
	o := operand{precision: p}
	switch p {
	case BF16:
		o.stride = kernels.BF16Stride(width)
		o.bf16 = make([]uint16, rows*o.stride)
	case Int8:
		o.stride = kernels.Int8Stride(width)
		o.int8, o.scale = make([]uint8, rows*o.stride), make([]float32, rows)
	}
	return o
}

// from returns the rows from i on.
func (o operand) from(i int) operand {
	switch o.precision {
	case BF16:
		o.bf16 = o.bf16[i*o.stride:]
	case Int8:
		o.int8, o.scale = o.int8[i*o.stride:], o.scale[i:]
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

// ofNorm returns n(x), x [rows, E] without gaps, as an operand in o's memory, or in y [rows, E] in f32.
func (o operand) ofNorm(n *norm, y, x []float32, rows int) operand {
	e := len(n.gamma)
	switch o.precision {
	case BF16:
		kernels.LayerNormBF16(o.bf16, o.stride, x, n.gamma, n.beta, rows, e, n.eps)
	case Int8:
		kernels.LayerNormQuantize(o.int8, o.stride, o.scale, x, n.gamma, n.beta, rows, e, n.eps)
	default:
		n.to(y, x, rows)
		o.f32, o.stride = y, e
	}
	return o
}
