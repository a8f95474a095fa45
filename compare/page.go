package compare

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/machine"
	"github.com/adavit/adavit/report"
)

// finish sums up and writes the results.
func (c *comparer) finish() error {
	r := &c.result
	for i := range r.Schemes {
		s := &r.Schemes[i]
		s.Top1, s.Depth, s.MACs = s.meanOf(matchedTop1), s.meanOf(matchedDepth), s.meanOf(matchedMACs)
		s.Single = s.meanOf(func(r SchemeRun) float64 { return r.Single })
		s.Batch = s.meanOf(func(r SchemeRun) float64 { return r.Batch })
	}
	file := func(name string) string { return filepath.Join(c.o.Dir, name) }
	r.Report, r.Table, r.Plot = file("compare.html"), file("table.md"), file("compare.svg")
	page := c.page()
	plot := page.Scatters[0].WriteSVG
	if curves := page.Charts; len(curves) > 0 {
		plot = curves[len(curves)-1].WriteSVG
	}
	return errors.Join(store(file("compare.json"), r), atomicfile.WriteFile(r.Table, []byte(r.Markdown())), plot(r.Plot),
		report.WriteHTML(r.Report, page))
}

// page draws the comparison.
func (c *comparer) page() report.Page {
	r := &c.result
	p := report.Page{
		Title: "Halting schemes compared", Machine: machine.Describe(r.Threads), Date: time.Now(),
		Subtitle: fmt.Sprintf("%d schemes from %s on %s, %d epochs each, %d test images",
			len(r.Schemes), r.Model, r.Data, r.Epochs, r.Images),
		Table: r.Summary(), Facts: r.facts(), Scatters: r.scatters(), Notes: r.notes(),
	}
	if tables := r.SpeedTables(); tables != nil {
		p.Charts, p.Tables = r.sweepCharts(), tables
		p.Notes = append(p.Notes, "Top-1 at equal time is read off the curves of the sweep, between their points; a dash "+
			"is beyond them. The curves leave out what is more than "+fmt.Sprint(drawnBelow)+" points below the dense model.")
	}
	for _, s := range r.Schemes {
		if s.Entry != "" {
			p.Notes = append(p.Notes, fmt.Sprintf("“%s” is %s.", s.Name, s.Entry))
		}
	}
	if t := r.ControlTable(); len(t.Rows) > 0 {
		p.Tables = append(p.Tables, t)
		p.Notes = append(p.Notes, "“In random order” is a control: the depths of each image's patches are shuffled, so that "+
			"as many halt in each block, but not the same ones. What it costs is what the choice of patches is worth.")
	}
	p.Tables = append(p.Tables, c.runTable())
	set := slices.DeleteFunc(c.recipes[0].Rows(), func(s report.Setting) bool {
		// They differ from run to run, or are not what was used.
		return s.Name == "init" || s.Name == "halting" || s.Name == "seed"
	})
	p.Settings = append([]report.Setting{
		{Name: "top-1 before training", Value: fmt.Sprintf("%.2f %%", r.StartTop1)},
		{Name: "seeds", Value: fmt.Sprint(r.Seeds)},
		{Name: "precision", Value: r.Precision}, {Name: "data", Value: r.Data}}, set...)
	return p
}

// notes say how the figures came about.
func (r *Comparison) notes() []string {
	return []string{
		"All schemes start from the same dense model and train with equal epochs, seeds and data. “none” is the dense " +
			"model trained on equally; " + strings.Join(halting.Names(halting.NeedsNoTraining), ", ") +
			" work on its weights unless they are told to train.",
		"Then each is brought to one mean depth by its own constant, found by bisection on training images; no test image " +
			"takes part in that. “trained” are the figures before. (!) marks a depth that the constant cannot give.",
		"Mean depth is the number of blocks that a token really ran in, over all tokens of all test images; when an image " +
			"is finished, all its tokens are. MACs are counted from the tokens that ran, with what a scheme adds.",
		fmt.Sprintf("Speed is measured on test images in %s, one by one and %d at once, all schemes in one process taking "+
			"turns in %d rounds: the medians, and the medians of the rounds' ratios to “none”.", r.Precision, r.Batch,
			timeRounds),
		"Every run keeps its last epoch's weights, or their moving average if that does better on the validation images.",
		"± is the standard deviation over the seeds.",
	}
}

// scatters plot accuracy against what it costs.
func (r *Comparison) scatters() []report.Scatter {
	plot := func(title, x string, figure func(SchemeRun) float64) report.Scatter {
		p := report.Scatter{Title: title, XLabel: x, YLabel: "top-1 %"}
		for _, s := range r.Schemes {
			m := s.meanOf(figure)
			p.Points = append(p.Points, report.Point{Name: s.Name, X: m.Mean, XSpread: m.Spread, Y: s.Top1.Mean,
				YSpread: s.Top1.Spread, Hollow: !s.adaptive()})
		}
		return p
	}
	return []report.Scatter{
		plot("Accuracy against time, one image at a time", "milliseconds an image",
			func(r SchemeRun) float64 { return 1000 / r.Single }),
		plot(fmt.Sprintf("Accuracy against time, %d images at once", r.Batch), "milliseconds an image",
			func(r SchemeRun) float64 { return 1000 / r.Batch }),
		plot("Accuracy against multiply-adds", "MMACs an image", func(r SchemeRun) float64 { return r.Matched.MACs / 1e6 }),
	}
}

// facts are what the comparison comes to: the dense model, and the most accurate one that was brought to the depth.
func (r *Comparison) facts() []report.Fact {
	list := []report.Fact{{Value: two(r.Schemes[0].Top1.Mean) + " %",
		Label: "top-1 of the dense model, trained on equally"}}
	matched := slices.DeleteFunc(r.adaptive(), func(s SchemeResult) bool { return s.missed() != "" })
	if len(matched) == 0 {
		return list
	}
	best := slices.MaxFunc(matched, func(a, b SchemeResult) int { return cmp.Compare(a.Top1.Mean, b.Top1.Mean) })
	return append(list,
		report.Fact{Value: best.Name, Label: "is the most accurate at a mean depth of " + two(best.Depth.Mean)},
		report.Fact{Value: two(best.Top1.Mean) + " %", Label: "its top-1"},
		report.Fact{Value: two(best.meanOf(batchSpeedup).Mean) + "×", Label: "its images a second, in batches"})
}
