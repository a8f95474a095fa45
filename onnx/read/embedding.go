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
		return n.convolved(v)
	case linearKind:
		return n.cut(e)
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

// convolved takes patches that a convolution has cut and mapped.
func (n *network) convolved(v *value) (err error) {
	e, batch := v.of, v.of.shape[0]
	width, patches := e.shape[1], e.shape[2]*e.shape[3]
	order := []dim{fused([]atom{{batch, width * patches}}), fused([]atom{{patches, 1}}), fused([]atom{{width, patches}})}
	if v.offset != 0 || !slices.EqualFunc(v.dims, order, func(a, b dim) bool { return slices.Equal(a, b) }) {
		return fmt.Errorf("the patches of %v do not become tokens row by row", e)
	}
	if n.kernel, err = n.content(e.args[1]); err != nil {
		return err
	}
	return n.found(e, e.beta, width, patches)
}

// found notes where the patches come from.
func (n *network) found(e *expression, bias []float32, width, patches int) error {
	if err := n.spend(patches * width); err != nil {
		return err
	}
	n.patches, n.bias, n.positions = e, filled(bias, 0, width), make([]float32, patches*width)
	return nil
}

// cut takes patches that reshapes and transposes have cut out of the input, whatever the order of their pixels, for a
// linear map.
func (n *network) cut(e *expression) error {
	x := e.args[0]
	if x.of.kind != inputKind || x.scale != 1 || len(x.of.shape) != 4 || len(x.dims) != 3 {
		return fmt.Errorf("patches of the input are expected before %v, not %v", e, x.of)
	}
	shape, picture := x.shape(), x.of.shape
	channels, height, width := picture[1], picture[2], picture[3]
	patch := 1
	for patch*patch*channels < shape[2] {
		patch++
	}
	fault := fmt.Errorf("%v is not of patches side by side, row by row", e)
	if patch*patch*channels != shape[2] || height%patch != 0 || width%patch != 0 || x.offset != 0 ||
		shape[1] != height/patch*(width/patch) || shape[0] != picture[0] {
		return fault
	}
	if err := n.spend(x.len()); err != nil {
		return err
	}
	// Of every patch each number must be the same pixel, seen from its corner.
	pixels, k, good := make([]int, shape[2]), 0, true
	x.places(func(place int) bool {
		image, token, j := k/(shape[1]*shape[2]), k/shape[2]%shape[1], k%shape[2]
		row, column := place/width%height-token/(width/patch)*patch, place%width-token%(width/patch)*patch
		channel := place/(width*height) - image*channels
		pixel := (channel*patch+row)*patch + column
		if k < shape[2] {
			pixels[j] = pixel
		}
		good = good && channel >= 0 && channel < channels && row >= 0 && row < patch && column >= 0 && column < patch &&
			pixels[j] == pixel
		k++
		return good
	})
	if !good {
		return fault
	}
	weight, bias, in, err := n.matrix(e)
	if err == nil {
		err = n.spend(len(weight))
	}
	if err != nil {
		return err
	}
	n.kernel = newArray(false, []int{len(bias), channels, patch, patch})
	for i, v := range weight {
		n.kernel.f[i/in*in+pixels[i%in]] = v
	}
	return n.found(e, bias, len(bias), shape[1])
}
