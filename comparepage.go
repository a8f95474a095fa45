package adavit

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/machine"
	"github.com/adavit/adavit/report"
)

// meanOf is the mean of a figure over a scheme's runs.
func (s *SchemeResult) meanOf(figure func(SchemeRun) float64) Mean {
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

// finish sums up and writes the results.
func (c *comparer) finish() (Comparison, error) {
	r := &c.result
	for i := range r.Schemes {
		s := &r.Schemes[i]
		s.Top1 = s.meanOf(func(r SchemeRun) float64 { return r.Matched.Top1 })
		s.Depth = s.meanOf(func(r SchemeRun) float64 { return r.Matched.MeanDepth })
		s.MACs = s.meanOf(func(r SchemeRun) float64 { return r.Matched.MACs })
		s.Single = s.meanOf(func(r SchemeRun) float64 { return r.Single })
		s.Batch = s.meanOf(func(r SchemeRun) float64 { return r.Batch })
	}
	r.Report, r.Table, r.Plot = filepath.Join(c.o.Dir, "compare.html"), filepath.Join(c.o.Dir, "table.md"), filepath.Join(c.o.Dir, "compare.svg")
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return Comparison{}, err
	}
	if err := atomicfile.WriteFile(filepath.Join(c.o.Dir, "compare.json"), append(text, '\n')); err != nil {
		return Comparison{}, err
	}
	if err := atomicfile.WriteFile(r.Table, []byte(r.Markdown())); err != nil {
		return Comparison{}, err
	}
	page := c.page()
	if err := page.Scatters[0].WriteSVG(r.Plot); err != nil {
		return Comparison{}, err
	}
	return *r, report.WriteHTML(r.Report, page)
}

// spreadText prints a mean, and how far the seeds lie apart if there are several.
func spreadText(m Mean, decimals, seeds int) string {
	text := fmt.Sprintf("%.*f", decimals, m.Mean)
	if seeds > 1 {
		text += fmt.Sprintf(" ± %.*f", decimals, m.Spread)
	}
	return text
}

// digits is how many decimals give a rate three digits.
func digits(v float64) int { return max(0, 2-int(math.Floor(math.Log10(max(v, 0.01))))) }

// Summary is the comparison's table: a line for each scheme, at the depth that all were brought to.
func (r *Comparison) Summary() report.Table {
	n := len(r.Seeds)
	t := report.Table{Columns: []report.Column{{Head: "scheme", Left: true}, {Head: "top-1 %"}, {Head: "mean depth"}, {Head: "MMACs"}, {Head: "of dense"},
		{Head: "images/s"}, {Head: "speed-up"}, {Head: fmt.Sprintf("by %d: images/s", r.Batch)}, {Head: "speed-up"}, {Head: "trained: top-1 %"}, {Head: "depth"}}}
	for i := range r.Schemes {
		s := &r.Schemes[i]
		row := []string{s.Name, spreadText(s.Top1, 2, n), spreadText(s.Depth, 2, n) + s.missed(), fmt.Sprintf("%.1f", s.MACs.Mean/1e6),
			fmt.Sprintf("%.2f", s.meanOf(func(r SchemeRun) float64 { return r.Matched.MACs / r.Matched.DenseMACs }).Mean),
			fmt.Sprintf("%.*f", digits(s.Single.Mean), s.Single.Mean), spreadText(s.meanOf(func(r SchemeRun) float64 { return r.SingleSpeedup }), 2, n),
			fmt.Sprintf("%.*f", digits(s.Batch.Mean), s.Batch.Mean), spreadText(s.meanOf(func(r SchemeRun) float64 { return r.BatchSpeedup }), 2, n),
			spreadText(s.meanOf(func(r SchemeRun) float64 { return r.Trained.Top1 }), 2, n), spreadText(s.meanOf(func(r SchemeRun) float64 { return r.Trained.MeanDepth }), 2, n)}
		cells := make([]report.Cell, len(row))
		for j, text := range row {
			cells[j].Text = text
		}
		t.Rows = append(t.Rows, cells)
	}
	return t
}

