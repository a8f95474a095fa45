package report

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// coordinates reads the points of a path.
func coordinates(t *testing.T, d string) (out [][2]float64) {
	t.Helper()
	for _, m := range regexp.MustCompile(`[ML](\S+) ([0-9.-]+)`).FindAllStringSubmatch(d, -1) {
		x, errX := strconv.ParseFloat(m[1], 64)
		y, errY := strconv.ParseFloat(m[2], 64)
		if errX != nil || errY != nil {
			t.Fatalf("path %q", d)
		}
		out = append(out, [2]float64{x, y})
	}
	return out
}

func TestChartPlacesPoints(t *testing.T) {
	v, err := Chart{Series: []Series{{Name: "s", X: []float64{0, 5, 10}, Y: []float64{0, 100, 50}}}}.layout()
	if err != nil {
		t.Fatal(err)
	}
	got := coordinates(t, v.Lines[0].D)
	want := [][2]float64{{plotL, plotB}, {(plotL + plotR) / 2, plotT}, {plotR, (plotT + plotB) / 2}}
	for i := range want {
		if len(got) != 3 || got[i] != want[i] {
			t.Fatalf("points %v, want %v", got, want)
		}
	}
	first, last := v.YTicks[0], v.YTicks[len(v.YTicks)-1]
	if first != (tick{"176", "0"}) || last != (tick{"12", "100"}) {
		t.Errorf("Y axis from %v to %v", first, last)
	}
}

func TestChartGaps(t *testing.T) {
	nan := math.NaN()
	v, err := Chart{Series: []Series{{Name: "s", Y: []float64{1, 2, nan, nan, 7, nan, 4, 5}}}}.layout()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(v.Lines[0].D, "M"); n != 3 {
		t.Errorf("%d pieces in %q, want 3", n, v.Lines[0].D)
	}
	if len(v.Lines[0].Dots) != 1 {
		t.Errorf("dots %v, want one for the point on its own", v.Lines[0].Dots)
	}
}

func TestThinKeepsMeanAndRange(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, maxPoints, maxPoints + 1, 12345} {
		x, y := make([]float64, n), make([]float64, n)
		lo, hi := math.Inf(1), math.Inf(-1)
		for i := range x {
			x[i], y[i] = float64(i), rng.NormFloat64()
			lo, hi = min(lo, y[i]), max(hi, y[i])
		}
		runs := thin(x, y)
		if len(runs) != 1 {
			t.Fatalf("%d points without a gap became %d runs", n, len(runs))
		}
		p := runs[0]
		if n <= maxPoints {
			for i, m := range p {
				if len(p) != n || m != (mean{x[i], y[i], y[i], y[i]}) {
					t.Fatalf("%d points became %d, point %d %v", n, len(p), i, m)
				}
			}
			continue
		}
		if len(p) > maxPoints/2+1 {
			t.Fatalf("%d points became %d", n, len(p))
		}
		got := nothing
		for i, m := range p {
			got.add(m.lo, m.hi)
			if !(m.lo <= m.y && m.y <= m.hi) || i > 0 && m.x <= p[i-1].x {
				t.Fatalf("point %d: %v in %v..%v at %v", i, m.y, m.lo, m.hi, m.x)
			}
		}
		if want := (span{lo, hi}); got != want {
			t.Errorf("range %v, want %v", got, want)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		lo, hi  float64
		percent bool
		want    string
	}{
		{0, 12, false, "0 2 4 6 8 10 12"},
		{0, 1, true, "0% 20% 40% 60% 80% 100%"},
		{91.2, 92.8, false, "91.0 91.5 92.0 92.5 93.0"},
		{0, 0.001, false, "0 0.0002 0.0004 0.0006 0.0008 0.001"},
		{0, 20000, false, "0 5000 10k 15k 20k"},
		{1000000, 1000010, false, "1000000 1000002 1000004 1000006 1000008 1000010"},
		{-1, 1, false, "-1.0 -0.5 0.0 0.5 1.0"},
		{0, 0, false, "0.0 0.2 0.4 0.6 0.8 1.0"},
	} {
		var got []string
		for _, tick := range newScale(span{c.lo, c.hi}, 0, 1).ticks(5, c.percent) {
			got = append(got, tick.Text)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v..%v: %q, want %q", c.lo, c.hi, strings.Join(got, " "), c.want)
		}
	}
}

