package report

import (
	"fmt"
	"image"
)

// Contrast is a class with the images of it that cost fewest and most token-blocks.
type Contrast struct {
	ClassMean
	Easy, Hard Sample
}

// contrastView is a contrast on a page.
type contrastView struct {
	Name, About string
	Sides       []sideView
}

// sideView is an image beside its map, under its name.
type sideView struct {
	Kind string
	card
}

func (c Contrast) view(index int) (contrastView, error) {
	v := contrastView{Name: c.Name,
		About: fmt.Sprintf("%s blocks on average, %s %% right", number(c.Depth, 2), number(c.Top1, 1))}
	for _, side := range []struct {
		kind   string
		sample Sample
	}{{"easy", c.Easy}, {"hard", c.Hard}} {
		card, err := newCard(fmt.Sprintf("%s%d", side.kind, index), side.sample, false)
		if err != nil {
			return v, fmt.Errorf("report: class %q, %s: %w", c.Name, side.kind, err)
		}
		v.Sides = append(v.Sides, sideView{side.kind, card})
	}
	return v, nil
}

// EasyHard draws contrasts as a figure: a column for each class under its name and mean depth, in it the easy image
// above its depth map, and below them the hard one. All samples must come from models of equal depth.
func EasyHard(contrasts []Contrast, o FigureOptions) (*image.RGBA, error) {
	o.Columns = nil
	f := figure{FigureOptions: o, first: 1, letters: 0.16}
	f.rows = []figureRow{
		{words: []line{{"easy", ink}, {"fewest blocks", faint}}}, {words: []line{{"hard", ink}, {"most blocks", faint}}},
	}
	for _, c := range contrasts {
		f.Columns = append(f.Columns, oneLine(c.Name)+"\nmean "+number(c.Depth, 1))
		for i, s := range []Sample{c.Easy, c.Hard} {
			if err := s.Validate(); err != nil {
				return nil, fmt.Errorf("class %q: %w", c.Name, err)
			}
			if f.layers == 0 {
				f.layers = s.Layers
			}
			if s.Layers != f.layers {
				return nil, fmt.Errorf("%w: class %q has %d blocks, the first one %d", ErrSample, c.Name, s.Layers, f.layers)
			}
			f.first = min(f.first, shallowest(s))
			t := tile{sample: s, draw: imageOverMap, pair: true, caption: []string{number(s.meanDepth(), 1) + " blocks"}}
			if s.end() != "" { // in fewer words than that, to fit
				t.caption = append(t.caption, fmt.Sprintf("ended in %d", s.ClassDepth))
			}
			f.rows[i].tiles = append(f.rows[i].tiles, t)
		}
	}
	return f.draw()
}

// imageOverMap draws a pair: the image, and below it the map of its depths.
func imageOverMap(s Sample, size int) *image.RGBA {
	w, h := fit(s.Width, s.Height, size)
	img := canvas(w, 2*h+pairGap)
	place(img, 0, 0, w, h, resize(s, size))
	place(img, 0, h+pairGap, w, h, depthMap(s, size))
	return img
}
