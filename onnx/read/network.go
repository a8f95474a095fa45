package read

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// network is a vision transformer as it is found in a graph, from the output down.
type network struct {
	*call          // to read constants by
	batch     int  // images that the graph was followed for
	probable  bool // the output is a softmax of the logits
	heads     []*expression
	reads     pooling
	first     int         // token of those whose mean is read
	norm      *expression // the last; of the mean, if reads is ofMean
	blocks    []block
	special   []float32 // learnt tokens before the patches, with what is added to them, [S, E]
	positions []float32 // of the patches, [K, E]
	patches   *expression
	kernel    *array    // [E, C, P, P]
	bias      []float32 // of the patches, [E]
}

// block is one block: the norms and linear maps that it consists of.
type block struct {
	norm1, norm2, proj, fc1, fc2 *expression
	qkv                          [3]rows
	heads                        int
}

// rows are rows of a linear map's output: those that one of attention's three inputs has, head by head.
type rows struct {
	of    *expression
	index []int
	scale float64
}

// recognise takes a graph's output apart.
func (n *network) recognise(out *value) error {
	if out.of.kind == "Softmax" && out.all() {
		n.probable, out = true, out.of.args[0]
	}
	tops := []*value{out}
	if pair := out.of; pair.kind == "Add" && len(pair.args) == 2 && n.near(out.scale, 0.5) && out.all() {
		half := *out
		half.scale = 1
		out, tops = &half, pair.args // DeiT's two heads
	}
	var stream *value
	for i, top := range tops {
		if !n.near(top.scale, 1) {
			return fmt.Errorf("the output is scaled by %v", top.scale)
		}
		pooled := top
		if top.of.kind == linearKind && top.all() {
			n.heads, pooled = append(n.heads, top.of), top.of.args[0]
			if top.len() != n.batch*top.of.width() {
				return fmt.Errorf("%v gives more than one row for an image", top.of)
			}
		} else if len(tops) > 1 {
			return errors.New("the output is the mean of two things of which one is no linear head")
		}
		norm, x, token, err := n.pooled(pooled)
		if err != nil {
			return err
		}
		if token != i || i > 0 && (norm.args[0].of != n.norm.args[0].of || norm.eps != n.norm.eps ||
			!slices.Equal(norm.gamma, n.norm.gamma) || !slices.Equal(norm.beta, n.norm.beta)) {
			return fmt.Errorf("a head reads token %d, where token %d is expected", token, i)
		}
		if n.norm, stream = norm, x; norm.width() != x.of.width() || norm.args[0].scale != 1 {
			return fmt.Errorf("%v is not of whole tokens as they are", norm)
		}
	}
	for stream.of.kind == "Add" {
		b, below, err := n.block(stream)
		if err != nil {
			return fmt.Errorf("block %d from the end: %w", len(n.blocks)+1, err)
		}
		n.blocks = append(n.blocks, b)
		stream = below
	}
	if len(n.blocks) == 0 {
		return fmt.Errorf("no block is found below the last norm, but %v", stream.of)
	}
	slices.Reverse(n.blocks)
	return n.embedding(stream)
}

func (e *expression) String() string {
	if e.from != nil {
		return e.from.String()
	}
	return "the " + e.kind + " itself"
}

// branch tells what a block adds, a linear map, from what it is added to.
func branch(sum *value) (added *expression, stream *value, err error) {
	if sum.of.kind != "Add" || !sum.all() || sum.scale != 1 {
		return nil, nil, fmt.Errorf("an addition to all tokens is expected, not %v", sum.of)
	}
	a, b := sum.of.args[0], sum.of.args[1]
	if a.of.kind == linearKind {
		a, b = b, a
	}
	if b.of.kind != linearKind || a.of.kind == linearKind || !a.all() || !b.rows() || a.scale != 1 || b.scale != 1 {
		return nil, nil, fmt.Errorf("%v adds %v and %v, of which not one is a linear map", sum.of, a.of, b.of)
	}
	return b.of, a, nil
}

// below returns what an expression's first argument is of, if that is the whole of an expression of a kind.
func (e *expression) below(kind, what string) (*expression, error) {
	if x := e.args[0]; x.of.kind == kind && x.rows() && x.scale == 1 {
		return x.of, nil
	}
	return nil, fmt.Errorf("%s is expected before %v, not %v", what, e, e.args[0].of)
}

