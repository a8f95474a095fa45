package compare

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/adavit/adavit/report"
)

// Figures of a run that several tables and plots show.
func matchedTop1(r SchemeRun) float64  { return r.Matched.Top1 }
func matchedDepth(r SchemeRun) float64 { return r.Matched.MeanDepth }
func matchedMACs(r SchemeRun) float64  { return r.Matched.MACs }
func batchSpeedup(r SchemeRun) float64 { return r.BatchSpeedup }

// meanOf is the mean of a figure over a scheme's runs.
func (s SchemeResult) meanOf(figure func(SchemeRun) float64) Mean {
	var m Mean
	n := float64(len(s.Runs))
	for _, r := range s.Runs {
		m.Mean += figure(r) / n
	}
	if n > 1 {
		for _, r := range s.Runs {
			d := figure(r) - m.Mean
			m.Spread += d * d / (n - 1)
		}
		m.Spread = math.Sqrt(m.Spread)
	}
	return m
}

// text prints a figure's mean over the runs to two places, and how far the seeds lie apart if there are several.
func (s SchemeResult) text(figure func(SchemeRun) float64) string {
	m := s.meanOf(figure)
	if len(s.Runs) > 1 {
		return two(m.Mean) + " ± " + two(m.Spread)
	}
	return two(m.Mean)
}

// two prints a figure to two places.
func two(v float64) string { return fmt.Sprintf("%.2f", v) }

// rate prints a rate with three digits.
func rate(v float64) string {
	return fmt.Sprintf("%.*f", max(0, 2-int(math.Floor(math.Log10(max(v, 0.01))))), v)
}

// missed marks a scheme that could not be brought to the depth.
func (s SchemeResult) missed() string {
	if slices.ContainsFunc(s.Runs, func(r SchemeRun) bool { return r.Tuned != nil && !r.Tuned.Reached }) {
		return " (!)"
	}
	return ""
}

// adaptive lists the schemes that halt tokens.
func (r *Comparison) adaptive() []SchemeResult {
	return slices.DeleteFunc(slices.Clone(r.Schemes), func(s SchemeResult) bool { return !s.adaptive() })
}

// Summary is the comparison's table: a line for each scheme, at the depth that all were brought to.
func (r *Comparison) Summary() report.Table {
	t := report.NewTable(1, "scheme", "top-1 %", "mean depth", "MMACs", "of dense", "images/s", "speed-up",
		fmt.Sprintf("by %d: images/s", r.Batch), "speed-up", "trained: top-1 %", "depth")
	for _, s := range r.Schemes {
		t.Add(s.Name, s.text(matchedTop1), s.text(matchedDepth)+s.missed(), fmt.Sprintf("%.1f", s.MACs.Mean/1e6),
			two(s.meanOf(func(r SchemeRun) float64 { return r.Matched.MACs / r.Matched.DenseMACs }).Mean),
			rate(s.Single.Mean), s.text(func(r SchemeRun) float64 { return r.SingleSpeedup }),
			rate(s.Batch.Mean), s.text(batchSpeedup),
			s.text(func(r SchemeRun) float64 { return r.Trained.Top1 }),
			s.text(func(r SchemeRun) float64 { return r.Trained.MeanDepth }))
	}
	return t
}

// ControlTable is what the schemes' choice of tokens is worth.
func (r *Comparison) ControlTable() report.Table {
	t := report.NewTable(1, "scheme", "depth: deviation between images", "between an image's patches", "top-1 %",
		"patches in random order: top-1 %")
	t.Title = "What halting decides"
	for _, s := range r.adaptive() {
		random := "–"
		if !slices.ContainsFunc(s.Runs, func(r SchemeRun) bool { return r.Control.Random == nil }) {
			random = s.text(func(r SchemeRun) float64 { return *r.Control.Random })
		}
		t.Add(s.Name, two(s.meanOf(func(r SchemeRun) float64 { return r.Control.Images }).Mean),
			two(s.meanOf(func(r SchemeRun) float64 { return r.Control.Tokens }).Mean), s.text(matchedTop1), random)
	}
	return t
}

// Markdown is the comparison's tables as table.md has them.
func (r *Comparison) Markdown() string {
	text := r.Summary().Markdown()
	if t := r.ControlTable(); len(t.Rows) > 0 {
		text += fmt.Sprintf("\n%s:\n\n%s", t.Title, t.Markdown())
	}
	for _, t := range r.SpeedTables() {
		text += fmt.Sprintf("\n%s, against the dense model:\n\n%s", t.Title, t.Markdown())
	}
	return text
}

// runTable lists the single runs.
func (c *comparer) runTable() report.Table {
	t := report.NewTable(1, "scheme", "seed", "trained: top-1 %", "depth", "constant", "trained", "matched", "top-1 %",
		"depth", "training", "report", "log")
	t.Title = "Each run"
	for _, j := range []int{4, 10, 11} {
		t.Columns[j].Left = true
	}
	for _, s := range c.result.Schemes {
		for _, r := range s.Runs {
			constant, from, to, took := "", "", "", ""
			if d := r.Tuned; d != nil {
				constant, from, to = d.Constant, fmt.Sprintf("%.4g", d.From), fmt.Sprintf("%.4g", d.To)
			}
			if r.Seconds > 0 {
				took = time.Duration(r.Seconds * float64(time.Second)).Round(time.Second).String()
			}
			t.Add(s.Name, fmt.Sprint(r.Seed), two(r.Trained.Top1), two(r.Trained.MeanDepth), constant, from, to,
				two(r.Matched.Top1), two(r.Matched.MeanDepth), took, "report.html", "log.jsonl")
			row := t.Rows[len(t.Rows)-1]
			for j := range row[10:] {
				cell := &row[10+j]
				if path, err := filepath.Rel(c.o.Dir, filepath.Join(r.Run, cell.Text)); err == nil {
					cell.Link = filepath.ToSlash(path)
				}
			}
		}
	}
	return t
}
