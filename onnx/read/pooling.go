package read

import (
	"errors"
	"fmt"
	"slices"
)

// pooling is what a head reads.
type pooling int

const (
	aToken     pooling = iota // one token behind the last norm
	normedMean                // the patches' mean behind the last norm
	ofMean                    // the patches' mean, behind a norm of its own (timm's fc_norm)
	tokenMean                 // the class token and the patches' mean, both behind the last norm (DINOv2)
)

// pooled finds the last norm, the tokens that it is of, and the number of the token that a head reads. Norm and choice
// of the token come in either order.
func (n *network) pooled(v *value) (norm *expression, stream *value, token int, err error) {
	fault := func(format string, args ...any) (*expression, *value, int, error) {
		return nil, nil, 0, fmt.Errorf(format, args...)
	}
	switch e := v.of; {
	case !n.near(v.scale, 1):
		return fault("what the head reads is scaled by %v", v.scale)
	case e.kind == "Concat":
		if len(e.args) != 2 || !v.all() || e.args[0].of.kind != normKind || e.args[1].of.kind != "ReduceMean" {
			return fault("the head reads several things side by side, and not DINOv2's, of %v", e)
		}
		if norm, stream, token, err = n.pooled(e.args[0]); err != nil {
			return nil, nil, 0, err
		}
		again, _, _, err := n.pooled(e.args[1])
		if err != nil {
			return nil, nil, 0, err
		}
		if n.reads != normedMean || again != norm {
			return fault("the head reads several things side by side, and not DINOv2's, of %v", e)
		}
		n.reads = tokenMean
		return norm, stream, token, nil
	case e.kind == "ReduceMean":
		x, err := n.mean(v)
		if err != nil {
			return nil, nil, 0, err
		}
		if x.of.kind != normKind || !x.of.args[0].all() {
			return fault("the head reads the mean of %v, and no norm is found before or behind it", x.of)
		}
		n.reads = normedMean
		return x.of, x.of.args[0], 0, nil
	case e.kind != normKind:
		return fault("no norm is found before the head, but %v", e)
	}
	norm = v.of
	x := norm.args[0]
	if x.of.kind == "ReduceMean" && v.all() {
		n.reads = ofMean
		of, err := n.mean(x)
		if err != nil {
			return nil, nil, 0, err
		}
		return norm, wholeOf(of.of), 0, nil
	}
	if token, ok := n.token(x); ok && v.all() {
		return norm, wholeOf(x.of), token, nil
	}
	if token, ok := n.token(v); ok && x.all() {
		return norm, x, token, nil
	}
	if v.all() && x.all() && len(n.heads) == 0 { // the output is all tokens, of a model without a head
		return norm, x, 0, nil
	}
	return fault("it is not clear which token the head reads of %v", norm)
}

// token says which token v is, of all images, if it is one.
func (n *network) token(v *value) (int, bool) {
	e := v.of.width()
	total, _ := elements(v.of.shape)
	if e == 0 || total <= n.batch*e || v.offset%e != 0 || v.offset >= total/n.batch {
		return 0, false
	}
	return v.offset / e, slices.Equal(v.flat(), fused([]atom{{n.batch, total / n.batch}, {e, 1}}))
}

// mean returns the tokens that v is the mean of: all from a first one on.
func (n *network) mean(v *value) (*value, error) {
	x := v.of.args[0]
	e := x.of.width()
	total, _ := elements(x.of.shape)
	if v.of.axis != 1 || !v.all() || x.scale != 1 || len(x.dims) != 3 || e == 0 || x.offset%e != 0 {
		return nil, errors.New("the head reads a mean, but not one of tokens")
	}
	if n.first = x.offset / e; !slices.EqualFunc(x.dims, []dim{fused([]atom{{n.batch, total / n.batch}}),
		fused([]atom{{total/n.batch/e - n.first, e}}), fused([]atom{{e, 1}})},
		func(a, b dim) bool { return slices.Equal(a, b) }) {
		return nil, fmt.Errorf("%v is a mean, but not of all tokens from a first one on", v.of)
	}
	return x, nil
}
