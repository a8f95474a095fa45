package onnx

import (
	"math"
	"slices"
)

// barred is what a halted token's score in attention gets added: finite, for an image whose tokens have all halted goes
// on as ballast until the batch is through, and must not become NaN; and so large that no real score matters beside it.
const barred = -1e30

// halt writes what an adaptive model does between blocks. The state is one number for each token that is left, its
// cumulative score c, or exactly 1 once it has halted. As the threshold is at most 1, c alone tells who still goes on,
// whatever is added to it later; and what a token's c grew by in a block is its weight p there, the remainder included
// (ACT, Graves 2016; A-ViT, Yin et al. 2022).
type halt struct {
	*network
	sums  string   // [B, n, 1] c; "" before block 1
	ended string   // [B, 1, 1] 1 where a sure prediction has ended the image, else 0; "" before block 1
	sum   []string // [B, Q, 1] c of the readouts after each block but the last
	read  []string // [B, Q, E] the readouts after each block
	mean  string   // [B, E] sum over the patches of what they gave to their mean fields; "" before block 1
	own   string   // [B, n, E] the mean fields of tokens that are left, where halted ones are normalised
	ran   string   // [B, n, 1] 1 of a token that runs, 0 of one that fills a place
	zeros string   // [B, R, 1] sums of registers that do not halt
	place string   // [B, n, 1] original places, if depths are asked for
	depth string   // [B, N, 1] blocks that each token has started
	masks string   // the shape [B, 1, 1, n]
}

func newHalt(n *network) *halt {
	n.prefix = ""
	h := &halt{network: n, masks: n.concat("halt.shape.mask", 0, n.batch, n.ints(1, 1, -1))}
	h.ran = n.number(1)
	if n.c.Registers > 0 && !n.c.Halting.Switch("registers_halt") {
		h.zeros = n.expand("halt.registers", n.number(0), n.c.Registers, 1)
	}
	if tokens := n.c.Tokens(); n.options.Depth {
		n.ends.Bytes(12, valueInfo("depth", elemInt64, "batch", tokens)) // output
		h.place = n.expand("depth.places", n.list("const.places", upTo(tokens), 1, tokens, 1), tokens, 1)
		h.depth = n.expand("depth.first", n.ints(1), tokens, 1)
	}
	return h
}

// after takes the rows x that come out of block l, counted from 0, and returns those that go into the next one. After
// the last block everything halts, and the rows are the readouts'.
func (h *halt) after(x string, l int) string {
	h.prefix = blockPrefix(l)
	q, last := h.r.Alone, l == h.c.Layers-1
	if last && h.r.Pooled == 0 {
		h.read = append(h.read, h.reshape("halt.read", x, h.ints(-1, q, h.c.Embed)))
		return x
	}
	x = h.reshape("halt.images", x, h.images)
	if q > 0 {
		h.read = append(h.read, h.take("halt.read", x, 1, upTo(q)...))
	}
	if last {
		left := h.number(1)
		if h.sums != "" {
			left = h.node("Sub", "pool.left", []string{left, h.sums})
		}
		h.collect(x, left, "")
		return x
	}
	before := h.sums
	live, running := h.score(x)
	if q > 0 {
		h.sum = append(h.sum, h.take("halt.sum.read", h.sums, 1, upTo(q)...))
	}
	if h.r.Pooled > 0 {
		p := h.sums
		if before != "" {
			p = h.node("Sub", "pool.p", []string{p, before})
		}
		h.collect(x, p, live)
	}
	return h.flat("halt.x", h.gather(x, live, running))
}

// score adds block l's scores to the state. live [B, n, 1] says which tokens go on, running [B, 1, 1] which images.
func (h *halt) score(x string) (live, running string) {
	c := h.c.Halting
	// In float32 and in this order, as everywhere: a depth must not depend on how a product is rounded.
	s := h.mul("halt.scaled", h.take("halt.gate", x, 2, 0), h.number(float32(c.Number("gate_scale"))))
	s = h.node("Sub", "halt.centred", []string{s, h.number(float32(c.Number("gate_center")))})
	s = h.node("Sigmoid", "halt.score", []string{s})
	if h.sums != "" {
		s = h.add("halt.sum", h.sums, s)
	}
	if h.zeros != "" {
		parts := []string{h.zeros, h.patches("halt.patches.sum", s)}
		if class := h.r.Special - h.r.Registers; class > 0 {
			parts = append([]string{h.take("halt.class.sum", s, 1, upTo(class)...)}, parts...)
		}
		s = h.concat("halt.gated", 1, parts...)
	}
	if c.Exit() > 0 {
		s = h.exit(x, s)
	}
	live = h.below("halt.live", s)
	switch {
	case h.r.Pooled > 0:
		running = h.anyLive(live)
	case h.r.Alone == 2:
		running = h.node("Or", "halt.running", []string{h.take("halt.class", live, 1, 0),
			h.take("halt.dist", live, 1, 1)})
	default:
		running = h.take("halt.class", live, 1, 0)
	}
	live = h.node("And", "halt.goes", []string{live, running})
	h.sums = h.node("Where", "halt.sums", []string{live, s, h.number(1)})
	return live, running
}

