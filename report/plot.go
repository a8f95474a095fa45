package report

import (
	"image/color"
	"math"
	"strconv"
)

// Charts are drawn in a space of this size, which is about a phone's width, so that letters keep their size
// there; wider screens put charts side by side. page.html holds plotL and plotR as well.
const (
	chartW, chartH = 360.0, 216.0
	plotL, plotR   = 46.0, 350.0
	plotT, plotB   = 12.0, 176.0
	seriesColors   = 10 // colours in the style sheet
)

// Bounds of what is shown, so that it can be read and a wrong number asks for no gigabytes.
const (
	maxSide      = 1 << 13 // pixels of a sample's longer side
	maxLayers    = 1000    // blocks of a model, since each becomes a small picture
	maxCell      = 1024    // pixels of the side of a picture in a drawn one
	maxPixels    = 1 << 26 // of a drawn picture
	maxPoints    = 400     // of a line; one of more is thinned
	maxScatter   = 200     // points of a scatter; names of more would cover each other
	maxHeat      = 40      // columns of a heat map; of more, neighbours share one, which shows their mean
	maxClasses   = 20      // classes that are listed
	maxSwatches  = 64      // of a legend
	maxBarLabels = 16      // bars or swatches that are labelled one by one
	maxTurned    = 3       // rows of a table that fit side by side on a phone
)

// drawable is anything that is drawn with the axes and the style of charts; layout places it in drawing coordinates.
type drawable interface{ layout() (plot, error) }

// plot is a chart in drawing coordinates, as the template draws it.
type plot struct {
	Title, XLabel, YLabel string
	About                 string // for readers who do not see it
	Height                string // of the drawing; its width is chartW
	Axes                  bool
	Bottom                string // of the plot, where the X axis lies
	TickLine, LabelLine   string // the base lines of its numbers and of its label
	XTicks, YTicks        []tick
	Lines                 []lineView
	Bars                  []barView
	Points                []pointView
	Key                   []keyView
}

func (v plot) layout() (plot, error) { return v, nil }

// newPlot is a plot with an X axis at bottom and room for its numbers and label below.
func newPlot(title, xLabel, yLabel string, bottom float64) plot {
	return plot{
		Title: title, XLabel: xLabel, YLabel: yLabel, Height: xy(bottom + chartH - plotB),
		Axes: true, Bottom: xy(bottom), TickLine: xy(bottom + 14), LabelLine: xy(bottom + 32),
	}
}

// tick is a mark on an axis: its coordinate and its label.
type tick struct{ At, Text string }

type lineView struct {
	Class string
	D     string // path data
	Area  string // path data of a surface under or around the line; "" without
	Dots  []dotView
}

type dotView struct{ X, Y, Text string }

// barView is a filled rectangle with what is written on or beside it.
type barView struct {
	X, Y, W, H, Fill, About string
	Texts                   []textView
}

// bar adds a rectangle and what is written on or beside it.
func (v *plot) bar(x, y, w, h float64, fill color.RGBA, about string, texts ...textView) {
	v.Bars = append(v.Bars, barView{xy(x), xy(y), xy(w), xy(h), hex(fill), about, texts})
}

// textView is a word: Class is its alignment (start, middle, end), Fill its colour ("" for the usual one).
type textView struct{ X, Y, Class, Text, Fill string }

// word is one in the usual colour.
func word(x, y float64, class, text string) textView { return textView{xy(x), xy(y), class, text, ""} }

// pointView is a single point with its name.
type pointView struct {
	Class, X, Y, About string
	Bars               string // path data of the spread
	Hollow             bool
	Label              textView
}

type keyView struct{ Class, Name string }

// xy prints a drawing coordinate.
func xy(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }
