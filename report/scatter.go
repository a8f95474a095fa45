package report

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// Scatter is a chart of single points with their names beside them, such as accuracy against time.
type Scatter struct {
	Title, XLabel, YLabel string
	Points                []Point
}

// Point is one measurement. A point whose X or Y is not finite is left out.
type Point struct {
	Name             string
	X, Y             float64
	XSpread, YSpread float64 // half the length of the lines that show how far the value varies; 0 or NaN: none
	Hollow           bool    // drawn as a ring, as for what the others are held against
}

// scatterBottom is where the plot of a scatter ends: it is higher than a chart of lines, since names need room.
const scatterBottom = 266.0

func (s Scatter) layout() (plot, error) {
	v := newPlot(s.Title, s.XLabel, s.YLabel, scatterBottom)
	var points []Point
	x, y := nothing, nothing
	for _, p := range s.Points {
		if !finite(p.X) || !finite(p.Y) {
			continue
		}
		for _, spread := range []*float64{&p.XSpread, &p.YSpread} {
			if !(*spread > 0) || !finite(*spread) {
				*spread = 0
			}
		}
		x.add(p.X-p.XSpread, p.X+p.XSpread)
		y.add(p.Y-p.YSpread, p.Y+p.YSpread)
		points = append(points, p)
	}
	if len(points) > maxScatter {
		return v, fmt.Errorf("report: chart %q: %d points, want at most %d", s.Title, len(points), maxScatter)
	}
	if len(points) == 0 {
		x, y, v.About = span{0, 1}, span{0, 1}, "no data"
	}
	for _, s := range []*span{&x, &y} { // a point should not lie on the edge
		side := 0.06 * (s.hi - s.lo)
		if side == 0 {
			side = max(math.Abs(s.lo)*0.05, 1e-9)
		}
		s.add(s.lo-side, s.hi+side)
	}
	xs, ys := newScale(x, plotL, plotR), newScale(y, scatterBottom, plotT)
	v.XTicks, v.YTicks = xs.ticks(6, false), ys.ticks(6, false)
	names := placeNames(points, xs, ys)
	for i, p := range points {
		x, y := xs.at(p.X), ys.at(p.Y)
		pv := pointView{
			Class: fmt.Sprintf("c%d", i%seriesColors), X: xy(x), Y: xy(y), Hollow: p.Hollow, Label: names[i],
			About: fmt.Sprintf("%s: %s, %s", p.Name, trimNumber(p.X), trimNumber(p.Y)),
		}
		if p.XSpread > 0 {
			pv.Bars = fmt.Sprintf("M%s %sH%s", xy(xs.at(p.X-p.XSpread)), xy(y), xy(xs.at(p.X+p.XSpread)))
		}
		if p.YSpread > 0 {
			pv.Bars += fmt.Sprintf("M%s %sV%s", xy(x), xy(ys.at(p.Y-p.YSpread)), xy(ys.at(p.Y+p.YSpread)))
		}
		v.Points = append(v.Points, pv)
		v.About += pv.About + ". "
	}
	return v, nil
}

// box is a rectangle of the drawing.
type box struct{ x0, y0, x1, y1 float64 }

// overlap is the area that two boxes share.
func (a box) overlap(b box) float64 {
	return max(0, min(a.x1, b.x1)-max(a.x0, b.x0)) * max(0, min(a.y1, b.y1)-max(a.y0, b.y0))
}

// A letter of the drawing's 11 pixel high text is about so wide, so high above its base line and below it.
const letterWidth, letterUp, letterDown = 6.1, 8.5, 2.5

// placeNames finds a place beside its point for each name, in three rounds: the first names see where the others went.
func placeNames(points []Point, xs, ys scale) []textView {
	n := len(points)
	names, taken := make([]textView, n), make([]box, n) // what the names cover, then the points with their spreads
	for _, p := range points {
		x, y := xs.at(p.X), ys.at(p.Y)
		taken = append(taken, box{x - 5, y - 5, x + 5, y + 5},
			box{xs.at(p.X - p.XSpread), y - 1, xs.at(p.X + p.XSpread), y + 1},
			box{x - 1, ys.at(p.Y + p.YSpread), x + 1, ys.at(p.Y - p.YSpread)})
	}
	for range 3 {
		for i, p := range points {
			taken[i] = box{}
			names[i], taken[i] = placeName(short(p.Name, 24), xs.at(p.X), ys.at(p.Y), taken)
		}
	}
	return names
}

// placeName finds the place beside the point (x, y) where its name covers least of what is taken and stays in the plot.
func placeName(name string, x, y float64, taken []box) (textView, box) {
	w := letterWidth * float64(utf8.RuneCountInString(name))
	var best textView
	var covers box
	least := math.Inf(1)
	type align struct {
		class string
		left  float64 // share of the name that is left of the place
	}
	start, middle, end := align{"start", 0}, align{"middle", 0.5}, align{"end", 1}
	for _, c := range []struct {
		align
		dx, dy float64
	}{
		{start, 8, 4}, {end, -8, 4}, {middle, 0, -9}, {middle, 0, 17},
		{start, 6, -6}, {end, -6, -6}, {start, 6, 14}, {end, -6, 14},
		{middle, 0, -20}, {middle, 0, 28},
		{start, 10, -16}, {end, -10, -16}, {start, 10, 24}, {end, -10, 24},
	} {
		left := x + c.dx - w*c.left
		b := box{left, y + c.dy - letterUp, left + w, y + c.dy + letterDown}
		cost := 0.0
		for _, t := range taken {
			cost += b.overlap(t)
		}
		cost += 4 * (b.overlap(b) - b.overlap(box{plotL, 2, plotR + 8, scatterBottom})) // what lies outside
		if cost < least-1e-6 {
			least, covers, best = cost, b, word(x+c.dx, y+c.dy, c.class, name)
		}
	}
	return best, covers
}