// TestScaleEncloses tries ranges over many sizes: ends enclose the data, ticks are few, rising and inside,
// and no coordinate leaves the plot.
func TestScaleEncloses(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		lo := rng.NormFloat64() * math.Pow(10, float64(rng.IntN(40)-20))
		hi := lo + rng.ExpFloat64()*math.Pow(10, float64(rng.IntN(40)-20))
		s := newScale(span{lo, hi}, 100, 0)
		if s.lo > lo || s.hi < hi || !(s.lo < s.hi) {
			t.Fatalf("%g..%g: axis %g..%g", lo, hi, s.lo, s.hi)
		}
		ticks := s.ticks(5, false)
		if len(ticks) > 16 {
			t.Fatalf("%g..%g: %d ticks", lo, hi, len(ticks))
		}
		last := 100.0
		for _, k := range ticks {
			y, err := strconv.ParseFloat(k.At, 64)
			if err != nil || !(y >= 0 && y <= last) {
				t.Fatalf("%g..%g: tick %s at %s, the one before at %g", lo, hi, k.Text, k.At, last)
			}
			last = y
		}
	}
}

func TestDepthBars(t *testing.T) {
	v := depthBars([]int{10, 0, 30, 960})
	if len(v.Bars) != 4 {
		t.Fatalf("%d bars", len(v.Bars))
	}
	height := func(i int) float64 { h, _ := strconv.ParseFloat(v.Bars[i].H, 64); return h }
	if r := height(3) / height(2); math.Abs(r-32) > 2 || height(1) != 0 {
		t.Errorf("heights %v, %v, %v, %v", height(0), height(1), height(2), height(3))
	}
	if v.Bars[3].Texts[0].Text != "96" || v.Bars[1].Texts != nil || v.About != "mean 3.94 of 4 blocks" {
		t.Errorf("%+v, about %q", v.Bars, v.About)
	}
	if v.Bars[0].Fill != hex(depthColor(1, 4)) || v.Bars[3].Fill != hex(depthColor(4, 4)) {
		t.Error("bars do not have their depth's colour")
	}
}

func TestHeat(t *testing.T) {
	h := Heat{
		Title: "scores", XLabel: "epoch", YLabel: "share",
		X: []float64{1, 2, 3}, Values: [][]float64{{0, 0.5}, {0.25, math.NaN()}, {1, 0}},
	}
	v, err := h.layout()
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Bars) != 5 || v.Bars[0].Fill != hex(scaleColor(0)) || v.Bars[3].Fill != hex(scaleColor(1)) ||
		v.Bars[1].About != "epoch 1, block 2: 0.5" {
		t.Errorf("%+v", v.Bars)
	}
	if len(v.YTicks) != 2 || len(v.XTicks) != 3 || v.YLabel != "share, 0 to 1" {
		t.Errorf("ticks %v, %v, label %q", v.XTicks, v.YTicks, v.YLabel)
	}
	long := Heat{}
	for i := range 1000 {
		long.X, long.Values = append(long.X, float64(i)), append(long.Values, make([]float64, 24))
	}
	if v, err = long.layout(); err != nil || len(v.Bars) != maxHeat*24 {
		t.Errorf("%d rectangles, %v", len(v.Bars), err)
	}
	for _, bad := range []Heat{
		{X: []float64{1}}, {X: []float64{1, 2}, Values: [][]float64{{1}, {1, 2}}},
		{X: []float64{1}, Values: [][]float64{make([]float64, maxLayers+1)}},
	} {
		if _, err := bad.layout(); err == nil {
			t.Errorf("no error for %d columns", len(bad.X))
		}
	}
	samples := []Sample{gradient(28, 28, 1, 7, 7, 12)}
	page, err := HTML(Page{Scores: &h, Samples: samples, Charts: []Chart{{Title: "x"}}})
	if err != nil {
		t.Fatal(err)
	}
	elements, _ := check(t, page)
	if countOf(elements, "article", "") != 1 || countOf(elements, "figure", "chart") != 2 {
		t.Error("the training page lacks its heat map or its sample")
	}
	for _, empty := range []Heat{{}, {X: []float64{1}, Values: [][]float64{nil}}} {
		if _, err := HTML(Page{Scores: &empty}); err != nil {
			t.Error(err)
		}
	}
}

