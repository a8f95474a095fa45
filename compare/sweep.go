package compare

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/vit"
)

// A sweep brings every scheme to several depths, one after the other, so that accuracy can be read off at equal time,
// not only at equal depth.

// SweepPoint is a run at one of the depths of a sweep.
type SweepPoint struct {
	Halting halting.Config `json:"halting"`
	Tuned   Tuned          `json:"dialled"`
	Reached
	Speed
}

// sweep brings the trained models to each depth of the sweep, tests them, and times those of one depth together.
func (c *comparer) sweep(ctx context.Context, trained []*vit.Model, p parts, index int) error {
	for _, target := range c.o.Sweep {
		models := slices.Clone(trained[:1])
		points := make([]*SweepPoint, len(c.schemes))
		for i, s := range c.schemes {
			if !trained[i].Params.Config.Halting.Adaptive() {
				continue
			}
			point, err := c.sweepPoint(ctx, s, trained[i], p, target, &c.result.Schemes[i].Runs[index])
			if err != nil {
				return fmt.Errorf("scheme %s at depth %v: %w", s.name, target, err)
			}
			points[i] = &point
			models = append(models, withHalting(trained[i], point.Halting))
		}
		speeds, err := c.time(ctx, models, p, c.o.Seeds[index])
		if err != nil {
			return err
		}
		next := 1
		for i, point := range points {
			if point != nil {
				point.Speed, next = speeds[next], next+1
				run := &c.result.Schemes[i].Runs[index]
				run.Sweep = append(run.Sweep, *point)
			}
		}
	}
	return nil
}

// sweepPoint tunes and tests one model, or finds that it was done before.
func (c *comparer) sweepPoint(ctx context.Context, s scheme, m *vit.Model, p parts, target float64,
	run *SchemeRun) (point SweepPoint, err error) {
	key, err := c.key(m, run.Run, p, target, false)
	if err != nil {
		return point, err
	}
	path := filepath.Join(run.Model, fmt.Sprintf("depth-%g.json", target))
	var f found
	if text, err := regular.Read(path, maxRecipe); err == nil && json.Unmarshal(text, &f) == nil && f.Key == key &&
		f.Tuned != nil {
		return SweepPoint{Halting: f.Halting, Tuned: *f.Tuned, Reached: f.Matched}, nil
	}
	if point.Halting, point.Tuned, err = c.tune(ctx, s, m, p, target, run.Seed); err != nil {
		return point, err
	}
	if point.Reached, err = c.reached(ctx, s, withHalting(m, point.Halting), p, run.Seed); err != nil {
		return point, err
	}
	text, err := json.MarshalIndent(found{Key: key, Halting: point.Halting, Tuned: &point.Tuned,
		Matched: point.Reached}, "", "  ")
	if err != nil {
		return point, err
	}
	return point, atomicfile.WriteFile(path, append(text, '\n'))
}

// pace is a point of a scheme's curve: the time that an image takes, as a share of the dense model's, and top-1; means
// over the seeds.
type pace struct{ share, milliseconds, top1 float64 }

// curve is a scheme's accuracy at several speeds in batches, the fastest first: the points of its sweep that reached
// their depth in all runs, and the one that all schemes are compared at.
func (s *SchemeResult) curve() []pace {
	n := float64(len(s.Runs))
	at := func(speed func(SchemeRun) Speed, reached func(SchemeRun) Reached) (p pace) {
		for _, r := range s.Runs {
			p.share += 1 / speed(r).BatchSpeedup / n
			p.milliseconds += 1000 / speed(r).Batch / n
			p.top1 += reached(r).Top1 / n
		}
		return p
	}
	var points []pace
	if s.missed() == "" {
		points = append(points, at(func(r SchemeRun) Speed { return r.Speed },
			func(r SchemeRun) Reached { return r.Matched }))
	}
	for k := range s.Runs[0].Sweep {
		if !slices.ContainsFunc(s.Runs, func(r SchemeRun) bool { return !r.Sweep[k].Tuned.Reached }) {
			points = append(points, at(func(r SchemeRun) Speed { return r.Sweep[k].Speed },
				func(r SchemeRun) Reached { return r.Sweep[k].Reached }))
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

// equalTimes are the speeds, against the dense model's, at which SpeedTable reads the curves.
var equalTimes = []float64{1.25, 1.5, 2, 2.5, 3, 4}

// SpeedTable is the schemes' top-1 at equal time, read off the curves of a sweep. Without a sweep it has no rows.
func (r *Comparison) SpeedTable() report.Table {
	t := report.NewTable(1, "scheme")
	t.Title = "Top-1 at equal time"
	for _, speed := range equalTimes {
		t.Columns = append(t.Columns, report.Column{Head: fmt.Sprintf("%g×", speed)})
	}
	if len(r.Sweep) == 0 {
		return t
	}
	for i := range r.Schemes {
		s := &r.Schemes[i]
		if !s.adaptive() {
			continue
		}
		row, curve := []string{s.Name}, s.curve()
		for _, speed := range equalTimes {
			text := "–"
			if v := top1At(curve, 1/speed); !math.IsNaN(v) {
				text = fmt.Sprintf("%.2f", v)
			}
			row = append(row, text)
		}
		t.Add(row...)
	}
	return t
}

// sweepChart draws the curves.
func (r *Comparison) sweepChart() report.Chart {
	chart := report.Chart{Title: fmt.Sprintf("Accuracy at several depths, %d images at once", r.Batch),
		XLabel: "milliseconds an image", YLabel: "top-1 %", Markers: true}
	for i := range r.Schemes {
		s := report.Series{Name: r.Schemes[i].Name}
		for _, p := range r.Schemes[i].curve() {
			s.X, s.Y = append(s.X, p.milliseconds), append(s.Y, p.top1)
		}
		chart.Series = append(chart.Series, s)
	}
	return chart
}
