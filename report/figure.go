package report

import (
	"cmp"
	"errors"
	"fmt"
	"image"
	"strings"
)

// FigureOptions says how Montage and Sheet draw; the zero value will do.
type FigureOptions struct {
	Title, Subtitle string
	Columns         []string // heads of a sheet's columns, of one line or more; may be fewer
	Size            int      // pixels of a small picture's longer side; ≤ 0: 84
}

// Montage draws samples as a figure: one line each with what was predicted, the image, its depth map, and the tokens
// that ran in each of up to 12 blocks; above them a title and the colour legend. All samples must come from models of
// equal depth. Photographs want a Size of 112 or more.
func Montage(samples []Sample, o FigureOptions) (*image.RGBA, error) {
	f := figure{FigureOptions: o, first: 1, apart: 2, letters: 0.235}
	for i, s := range samples {
		if err := s.Validate(); err != nil {
			return nil, fmt.Errorf("sample %d: %w", i, err)
		}
		if f.layers = samples[0].Layers; s.Layers != f.layers {
			return nil, fmt.Errorf("%w: sample %d has %d blocks, sample 0 has %d", ErrSample, i, s.Layers, f.layers)
		}
		f.first = min(f.first, shallowest(s))
		r := figureRow{s.describe(), []tile{{sample: s, draw: resize}, {sample: s, draw: depthMap}}}
		for _, l := range pickFrames(s.Layers, 12) {
			draw := func(s Sample, size int) *image.RGBA { return frame(s, l, size) }
			r.tiles = append(r.tiles, tile{sample: s, draw: draw})
		}
		f.rows = append(f.rows, r)
	}
	f.Columns = []string{"image", "depth", "block 1"}
	for _, l := range pickFrames(f.layers, 12)[min(f.layers, 1):] {
		f.Columns = append(f.Columns, fmt.Sprint(l))
	}
	return f.draw()
}

// SheetRow is a line of pictures with a name beside it. Below a picture are the lines of its title, four at most; what
// a model did with it does not matter.
type SheetRow struct {
	Name     string
	Pictures []Sample
}

// Sheet draws rows of pictures side by side, the first one of each set apart, as a sheet of originals and what was made
// of them. Rows may differ in length.
func Sheet(rows []SheetRow, o FigureOptions) (*image.RGBA, error) {
	f := figure{FigureOptions: o, apart: 1, letters: 0.14}
	for i, r := range rows {
		row := figureRow{words: []line{{r.Name, ink}}}
		for k, s := range r.Pictures {
			s = Sample{Title: s.Title, Pixels: s.Pixels, Width: s.Width, Height: s.Height, Channels: s.Channels, Layers: 1}
			if err := s.Validate(); err != nil {
				return nil, fmt.Errorf("row %d, picture %d: %w", i, k, err)
			}
			t := tile{sample: s, draw: resize}
			if s.Title != "" {
				lines := strings.Split(s.Title, "\n")
				t.caption = lines[:min(len(lines), 4)]
			}
			row.tiles = append(row.tiles, t)
		}
		f.rows = append(f.rows, row)
	}
	return f.draw()
}

// figure is rows of pictures under the heads of their columns, with words at the left of each row.
type figure struct {
	FigureOptions
	first, layers int // of the legend of depths; layers 0: none
	rows          []figureRow
	apart         int     // a wider gap lies before this column
	letters       float64 // their height, as a share of Size
}

type figureRow struct {
	words []line
	tiles []tile
}

// tile is a picture of a figure: draw draws the image, its depth map or what a block sees, at a size as for fit.
type tile struct {
	sample  Sample
	draw    func(s Sample, size int) *image.RGBA
	pair    bool // draw draws two of that size, one below the other
	caption []string
}

// pairGap is the number of pixels between two pictures of a pair.
const pairGap = 3

