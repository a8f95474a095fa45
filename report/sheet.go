package report

import (
	"errors"
	"fmt"
	"image"
	"strings"
)

// Picture is one picture of a contact sheet.
type Picture struct {
	Pixels                  []byte // [Height, Width, Channels], row-major
	Width, Height, Channels int    // Channels is 1 or 3
	Caption                 string // lines below it; "" for none
}

// SheetRow is a line of pictures with a name beside it.
type SheetRow struct {
	Name     string
	Pictures []Picture
}

// SheetOptions says how Sheet draws; the zero value will do.
type SheetOptions struct {
	Title, Subtitle string
	Columns         []string // heads of the columns; may be fewer
	Size            int      // pixels of a picture's longer side; ≤ 0: 84
	Dark            bool     // light text on a dark ground
}

// Sheet draws rows of pictures side by side, the first one of each set apart, as
// a sheet of originals and what was made of them. Rows may differ in length.
func Sheet(rows []SheetRow, o SheetOptions) (*image.RGBA, error) {
	cell := o.Size
	if cell <= 0 {
		cell = 84
	}
	cell = min(cell, maxCell)
	letters := max(11, float64(cell)*0.14)
	p, err := newPen(letters)
	if err != nil {
		return nil, err
	}
	t := themeOf(o.Dark)

	columns, words, cw, ch := 0, 0, 0, 0
	captions := 0 // room for them
	for i, r := range rows {
		columns = max(columns, len(r.Pictures))
		words = max(words, width(p.bold, oneLine(r.Name)))
		for k, c := range r.Pictures {
			if _, err := c.sample(); err != nil {
				return nil, fmt.Errorf("row %d, picture %d: %w", i, k, err)
			}
			w, h := fit(c.Width, c.Height, cell)
			cw, ch = max(cw, w), max(ch, h)
			captions = max(captions, len(captionLines(c.Caption))*p.height)
		}
	}
	if columns == 0 {
		return nil, errors.New("report: a sheet of no pictures")
	}
	words = min(words, 3*cell)
	ch = max(ch, p.height)
	gap, margin := max(4, cw/14), max(12, cell/4)
	column := func(i int) int {
		x := margin + words + margin/2 + i*(cw+gap)
		if i > 0 {
			x += 2 * gap
		}
		return x
	}
	head, err := newHeading(p, letters, o.Title, o.Subtitle, gap)
	if err != nil {
		return nil, err
	}
	top := margin + head.height()
	names := top
	if len(o.Columns) > 0 {
		top += p.height + gap
	}
	wide, high := column(columns)-gap+margin, top+len(rows)*(ch+captions+gap)-gap+margin
	if wide > 1<<16 || high > 1<<16 || wide*high > maxPixels {
		return nil, fmt.Errorf("report: a sheet of %d rows of %d pictures would be %d×%d pixels", len(rows), columns, wide, high)
	}
	img := canvas(wide, high, t.ground)
	head.draw(img, t, margin)
	for i, name := range o.Columns[:min(len(o.Columns), columns)] {
		p.center(img, p.regular, t.faint, column(i), column(i)+cw, names, cut(p.regular, name, cw+gap))
	}
	for i, r := range rows {
		y := top + i*(ch+captions+gap)
		p.draw(img, p.bold, t.ink, margin, y+(ch-p.height)/2, cut(p.bold, r.Name, words))
		for k, c := range r.Pictures {
			s, err := c.sample()
			if err != nil {
				return nil, err
			}
			place(img, image.Rect(column(k), y, column(k)+cw, y+ch), resize(s, cell))
			for l, text := range captionLines(c.Caption) {
				p.center(img, p.regular, t.faint, column(k), column(k)+cw, y+ch+l*p.height, cut(p.regular, text, cw+gap))
			}
		}
	}
	return img, nil
}

// captionLines are a caption's lines, four at most.
func captionLines(caption string) []string {
	if caption == "" {
		return nil
	}
	lines := strings.Split(caption, "\n")
	return lines[:min(len(lines), 4)]
}

// sample is the picture as one of a model that does nothing. The error wraps ErrSample.
func (c Picture) sample() (Sample, error) {
	s := Sample{Pixels: c.Pixels, Width: c.Width, Height: c.Height, Channels: c.Channels, Layers: 1}
	return s, s.Validate()
}
