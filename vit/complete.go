package vit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/adavit/adavit/weights"
)

// foldLayerScale multiplies proj and fc2 of every block by the learnt scales γ that follow them: γ ⊙ (W·x + b) = (γ ⊙
// W)·x + γ ⊙ b.
func (s *state) foldLayerScale() error {
	s.scales = make(map[string][]float32)
	for _, timm := range slices.Clone(s.order) {
		for scale, linear := range map[string]string{".ls1.gamma": ".attn.proj", ".ls2.gamma": ".mlp.fc2"} {
			block, ok := strings.CutSuffix(timm, scale)
			if !ok {
				continue
			}
			by, err := s.tensors[timm].Float32s()
			if err != nil {
				return err
			}
			for _, kind := range [...]string{".weight", ".bias"} {
				t, ok := s.get(block + linear + kind)
				if ok && (len(t.Shape) == 0 || t.Shape[0] != len(by)) {
					return fmt.Errorf("tensor %.120q of shape %v cannot be scaled by %d numbers of LayerScale",
						t.Name, t.Shape, len(by))
				}
				s.scales[block+linear+kind] = by
			}
			delete(s.tensors, timm)
		}
	}
	return nil
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
