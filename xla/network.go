package xla

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck // formulas read as formulas

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/vit"
)

// network builds the graph of a model. Where package train removes rows, every token runs in every block here and those
// that have halted are barred as keys; with buckets, rows are gathered between blocks, see narrow.
type network struct {
	config  vit.Config
	reads   halting.Readouts
	scheme  scheme
	bf16    bool  // products of bfloat16 numbers; all else in float32
	remat   bool  // blocks are computed again in the backward pass instead of being kept
	buckets []int // [L] rows of each block; nil: N in all
}

// weights are the parameters of a model as nodes, each by its name in timm.
type weights map[string]*Node

// split cuts flat [P], laid out as vit.Params.Data, into the model's tensors, in their order.
func (n *network) split(flat *Node) (weights, []*Node) {
	w := weights{}
	var list []*Node
	for _, t := range vit.NewParams(n.config).Tensors() {
		x := Slice(flat, AxisRange(t.Offset, t.Offset+t.Len()))
		w[t.Name] = Reshape(x, t.Shape...)
		list = append(list, w[t.Name])
	}
	return w, list
}

// state is what goes from block to block. n is the number of rows that an image has there.
type state struct {
	x     *Node // [B, n, E]
	place *Node // [B, n] or [1, n] I32 original place of each row
	alive *Node // [B, n] 1 while a token runs; nil where all do
	sum   *Node // [B, n] c[k,l]
}

// factors are those of residual branches, nil where no path is dropped: [B] of attention and MLP for each block.
type factors [][2]*Node

// embed makes tokens [B, N, E] of images [B, C, H, W].
func (n *network) embed(w weights, images *Node) *Node {
	c := n.config
	b := images.Shape().Dimensions[0]
	p := Reshape(images, b, c.Channels, c.GridH(), c.Patch, c.GridW(), c.Patch)
	p = Reshape(TransposeAllAxes(p, 0, 2, 4, 1, 3, 5), b, c.Patches(), c.PatchLen())
	patches := n.linear(p, Reshape(w["patch_embed.proj.weight"], c.Embed, c.PatchLen()), w["patch_embed.proj.bias"])
	position, own := Reshape(w["pos_embed"], c.Tokens()-c.Registers, c.Embed), c.Special()-c.Registers
	patches = Add(patches, InsertAxes(Slice(position, AxisRange(own)), 0))
	var rows []*Node // [1, ·, E]
	for k, name := range []string{"cls_token", "dist_token"} {
		if k < own {
			rows = append(rows, Add(w[name], InsertAxes(Slice(position, AxisRange(k, k+1)), 0)))
		}
	}
	if c.Registers > 0 {
		rows = append(rows, w["reg_token"])
	}
	for i, row := range rows {
		rows[i] = BroadcastToDims(row, b, row.Shape().Dimensions[1], c.Embed)
	}
	return Concatenate(append(rows, patches), 1)
}

// block is METHOD.md (1) and (2): x, with keys [B, n] added to the products of all queries with each key.
func (n *network) block(w weights, name string, x, keys *Node, drop [2]*Node) *Node {
	c := n.config
	b, rows := x.Shape().Dimensions[0], x.Shape().Dimensions[1]
	qkv := n.linear(n.norm(x, w, name+"norm1"), w[name+"attn.qkv.weight"], w[name+"attn.qkv.bias"])
	qkv = Reshape(qkv, b, rows, 3, c.Heads, c.HeadDim())
	part := func(i int) *Node { return Squeeze(Slice(qkv, AxisRange(), AxisRange(), AxisElem(i)), 2) }
	z := MulScalar(n.product("bqhd,bkhd->bhqk", part(0), part(1)), 1/math.Sqrt(float64(c.HeadDim())))
	if keys != nil {
		z = Add(z, InsertAxes(keys, 1, 1))
	}
	a := n.product("bhqk,bkhd->bqhd", Softmax(z, -1), part(2))
	y := n.linear(Reshape(a, b, rows, c.Embed), w[name+"attn.proj.weight"], w[name+"attn.proj.bias"])
	x = Add(x, branch(y, drop[0]))
	h := n.linear(n.norm(x, w, name+"norm2"), w[name+"mlp.fc1.weight"], w[name+"mlp.fc1.bias"])
	h = Mul(h, MulScalar(AddScalar(Erf(MulScalar(h, math.Sqrt2/2)), 1), 0.5))
	return Add(x, branch(n.linear(h, w[name+"mlp.fc2.weight"], w[name+"mlp.fc2.bias"]), drop[1]))
}

