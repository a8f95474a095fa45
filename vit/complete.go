package vit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/adavit/adavit/weights"
)

// foldLayerScale multiplies proj and fc2 of every block by the learnt scales γ that follow them: γ ⊙ (W·x + b) = (γ ⊙
// W)·x + γ ⊙ b.
func (s *state) foldLayerScale() (err error) {
	for _, timm := range slices.Clone(s.order) {
		for scale, linear := range map[string]string{".ls1.gamma": ".attn.proj", ".ls2.gamma": ".mlp.fc2"} {
			block, ok := strings.CutSuffix(timm, scale)
			if !ok {
				continue
			}
			for _, kind := range [...]string{".weight", ".bias"} {
				if t, ok := s.get(block + linear + kind); ok {
					if s.tensors[block+linear+kind], err = scaled(t, s.tensors[timm]); err != nil {
						return err
					}
				}
			}
			delete(s.tensors, timm)
		}
	}
	return nil
}

// scaled multiplies a tensor's rows by the elements of gamma.
func scaled(t, gamma weights.Tensor) (weights.Tensor, error) {
	by, err := gamma.Float32s()
	if err != nil {
		return t, err
	}
	x, err := t.Float32s()
	if err != nil || len(t.Shape) == 0 || t.Shape[0] != len(by) {
		return t, fmt.Errorf("tensor %.120q of shape %v cannot be scaled by %d numbers of LayerScale",
			t.Name, t.Shape, len(by))
	}
	for i := range x {
		x[i] *= by[i/(len(x)/len(by))]
	}
	return weights.Float32Tensor(t.Name, t.Shape, x), nil
}

// complete adds zeros for what a file may lack: the special tokens' rows of the position embedding and, if it has no
// head, all of that. Rows for registers go into these.
func (s *state) complete(c Config) {
	s.placeTokens(c)
	headless := !s.has("head.weight")
	for _, p := range layout(c) {
		if headless && strings.HasPrefix(p.Name, "head") {
			s.tensors[p.Name] = weights.Float32Tensor(s.full(p.Name), p.Shape, make([]float32, p.Len()))
		}
	}
}
