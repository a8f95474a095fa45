package main

import (
	"time"

	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/internal/turns"
	"github.com/adavit/adavit/vit"
)

// parts is where the time of one dense image goes on one thread: the kernels alone, called in the order and with the
// shapes of a model's blocks, each block with weights of its own. What the engine takes beyond their sum is patch
// embedding, the gate, moving rows, halting and the head.
type parts struct {
	prepare   float64 // ms: layer norms, and rounding or quantising what goes into a product
	products  float64 // ms: q, k, v, proj, fc1 and fc2, with bias and residual, without GELU
	gelu      float64 // ms: what it adds to fc1
	attention float64 // ms
	macs      float64 // of products
}

// partsTurns takes turns in a contest like a side, so that its times can be set against the engine's.
type partsTurns struct {
	precision string
	kernels   *partKernels
	passes    []parts
}

// run goes through the blocks for about so many seconds, after one pass that is not counted.
func (t *partsTurns) run(seconds float64) {
	t.kernels.pass()
	start := time.Now()
	for n := 0; n < leastBatches || time.Since(start).Seconds() < seconds; n++ {
		t.passes = append(t.passes, t.kernels.pass())
	}
}

// median is that of each part over all passes.
func (t *partsTurns) median() parts {
	of := func(part func(p parts) float64) float64 {
		var all []float64
		for _, p := range t.passes {
			all = append(all, part(p))
		}
		return turns.Median(all)
	}
	return parts{
		prepare: of(func(p parts) float64 { return p.prepare }), products: of(func(p parts) float64 { return p.products }),
		gelu: of(func(p parts) float64 { return p.gelu }), attention: of(func(p parts) float64 { return p.attention }),
		macs: t.passes[0].macs,
	}
}

// pass runs all blocks once.
func (k *partKernels) pass() (p parts) {
	n, e, f := k.c.Tokens(), k.c.Embed, k.c.Hidden
	k.reset()
	clock := func(to *float64, f func()) {
		begin := time.Now()
		f()
		*to += time.Since(begin).Seconds() * 1000
	}
	var withGELU, without float64 // fc1
	for l := range k.c.Layers {
		clock(&p.prepare, func() { k.normalize(e) })
		if l == k.c.Layers-1 { // keys and values alone: all else is for one row
			clock(&p.products, func() { k.product(l, k.wide, 3*e, e, 2*e, kernels.Epilogue{}) })
			p.macs += float64(n * e * 2 * e)
			break
		}
		clock(&p.products, func() { k.product(l, k.wide, 3*e, e, 3*e, kernels.Epilogue{}) })
		clock(&p.attention, k.attend)
		clock(&p.prepare, func() { k.round(k.attended, e) })
		clock(&p.products, func() { k.product(l, k.x, e, e, e, kernels.Epilogue{Add: true}) })
		clock(&p.prepare, func() { k.normalize(e) })
		for i := range 2 { // the second finds the weights in the cache, so each comes first in every other block
			if gelu := (l+i)%2 == 0; gelu {
				clock(&withGELU, func() { k.product(l, k.wide, f, e, f, kernels.Epilogue{GELU: true}) })
			} else {
				clock(&without, func() { k.product(l, k.wide, f, e, f, kernels.Epilogue{}) })
			}
		}
		clock(&p.prepare, func() { k.round(k.wide, f) })
		clock(&p.products, func() { k.product(l, k.x, e, f, e, kernels.Epilogue{Add: true}) })
		p.macs += float64(n * (4*e*e + 2*e*f))
	}
	p.products += without
	p.gelu = max(withGELU-without, 0)
	return p
}

// partKernels holds the operands.
type partKernels struct {
	c         vit.Config
	precision string
	x, wide   []float32 // [N, E], [N, max(3E, F)]
	attended  []float32 // [N, E]
	normed    []float32 // [N, E]
	left      []float32 // what a float32 product takes: normed, attended or wide
	ones      []float32 // [max(3E, F)] gamma, beta and biases
	initial   []float32 // x at the start
	scratch   []float32
	half      []uint16  // rows rounded to bf16
	bytes     []uint8   // rows quantised
	scale     []float32 // [N] of them
	f32       map[[3]int]*kernels.Packed
	bf16      map[[3]int]*kernels.PackedBF16
	int8      map[[3]int]*kernels.PackedInt8
}