// branch is y [B, n, E] times each image's factor.
func branch(y, factor *Node) *Node {
	if factor == nil {
		return y
	}
	return Mul(y, InsertAxes(factor, 1, 1))
}

// linear is x·Wᵀ + b, of x [B, n, in] and W [out, in].
func (n *network) linear(x, weight, bias *Node) *Node {
	return Add(n.product("bni,oi->bno", x, weight), InsertAxes(bias, 0, 0))
}

// product is an Einsum in the precision of the network. With an accumulator's type, as Dot gives it to bfloat16, GoMLX
// would take the gradient's products in that type; a device's own for bfloat16 is float32 all the same.
func (n *network) product(equation string, x, y *Node) *Node {
	if !n.bf16 {
		return Einsum(equation, x, y)
	}
	x, y = ConvertDType(x, dtypes.BFloat16), ConvertDType(y, dtypes.BFloat16)
	return ConvertDType(Dot(x, y).WithAccumulatorDType(dtypes.InvalidDType).Einsum(equation), dtypes.Float32)
}

// norm is layer norm over the last axis. Rsqrt has no gradient in GoMLX.
func (n *network) norm(x *Node, w weights, name string) *Node {
	d := Sub(x, ReduceAndKeep(x, ReduceMean, -1))
	variance := ReduceAndKeep(Mul(d, d), ReduceMean, -1)
	y := Div(d, Sqrt(AddScalar(variance, n.config.Eps)))
	axes := make([]int, x.Rank()-1)
	return Add(Mul(y, InsertAxes(w[name+".weight"], axes...)), InsertAxes(w[name+".bias"], axes...))
}

// places are 0 … N−1, as [1, N].
func (n *network) places(g *Graph) *Node {
	return Iota(g, shapes.Make(dtypes.Int32, 1, n.config.Tokens()), 1)
}

// head makes logits [classifiers][B, classes] of the fields [B, Q, E] that the heads look at, and returns what those
// look at but for a norm, [B, I, E], METHOD.md (3) and (52).
func (n *network) head(w weights, fields *Node) (logits []*Node, read *Node) {
	c, alone := n.config, n.reads.Alone
	mean := func(x *Node) *Node { return ReduceAndKeep(Slice(x, AxisRange(), AxisRange(alone)), ReduceMean, 1) }
	first := func(x *Node) *Node { return Slice(x, AxisRange(), AxisRange(0, alone)) }
	read = fields
	var normed *Node
	switch {
	case n.reads.Pooled == 0:
		normed = n.norm(fields, w, "norm")
	case c.Pooling == vit.Mean:
		read = mean(fields)
		normed = n.norm(read, w, "fc_norm")
	default:
		all := n.norm(fields, w, "norm")
		normed, read = mean(all), mean(all)
		if alone > 0 {
			normed, read = Concatenate([]*Node{first(all), normed}, 1), Concatenate([]*Node{first(fields), read}, 1)
		}
	}
	b := fields.Shape().Dimensions[0]
	if c.Classifiers() == 1 {
		x := Reshape(Slice(normed, AxisRange(), AxisRange(0, n.reads.Inputs())), b, c.HeadInputs())
		return []*Node{classify(x, w, "head")}, read
	}
	for i, name := range []string{"head", "head_dist"} {
		x := Squeeze(Slice(normed, AxisRange(), AxisElem(i)), 1)
		logits = append(logits, classify(x, w, name))
	}
	return logits, read
}

// classify is a head on x [B, in], in float32 whatever the rest is in.
func classify(x *Node, w weights, name string) *Node {
	return Add(Einsum("bi,ci->bc", x, w[name+".weight"]), InsertAxes(w[name+".bias"], 0))
}

// average is the mean over the heads of their logits.
func average(logits []*Node) *Node {
	if len(logits) == 1 {
		return logits[0]
	}
	return MulScalar(Add(logits[0], logits[1]), 0.5)
}
