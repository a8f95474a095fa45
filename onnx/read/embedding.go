package read

import (
	"errors"
	"fmt"
	"slices"
)

// embedding takes what comes before the first block apart: patches, learnt tokens before them, positions.
func (n *network) embedding(v *value) error {
	e := v.of
	shape := v.shape()
	if len(shape) != 3 || v.scale != 1 || e.kind != patchesKind && !v.all() {
		return fmt.Errorf("tokens [batch, tokens, width] are expected, not %v", e)
	}
	switch e.kind {
	case patchesKind:
		width, patches := e.shape[1], e.shape[2]*e.shape[3]
		order := [3]dim{fused([]atom{{shape[0], width * patches}}), fused([]atom{{patches, 1}}),
			fused([]atom{{width, patches}})}
		if v.offset != 0 || !slices.EqualFunc(v.dims, order[:], func(a, b dim) bool { return slices.Equal(a, b) }) {
			return fmt.Errorf("the patches of %v do not become tokens row by row", e)
		}
		if err := n.spend(patches * width); err != nil {
			return err
		}
		n.patches, n.positions = e, make([]float32, patches*width)
		return nil
	case plusKind:
		if err := n.embedding(e.args[0]); err != nil {
			return err
		}
		return n.addPositions(e.args[1], e.args[0].shape())
	case "Concat":
		last := len(e.args) - 1
		for _, part := range e.args[:last] {
			if e.axis != 1 || !part.isConstant() {
				return fmt.Errorf("learnt tokens and patches are expected one behind the other, not %v", e)
			}
			rows, err := n.oneImage(part, shape[0], shape[2])
			if err != nil {
				return err
			}
			n.special = append(n.special, rows...)
		}
		return n.embedding(e.args[last])
	case normKind:
		return fmt.Errorf("there is a norm before the blocks (%v), which is not supported", e)
	}
	return fmt.Errorf("patches of the input are expected before the first block, not %v", e)
}

// oneImage returns a constant [B, n, E] that is the same for all images, of one of them.
func (n *network) oneImage(v *value, batch, width int) ([]float32, error) {
	a, err := n.content(v)
	if err != nil {
		return nil, err
	}
	size := len(a.f) / batch
	if a.whole || size%width != 0 {
		return nil, fmt.Errorf("learnt tokens or positions of shape %v for rows of %d", a.shape, width)
	}
	for k := range batch {
		if !slices.Equal(a.f[k*size:(k+1)*size], a.f[:size]) {
			return nil, errors.New("learnt tokens or positions differ between the images of a batch")
		}
	}
	return slices.Clone(a.f[:size]), nil
}

// addPositions adds a constant to the patches and to as many of the learnt tokens before them as it has rows for.
func (n *network) addPositions(k *value, shape []int) error {
	wide, err := k.expand(shape)
	if err != nil {
		return err
	}
	rows, err := n.oneImage(wide, shape[0], shape[2])
	if err != nil {
		return err
	}
	special := len(rows) - len(n.positions)
	if special < 0 || special > len(n.special) {
		return fmt.Errorf("%d numbers of positions for patches of %d", len(rows), len(n.positions))
	}
	for i, v := range rows[:special] {
		n.special[len(n.special)-special+i] += v
	}
	for i, v := range rows[special:] {
		n.positions[i] += v
	}
	return nil
}