// ControlTable is what the schemes' choice of tokens is worth.
func (r *Comparison) ControlTable() report.Table {
	n := len(r.Seeds)
	t := report.Table{Title: "What halting decides", Columns: []report.Column{{Head: "scheme", Left: true}, {Head: "depth: deviation between images"}, {Head: "between an image's patches"},
		{Head: "top-1 %"}, {Head: "patches by lot: top-1 %"}}}
	for i := range r.Schemes {
		s := &r.Schemes[i]
		if !s.adaptive() {
			continue
		}
		lot := "–"
		if !slices.ContainsFunc(s.Runs, func(r SchemeRun) bool { return r.Control.Random == nil }) {
			lot = spreadText(s.meanOf(func(r SchemeRun) float64 { return *r.Control.Random }), 2, n)
		}
		t.Rows = append(t.Rows, []report.Cell{{Text: s.Name}, {Text: fmt.Sprintf("%.2f", s.meanOf(func(r SchemeRun) float64 { return r.Control.Images }).Mean)},
			{Text: fmt.Sprintf("%.2f", s.meanOf(func(r SchemeRun) float64 { return r.Control.Tokens }).Mean)}, {Text: spreadText(s.Top1, 2, n)}, {Text: lot}})
	}
	return t
}

// Markdown is the comparison's tables as table.md has them.
func (r *Comparison) Markdown() string {
	text := r.Summary().Markdown()
	if t := r.ControlTable(); len(t.Rows) > 0 {
		text += fmt.Sprintf("\n%s:\n\n%s", t.Title, t.Markdown())
	}
	if t := r.SpeedTable(); len(t.Rows) > 0 {
		text += fmt.Sprintf("\n%s (%d images at once, against the dense model):\n\n%s", t.Title, r.Batch, t.Markdown())
	}
	return text
}

// missed marks a scheme that could not be brought to the depth.
func (s *SchemeResult) missed() string {
	for _, r := range s.Runs {
		if r.Dialled != nil && !r.Dialled.Reached {
			return " (!)"
		}
	}
	return ""
}

// page draws the comparison.
func (c *comparer) page() report.Page {
	r := &c.result
	p := report.Page{
		Title: "Halting schemes compared", Subtitle: fmt.Sprintf("%d schemes from %s on %s, %d epochs each, %d test images", len(r.Schemes), r.Model, r.Data, r.Epochs, r.Images),
		Machine: machine.Describe(r.Threads), Date: time.Now(), Table: r.Summary(), Facts: r.facts(),
		Notes: []string{
			"All schemes start from the same dense model and train with equal epochs, seeds and data. “none” is the dense model trained on equally; topk and tome work on its weights unless they are told to train.",
			"Then each is brought to one mean depth by its own constant, found by bisection on training images; no test image takes part in that. “trained” are the figures before. (!) marks a depth that the constant cannot give.",
			"Mean depth is the number of blocks that a token really ran in, over all tokens of all test images; when an image is finished, all its tokens are. MACs are counted from the tokens that ran, with what a scheme adds.",
			fmt.Sprintf("Speed is measured on test images in %s, one by one and %d at once, all schemes in one process taking turns in %d rounds: the medians, and the medians of the rounds' ratios to “none”.",
				r.Precision, r.Batch, timeRounds),
			"Every run keeps its last epoch's weights, or their moving average if that does better on the test images.",
			"± is the standard deviation over the seeds.",
		},
	}
	single := report.Scatter{Title: "Accuracy against time, one image at a time", XLabel: "milliseconds an image", YLabel: "top-1 %"}
	batch := report.Scatter{Title: fmt.Sprintf("Accuracy against time, %d images at once", r.Batch), XLabel: "milliseconds an image", YLabel: "top-1 %"}
	macs := report.Scatter{Title: "Accuracy against multiply-adds", XLabel: "MMACs an image", YLabel: "top-1 %"}
	for i := range r.Schemes {
		s := &r.Schemes[i]
		point := func(figure func(SchemeRun) float64) report.Point {
			x := s.meanOf(figure)
			return report.Point{Name: s.Name, X: x.Mean, XSpread: x.Spread, Y: s.Top1.Mean, YSpread: s.Top1.Spread, Hollow: !s.adaptive()}
		}
		single.Points = append(single.Points, point(func(r SchemeRun) float64 { return 1000 / r.Single }))
		batch.Points = append(batch.Points, point(func(r SchemeRun) float64 { return 1000 / r.Batch }))
		macs.Points = append(macs.Points, point(func(r SchemeRun) float64 { return r.Matched.MACs / 1e6 }))
	}
	p.Scatters = []report.Scatter{single, batch, macs}
	if t := r.SpeedTable(); len(t.Rows) > 0 {
		p.Charts, p.Tables = []report.Chart{r.sweepChart()}, []report.Table{t}
		p.Notes = append(p.Notes, "Top-1 at equal time is read off the curves of the sweep, in batches, between their points; a dash is beyond them.")
	}
	if t := r.ControlTable(); len(t.Rows) > 0 {
		p.Tables = append(p.Tables, t)
		p.Notes = append(p.Notes, "“By lot” is a control: the depths of each image's patches in random order, so that as many halt in each block, but not the same ones. What it costs is what the choice of patches is worth.")
	}
	p.Tables = append(p.Tables, c.runTable())
	set := slices.DeleteFunc(c.recipes[0][0].Rows(), func(s report.Setting) bool {
		return s.Name == "init" || s.Name == "halting" || s.Name == "seed" // they differ from run to run, or are not what was used
	})
	p.Settings = append([]report.Setting{{Name: "top-1 before training", Value: fmt.Sprintf("%.2f %%", r.StartTop1)}, {Name: "seeds", Value: fmt.Sprint(r.Seeds)},
		{Name: "precision", Value: r.Precision}, {Name: "data", Value: r.Data}}, set...)
	return p
}

