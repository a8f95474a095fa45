package train

import (
	"errors"
	"fmt"
	"path"

	"github.com/adavit/adavit/vit"
)

// freezeAll tells which tensors of a model, in the order of its Tensors, training is to leave alone: those whose name in timm matches one of the
// patterns, as path.Match reads them (blocks.[0-5].*, *.bias, pos_embed). A pattern that matches no tensor is an error, and so is nothing left to learn.
func freezeAll(p *vit.Params, patterns []string) ([]bool, error) {
	tensors := p.Tensors()
	frozen := make([]bool, len(tensors))
	for _, pattern := range patterns {
		matched := false
		for i, t := range tensors {
			ok, err := path.Match(pattern, t.Name)
			if err != nil {
				return nil, fmt.Errorf("train: freeze %q: %w", pattern, err)
			}
			if ok {
				matched, frozen[i] = true, true
			}
		}
		if !matched {
			return nil, fmt.Errorf("train: freeze %q matches no tensor; names are like %s and %s", pattern, tensors[len(tensors)-1].Name, tensors[len(tensors)/2].Name)
		}
	}
	for _, f := range frozen {
		if !f {
			return frozen, nil
		}
	}
	return nil, errors.New("train: every tensor is frozen, so there is nothing to learn")
}
