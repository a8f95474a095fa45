package vit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/weights"
)

// params finds a model's parameters among a file's tensors, where they stay (Params.whole). All of them must be there
// with their shapes and of a floating type; qkvBias says whether there are biases of queries, keys and values. A tensor
// that is none of them is an error.
func (s *state) params(c Config, qkvBias bool) (*Params, error) {
	if err := s.foldLayerScale(); err != nil {
		return nil, err
	}
	s.complete(c)
	pieces := s.pieces(c, qkvBias)
	wanted := make(map[string]bool, len(pieces))
	found := make([]weights.Tensor, len(pieces))
	var missing []string
	for i, p := range pieces {
		wanted[p.stored] = true
		for _, companion := range [...]string{stepsEnd, firstEnd} {
			wanted[p.stored+companion] = s.rounds(p)
		}
		t, ok := s.get(p.stored)
		if !ok {
			missing = append(missing, s.full(p.stored))
		} else if !slices.Equal(t.Shape, p.Shape) {
			return nil, fmt.Errorf("tensor %.120q has shape %v, but the configuration wants %v", t.Name, t.Shape, p.Shape)
		}
		found[i] = t
	}
	extra := slices.Clone(s.extra)
	for _, timm := range s.order {
		if t, ok := s.get(timm); ok && !wanted[timm] {
			extra = append(extra, t.Name)
		}
	}
	switch {
	case len(missing) > 0 && len(extra) > 0:
		return nil, fmt.Errorf("%s missing: %s; and %s no part of this model: %s",
			plural(len(missing), "tensor is", "tensors are"), some(missing),
			plural(len(extra), "tensor is", "tensors are"), some(extra))
	case len(missing) > 0:
		return nil, fmt.Errorf("%s missing: %s", plural(len(missing), "tensor is", "tensors are"), some(missing))
	case len(extra) > 0:
		return nil, fmt.Errorf("%s no part of this model: %s", plural(len(extra), "tensor is", "tensors are"), some(extra))
	}
	from := &stored{}
	for i, p := range pieces {
		piece := storedPiece{tensor: found[i], begin: p.Offset, end: p.Offset + p.Len(), scales: s.scales[p.stored]}
		if err := s.companions(&piece, p); err != nil {
			return nil, err
		}
		if piece.steps == nil {
			if err := found[i].ReadFloat32s(nil, 0); err != nil { // of no floating type
				return nil, err
			}
		}
		from.pieces = append(from.pieces, piece)
	}
	s.noteRounded(from)
	c.Labels = slices.Clone(c.Labels)
	return &Params{Config: c, stored: from, Blocks: make([]Block, c.Layers)}, nil
}

// pieces lists the tensors that a model of that configuration has, as the file divides them: stored is timm's name, or
// attn.query, attn.key and attn.value for thirds of attn.qkv.
func (s *state) pieces(c Config, qkvBias bool) (list []piece) {
	for _, t := range layout(c) {
		block, kind, isQKV := strings.Cut(t.Name, "attn.qkv.")
		switch {
		case isQKV && kind == "bias" && !qkvBias:
		case !isQKV || !s.apart:
			list = append(list, piece{t.Name, t})
		default:
			t.Shape = append([]int{t.Shape[0] / 3}, t.Shape[1:]...)
			for _, part := range [...]string{"query.", "key.", "value."} {
				list = append(list, piece{block + "attn." + part + kind, t})
				t.Offset += t.Len()
			}
		}
	}
	return list
}

// finite refuses NaN and infinity; x begins at a tensor's given element.
func finite(name string, x []float32, from int) error {
	if i := kernels.FirstNotFinite(x); i >= 0 {
		return fmt.Errorf("tensor %q: element %d is %v", name, from+i, x[i])
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