// block takes the topmost block apart and returns the tokens before it.
func (n *network) block(top *value) (b block, below *value, err error) {
	var middle *value
	if b.fc2, middle, err = branch(top); err != nil {
		return b, nil, err
	}
	gelu, err := b.fc2.below(geluKind, "GELU")
	if err != nil {
		return b, nil, err
	}
	if b.fc1, err = gelu.below(linearKind, "a linear map"); err != nil {
		return b, nil, err
	}
	if b.norm2, err = b.fc1.below(normKind, "a layer norm"); err != nil {
		return b, nil, err
	}
	if b.proj, below, err = branch(middle); err != nil {
		return b, nil, err
	}
	if err = n.attention(&b); err != nil {
		return b, nil, err
	}
	for _, pair := range []struct {
		norm *expression
		of   *value
	}{{b.norm1, below}, {b.norm2, middle}} {
		if x := pair.norm.args[0]; x.of != pair.of.of || !x.rows() || x.scale != 1 {
			return b, nil, fmt.Errorf("%v is of %v, not of the tokens that its branch is added to", pair.norm, x.of)
		}
	}
	return b, below, nil
}

// attention takes what comes before proj apart.
func (n *network) attention(b *block) error {
	out := b.proj.args[0]
	mixed := out.of
	if mixed.kind != "MatMul" || len(mixed.args) != 2 || mixed.args[0].of.kind != "Softmax" || !mixed.args[0].all() ||
		!n.near(mixed.args[0].scale, 1) {
		return fmt.Errorf("attention, a softmax times the values, is expected before %v, not %v", b.proj, mixed)
	}
	scores := mixed.args[0].of.args[0]
	if scores.of.kind != "MatMul" || !scores.all() {
		return fmt.Errorf("queries times keys are expected before %v, not %v", mixed.args[0].of, scores.of)
	}
	query, key, v := scores.of.args[0], scores.of.args[1], mixed.args[1]
	last := len(key.dims) - 1
	key = key.with(slices.Concat(key.dims[:last-1], []dim{key.dims[last], key.dims[last-1]}))

	e, d := out.dims[len(out.dims)-1].size(), v.dims[len(v.dims)-1].size()
	tokens := v.dims[len(v.dims)-2].size()
	if b.heads = e / max(d, 1); b.heads < 1 || b.heads*d != e || v.len() != n.batch*tokens*e {
		return fmt.Errorf("%v has rows of %d for %v of %d", mixed, d, b.proj, e)
	}
	side := []atom{{b.heads, tokens * d}, {d, 1}} // the heads of a token, side by side
	if out.offset != 0 || !slices.Equal(out.dims[len(out.dims)-1], fused(side)) ||
		!slices.Equal(out.flat(), fused(append([]atom{{n.batch, tokens * e}, {tokens, d}}, side...))) {
		return fmt.Errorf("the heads of %v do not come together side by side before %v", mixed, b.proj)
	}
	for i, part := range []*value{query, key, v} {
		r, err := n.part(part, b.heads, tokens, d)
		if err != nil {
			return fmt.Errorf("attention's %s: %w", [...]string{"queries", "keys", "values"}[i], err)
		}
		b.qkv[i] = r
		norm, err := r.of.below(normKind, "a layer norm")
		if err != nil {
			return err
		}
		if b.norm1 == nil {
			b.norm1 = norm
		} else if b.norm1 != norm {
			return fmt.Errorf("queries, keys and values come from two norms, %v and %v", b.norm1, norm)
		}
	}
	ratio := query.scale * key.scale * scores.scale * math.Sqrt(float64(d))
	b.qkv[0].scale, b.qkv[1].scale = ratio, 1
	if n.near(ratio, 1) {
		b.qkv[0].scale = 1
	}
	return nil
}

// part finds the rows of a linear map that v, [B, heads, tokens, d], is made of.
func (n *network) part(v *value, heads, tokens, d int) (rows, error) {
	fault := fmt.Errorf("they are not the heads of a linear map, but of %v", v.of)
	last := len(v.dims) - 1
	switch {
	case v.of.kind == normKind:
		return rows{}, fmt.Errorf("they pass a norm, %v (qk_norm), which is not supported", v.of)
	case v.of.kind != linearKind || v.dims[last].size() != d || v.dims[last-1].size() != tokens:
		return rows{}, fault
	}
	width, lead := v.of.width(), fused(slices.Concat(v.dims[:last-1]...))
	head, column := 0, 0 // strides
	if heads > 1 && len(lead) > 0 {
		head = lead[len(lead)-1].stride
	}
	if d > 1 {
		column = v.dims[last][0].stride
	}
	if !slices.Equal(lead, fused([]atom{{n.batch, tokens * width}, {heads, head}})) ||
		!slices.Equal(v.dims[last-1], fused([]atom{{tokens, width}})) ||
		!slices.Equal(v.dims[last], fused([]atom{{d, column}})) ||
		v.offset+(heads-1)*head+(d-1)*column >= width {
		return rows{}, fault
	}
	r := rows{of: v.of, scale: v.scale}
	for h := range heads {
		for i := range d {
			r.index = append(r.index, v.offset+h*head+i*column)
		}
	}
	return r, nil
}
