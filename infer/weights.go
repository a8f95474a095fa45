package infer

import (
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// Weights is a model as any number of engines read it: copied, and packed for the products of one precision.
type Weights struct {
	config    vit.Config
	precision Precision
	special   []float32 // [S, E] special tokens + their positions
	position  []float32 // [N, E]
	patch     residual  // [C·P·P] → [E]
	blocks    []block
	norm      norm
	heads     []linear // of what they look at, [E] or [2E], → [classes]
}

// block holds one transformer block. Queries have a product of their own, since rows may give keys and values alone.
type block struct {
	norm1, norm2    norm
	query, keyValue linear // [E] → [E], [2E]
	proj            residual
	fc1             linear
	fc2             residual
}

// Precision returns the arithmetic of the large products: F32, BF16 or Int8.
func (w *Weights) Precision() Precision { return w.precision }

// Bytes returns the memory that the weights hold.
func (w *Weights) Bytes() int64 {
	n := 4*int64(cap(w.special)+cap(w.position)) + w.patch.bytes() + w.norm.bytes()
	for i := range w.heads {
		n += w.heads[i].bytes()
	}
	for i := range w.blocks {
		b := &w.blocks[i]
		for _, l := range []*linear{&b.query, &b.keyValue, &b.fc1} {
			n += l.bytes()
		}
		n += b.proj.bytes() + b.fc2.bytes() + b.norm1.bytes() + b.norm2.bytes()
	}
	return n
}

// linear is y = x·Wᵀ + b with the weight packed for the products of one precision.
type linear struct {
	precision Precision
	f32       kernels.Packed // K = inputs, N = outputs; one of the three is there
	bf16      kernels.PackedBF16
	int8      kernels.PackedInt8
	bias      []float32 // [N]
}

// newLinear makes room for the packed weights of a map of so many inputs, with the given bias.
func newLinear(p Precision, inputs int, bias []float32) linear {
	l := linear{precision: p, bias: bias}
	switch p {
	case BF16:
		l.bf16 = kernels.MakePanels[uint16](inputs, len(bias))
	case Int8:
		l.int8 = kernels.MakePackedInt8(inputs, len(bias))
	default:
		l.f32 = kernels.MakePanels[float32](inputs, len(bias))
	}
	return l
}

// columns returns the map to the outputs lo … hi−1 alone, bounds of kernels.SplitColumns. It shares l's memory.
func (l *linear) columns(lo, hi int) linear {
	part := linear{precision: l.precision, bias: l.bias[lo:hi]}
	switch l.precision {
	case BF16:
		part.bf16 = l.bf16.Columns(lo, hi)
	case Int8:
		part.int8 = l.int8.Columns(lo, hi)
	default:
		part.f32 = l.f32.Columns(lo, hi)
	}
	return part
}

// What a product does with x·Wᵀ + b: y becomes that, its GELU, or y and that.
var (
	plain = kernels.Epilogue{}
	gelu  = kernels.Epilogue{GELU: true}
	add   = kernels.Epilogue{Add: true}
)

// to writes y, whose rows are ldy apart.
func (l *linear) to(y []float32, ldy int, x operand, rows int, e kernels.Epilogue) {
	e.Bias = l.bias
	switch l.precision {
	case BF16:
		kernels.GemmBF16(y, ldy, x.bf16, x.stride, rows, &l.bf16, e)
	case Int8:
		kernels.GemmInt8(y, ldy, x.int8, x.stride, x.scale, rows, &l.int8, e)
	default:
		kernels.GemmPacked(y, ldy, x.f32, x.stride, rows, &l.f32, e)
	}
}

func (l *linear) bytes() int64 {
	return 4*int64(cap(l.f32.Data)+cap(l.bias)+cap(l.int8.Scale)+cap(l.int8.Offset)) + 2*int64(cap(l.bf16.Data)) +
		int64(cap(l.int8.Data))
}

// residual is a linear map whose output is added to the tokens: the patch embedding, proj and fc2. Their first number
// decides when they halt, so in every precision its share is computed in float32, from unrounded inputs; the rounded
// product adds none.
type residual struct {
	linear           // of all outputs; in bf16 and int8 without the first, whose weights and bias are 0 there
	gate   []float32 // bf16, int8: [inputs] the first output's weights
	shift  float32   // and its bias
}

// addGate adds the gate's share of x·Wᵀ + b to the tokens y, rows ldy apart: in f32, where nothing is gained by
// computing one output, that of the whole first panel. x has rows ldx apart.
func (r *residual) addGate(y []float32, ldy int, x []float32, ldx, rows int) {
	if r.precision == F32 {
		first := r.columns(0, kernels.FirstPanel(len(r.bias)))
		first.to(y, ldy, operand{f32: x, stride: ldx}, rows, add)
		return
	}
	k := len(r.gate)
	for i := range rows {
		y[i*ldy] += kernels.Dot(x[i*ldx:i*ldx+k], r.gate) + r.shift
	}
}

// addRest adds what addGate leaves out of the outputs lo … hi−1, bounds of kernels.SplitColumns.
func (r *residual) addRest(y []float32, ldy int, x operand, rows, lo, hi int) {
	if r.precision == F32 {
		lo = max(lo, kernels.FirstPanel(len(r.bias)))
	}
	if lo < hi {
		part := r.columns(lo, hi)
		part.to(y[lo:], ldy, x, rows, add)
	}
}

// round returns x, or with gelu its GELU, as the product takes it: rounded to room in bf16 and int8, where it adds the
// gate's share to the tokens y on the way. In f32 x is taken as it is, and the product has the gate in it.
func (r *residual) round(y []float32, ldy int, x []float32, ldx, rows int, room operand, gelu bool) operand {
	if r.precision == F32 {
		return operand{precision: F32, f32: x, stride: ldx}
	}
	for i, s := range room.gated(x, ldx, rows, r.gate, gelu) {
		y[i*ldy] += s + r.shift
	}
	return room
}

func (r *residual) bytes() int64 { return r.linear.bytes() + 4*int64(cap(r.gate)) }

// norm is a LayerNorm's scale and shift [E].
type norm struct {
	gamma, beta []float32
	eps         float32
}

// to writes y = norm(x), both [rows, E] without gaps; y may be x.
func (n *norm) to(y, x []float32, rows int) {
	kernels.LayerNorm(y, x, n.gamma, n.beta, rows, len(n.gamma), n.eps)
}

func (n *norm) bytes() int64 { return 4 * int64(cap(n.gamma)+cap(n.beta)) }
