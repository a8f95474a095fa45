package vit

import (
	"fmt"
	"math"
	"reflect"
	"slices"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/weights"
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
	own, err := m.Params.whole()
	if err != nil {
		return nil, err
	}
	p := Initialize(c, seed, deitStd)
	heads := c.Classifiers() * c.Classes * (c.HeadInputs() + 1) // parameters, the last ones
	copy(p.Data[:len(p.Data)-heads], own.Data)
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
	tensors := m.Params.Tensors()
	t := tensors[slices.IndexFunc(tensors, func(t Tensor) bool { return t.Name == "pos_embed" })]
	old := make([]float32, t.Len())
	if err := m.Params.Read(old, t.Offset); err != nil {
		return nil, err
	}
	special := c.positioned() * c.Embed
	position := make([]float32, special+c.Patches()*c.Embed)
	copy(position, old[:special])
	resampleGrid(position[special:], c.GridH(), c.GridW(), old[special:], from.GridH(), from.GridW(), c.Embed, filter)
	p := m.Params.replacing(c, t.Offset, len(old), position)
	return &Model{Params: p, Preprocessor: resized(m.Preprocessor, from, c), Notes: m.Notes, TrainedOn: m.TrainedOn,
		HeldOut: m.HeldOut}, nil
}

// replacing returns parameters of another configuration that differ from p in the tensor at the given place, of n
// elements, alone. They are in memory or stored as p is.
func (p *Params) replacing(c Config, offset, n int, by []float32) *Params {
	end, longer := offset+n, len(by)-n
	if p.Data != nil {
		q := NewParams(c)
		copy(q.Data[:offset], p.Data)
		copy(q.Data[offset:], by)
		copy(q.Data[end+longer:], p.Data[end:])
		return q
	}
	c.Labels = slices.Clone(c.Labels)
	q := &Params{Config: c, Blocks: make([]Block, c.Layers), stored: &stored{file: p.stored.file}}
	for _, piece := range p.stored.pieces {
		switch {
		case piece.begin == offset:
			piece = storedPiece{tensor: weights.Float32Tensor(piece.tensor.Name, []int{len(by)}, by), begin: offset}
			piece.end = offset + len(by)
		case piece.begin >= end:
			piece.begin, piece.end = piece.begin+longer, piece.end+longer
		}
		q.stored.pieces = append(q.stored.pieces, piece)
	}
	return q
}

// resized is the preprocessor of a model whose image size changed. Sizes are cut to whole numbers, as DeiT and timm do;
// where a short side was resized for a crop, it still is or, for a crop that is no square, both are covered.
func resized(p picture.Preprocessor, from, to Config) picture.Preprocessor {
	edge, short := p.Size.ShortestEdge, min(from.Height, from.Width)
	if edge >= short && p.DoCenterCrop && to.Height != to.Width {
		p.CropPct, p.Size = math.Nextafter(float64(short)/float64(edge), 0), picture.Size{} // never below that edge
	}
	side := func(s picture.Size) picture.Size {
		return picture.Size{
			Height:       s.Height * to.Height / from.Height,
			Width:        s.Width * to.Width / from.Width,
			ShortestEdge: s.ShortestEdge * min(to.Height, to.Width) / short,
		}
	}
	p.Size, p.Crop = side(p.Size), side(p.Crop)
	p.Mean, p.Std = slices.Clone(p.Mean), slices.Clone(p.Std)
	return p
}
