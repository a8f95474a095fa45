package vit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/weights"
)

// fill makes parameters from the pieces in f. All of them must be there with their shapes, of a floating type and
// finite; a tensor of f under prefix that is none of them is an error. Parameters that no piece covers are zero.
// Nothing of the model's size is allocated before names and shapes have been checked.
func fill(c Config, f *weights.File, prefix string, pieces []piece) (*Params, error) {
	wanted := make(map[string]bool, len(pieces))
	found := make([]weights.Tensor, len(pieces))
	var missing []string
	for i, p := range pieces {
		wanted[p.stored] = true
		t, ok := f.Get(p.stored)
		if !ok {
			missing = append(missing, p.stored)
		} else if !slices.Equal(t.Shape, p.Shape) {
			return nil, fmt.Errorf("tensor %q has shape %v, but the configuration wants %v", p.stored, t.Shape, p.Shape)
		}
		found[i] = t
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%s missing: %s", plural(len(missing), "tensor is", "tensors are"), some(missing))
	}
	var extra []string
	for _, t := range f.Tensors {
		if strings.HasPrefix(t.Name, prefix) && !wanted[t.Name] && !idle(t.Name) {
			extra = append(extra, t.Name)
		}
	}
	if len(extra) > 0 {
		return nil, fmt.Errorf("%s no part of this model: %s",
			plural(len(extra), "tensor is", "tensors are"), some(extra))
	}
	params := NewParams(c)
	for i, p := range pieces {
		dst := params.Data[p.Offset:][:p.Len()]
		if err := found[i].CopyFloat32s(dst); err != nil {
			return nil, err
		}
		if err := finite(p.stored, dst); err != nil {
			return nil, err
		}
	}
	return params, nil
}

// idle reports whether a checkpoint's tensor has no part in classifying: what transformers keeps for other uses of the
// same network.
func idle(name string) bool {
	for _, prefix := range [...]string{"vit.", "deit.", dinoKind.prefix, dinoRegistersKind.prefix} {
		name = strings.TrimPrefix(name, prefix)
	}
	return slices.Contains([]string{"pooler.dense.weight", "pooler.dense.bias",
		"embeddings.mask_token", "embeddings.position_ids"}, name)
}

// finite refuses NaN and infinity.
func finite(name string, x []float32) error {
	if i := kernels.FirstNotFinite(x); i >= 0 {
		return fmt.Errorf("tensor %q: element %d is %v", name, i, x[i])
	}
	return nil
}

// some lists names, but not hundreds of them.
func some(names []string) string {
	const most = 4
	var list []string
	for _, name := range names[:min(len(names), most)] {
		list = append(list, fmt.Sprintf("%.120q", name))
	}
	text := strings.Join(list, ", ")
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
