package onnx

import (
	"fmt"
	"math"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/vit"
)

// network writes a model's graph. Tokens are the rows of one matrix [B·n, E], so that every linear map is one Gemm with
// its bias and with the weight as it is stored, [out, in]; only attention and halting look at images. In the comments:
// B images, n tokens of an image that are left, E numbers of a token, H heads of d numbers, S special tokens of which
// the first Q, the readouts, have a head.
type network struct {
	*graph
	c       vit.Config
	r       halting.Readouts
	options Options
	tensors map[string]vit.Tensor // by timm's names

	batch  string // [1]: B
	images string // the shape [B, n, E] for Reshape
	heads  string // the shape [B, n, H, d]
	mask   string // [B, 1, 1, n], added to attention's scores; "" if no token is barred
}

// build makes the graph of a model that check has nothing against.
func build(p *vit.Params, o Options) *graph {
	c := p.Config
	n := &network{graph: &graph{shared: map[string]bool{}}, c: c, r: c.Readouts(), options: o,
		tensors: map[string]vit.Tensor{}}
	for _, t := range p.Tensors() {
		n.tensors[t.Name] = t
	}
	n.ends.Bytes(11, valueInfo("input", elemFloat, "batch", c.Channels, c.Height, c.Width)) // input
	n.ends.Bytes(12, valueInfo("logits", elemFloat, "batch", c.Classes))                    // output
	adaptive := c.Halting.Adaptive() && !o.Dense
	n.doc = fmt.Sprintf("Vision transformer: %d blocks, %d numbers a token, %d heads, %d tokens", c.Layers, c.Embed,
		c.Heads, c.Tokens())

	x := n.embed(adaptive)
	if !adaptive {
		for l := range c.Layers {
			x = n.block(x, l)
		}
		if n.r.Pooled > 0 {
			n.pool(x)
		} else {
			n.decide("", x)
		}
		return n.graph
	}
	n.doc += "; halted tokens are removed"
	if c.Halting.Exit() > 0 {
		n.doc += ", and images of which the prediction is sure"
	}
	h := newHalt(n)
	for l := range c.Layers {
		x = h.after(n.block(x, l), l)
	}
	if n.r.Pooled > 0 {
		h.decidePooled("", h.field(), h.mean)
	} else {
		n.decide("", h.field())
	}
	return n.graph
}

func (n *network) tensor(name string) vit.Tensor {
	t, ok := n.tensors[name]
	if !ok {
		panic("onnx: no tensor " + name) // a slip in this package: check has seen the configuration
	}
	return t
}

// parameter adds a tensor of the model under its own name, unless it is there already.
func (n *network) parameter(name string) string {
	t := n.tensor(name)
	return n.share(initializer{name: name, shape: t.Shape, floats: t.Data})
}

// layer lists the inputs of a node that has a weight and a bias: rows x and these two.
func (n *network) layer(x, name string) []string {
	return []string{x, n.parameter(name + ".weight"), n.parameter(name + ".bias")}
}

// linear is x·Wᵀ + b for rows x.
func (n *network) linear(x, name string) string { return n.gemm(name, n.layer(x, n.prefix+name)) }

// third is linear with the first, second or last third of a weight's output rows, for i = 0, 1, 2.
func (n *network) third(x, name, of string, i int) string {
	w, b := n.tensor(n.prefix+of+".weight"), n.tensor(n.prefix+of+".bias")
	out, in := w.Shape[0]/3, w.Shape[1]
	full := n.prefix + name
	return n.gemm(name, []string{x,
		n.weight(full+".weight", w.Data[i*out*in:(i+1)*out*in], out, in),
		n.weight(full+".bias", b.Data[i*out:(i+1)*out], out)})
}

func (n *network) gemm(name string, inputs []string) string {
	return n.node("Gemm", name, inputs, attribute("transB", 1))
}

func (n *network) norm(x, name string) string { return n.layerNorm(name, n.layer(x, n.prefix+name)) }

func (n *network) layerNorm(name string, inputs []string) string {
	return n.node("LayerNormalization", name, inputs, attribute("axis", -1),
		attribute("epsilon", float32(n.c.Eps)))
}

// flat turns [B, n, E] into rows.
func (n *network) flat(name, x string) string { return n.reshape(name, x, n.ints(-1, n.c.Embed)) }

