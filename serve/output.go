package serve

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/vit"
)

// output makes one output of all images.
func (b *batch) output(o Output) (Tensor, error) {
	c, n := &b.version.config, int64(len(b.images))
	switch {
	case o.Name == outputDepth:
		t := Tensor{Name: o.Name, Datatype: INT32, Shape: []int64{n, int64(c.Tokens())}}
		for _, img := range b.images {
			t.Ints = append(t.Ints, img.Depth...)
		}
		return t, nil
	case o.Classes > 0:
		most := min(o.Classes, c.Classes)
		t := Tensor{Name: o.Name, Datatype: Bytes, Shape: []int64{n, int64(most)}}
		for _, img := range b.images {
			values, err := img.values(o.Name)
			if err != nil {
				return t, err
			}
			t.Bytes = append(t.Bytes, classification(c, values, most)...)
		}
		return t, nil
	}
	t := Tensor{Name: o.Name, Datatype: FP32, Shape: []int64{n, int64(c.Classes)}}
	for _, img := range b.images {
		values, err := img.values(o.Name)
		if err != nil {
			return t, err
		}
		t.Floats = append(t.Floats, values...)
	}
	return t, nil
}

// values are the image's logits or probabilities, [classes].
func (img *image) values(name string) ([]float32, error) {
	probabilities, err := infer.Probabilities(img.Logits)
	if err != nil {
		return nil, refuse(http.StatusUnprocessableEntity, "%v", err)
	}
	if name == outputLogits {
		return img.Logits, nil
	}
	values := make([]float32, len(probabilities))
	for j, p := range probabilities {
		values[j] = float32(p)
	}
	return values, nil
}

// classification returns the protocol's "value:index:label" of the most largest values, equal ones in the order of
// their classes; the label is left out where the model has none.
func classification(c *vit.Config, values []float32, most int) [][]byte {
	order := make([]int, len(values))
	for j := range order {
		order[j] = j
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(values[j], values[i]) })
	list := make([][]byte, most)
	for i, j := range order[:most] {
		list[i] = fmt.Appendf(nil, "%f:%d", values[j], j)
		if j < len(c.Labels) {
			list[i] = append(append(list[i], ':'), strings.ReplaceAll(c.Labels[j], "\n", " ")...)
		}
	}
	return list
}

// cost adds up what the images cost.
func (b *batch) cost() (sum Cost) {
	for _, img := range b.images {
		c := img.cost()
		sum.Applied += c.Applied / float64(len(b.images))
		sum.TokenBlocks += c.TokenBlocks
		sum.MACs += c.MACs
		sum.Reason = max(sum.Reason, c.Reason) // a lowered one says more than one that nobody touched
	}
	return sum
}

// cost is what one image cost.
func (img *image) cost() Cost {
	c := Cost{Applied: img.item.Share, Reason: img.item.Reason, MACs: img.version.config.MACs(img.Active)}
	for _, d := range img.Depth {
		c.TokenBlocks += int(d)
	}
	return c
}

// times are the images' longest.
func (b *batch) times() (longest Times) {
	for _, img := range b.images {
		longest.Decode = max(longest.Decode, img.decode)
		longest.Queue = max(longest.Queue, img.Queued)
		longest.Infer = max(longest.Infer, img.Ran)
	}
	return longest
}