// runTable lists the single runs.
func (c *comparer) runTable() report.Table {
	t := report.Table{Title: "Each run", Columns: []report.Column{{Head: "scheme", Left: true}, {Head: "seed"}, {Head: "trained: top-1 %"}, {Head: "depth"}, {Head: "constant", Left: true},
		{Head: "trained"}, {Head: "matched"}, {Head: "top-1 %"}, {Head: "depth"}, {Head: "training"}, {Head: "report", Left: true}, {Head: "log", Left: true}}}
	link := func(run, file string) string {
		path, err := filepath.Rel(c.o.Dir, filepath.Join(run, file))
		if err != nil {
			return ""
		}
		return filepath.ToSlash(path)
	}
	for _, s := range c.result.Schemes {
		for _, r := range s.Runs {
			var d Dialled
			constant, from, to := "", "", ""
			if r.Dialled != nil {
				d = *r.Dialled
				constant, from, to = d.Constant, fmt.Sprintf("%.4g", d.From), fmt.Sprintf("%.4g", d.To)
			}
			took := ""
			if r.Seconds > 0 {
				took = time.Duration(r.Seconds * float64(time.Second)).Round(time.Second).String()
			}
			t.Rows = append(t.Rows, []report.Cell{{Text: s.Name}, {Text: fmt.Sprint(r.Seed)}, {Text: fmt.Sprintf("%.2f", r.Trained.Top1)}, {Text: fmt.Sprintf("%.2f", r.Trained.MeanDepth)},
				{Text: constant}, {Text: from}, {Text: to}, {Text: fmt.Sprintf("%.2f", r.Matched.Top1)}, {Text: fmt.Sprintf("%.2f", r.Matched.MeanDepth)}, {Text: took},
				{Text: "report", Link: link(r.Run, "report.html")}, {Text: "log", Link: link(r.Run, "log.jsonl")}})
		}
	}
	return t
}

// facts are what the comparison comes to: the dense model, and the most accurate of those that were brought to the depth.
func (r *Comparison) facts() []report.Fact {
	dense := &r.Schemes[0]
	list := []report.Fact{{Value: fmt.Sprintf("%.2f %%", dense.Top1.Mean), Label: "top-1 of the dense model, trained on equally"}}
	var best *SchemeResult
	for i := range r.Schemes[1:] {
		if s := &r.Schemes[1+i]; s.missed() == "" && s.adaptive() && (best == nil || s.Top1.Mean > best.Top1.Mean) {
			best = s
		}
	}
	if best == nil {
		return list
	}
	speedup := best.meanOf(func(r SchemeRun) float64 { return r.BatchSpeedup })
	return append(list, report.Fact{Value: best.Name, Label: fmt.Sprintf("is the most accurate at a mean depth of %.2f", best.Depth.Mean)},
		report.Fact{Value: fmt.Sprintf("%.2f %%", best.Top1.Mean), Label: "its top-1"}, report.Fact{Value: fmt.Sprintf("%.2f×", speedup.Mean), Label: "its images a second, in batches"})
}