// draw draws a figure of valid samples.
func (f figure) draw() (*image.RGBA, error) {
	cell := min(cmp.Or(max(f.Size, 0), 84), maxCell)
	letters := max(11, float64(cell)*f.letters)
	p, large := newPen(letters), newPen(letters*1.45)

	// Cells are as wide and as high as the largest picture in them.
	columns, words, captions, headLines, w, h := 0, 0, 0, 0, 0, 0
	for _, head := range f.Columns {
		headLines = max(headLines, 1+strings.Count(head, "\n"))
	}
	for _, r := range f.rows {
		columns = max(columns, len(r.tiles))
		h = max(h, len(r.words)*p.height)
		for i, l := range r.words {
			words = max(words, width(p.face(i), oneLine(l.Text)))
		}
		for _, t := range r.tiles {
			wide, high := fit(t.sample.Width, t.sample.Height, cell)
			if t.pair {
				high = 2*high + pairGap
			}
			w, h = max(w, wide), max(h, high)
			captions = max(captions, len(t.caption)*p.height)
		}
	}
	if columns == 0 {
		return nil, errors.New("report: a figure of no pictures")
	}
	words = min(words, 4*cell)
	gap, margin := max(4, w/16), max(12, cell/3)
	column := func(i int) int {
		x := margin + words + margin/2 + i*(w+gap)
		if i >= f.apart {
			x += 2 * gap
		}
		return x
	}

	// From top to bottom: title, subtitle, legend, heads, rows.
	y := margin
	below := func(used bool, height int) (top int) {
		if top = y; used {
			y += height
		}
		return top
	}
	title := below(f.Title != "", large.height+gap)
	subtitle := below(f.Subtitle != "", p.height+gap)
	legend := below(f.layers > 0, p.height+2*gap)
	heads := below(headLines > 0, headLines*p.height+gap)
	pitch := h + captions + 2*gap
	text := max(width(large.face(0), f.Title), width(p.regular, f.Subtitle)) // of few pictures it is the widest
	wide, high := max(column(columns)-gap, margin+min(text, 8*cell))+margin, y+len(f.rows)*pitch-2*gap+margin
	if wide > 1<<16 || high > 1<<16 || wide*high > maxPixels {
		return nil, fmt.Errorf("report: a figure of %d rows of %d pictures would be %d×%d pixels",
			len(f.rows), columns, wide, high)
	}

	img := canvas(wide, high)
	large.lines(img, margin, title, wide-2*margin, []line{{f.Title, ink}})
	p.draw(img, p.regular, faint.color, margin, subtitle, cut(p.regular, f.Subtitle, wide-2*margin))
	if f.layers > 0 {
		p.legend(img, margin, legend, wide-margin, f.first, f.layers)
	}
	for i, head := range f.Columns[:min(len(f.Columns), columns)] {
		for j, text := range strings.Split(head, "\n") {
			if headLines == 1 && width(p.regular, text) > w { // "block 1", not a class's name
				text = text[strings.LastIndexByte(text, ' ')+1:]
			}
			p.center(img, faint.color, column(i), column(i)+w, heads+j*p.height, cut(p.regular, text, w+gap))
		}
	}
	for _, r := range f.rows {
		p.lines(img, margin, y+(h-len(r.words)*p.height)/2, words, r.words)
		for k, t := range r.tiles {
			x := column(k)
			place(img, x, y, w, h, t.draw(t.sample, cell))
			for i, text := range t.caption {
				p.center(img, faint.color, x, x+w, y+h+i*p.height, cut(p.regular, text, w+gap))
			}
		}
		y += pitch
	}
	return img, nil
}

// pickFrames returns the blocks (1-based) to show: all, or most of them evenly spaced with the first and the last.
func pickFrames(layers, most int) []int {
	n := min(layers, most)
	out := make([]int, n)
	for i := range out {
		out[i] = i + 1
		if n < layers && n > 1 {
			out[i] = 1 + (i*(layers-1)+(n-1)/2)/(n-1)
		}
	}
	return out
}

// PanelSize is how many pixels of a panel the longer side of a small image gets.
const PanelSize = 252

// Panel draws one sample large: a caption, image and depth map side by side, the legend, and below them the
// tokens that ran in each block, six to a line. The image's longer side is about size pixels (≤ 0: PanelSize).
func Panel(s Sample, size int) (*image.RGBA, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	size = min(cmp.Or(max(size, 0), PanelSize), maxCell)
	p := newPen(max(11, float64(size)*0.062))
	const perLine = 6
	w, h := fit(s.Width, s.Height, size)
	gap, margin := max(4, size/24), max(10, size/12)
	inner := 2*w + gap
	between := gap / 2
	if max(s.Width, s.Height) <= size/2 {
		between = 2 // enlarged by whole factors, frames need every pixel
	}
	room := (inner - (perLine-1)*between) / perLine // the most that a frame may be wide
	small := max(1, room*max(s.Width, s.Height)/s.Width)
	fw, fh := fit(s.Width, s.Height, small)
	frames, words := pickFrames(s.Layers, 4*perLine), s.describe()
	pitch := fh + p.height + gap

	top := margin + len(words)*p.height + gap
	legend := top + h + gap
	strip := legend + p.height + 2*gap
	img := canvas(inner+2*margin, strip+(len(frames)+perLine-1)/perLine*pitch-gap+margin)
	p.lines(img, margin, margin, inner, words)
	place(img, margin, top, w, h, resize(s, size))
	place(img, margin+w+gap, top, w, h, depthMap(s, size))
	p.legend(img, margin, legend, margin+inner, shallowest(s), s.Layers)
	for i, l := range frames {
		x, y := margin+i%perLine*((inner-fw)/(perLine-1)), strip+i/perLine*pitch
		place(img, x, y, fw, fh, frame(s, l, small))
		p.center(img, faint.color, x, x+fw, y+fh, fmt.Sprint(l))
	}
	return img, nil
}
