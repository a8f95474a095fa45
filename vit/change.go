package vit

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/picture"
)

// WithHalting returns the model with another halting scheme or other constants; the weights are shared. If these are
// others than before, what was measured with those is left out.
func (m *Model) WithHalting(c halting.Config) *Model {
	p, q := *m.Params, *m
	p.Config.Halting = c
	q.Params = &p
	if !reflect.DeepEqual(c, m.Params.Config.Halting) {
		q.PrecisionLoss, q.Ladder, q.Calibration = nil, nil, Calibration{}
	}
	return &q
}

// ReplaceHead returns the model with a fresh head for other classes, to be fine-tuned; labels may be nil. A model with
// two heads gets two. The parameters are a copy.
func (m *Model) ReplaceHead(classes int, labels []string, seed uint64) (*Model, error) {
	c := m.Params.Config
	c.Classes, c.Labels = classes, labels
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("new head: %w", err)
	}
	p := Initialize(c, seed, deitStd)
	heads := c.Classifiers() * c.Classes * (c.HeadInputs() + 1) // parameters, the last ones
	copy(p.Data[:len(p.Data)-heads], m.Params.Data)
	return &Model{Params: p, Preprocessor: m.Preprocessor, Notes: m.Notes}, nil
}

// Resize returns the model for images of another size, with the same patches: the rows of the position embedding that
// belong to patches are resampled to the new grid, as timm does it. The preprocessor's sizes change in the same
// proportion. The parameters are a copy.
func (m *Model) Resize(height, width int) (*Model, error) {
	return m.resize(height, width, antialiased)
}

func (m *Model) resize(height, width int, filter taps) (*Model, error) {
	from := m.Params.Config
	c := from
	c.Height, c.Width = height, width
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("image size: %w", err)
	}
	p := NewParams(c)
	old := m.Params.Tensors()
	for i, t := range p.Tensors() {
		if t.Name != "pos_embed" {
			copy(t.Data, old[i].Data)
		}
	}
	special := c.positioned() * c.Embed
	copy(p.Position, m.Params.Position[:special])
	resampleGrid(p.Position[special:], c.GridH(), c.GridW(),
		m.Params.Position[special:], from.GridH(), from.GridW(), c.Embed, filter)
	return &Model{Params: p, Preprocessor: resized(m.Preprocessor, from, c), Notes: m.Notes}, nil
}

// resized is the preprocessor of a model whose image size changed.
func resized(p picture.Preprocessor, from, to Config) picture.Preprocessor {
	scale := func(v, from, to int) int { return (v*to + from/2) / from }
	side := func(s picture.Size) picture.Size {
		short := min(from.Height, from.Width)
		return picture.Size{
			Height:       scale(s.Height, from.Height, to.Height),
			Width:        scale(s.Width, from.Width, to.Width),
			ShortestEdge: scale(s.ShortestEdge, short, min(to.Height, to.Width)),
		}
	}
	p.Size, p.Crop = side(p.Size), side(p.Crop)
	p.Mean, p.Std = slices.Clone(p.Mean), slices.Clone(p.Std)
	return p
}
