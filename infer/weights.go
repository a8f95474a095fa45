package infer

import (
	"slices"

	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// linear is y = x·Wᵀ + b with the weight packed for the GEMM.
type linear struct {
	weight kernels.Packed // K = inputs, N = outputs
	bias   []float32      // [N]
}

// newLinear packs a weight [outputs, inputs] and copies its bias.
func newLinear(weight, bias []float32, inputs int) linear {
	l := linear{bias: slices.Clone(bias)}
	kernels.PackTransposed(&l.weight, weight, inputs, inputs, len(bias))
	return l
}

// cut returns the map to the outputs below n and that to the others, which may be none. n is a whole number of panels.
func (l *linear) cut(n int) (head, tail linear) {
	n = min(n, len(l.bias))
	size := kernels.PackedLen(l.weight.K, n)
	head = linear{kernels.Packed{K: l.weight.K, N: n, Data: l.weight.Data[:size]}, l.bias[:n]}
	tail = linear{kernels.Packed{K: l.weight.K, N: l.weight.N - n, Data: l.weight.Data[size:]}, l.bias[n:]}
	return head, tail
}

// to writes y = x·Wᵀ + b; row strides are ldx and ldy.
func (l *linear) to(y []float32, ldy int, x []float32, ldx, rows int) {
	kernels.GemmPacked(y, ldy, x, ldx, rows, &l.weight, kernels.Epilogue{Bias: l.bias})
}

// gelu writes y = gelu(x·Wᵀ + b).
func (l *linear) gelu(y []float32, ldy int, x []float32, ldx, rows int) {
	kernels.GemmPacked(y, ldy, x, ldx, rows, &l.weight, kernels.Epilogue{Bias: l.bias, GELU: true})
}

// add writes y = y + x·Wᵀ + b.
func (l *linear) add(y []float32, ldy int, x []float32, ldx, rows int) {
	kernels.GemmPacked(y, ldy, x, ldx, rows, &l.weight, kernels.Epilogue{Bias: l.bias, Add: true})
}

// norm is a LayerNorm's scale and shift [E].
type norm struct {
	gamma, beta []float32
	eps         float32
}

func newNorm(gamma, beta []float32, eps float64) norm {
	return norm{slices.Clone(gamma), slices.Clone(beta), float32(eps)}
}

// to writes y = norm(x), both [rows, E] without gaps; y may be x.
func (n *norm) to(y, x []float32, rows int) {
	kernels.LayerNorm(y, x, n.gamma, n.beta, rows, len(n.gamma), n.eps)
}

// block holds one transformer block. Block L of an engine that is not Full has query and keyValue in place of qkv, since only readout rows ask.
type block struct {
	norm1, norm2    norm
	qkv             linear // [E] → [3E]
	query, keyValue linear // [E] → [E], [2E]
	proj, fc1, fc2  linear
	gate, beyond    linear // fc2 in two parts, which share its memory: the panel of columns with the gate, and those beyond it
}

// packed is a model's weights as the engine wants them.
type packed struct {
	special  []float32 // [S, E] special tokens + their positions
	position []float32 // [N, E]
	patch    linear    // [C·P·P] → [E]
	blocks   []block
	norm     norm
	heads    []linear // [Q] of [E] → [classes]
}

// pack copies the parameters; readoutsOnly says that the last block will run for readout rows alone.
func pack(p *vit.Params, readoutsOnly bool) *packed {
	c := &p.Config
	e := c.Embed
	w := &packed{
		special:  slices.Concat(p.ClassToken, p.DistToken),
		position: slices.Clone(p.Position),
		patch:    newLinear(p.PatchWeight, p.PatchBias, c.PatchLen()),
		blocks:   make([]block, c.Layers),
		norm:     newNorm(p.NormWeight, p.NormBias, c.Eps),
		heads:    []linear{newLinear(p.HeadWeight, p.HeadBias, e)},
	}
	if c.Readouts() > 1 {
		w.heads = append(w.heads, newLinear(p.HeadDistWeight, p.HeadDistBias, e))
	}
	kernels.Add(w.special, w.position[:len(w.special)])
	for l := range w.blocks {
		from, to := &p.Blocks[l], &w.blocks[l]
		to.norm1 = newNorm(from.Norm1Weight, from.Norm1Bias, c.Eps)
		to.norm2 = newNorm(from.Norm2Weight, from.Norm2Bias, c.Eps)
		if readoutsOnly && l == c.Layers-1 {
			to.query = newLinear(from.QKVWeight[:e*e], from.QKVBias[:e], e)
			to.keyValue = newLinear(from.QKVWeight[e*e:], from.QKVBias[e:], e)
		} else {
			to.qkv = newLinear(from.QKVWeight, from.QKVBias, e)
		}
		to.proj = newLinear(from.ProjWeight, from.ProjBias, e)
		to.fc1 = newLinear(from.FC1Weight, from.FC1Bias, e)
		to.fc2 = newLinear(from.FC2Weight, from.FC2Bias, c.Hidden)
		to.gate, to.beyond = to.fc2.cut(kernels.PanelWidth)
	}
	return w
}
