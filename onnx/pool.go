package onnx

import (
	"math"

	"github.com/adavit/adavit/vit"
)

// Models whose head looks at the mean of the patches' mean fields o, METHOD.md (52). In an adaptive graph that grows
// from block to block: what a token gives goes into the sum at once, or where tokens are normalised first, all of it
// once the token halts.

// positions is the position embedding [1, N, E]: registers, which have none, get zeros.
func (n *network) positions() string {
	t := n.tensor("pos_embed")
	if n.c.Registers == 0 {
		return n.parameter(t.Name)
	}
	own := (n.c.Special() - n.c.Registers) * n.c.Embed
	all := make([]float32, n.c.Tokens()*n.c.Embed)
	copy(all, t.Data[:own])
	copy(all[n.c.Special()*n.c.Embed:], t.Data[own:])
	return n.share(initializer{name: t.Name, shape: []int{1, n.c.Tokens(), n.c.Embed}, floats: all})
}

// patches is x [B, n, …] without the special tokens.
func (n *network) patches(name, x string) string {
	if n.r.Special == 0 {
		return x
	}
	return n.node("Slice", name, []string{x, n.ints(n.r.Special), n.ints(math.MaxInt32), n.ints(1)})
}

// sumPatches is the sum over the patches of x [B, n, E]: [B, E].
func (n *network) sumPatches(name, x string) string {
	return n.node("ReduceSum", name, []string{n.patches(name+".patches", x), n.ints(1)}, attribute("keepdims", 0))
}

// normTokens is norm(x) of tokens x [B, n, E].
func (n *network) normTokens(name, x string) string { return n.layerNorm(name, n.layer(x, "norm")) }

// pool makes logits of the dense model's rows x [B·N, E].
func (n *network) pool(x string) {
	n.prefix = "pool."
	x = n.reshape("images", x, n.images)
	class := ""
	if n.r.Alone > 0 {
		class = n.flat("class", n.take("class.taken", x, 1, 0))
	}
	if n.c.Pooling.NormsTokens() {
		x = n.normTokens("norm", x)
	}
	n.decidePooled("", class, n.sumPatches("sum", x))
}

// decidePooled turns the class token's rows [B, E], "" where it is not read, and the sum over the patches [B, E] into
// logits [B, classes].
func (n *network) decidePooled(prefix, class, sum string) string {
	n.prefix = prefix
	x := n.mul("mean", sum, n.number(float32(1/float64(n.r.Pooled))))
	switch n.c.Pooling {
	case vit.Mean:
		x = n.layerNorm("norm", n.layer(x, "fc_norm"))
	case vit.ClassAndMean:
		x = n.concat("read", 1, n.normTokens("norm", class), x)
	}
	return n.gemm("logits", n.layer(x, "head"))
}

// collect adds what the rows x [B, n, E] of a block give, p [B, n, 1] of each, to the sum over the patches. live says
// who goes on; "" is nobody.
func (h *halt) collect(x, p, live string) {
	given := h.mul("pool.given", x, p)
	if h.c.Pooling.NormsTokens() {
		if h.own != "" {
			given = h.add("pool.own", h.own, given)
		}
		h.own = given
		halts := h.ran
		if live != "" {
			halts = h.node("Where", "pool.halts", []string{live, h.number(0), h.ran})
		}
		given = h.mul("pool.halted", h.normTokens("pool.norm", given), halts)
	}
	given = h.sumPatches("pool.sum", given)
	if h.mean != "" {
		given = h.add("pool.all", h.mean, given)
	}
	h.mean = given
}

// foresee is the sum over the patches if the image ended after the block whose rows are x [B, n, E]: each token gives
// what it has left, METHOD.md (53).
func (h *halt) foresee(x string) string {
	given := x
	if h.sums != "" {
		given = h.mul("pool.rest", x, h.node("Sub", "pool.left", []string{h.number(1), h.sums}))
	}
	if h.c.Pooling.NormsTokens() {
		if h.own != "" {
			given = h.add("pool.end", h.own, given)
		}
		given = h.mul("pool.ends", h.normTokens("pool.end.norm", given), h.ran)
	}
	given = h.sumPatches("pool.end.sum", given)
	if h.mean != "" {
		given = h.add("pool.end.all", h.mean, given)
	}
	return given
}

// anyLive says which images [B, 1, 1] have a token left that is read, of live [B, n, 1].
func (h *halt) anyLive(live string) string {
	ones := h.node("Where", "halt.read.live", []string{h.patches("halt.read.patches", live), h.number(1), h.number(0)})
	count := h.node("ReduceSum", "halt.read.sum", []string{ones, h.ints(1)}, attribute("keepdims", 0))
	count = h.reshape("halt.read.count", count, h.ints(-1, 1, 1))
	running := h.node("Less", "halt.read.some", []string{h.number(0), count})
	if h.r.Alone > 0 {
		running = h.node("Or", "halt.read.any", []string{running, h.take("halt.class", live, 1, 0)})
	}
	if h.ended != "" {
		running = h.node("And", "halt.running", []string{running, h.node("Less", "halt.goes.on",
			[]string{h.ended, h.number(1)})})
	}
	return running
}
