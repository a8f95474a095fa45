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
	chartW, chartH         = 360.0, 216.0
	plotL, plotR           = 46.0, 350.0
	plotT, plotB           = 12.0, 176.0
	seriesColors           = 6   // colours in the style sheet
	maxPoints              = 400 // a line of more is thinned
	maxBarLabels, maxSlots = 16, 64
)

// chartView is a chart in drawing coordinates, ready for the template.
type chartView struct {
	Title, XLabel, YLabel string
	About                 string // for readers who do not see it
	XTicks, YTicks        []tick
	Lines                 []lineView
	Bars                  []barView
	Key                   []keyView
}

type tick struct {
	At   string // coordinate
	Text string
}

type lineView struct {
	Class string
	D     string // path data
	Area  string // path data of the area under the line; "" without
	Dots  []dotView
}

type dotView struct{ X, Y, Text string }

type barView struct{ X, Y, W, H, Mid, TextY, Fill, Text, About string }

type keyView struct{ Class, Name string }

// xy prints a drawing coordinate.
func xy(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// layout places c in drawing coordinates. Without a single finite point the
// result has axes only. Series whose X and Y differ in length are an error.
func (c Chart) layout() (chartView, error) {
	v := chartView{Title: c.Title, XLabel: c.XLabel, YLabel: c.YLabel}
	usable := func(x, y float64) bool { return finite(x) && finite(y) && (!c.LogY || y > 0) }
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
		text := t.text
		if c.Percent {
			text = trimNumber(100*t.v) + "%"
		}
		v.YTicks = append(v.YTicks, tick{xy(ys.at(t.v)), text})
	}
	for _, t := range xs.ticks(6) {
		v.XTicks = append(v.XTicks, tick{xy(xs.at(t.v)), t.text})
	}
	for i, s := range series {
		lv := lineView{Class: fmt.Sprintf("c%d", i%seriesColors)}
		if s.Dashed {
			lv.Class += " dashed"
		}
		px, py := thin(s.X, s.Y, usable)
		lv.D, lv.Area = trace(px, py, xs, ys)
		if !c.Area || i > 0 {
			lv.Area = ""
		}
		for j := range px {
			alone := (j == 0 || math.IsNaN(py[j-1])) && (j+1 == len(px) || math.IsNaN(py[j+1]))
			if finite(py[j]) && (c.Markers || alone) {
				label := fmt.Sprintf("%s: %s, %s", s.Name, trimNumber(px[j]), trimNumber(py[j]))
				lv.Dots = append(lv.Dots, dotView{xy(xs.at(px[j])), xy(ys.at(py[j])), label})
			}
		}
		v.Lines = append(v.Lines, lv)
		if len(series) > 1 && s.Name != "" {
			v.Key = append(v.Key, keyView{lv.Class, s.Name})
		}
		if n := len(py); n > 0 && v.About != "no data" {
			v.About += fmt.Sprintf("%s ends at %s. ", s.Name, trimNumber(s.Y[len(s.Y)-1]))
		}
	}
	return v, nil
}

// trace returns the path of a line, and that of the area between it and the axis.
func trace(x, y []float64, xs, ys scale) (path, area string) {
	var d, a strings.Builder
	start := -1
	for j := range x {
		if math.IsNaN(y[j]) {
			continue
		}
		op := "L"
		if j == 0 || math.IsNaN(y[j-1]) {
			op, start = "M", j
			fmt.Fprintf(&a, "M%s %s", xy(xs.at(x[j])), xy(plotB))
		}
		fmt.Fprintf(&d, "%s%s %s", op, xy(xs.at(x[j])), xy(ys.at(y[j])))
		fmt.Fprintf(&a, "L%s %s", xy(xs.at(x[j])), xy(ys.at(y[j])))
		if j+1 == len(x) || math.IsNaN(y[j+1]) {
			fmt.Fprintf(&a, "L%s %sL%s %sZ", xy(xs.at(x[j])), xy(plotB), xy(xs.at(x[start])), xy(plotB))
		}
	}
	return d.String(), a.String()
}

// thin returns at most about maxPoints points with the same outline: of every run
// of neighbours it keeps the lowest and the highest, in their order. Unusable
// points come out as a NaN in y (several in a row as one).
func thin(x, y []float64, usable func(x, y float64) bool) (px, py []float64) {
	run := max(1, (2*len(x)+maxPoints-1)/maxPoints)
	add := func(j int) {
		px, py = append(px, x[j]), append(py, y[j])
	}
	gap := func() {
		if n := len(py); n > 0 && !math.IsNaN(py[n-1]) {
			px, py = append(px, px[n-1]), append(py, math.NaN())
		}
	}
	if len(x) <= maxPoints {
		run = 1
	}
	for from := 0; from < len(x); from += run {
		to := min(from+run, len(x))
		lo, hi, holes := -1, -1, false
		for j := from; j < to; j++ {
			if !usable(x[j], y[j]) {
				holes = true
				continue
			}
			if lo < 0 || y[j] < y[lo] {
				lo = j
			}
			if hi < 0 || y[j] > y[hi] {
				hi = j
			}
		}
		switch {
		case lo < 0:
			gap()
			continue
		case lo == hi:
			add(lo)
		default:
			add(min(lo, hi))
			add(max(lo, hi))
		}
		if holes {
			gap()
		}
	}
	return px, py
}

// bars places the shares of tokens by depth (counts[d-1] tokens ran in d blocks) as
// a bar chart in the depths' own colours.
func bars(title string, counts []int) chartView {
	v := chartView{Title: title, XLabel: "blocks a token ran in", YLabel: "share of tokens"}
	total, most := 0, 0
	for _, n := range counts {
		total += max(n, 0)
		most = max(most, n)
	}
	if total == 0 || len(counts) == 0 {
		v.About = "no data"
		v.YTicks = []tick{{xy(plotB), "0%"}, {xy(plotT), "100%"}}
		return v
	}
	ys := newScale(0, float64(most)/float64(total)*1.06, plotB, plotT, false)
	for _, t := range ys.ticks(5) {
		v.YTicks = append(v.YTicks, tick{xy(ys.at(t.v)), trimNumber(100*t.v) + "%"})
	}
	slot := (plotR - plotL) / float64(len(counts))
	every := (len(counts) + maxBarLabels - 1) / maxBarLabels
	sum := 0
	for i, n := range counts {
		n = max(n, 0)
		sum += n * (i + 1)
		share := float64(n) / float64(total)
		x, y := plotL+slot*float64(i), ys.at(share)
		c := DepthColor(i+1, len(counts))
		b := barView{
			X: xy(x + slot*0.08), Y: xy(y), W: xy(slot * 0.84), H: xy(plotB - y), Mid: xy(x + slot/2), TextY: xy(y - 3),
			Fill:  fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B),
			About: fmt.Sprintf("%d of %d tokens (%s%%) ran in %d blocks", n, total, number(100*share, 1), i+1),
		}
		if len(counts) <= maxBarLabels && n > 0 {
			b.Text = number(100*share, 0)
			if share < 0.005 {
				b.Text = "<1"
			}
		}
		v.Bars = append(v.Bars, b)
		if i%every == 0 {
			v.XTicks = append(v.XTicks, tick{xy(x + slot/2), fmt.Sprint(i + 1)})
		}
	}
	v.About = fmt.Sprintf("mean %s of %d blocks", number(float64(sum)/float64(total), 2), len(counts))
	return v
}
