package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var names = []string{"none", "token", "act", "sact", "ponder", "confidence", "similarity", "topk", "tome"}

// schemes is a comparison as the program makes it.
func schemes() Page {
	t := Table{Columns: []Column{{"scheme", true}, {"top-1 %", false}, {"images/s", false}, {"run", true}}}
	s := Scatter{Title: "Accuracy against time", XLabel: "ms an image", YLabel: "top-1 %"}
	for i, name := range append([]string{"token:alpha_prior=0"}, names...) {
		x, y := 0.3+0.02*float64(i%4), 92+0.05*float64(i*i%7)
		link := fmt.Sprintf("%d-seed1/report.html", i)
		t.Rows = append(t.Rows, []Cell{{name, ""}, {number(y, 2), ""}, {number(1000/x, 0), ""}, {"report", link}})
		s.Points = append(s.Points, Point{name, x, y, 0.01, 0.1 * float64(i%2), i == 0})
	}
	return Page{
		Title: "Schemes", Subtitle: "of a test", Machine: "two threads", Date: time.Date(2025, 3, 4, 5, 6, 0, 0, time.UTC),
		Facts: []Fact{{"1.7×", "the images a second"}}, Table: t, Scatters: []Scatter{s, s},
		Tables:   []Table{{Title: "Each run", Columns: t.Columns, Rows: t.Rows}},
		Settings: []Setting{{"epochs", "3"}}, Notes: []string{"a note"},
	}
}

func TestComparison(t *testing.T) {
	p := schemes()
	path := filepath.Join(t.TempDir(), "compare.html")
	if err := WriteHTML(path, p); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var links []string
	for _, r := range p.Table.Rows {
		links = append(links, r[3].Link)
	}
	elements, text := check(t, page, links...)
	for name, want := range map[string]int{"table": 2, "a": 20, "circle": 20, "svg": 2} {
		if got := countOf(elements, name, ""); got != want {
			t.Errorf("%d <%s>, want %d", got, name, want)
		}
	}
	for _, want := range []string{
		"Schemes", "of a test", "two threads · 4 March 2025, 05:06", "token:alpha_prior=0", "Each run", "epochs", "a note",
		"Accuracy against time",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for name, p := range map[string]Page{
		"nothing": {},
		"empty":   {Table: Table{Rows: [][]Cell{{{"a", ""}}}}, Scatters: []Scatter{{}}, Tables: []Table{{}}},
		"odd": {Table: Table{
			Columns: []Column{{"a", true}, {"b", false}}, Rows: [][]Cell{nil, {{"x", ""}}, {{"x", ""}, {"y", ""}, {"z", ""}}},
		}},
		"points": {Scatters: []Scatter{
			{Points: []Point{{Name: "NaN", X: math.NaN()}, {Name: "inf", Y: math.Inf(1)}}},
			{Points: []Point{{Name: "one"}}},
			{Points: []Point{{"huge", 1e300, -1e300, math.Inf(1), math.NaN(), false}, {X: -1e300, Y: 1e300}}},
		}},
	} {
		b, err := HTML(p)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		check(t, b)
	}
	if _, err := HTML(Page{Scatters: []Scatter{{Points: make([]Point, maxScatter+1)}}}); err == nil {
		t.Error("no error for points without end")
	}
	if _, err := HTML(Page{Charts: []Chart{{Series: []Series{{X: []float64{1}}}}}}); err == nil {
		t.Error("no error for a bad chart")
	}
}

// TestScatterSVG makes the picture of its own: well-formed, nothing from outside, names escaped.
func TestScatterSVG(t *testing.T) {
	s := schemes().Scatters[0]
	s.Points[3].Name = "<b>&\x00"
	path := filepath.Join(t.TempDir(), "compare.svg")
	if err := s.WriteSVG(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	elements, text := parse(t, b)
	if countOf(elements, "circle", "") != 10 || countOf(elements, "script", "") != 0 ||
		!strings.Contains(text, "<b>&\ufffd") || !strings.Contains(text, "similarity") {
		t.Errorf("%s", b)
	}
	if elements[0].name != "svg" || strings.Count(string(b), "//") != 1 { // its name space
		t.Errorf("%.200s", b)
	}
	if err := (Scatter{Points: make([]Point, maxScatter+1)}).WriteSVG(path); err == nil {
		t.Error("no error for points without end")
	}
}

// TestScatterPlaces holds points, spreads and names of a scatter against its axes.
func TestScatterPlaces(t *testing.T) {
	v, err := Scatter{Points: []Point{{"a", 1, 10, 0, 2, false}, {"b", 3, 20, 0.5, 0, true}}}.layout()
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) float64 {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	// The ticks say which value lies where.
	value := func(ticks []tick, c float64) float64 {
		first, last := ticks[0], ticks[len(ticks)-1]
		return at(first.Text) + (c-at(first.At))/(at(last.At)-at(first.At))*(at(last.Text)-at(first.Text))
	}
	for i, want := range []Point{{X: 1, Y: 10}, {X: 3, Y: 20}} {
		p := v.Points[i]
		x, y := value(v.XTicks, at(p.X)), value(v.YTicks, at(p.Y))
		if math.Abs(x-want.X) > 0.02 || math.Abs(y-want.Y) > 0.1 {
			t.Errorf("point %d lies at %v, %v, want %v, %v", i, x, y, want.X, want.Y)
		}
	}
	var x, from, to float64
	if _, err := fmt.Sscanf(v.Points[0].Bars, "M%f %fV%f", &x, &from, &to); err != nil {
		t.Fatalf("%q: %v", v.Points[0].Bars, err)
	}
	if lo, hi := value(v.YTicks, from), value(v.YTicks, to); math.Abs(lo-8) > 0.1 || math.Abs(hi-12) > 0.1 {
		t.Errorf("the spread goes from %v to %v, want 8 to 12", lo, hi)
	}
	if !v.Points[1].Hollow || v.Points[0].Hollow {
		t.Error("the wrong point is hollow")
	}
}

// TestNamesKeepApart places the names of points as a comparison has them: none covers another or leaves the
// plot.
func TestNamesKeepApart(t *testing.T) {
	boxOf := func(l textView) box {
		x, _ := strconv.ParseFloat(l.X, 64)
		y, _ := strconv.ParseFloat(l.Y, 64)
		w := letterWidth * float64(len(l.Text))
		switch l.Class {
		case "end":
			x -= w
		case "middle":
			x -= w / 2
		}
		return box{x, y - letterUp, x + w, y + letterDown}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	bad := 0
	for range 50 {
		s := Scatter{}
		for _, name := range names {
			s.Points = append(s.Points, Point{Name: name, X: rng.Float64(), Y: rng.Float64()})
		}
		v, err := s.layout()
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range v.Points {
			a := boxOf(p.Label)
			if a.x0 < plotL-1 || a.x1 > chartW || a.y0 < 0 || a.y1 > scatterBottom+1 {
				t.Errorf("%q lies outside: %+v", p.Label.Text, a)
			}
			for _, q := range v.Points[:i] {
				if a.overlap(boxOf(q.Label)) > 0.1 {
					bad++
				}
			}
		}
	}
	if bad > 0 {
		t.Errorf("%d pairs of names cover each other in 50 charts", bad)
	}
}
