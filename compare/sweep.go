package compare

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/report"
)

// SweepPoint is a run at one of the depths of a sweep, which brings every scheme to several depths, one after the
// other, so that accuracy can be read off at equal time, not only at equal depth.
type SweepPoint struct {
	Halting halting.Config `json:"halting"`
	Tuned   Tuned          `json:"dialled"`
	Reached
	Speed
}

// sweep brings the trained models to each depth of the sweep, tests them, and times those of one depth together.
func (r *round) sweep(ctx context.Context) error {
	for k, target := range r.o.Sweep {
		models, swept := r.models[:1:1], []int{} // to be timed; the schemes of all but the first
		for i, m := range r.models {
			if !m.Params.Config.Halting.Adaptive() {
				continue
			}
			f, err := r.kept(fmt.Sprintf("depth-%g.json", target), i, target, false,
				func(f *Match) error { return r.match(ctx, i, target, f) })
			if err != nil {
				return fmt.Errorf("scheme %s at depth %v: %w", r.schemes[i].name, target, err)
			}
			point := SweepPoint{Halting: f.Halting, Tuned: *f.Tuned, Reached: f.Matched}
			r.runs[i].Sweep = append(r.runs[i].Sweep, point)
			models, swept = append(models, m.WithHalting(f.Halting)), append(swept, i)
		}
		speeds, err := r.time(ctx, models)
		if err != nil {
			return err
		}
		for at, i := range swept {
			r.runs[i].Sweep[k].Speed = speeds[1+at]
		}
	}
	return nil
}

// pacing is a way to have images run: one by one, or in batches.
type pacing struct {
	name          string
	speedup, rate func(Speed) float64 // against the dense model's, and in images a second
}

// pacings are those that a comparison times.
func (r *Comparison) pacings() []pacing {
	return []pacing{
		{"one image at a time", func(s Speed) float64 { return s.SingleSpeedup }, func(s Speed) float64 { return s.Single }},
		{fmt.Sprintf("%d images at once", r.Batch), func(s Speed) float64 { return s.BatchSpeedup },
			func(s Speed) float64 { return s.Batch }},
	}
}

// pace is a point of a curve: the time of an image, also as a share of the dense model's, and top-1; means over seeds.
type pace struct{ share, milliseconds, top1 float64 }

// curve is a scheme's accuracy at several speeds, the fastest first: the points of its sweep that reached their depth
// in all runs, and the one that all schemes are compared at.
func (s SchemeResult) curve(by pacing) []pace {
	var points []pace
	add := func(at func(SchemeRun) (Speed, Reached)) {
		var p pace
		n := float64(len(s.Runs))
		for _, r := range s.Runs {
			speed, reached := at(r)
			p.share += 1 / by.speedup(speed) / n
			p.milliseconds += 1000 / by.rate(speed) / n
			p.top1 += reached.Top1 / n
		}
		points = append(points, p)
	}
	if s.missed() == "" {
		add(func(r SchemeRun) (Speed, Reached) { return r.Speed, r.Matched })
	}
	for k := range s.Runs[0].Sweep {
		if !slices.ContainsFunc(s.Runs, func(r SchemeRun) bool { return !r.Sweep[k].Tuned.Reached }) {
			add(func(r SchemeRun) (Speed, Reached) { return r.Sweep[k].Speed, r.Sweep[k].Reached })
		}
	}
	slices.SortFunc(points, func(a, b pace) int { return cmp.Compare(a.share, b.share) })
	return points
}

// top1At reads a curve at a share of the dense model's time, between its points; NaN beyond its ends.
func top1At(curve []pace, share float64) float64 {
	for i := 1; i < len(curve); i++ {
		if a, b := curve[i-1], curve[i]; share >= a.share && share <= b.share {
			if a.share == b.share {
				return max(a.top1, b.top1)
			}
			return a.top1 + (b.top1-a.top1)*(share-a.share)/(b.share-a.share)
		}
	}
	return math.NaN()
}

// equalTimes are the speeds, against the dense model's, at which SpeedTables read the curves.
var equalTimes = []float64{1.25, 1.5, 2, 2.5, 3, 4}

// SpeedTables are the schemes' top-1 at equal time, read off the curves of a sweep: one by one, and in batches. There
// are none without a sweep.
func (r *Comparison) SpeedTables() (tables []report.Table) {
	if len(r.Sweep) == 0 || len(r.adaptive()) == 0 {
		return nil
	}
	for _, by := range r.pacings() {
		t := report.NewTable(1, "scheme")
		t.Title = "Top-1 at equal time, " + by.name
		for _, speed := range equalTimes {
			t.Columns = append(t.Columns, report.Column{Head: fmt.Sprintf("%g×", speed)})
		}
		for _, s := range r.adaptive() {
			row, curve := []string{s.Name}, s.curve(by)
			for _, speed := range equalTimes {
				text := "–"
				if v := top1At(curve, 1/speed); !math.IsNaN(v) {
					text = two(v)
				}
				row = append(row, text)
			}
			t.Add(row...)
		}
		tables = append(tables, t)
	}
	return tables
}

// drawnBelow is how far below the dense model's top-1 the curves are drawn, in points: where a scheme breaks down says
// nothing of the others, which would all lie in one line.
const drawnBelow = 8

// sweepCharts plot the curves.
func (r *Comparison) sweepCharts() (charts []report.Chart) {
	for _, by := range r.pacings() {
		chart := report.Chart{Title: "Accuracy over time, " + by.name,
			XLabel: "milliseconds an image", YLabel: "top-1 %", Markers: true}
		for _, s := range r.Schemes {
			line := report.Series{Name: s.Name}
			for _, p := range s.curve(by) {
				if p.top1 < r.Schemes[0].Top1.Mean-drawnBelow {
					continue
				}
				line.X, line.Y = append(line.X, p.milliseconds), append(line.Y, p.top1)
			}
			chart.Series = append(chart.Series, line)
		}
		charts = append(charts, chart)
	}
	return charts
}
