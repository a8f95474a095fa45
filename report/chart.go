package report

import (
	"fmt"
	"math"
	"strings"
)

// Chart is a few lines over one pair of axes. Points that are NaN or infinite interrupt their line.
type Chart struct {
	Title, XLabel, YLabel string
	Series                []Series

	Markers bool // a dot on every point, as for single measurements; not on dashed lines
	LogY    bool // every power of ten of Y is as high as any other; values that are not positive are left out
	shares  bool // Y holds shares (0..1), from zero and in percent, and the first line's area is filled
}

// Series is one line of a chart.
type Series struct {
	Name   string
	X, Y   []float64 // of equal length; a nil X stands for 1, 2, 3, …
	Dashed bool      // for reference lines
}

// layout gives axes only where there is not a single finite point. Series whose X and Y differ in length are an error.
func (c Chart) layout() (plot, error) {
	v := newPlot(c.Title, c.XLabel, c.YLabel, plotB)
	x, y := nothing, nothing
	lines := make([][]run, len(c.Series))
	height, shown := func(y float64) float64 { return y }, trimNumber
	if c.LogY {
		height = func(y float64) float64 { return math.Log10(max(y, 0)) } // −∞ interrupts the line
		shown = func(h float64) string { return trimNumber(math.Pow(10, h)) }
	}
	for i, s := range c.Series {
		if s.X == nil {
			for j := range s.Y {
				s.X = append(s.X, float64(j+1))
			}
		}
		if len(s.X) != len(s.Y) {
			return v, fmt.Errorf("report: chart %q, line %q: %d values of x and %d of y", c.Title, s.Name, len(s.X), len(s.Y))
		}
		heights := make([]float64, len(s.Y))
		for j := range s.X {
			heights[j] = height(s.Y[j])
			if finite(s.X[j]) && finite(heights[j]) {
				x.add(s.X[j])
				y.add(heights[j])
			}
		}
		lines[i] = thin(s.X, heights)
	}
	if x == nothing {
		x, y, v.About = span{0, 1}, span{0, 1}, "no data"
	}
	if c.shares {
		y.add(0)
	}
	ys := newScale(y, plotB, plotT)
	xs := scale{x.lo, x.hi, plotL, plotR} // no empty space at the sides
	if x.lo == x.hi {
		xs.lo, xs.hi = x.lo-0.5, x.hi+0.5
	} else if c.Markers {
		side := 0.04 * (x.hi - x.lo)
		xs.lo, xs.hi = x.lo-side, x.hi+side
	}
	v.XTicks, v.YTicks = xs.ticks(6, false), ys.ticks(5, c.shares)
	if c.LogY {
		side := max(0.04*(y.hi-y.lo), 0.05) // so that no point lies on the axis
		ys = scale{y.lo - side, y.hi + side, plotB, plotT}
		v.YTicks = ys.powers()
	}
	for i, s := range c.Series {
		l := lineView{Class: fmt.Sprintf("c%d", i%seriesColors)}
		if s.Dashed {
			l.Class += " dashed"
		}
		for _, r := range lines[i] {
			l.D += r.path(xs, ys)
			switch {
			case len(s.Y) > maxPoints:
				l.Area += r.outline().path(xs, ys) + "Z"
			case c.shares && i == 0:
				for j := range r {
					r[j].lo = ys.lo
				}
				l.Area += r.outline().path(xs, ys) + "Z"
			}
			if (!c.Markers || s.Dashed) && len(r) > 1 {
				continue
			}
			for _, m := range r { // a point on its own would have no line to show it
				text := fmt.Sprintf("%s: %s, %s", s.Name, trimNumber(m.x), shown(m.y))
				l.Dots = append(l.Dots, dotView{xy(xs.at(m.x)), xy(ys.at(m.y)), text})
			}
		}
		v.Lines = append(v.Lines, l)
		if len(c.Series) > 1 && s.Name != "" {
			v.Key = append(v.Key, keyView{l.Class, s.Name})
		}
		if n := len(lines[i]); n > 0 {
			last := lines[i][n-1]
			v.About += fmt.Sprintf("%s ends at %s. ", s.Name, shown(last[len(last)-1].y))
		}
	}
	return v, nil
}

// run is points of a line without a gap between them.
type run []mean

// mean is a point, or stands for several neighbours: their mean and the range lo..hi of their heights.
type mean struct{ x, y, lo, hi float64 }

// thin cuts a line at its gaps. A line of more than maxPoints points becomes one of maxPoints/2.
func thin(x, y []float64) []run {
	step := 1
	if len(x) > maxPoints {
		step = (2*len(x) + maxPoints - 1) / maxPoints
	}
	var runs []run
	gap := true
	for from := 0; from < len(x); from += step {
		var m mean
		n, heights := 0.0, nothing
		for j := from; j < min(from+step, len(x)); j++ {
			if finite(x[j]) && finite(y[j]) {
				n++
				// A running mean, since a sum of huge values could overflow.
				m.x, m.y = m.x+(x[j]-m.x)/n, m.y+(y[j]-m.y)/n
				heights.add(y[j])
			}
		}
		m.lo, m.hi = heights.lo, heights.hi
		switch {
		case n == 0:
		case gap:
			runs = append(runs, run{m})
		default:
			runs[len(runs)-1] = append(runs[len(runs)-1], m)
		}
		gap = n == 0
	}
	return runs
}

func (r run) path(xs, ys scale) string {
	var d strings.Builder
	op := "M"
	for _, m := range r {
		fmt.Fprintf(&d, "%s%s %s", op, xy(xs.at(m.x)), xy(ys.at(m.y)))
		op = "L"
	}
	return d.String()
}

// outline goes along the upper ends of the points' ranges and back along the lower ones.
func (r run) outline() run {
	n := len(r)
	out := make(run, 2*n)
	for i, m := range r {
		out[i], out[2*n-1-i] = mean{x: m.x, y: m.hi}, mean{x: m.x, y: m.lo}
	}
	return out
}