// exit puts what a sure prediction says in the place of the readouts' scores: their sum is 0, and 1 from the block on
// where the largest probability is large enough. So that block's is the one whose weight is 1. x are the block's rows.
func (h *halt) exit(x, sums string) string {
	q, prefix, rows := h.r.Alone, h.prefix, ""
	if q > 0 {
		rows = h.flat("exit.rows", h.read[len(h.read)-1])
	}
	z := ""
	if h.r.Pooled > 0 {
		z = h.decidePooled(prefix+"exit.", rows, h.foresee(x))
	} else {
		z = h.decide(prefix+"exit.", rows)
	}
	p := h.node("Softmax", "share", []string{z}, attribute("axis", -1))
	p = h.reshape("share.images", p, h.ints(-1, h.c.Classes, 1))
	p = h.split("TopK", []string{"largest", "class"}, []string{p, h.ints(1)}, attribute("axis", 1))[0] // [B, 1, 1]
	sure := h.node("GreaterOrEqual", "sure", []string{p, h.number(float32(h.c.Halting.Exit()))})
	if h.ended == "" {
		h.ended = h.number(0)
	}
	h.ended = h.node("Where", "ended", []string{sure, h.number(1), h.ended})
	if q > 0 {
		others := h.node("Slice", "patches", []string{sums, h.ints(q), h.ints(math.MaxInt32), h.ints(1)})
		sums = h.concat("sums", 1, append(slices.Repeat([]string{h.ended}, q), others)...)
	}
	h.prefix = prefix
	return sums
}

// below says which tokens' cumulative scores have not reached 1 − ε.
func (h *halt) below(name, sums string) string {
	return h.node("Less", name, []string{sums, h.number(float32(1 - h.c.Halting.Number("epsilon")))})
}

// gather keeps the tokens that go on: as many as the image with the most of them has. In the other images halted ones
// fill the places, and the mask bars them. The order of the tokens stays, so that the readouts are the first.
func (h *halt) gather(x, live, running string) string {
	// One that has halted must not let others move up.
	if pinned := h.pinned(); pinned > 0 {
		live = h.concat("halt.keep", 1, append(slices.Repeat([]string{running}, pinned), h.patches("halt.patches", live))...)
	}
	key := h.node("Cast", "halt.key", []string{live}, attribute("to", int(elemInt64)))
	count := h.node("ReduceSum", "halt.counts", []string{key, h.ints(1, 2)}, attribute("keepdims", 0)) // [B]
	count = h.node("ReduceMax", "halt.most", []string{count}, attribute("keepdims", 1))                // [1]
	// No matrix is ever empty.
	count = h.node("Max", "halt.count", []string{count, h.ints(max(h.r.Alone, h.pinned(), 1))})
	// [B, n, 1]; equal keys come in the order of their places.
	order := h.split("TopK", []string{"halt.top", "halt.order"}, []string{key, count}, attribute("axis", 1))[1]
	h.sums = h.pick("halt.sums.left", h.sums, order)
	goes := h.below("halt.left", h.sums)
	if h.depth != "" {
		h.place = h.pick("halt.place", h.place, order)
		one := h.node("Cast", "halt.ran", []string{goes}, attribute("to", int(elemInt64)))
		h.depth = h.node("ScatterElements", "halt.depth", []string{h.depth, h.place, one}, attribute("axis", 1),
			attribute("reduction", "add"))
	}
	if h.own != "" {
		h.ran = h.node("Where", "pool.ran", []string{goes, h.number(1), h.number(0)})
		h.own = h.node("GatherND", "pool.own.left", []string{h.own, order}, attribute("batch_dims", 1))
	}
	bias := h.node("Where", "halt.bias", []string{goes, h.number(0), h.number(barred)})
	h.mask = h.reshape("halt.mask", bias, h.masks)
	return h.node("GatherND", "halt.x.left", []string{x, order}, attribute("batch_dims", 1))
}

// pinned is how many special tokens keep their places while their image runs, whether they have halted or not.
func (h *halt) pinned() int {
	if h.r.Alone == 2 || h.r.Registers > 0 || h.r.Pooled > 0 {
		return h.r.Special
	}
	return 0
}

// field returns the mean fields, Σ p[k,l]·t[k,l] over the blocks, of the tokens that are read by themselves, as rows
// [B·Q, E]; "" if there are none.
func (h *halt) field() string {
	if h.prefix = ""; h.depth != "" {
		h.reshape("depth", h.depth, h.ints(-1, h.c.Tokens()))
	}
	h.prefix = "field."
	q, layers := h.r.Alone, h.c.Layers
	if q == 0 {
		return ""
	}
	if layers == 1 {
		return h.flat("o.rows", h.read[0])
	}
	sums := h.reshape("sums", h.concat("sums.blocks", 1, h.sum...), h.ints(-1, layers-1, q, 1))
	after := h.node("Pad", "sums.after", []string{sums, h.ints(0, 0, 0, 0, 0, 1, 0, 0), h.number(1)})
	before := h.node("Pad", "sums.before", []string{sums, h.ints(0, 1, 0, 0, 0, 0, 0, 0), h.number(0)})
	p := h.node("Sub", "p", []string{after, before}) // [B, L, Q, 1]
	t := h.reshape("t", h.concat("t.blocks", 1, h.read...), h.ints(-1, layers, q, h.c.Embed))
	o := h.node("ReduceSum", "o", []string{h.mul("pt", p, t), h.ints(1)}, attribute("keepdims", 0))
	return h.flat("o.rows", o)
}