// TestChartLogY: powers of ten lie evenly, what is not positive is a gap, and values are told as they are.
func TestChartLogY(t *testing.T) {
	v, err := Chart{LogY: true, Markers: true, Series: []Series{{Name: "s", Y: []float64{1, 10, 0, 100, -1}}}}.layout()
	if err != nil {
		t.Fatal(err)
	}
	got := coordinates(t, v.Lines[0].D)
	if len(got) != 3 || got[1][1] != (plotB+plotT)/2 || got[0][1]-got[1][1] != got[1][1]-got[2][1] ||
		got[0][1] >= plotB || got[0][1] < plotB-12 {
		t.Errorf("points %v", got)
	}
	if dots := v.Lines[0].Dots; len(dots) != 3 || dots[2].Text != "s: 4, 100" || !strings.Contains(v.About, "at 100") {
		t.Errorf("dots %v, about %q", dots, v.About)
	}
	for _, c := range []struct {
		lo, hi float64
		want   string
	}{
		{0, 2, "1 2 5 10 20 50 100"}, {-1.1, 0.8, "0.1 0.2 0.5 1 2 5"}, {0, 4, "1 10 100 1000 10k"},
		{2.9, 3.05, "1000"}, {-9, 9, "1e-09 1e-06 0.001 1 1000 1M 1G"},
	} {
		var words []string
		for _, tick := range (scale{c.lo, c.hi, 0, 1}).powers() {
			words = append(words, tick.Text)
		}
		if got := strings.Join(words, " "); got != c.want {
			t.Errorf("%v to %v: %q, want %q", c.lo, c.hi, got, c.want)
		}
	}
}

// TestChartSVG: a chart on its own names its lines, each within the picture.
func TestChartSVG(t *testing.T) {
	c := Chart{Title: "latency", LogY: true, Series: []Series{{Name: "median", Y: []float64{1, 2}},
		{Name: "<99 %>", Y: []float64{3, 400}}, {Name: strings.Repeat("long name ", 5), Y: []float64{5, 5}, Dashed: true}}}
	path := filepath.Join(t.TempDir(), "chart.svg")
	if err := c.WriteSVG(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	elements, text := parse(t, b)
	if !strings.Contains(text, "<99 %>") || !strings.Contains(text, "median") || countOf(elements, "script", "") != 0 {
		t.Errorf("%s", b)
	}
	tall := regexp.MustCompile(`viewBox="0 -26 368 (\d+)"`).FindSubmatch(b)
	lowest := regexp.MustCompile(`M46 (\d+)h16`).FindAllSubmatch(b, -1)
	if tall == nil || len(lowest) != 2 { // the third name has a line to itself
		t.Fatalf("%s", b)
	}
	height, _ := strconv.Atoi(string(tall[1]))
	last, _ := strconv.Atoi(string(lowest[1][1]))
	if last > height-26 || last < plotB+32 {
		t.Errorf("the last name lies at %d of %d", last, height-26)
	}
	if err := (Chart{Series: []Series{{X: []float64{1}}}}).WriteSVG(path); err == nil {
		t.Error("no error for a bad chart")
	}
}
