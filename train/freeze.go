package train

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/adavit/adavit/vit"
)

// Frozen tells which tensors of a model, in the order of its Tensors, training is to leave alone: those whose name
// in timm matches one of the patterns, as path.Match reads them (blocks.[0-5].*, *.bias, pos_embed). A pattern that
// matches no tensor is an error, and so is nothing left to learn.
func Frozen(p *vit.Params, patterns []string) ([]bool, error) {
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
			return nil, fmt.Errorf("train: freeze %q matches no tensor; names are like %s and %s",
				pattern, tensors[len(tensors)-1].Name, tensors[len(tensors)/2].Name)
		}
	}
	if !slices.Contains(frozen, false) {
		return nil, errors.New("train: every tensor is frozen, so there is nothing to learn")
	}
	return frozen, nil
}

// firstLearnt is the first block, counted from 0, with a tensor that learns: 0 also if the embedding learns, and the
// number of blocks if neither it nor any block does.
func firstLearnt(p *vit.Params, frozen []bool) (block int) {
	first := p.Tensors()[slices.Index(frozen, false)].Name // tensors are in the order of the pass
	if strings.HasPrefix(first, "norm.") || strings.HasPrefix(first, "fc_norm.") || strings.HasPrefix(first, "head") {
		return len(p.Blocks)
	}
	block, _ = blockOf(first)
	return block
}

// blockOf is the block, counted from 0, that a tensor of that name belongs to, if it belongs to one.
func blockOf(name string) (block int, ok bool) {
	_, err := fmt.Sscanf(name, "blocks.%d.", &block)
	return block, err == nil
}