func newPartKernels(c vit.Config, precision string) *partKernels {
	n, e, f := c.Tokens(), c.Embed, c.Hidden
	width := max(3*e, f)
	k := &partKernels{
		c: c, precision: precision, x: make([]float32, n*e), attended: make([]float32, n*e), wide: make([]float32, n*width),
		normed: make([]float32, n*e), ones: make([]float32, width), initial: make([]float32, n*e),
		scratch: make([]float32, max(kernels.AttentionScratch(n, c.HeadDim()),
			kernels.AttentionReducedScratch(n, c.HeadDim()))),
		half: make([]uint16, n*kernels.BF16Stride(width)), bytes: make([]uint8, n*kernels.Int8Stride(width)),
		scale: make([]float32, n),
		f32:   map[[3]int]*kernels.Packed{}, bf16: map[[3]int]*kernels.PackedBF16{}, int8: map[[3]int]*kernels.PackedInt8{},
	}
	for i := range k.ones {
		k.ones[i] = 1
	}
	for i := range k.initial {
		k.initial[i] = float32((i*7919)%1000)/500 - 1
	}
	k.reset()
	weight := make([]float32, width*max(e, f))
	for i := range weight {
		weight[i] = float32((i*104729)%2000)/50000 - 0.02
	}
	for l := range c.Layers {
		for _, shape := range [][2]int{{e, 3 * e}, {e, 2 * e}, {e, e}, {e, f}, {f, e}} { // inputs, outputs
			in, out := shape[0], shape[1]
			at := [3]int{l, in, out}
			switch precision {
			case bf16:
				k.bf16[at] = new(kernels.PackedBF16)
				kernels.PackBF16(k.bf16[at], weight, in, in, out)
			case int8Name:
				k.int8[at] = new(kernels.PackedInt8)
				kernels.PackInt8(k.int8[at], weight, in, in, out)
			default:
				k.f32[at] = new(kernels.Packed)
				kernels.PackTransposed(k.f32[at], weight, in, in, out)
			}
		}
	}
	return k
}

// reset brings the rows back to where they were, so that they do not grow from block to block.
func (k *partKernels) reset() { copy(k.x, k.initial) }

// normalize makes norm(x) the products' left-hand side.
func (k *partKernels) normalize(e int) {
	n := k.c.Tokens()
	switch k.precision {
	case bf16:
		kernels.LayerNormBF16(k.half, kernels.BF16Stride(e), k.x, k.ones[:e], k.ones[:e], n, e, 1e-6)
	case int8Name:
		kernels.LayerNormQuantize(k.bytes, kernels.Int8Stride(e), k.scale, k.x, k.ones[:e], k.ones[:e], n, e, 1e-6, k.normed)
	default:
		k.left = k.normed
		kernels.LayerNorm(k.normed, k.x, k.ones[:e], k.ones[:e], n, e, 1e-6)
	}
}

// round makes rows of the given width the left-hand side; float32 takes them as they are.
func (k *partKernels) round(from []float32, width int) {
	switch k.precision {
	case bf16:
		kernels.RoundBF16(k.half, kernels.BF16Stride(width), from, width, k.c.Tokens(), width)
	case int8Name:
		kernels.QuantizeRows(k.bytes, kernels.Int8Stride(width), k.scale, from, width, k.c.Tokens(), width)
	default:
		k.left = from
	}
}

// product multiplies the left-hand side [N, in] with block l's weight of this shape into y.
func (k *partKernels) product(l int, y []float32, ldy, in, out int, e kernels.Epilogue) {
	n, at := k.c.Tokens(), [3]int{l, in, out}
	e.Bias = k.ones[:out]
	switch k.precision {
	case bf16:
		kernels.GemmBF16(y, ldy, k.half, kernels.BF16Stride(in), n, k.bf16[at], e)
	case int8Name:
		kernels.GemmInt8(y, ldy, k.bytes, kernels.Int8Stride(in), k.scale, n, k.int8[at], e)
	default:
		kernels.GemmPacked(y, ldy, k.left, in, n, k.f32[at], e)
	}
}

// attend runs attention over the q, k and v in wide.
func (k *partKernels) attend() {
	n, c := k.c.Tokens(), k.c
	kernels.Attention(k.attended, c.Embed, k.wide, 3*c.Embed, n, c.Heads, c.HeadDim(),
		kernels.Queries{Count: n, Reduced: k.precision != f32, Int8: k.precision == int8Name}, k.scratch)
}
