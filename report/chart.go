package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Chart is a few lines over one pair of axes. Points that are NaN or infinite
// interrupt their line.
type Chart struct {
	Title          string
	XLabel, YLabel string
	Series         []Series

	Percent  bool // Y holds shares (0..1) and is labelled in percent
	FromZero bool // the Y axis includes zero
	LogY     bool // logarithmic Y axis; values ≤ 0 interrupt their line
	Markers  bool // a dot on every point, as for single measurements
	Area     bool // the first line's area is filled
}

// Series is one line of a chart.
type Series struct {
	Name   string
	X, Y   []float64 // of equal length; a nil X stands for 1, 2, 3, …
	Dashed bool      // for reference lines
}

// Charts are drawn in a space of this size, which is about a phone's width, so
// that letters keep their size there; wider screens put charts side by side.
const (
	chartW, chartH = 360.0, 216.0
	plotL, plotR   = 46.0, 350.0
	plotT, plotB   = 12.0, 176.0
	seriesColors   = 10  // colours in the style sheet
	maxPoints      = 400 // a line of more is thinned
)

// chartView is a chart in drawing coordinates, ready for the template.
type chartView struct {
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

// underAxis is a chart whose plot ends at bottom, with room for the X axis's numbers and label below.
func underAxis(bottom float64) chartView {
	return chartView{Height: xy(bottom + chartH - plotB), Axes: true, Bottom: xy(bottom), TickLine: xy(bottom + 14), LabelLine: xy(bottom + 32)}
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

// textView is a word: Class is its alignment (start, middle, end), Fill its colour
// ("" for the usual one).
type textView struct{ X, Y, Class, Fill, Text string }

type keyView struct{ Class, Name string }

// xy prints a drawing coordinate.
func xy(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// layout places c in drawing coordinates. Without a single finite point the
// result has axes only. Series whose X and Y differ in length are an error.
func (c Chart) layout() (chartView, error) {
	v := underAxis(plotB)
	v.Title, v.XLabel, v.YLabel = c.Title, c.XLabel, c.YLabel
	usable := func(x, y float64) bool {
		return finite(x) && finite(y) && (!c.LogY || y > 1e-300 && y < 1e300)
	}
	x0, x1, y0, y1 := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	series := make([]Series, len(c.Series))
	for i, s := range c.Series {
		if s.X == nil {
			s.X = make([]float64, len(s.Y))
			for j := range s.X {
				s.X[j] = float64(j + 1)
			}
		}
		if len(s.X) != len(s.Y) {
			return v, fmt.Errorf("report: chart %q, line %q: %d values of x and %d of y", c.Title, s.Name, len(s.X), len(s.Y))
		}
		for j := range s.X {
			if usable(s.X[j], s.Y[j]) {
				x0, x1 = min(x0, s.X[j]), max(x1, s.X[j])
				y0, y1 = min(y0, s.Y[j]), max(y1, s.Y[j])
			}
		}
		series[i] = s
	}
	if x0 > x1 {
		x0, x1, y0, y1 = 0, 1, 0, 1
		if c.LogY {
			y0 = 0.1
		}
		v.About = "no data"
	}
	if c.FromZero && !c.LogY {
		y0, y1 = min(y0, 0), max(y1, 0)
	}
	ys := newScale(y0, y1, plotB, plotT, c.LogY)
	xs := newScale(x0, x1, plotL, plotR, false)
	xs.lo, xs.hi = x0, x1 // no empty space at the sides
	if x0 == x1 {
		xs.lo, xs.hi = x0-0.5, x1+0.5
	}
	if c.Markers && x0 < x1 {
		xs.lo, xs.hi = x0-0.04*(x1-x0), x1+0.04*(x1-x0)
	}
	for _, t := range ys.ticks(5) {
		v.YTicks = append(v.YTicks, tick{xy(ys.at(t.v)), t.label(c.Percent)})
	}
	for _, t := range xs.ticks(6) {
		v.XTicks = append(v.XTicks, tick{xy(xs.at(t.v)), t.label(false)})
	}
	for i, s := range series {
		lv := lineView{Class: fmt.Sprintf("c%d", i%seriesColors)}
		if s.Dashed {
			lv.Class += " dashed"
		}
		p := thin(s.X, s.Y, usable)
		lv.D = p.path(xs, ys)
		if p.Lo != nil {
			lv.Area = p.area(p.Lo, p.Hi, xs, ys)
		} else if c.Area && i == 0 {
			lv.Area = p.area(nil, p.Y, xs, ys)
		}
		dot := func(j int) {
			text := fmt.Sprintf("%s: %s, %s", s.Name, trimNumber(p.X[j]), trimNumber(p.Y[j]))
			lv.Dots = append(lv.Dots, dotView{xy(xs.at(p.X[j])), xy(ys.at(p.Y[j])), text})
		}
		for _, r := range p.parts() {
			// A point on its own would have no line to show it.
			if c.Markers || r[1]-r[0] == 1 {
				for j := r[0]; j < r[1]; j++ {
					dot(j)
				}
			}
		}
		v.Lines = append(v.Lines, lv)
		if len(series) > 1 && s.Name != "" {
			v.Key = append(v.Key, keyView{lv.Class, s.Name})
		}
		if r := p.parts(); len(r) > 0 {
			v.About += fmt.Sprintf("%s ends at %s. ", s.Name, trimNumber(p.Y[r[len(r)-1][1]-1]))
		}
	}
	return v, nil
}

// points is a line ready to draw. A NaN in Y interrupts it. Lo and Hi are nil, or
// hold the range of the values that each point is the mean of.
type points struct{ X, Y, Lo, Hi []float64 }

// thin drops what cannot be drawn and, from a line of more than maxPoints points,
// makes one of maxPoints/2 that shows every run of neighbours by its mean and its
// range. A gap comes out as one NaN.
func thin(x, y []float64, usable func(x, y float64) bool) points {
	run := 1
	if len(x) > maxPoints {
		run = (2*len(x) + maxPoints - 1) / maxPoints
	}
	var p points
	add := func(x, y, lo, hi float64) {
		p.X, p.Y = append(p.X, x), append(p.Y, y)
		if run > 1 {
			p.Lo, p.Hi = append(p.Lo, lo), append(p.Hi, hi)
		}
	}
	for from := 0; from < len(x); from += run {
		n, sx, sy := 0.0, 0.0, 0.0
		lo, hi := math.Inf(1), math.Inf(-1)
		for j := from; j < min(from+run, len(x)); j++ {
			if usable(x[j], y[j]) {
				n++
				// A running mean, since a sum of huge values could overflow.
				sx, sy = sx+(x[j]-sx)/n, sy+(y[j]-sy)/n
				lo, hi = min(lo, y[j]), max(hi, y[j])
			}
		}
		if n > 0 {
			add(sx, sy, lo, hi)
		} else if k := len(p.Y); k > 0 && !math.IsNaN(p.Y[k-1]) {
			add(p.X[k-1], math.NaN(), math.NaN(), math.NaN())
		}
	}
	return p
}

// parts splits a line at its gaps into runs [from, to) of finite points.
func (p points) parts() (out [][2]int) {
	for from := 0; from < len(p.Y); {
		if math.IsNaN(p.Y[from]) {
			from++
			continue
		}
		to := from
		for to < len(p.Y) && !math.IsNaN(p.Y[to]) {
			to++
		}
		out = append(out, [2]int{from, to})
		from = to
	}
	return out
}

// path returns the path data of the line.
func (p points) path(xs, ys scale) string {
	var d strings.Builder
	for _, r := range p.parts() {
		for j := r[0]; j < r[1]; j++ {
			op := "L"
			if j == r[0] {
				op = "M"
			}
			fmt.Fprintf(&d, "%s%s %s", op, xy(xs.at(p.X[j])), xy(ys.at(p.Y[j])))
		}
	}
	return d.String()
}

// area returns the path data of the surface between the heights lo and hi at each
// point; a nil lo is the axis.
func (p points) area(lo, hi []float64, xs, ys scale) string {
	var d strings.Builder
	for _, r := range p.parts() {
		for j := r[0]; j < r[1]; j++ {
			op := "L"
			if j == r[0] {
				op = "M"
			}
			fmt.Fprintf(&d, "%s%s %s", op, xy(xs.at(p.X[j])), xy(ys.at(hi[j])))
		}
		for j := r[1] - 1; j >= r[0]; j-- {
			y := plotB
			if lo != nil {
				y = ys.at(lo[j])
			}
			fmt.Fprintf(&d, "L%s %s", xy(xs.at(p.X[j])), xy(y))
		}
		d.WriteString("Z")
	}
	return d.String()
}