// embed turns the input into tokens [B·N, E].
func (n *network) embed(adaptive bool) string {
	c := n.c
	n.prefix = "embed."
	n.batch = n.node("Shape", "batch", []string{"input"}, attribute("start", 0), attribute("end", 1))
	patch := []int{c.Patch, c.Patch}
	x := n.node("Conv", "patches", n.layer("input", "patch_embed.proj"), attribute("kernel_shape", patch),
		attribute("strides", patch)) // [B, E, rows, columns]
	x = n.reshape("patches.flat", x, n.ints(0, c.Embed, -1))
	x = n.transpose("patches.rows", x, 0, 2, 1) // [B, K, E]
	var special []string
	for _, name := range []string{"cls_token", "dist_token", "reg_token"} {
		if _, ok := n.tensors[name]; ok {
			special = append(special, n.parameter(name))
		}
	}
	if len(special) > 1 {
		special = []string{n.concat("special", 1, special...)}
	}
	if len(special) > 0 {
		special[0] = n.expand("special.batch", special[0], c.Special(), c.Embed) // [B, S, E]
		x = n.concat("tokens", 1, special[0], x)
	}
	x = n.add("positions", x, n.positions())

	if adaptive { // n is known when the graph runs
		n.images = n.concat("shape.images", 0, n.batch, n.ints(-1, c.Embed))
		n.heads = n.concat("shape.heads", 0, n.batch, n.ints(-1, c.Heads, c.HeadDim()))
	} else {
		n.images = n.ints(-1, c.Tokens(), c.Embed)
		n.heads = n.ints(-1, c.Tokens(), c.Heads, c.HeadDim())
	}
	return n.flat("x", x)
}

// blockPrefix is timm's, for nodes as for parameters.
func blockPrefix(l int) string { return fmt.Sprintf("blocks.%d.", l) }

// expand repeats x, of the given shape behind a first dimension of 1, for every image.
func (n *network) expand(name, x string, shape ...int) string {
	return n.node("Expand", name, []string{x, n.concat(name+".shape", 0, n.batch, n.ints(shape...))})
}

// block runs block l, counted from 0, on rows x [B·n, E]. In the last one nothing but the readouts matters any more:
// they alone ask, and they alone come out, [B·Q, E], unless the patches' mean is read.
func (n *network) block(x string, l int) string {
	n.prefix = blockPrefix(l)
	y := n.norm(x, "norm1")
	asking, heads := y, n.heads
	if l == n.c.Layers-1 && n.r.Pooled == 0 {
		asking = n.readouts("attn.readouts", y)
		x = n.readouts("x.readouts", x)
		heads = n.ints(-1, n.r.Alone, n.c.Heads, n.c.HeadDim())
	}
	query := n.reshape("attn.q.heads", n.third(asking, "attn.q", "attn.qkv", 0), heads)
	key := n.reshape("attn.k.heads", n.third(y, "attn.k", "attn.qkv", 1), n.heads)
	value := n.reshape("attn.v.heads", n.third(y, "attn.v", "attn.qkv", 2), n.heads)
	query = n.transpose("attn.query", query, 0, 2, 1, 3) // [B, H, n, d]
	key = n.transpose("attn.key", key, 0, 2, 3, 1)       // [B, H, d, n]
	value = n.transpose("attn.value", value, 0, 2, 1, 3)

	scores := n.node("MatMul", "attn.scores", []string{query, key})
	scores = n.mul("attn.scaled", scores, n.number(float32(1/math.Sqrt(float64(n.c.HeadDim())))))
	if n.mask != "" {
		scores = n.add("attn.masked", scores, n.mask)
	}
	share := n.node("Softmax", "attn.share", []string{scores}, attribute("axis", -1))
	y = n.node("MatMul", "attn.mixed", []string{share, value})
	y = n.flat("attn.out", n.transpose("attn.mixed.rows", y, 0, 2, 1, 3))
	x = n.add("attn.x", x, n.linear(y, "attn.proj"))

	y = n.linear(n.norm(x, "norm2"), "mlp.fc1")
	return n.add("x", x, n.linear(n.gelu(y), "mlp.fc2"))
}

// readouts takes an image's first Q rows out of rows x: [B·Q, E].
func (n *network) readouts(name, x string) string {
	x = n.reshape(name+".images", x, n.images)
	return n.flat(name, n.take(name+".taken", x, 1, upTo(n.r.Alone)...))
}

// gelu is x·(1 + erf(x/√2))/2.
func (n *network) gelu(x string) string {
	if n.options.Opset >= 20 {
		return n.node("Gelu", "mlp.gelu", []string{x})
	}
	y := n.node("Div", "mlp.gelu.div", []string{x, n.number(math.Sqrt2)})
	y = n.node("Erf", "mlp.gelu.erf", []string{y})
	y = n.add("mlp.gelu.add", y, n.number(1))
	return n.mul("mlp.gelu", n.mul("mlp.gelu.mul", x, y), n.number(0.5))
}

// decide turns the readouts' rows [B·Q, E] into logits [B, classes]: each one's head, averaged. The nodes' names begin
// with prefix, for a model with an exit decides after every block.
func (n *network) decide(prefix, x string) string {
	n.prefix = prefix
	e := n.c.Embed
	x = n.layerNorm("norm", n.layer(x, "norm"))
	if n.r.Alone == 1 {
		return n.gemm("logits", n.layer(x, "head"))
	}
	x = n.reshape("norm.readouts", x, n.ints(-1, 2*e))
	parts := n.split("Split", []string{"norm.class", "norm.dist"}, []string{x, n.ints(e, e)}, attribute("axis", 1))
	class, dist := n.gemm("head", n.layer(parts[0], "head")), n.gemm("head_dist", n.layer(parts[1], "head_dist"))
	return n.mul("logits", n.add("logits.sum", class, dist), n.number(0.5))
}

// upTo lists 0..n−1.
func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}
