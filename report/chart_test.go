package report

import (
	"math"
	"math/rand/v2"
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
	if first, last := v.YTicks[0], v.YTicks[len(v.YTicks)-1]; first != (tick{"176", "0"}) || last != (tick{"12", "100"}) {
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

func TestLogChart(t *testing.T) {
	v, err := Chart{LogY: true, Series: []Series{{Name: "s", Y: []float64{1e-6, 1e-3, 0, 1, -1}}}}.layout()
	if err != nil {
		t.Fatal(err)
	}
	got := coordinates(t, v.Lines[0].D)
	if len(got) != 3 || got[0][1] != plotB || got[1][1] != (plotB+plotT)/2 || len(v.Lines[0].Dots) != 1 {
		t.Errorf("points %v, dots %v", got, v.Lines[0].Dots)
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
		p := thin(x, y, func(x, y float64) bool { return true })
		if n <= maxPoints {
			if len(p.Y) != n || p.Lo != nil {
				t.Errorf("%d points became %d", n, len(p.Y))
			}
			continue
		}
		if len(p.Y) > maxPoints/2+1 || len(p.Lo) != len(p.Y) || len(p.Hi) != len(p.Y) {
			t.Fatalf("%d points became %d with ranges %d, %d", n, len(p.Y), len(p.Lo), len(p.Hi))
		}
		gotLo, gotHi := math.Inf(1), math.Inf(-1)
		for i := range p.Y {
			gotLo, gotHi = min(gotLo, p.Lo[i]), max(gotHi, p.Hi[i])
			if !(p.Lo[i] <= p.Y[i] && p.Y[i] <= p.Hi[i]) || i > 0 && p.X[i] <= p.X[i-1] {
				t.Fatalf("point %d: %v in %v..%v at %v", i, p.Y[i], p.Lo[i], p.Hi[i], p.X[i])
			}
		}
		if gotLo != lo || gotHi != hi {
			t.Errorf("range %v..%v, want %v..%v", gotLo, gotHi, lo, hi)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		lo, hi  float64
		log     bool
		percent bool
		want    string
	}{
		{0, 12, false, false, "0 2 4 6 8 10 12"},
		{0, 1, false, true, "0% 20% 40% 60% 80% 100%"},
		{91.2, 92.8, false, false, "91.0 91.5 92.0 92.5 93.0"},
		{0, 0.001, false, false, "0 0.0002 0.0004 0.0006 0.0008 0.001"},
		{0, 20000, false, false, "0 5000 10k 15k 20k"},
		{1000000, 1000010, false, false, "1000000 1000002 1000004 1000006 1000008 1000010"},
		{-1, 1, false, false, "-1.0 -0.5 0.0 0.5 1.0"},
		{0, 0, false, false, "0.0 0.2 0.4 0.6 0.8 1.0"},
		{1e-5, 1, true, false, "1e-05 0.0001 0.001 0.01 0.1 1"},
	} {
		s := newScale(c.lo, c.hi, 0, 1, c.log)
		var got []string
		for _, tick := range s.ticks(5) {
			got = append(got, tick.label(c.percent))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v..%v: %q, want %q", c.lo, c.hi, strings.Join(got, " "), c.want)
		}
	}
}

// TestScaleEncloses tries ranges over many sizes: ends enclose the data, ticks are
// few, rising and inside, and no coordinate leaves the plot.
func TestScaleEncloses(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		lo := rng.NormFloat64() * math.Pow(10, float64(rng.IntN(40)-20))
		hi := lo + rng.ExpFloat64()*math.Pow(10, float64(rng.IntN(40)-20))
		log := rng.IntN(2) == 0
		if log {
			lo = math.Abs(lo) + 1e-30
			hi = lo * (1 + rng.ExpFloat64()*1e4)
		}
		s := newScale(lo, hi, 100, 0, log)
		slack := 0.0
		if log {
			slack = 1e-9 * hi
		}
		if s.lo > lo+slack*lo/hi || s.hi < hi-slack || !(s.lo < s.hi) {
			t.Fatalf("%g..%g (log %v): axis %g..%g", lo, hi, log, s.lo, s.hi)
		}
		ticks := s.ticks(5)
		if len(ticks) > 16 {
			t.Fatalf("%g..%g (log %v): %d ticks", lo, hi, log, len(ticks))
		}
		for i, k := range ticks {
			if y := s.at(k.v); !(y >= 0 && y <= 100) || i > 0 && k.v < ticks[i-1].v {
				t.Fatalf("%g..%g: tick %g at %g", lo, hi, k.v, y)
			}
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
	if v.Bars[0].Fill != hex(DepthColor(1, 4)) || v.Bars[3].Fill != hex(DepthColor(4, 4)) {
		t.Error("bars do not have their depth's colour")
	}
}
