package report

import (
	"html/template"
	"unicode/utf8"
)

// WriteSVG stores s, whole or not at all, as a picture that needs no other file and follows a light or dark theme.
func (s Scatter) WriteSVG(path string) error { return writeSVG(path, s, scatterBottom) }

// WriteSVG stores c as Scatter.WriteSVG does, with its lines' names below it.
func (c Chart) WriteSVG(path string) error { return writeSVG(path, c, plotB) }

// svgView is a plot as a picture on its own: its height, and the names of its lines with their places.
type svgView struct {
	plot
	Style template.CSS
	Tall  string
	Names []svgName
}

type svgName struct {
	Class, X, Y, Text, At string // At: where the text begins, beside a piece of the line
}

// Room for the title above a plot, for numbers and label below it, and for a line of names.
const titleRoom, labelRoom, nameRoom = 26.0, 40.0, 16.0

// writeSVG draws what ends at bottom.
func writeSVG(path string, d drawable, bottom float64) error {
	v, err := d.layout()
	if err != nil {
		return err
	}
	s := svgView{plot: v, Style: template.CSS(plotStyle)}
	x, y := plotL, bottom+labelRoom
	for i, k := range v.Key {
		const line, gap = 16.0, 14.0
		name := short(k.Name, 40)
		width := line + 6 + letterWidth*float64(utf8.RuneCountInString(name))
		if i == 0 || x+width > plotR {
			x, y = plotL, y+nameRoom
		}
		s.Names = append(s.Names, svgName{k.Class, xy(x), xy(y - 10), name, xy(x + line + 6)})
		x += width + gap
	}
	s.Tall = xy(y + titleRoom)
	b, err := execute("svg", s)
	if err != nil {
		return err
	}
	return writeFile(path, b)
}
