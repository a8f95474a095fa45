package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/adavit/adavit/report"
)

// writeShort writes images a second of all sides on our fastest kernels, a table for each batch, and how our dense runs
// compare with the fastest peer in the same precision.
func (f *findings) writeShort(w io.Writer) {
	fmt.Fprint(w, "\n## In short\n\nImages a second; below, our dense runs against the fastest peer in the same "+
		"precision.\n")
	for _, batch := range f.options.batches {
		head, keys := []string{"batch " + fmt.Sprint(batch)}, []string(nil)
		var contests []*contest
		for _, c := range f.contests {
			if c.path != "" || c.batch != batch {
				continue
			}
			contests, head = append(contests, c), append(head, fmt.Sprintf("%s, %s", c.model.name, count(c.threads, "thread")))
			for _, e := range c.entries {
				if !slices.Contains(keys, e.key()) {
					keys = append(keys, e.key())
				}
			}
		}
		if len(contests) == 0 {
			continue
		}
		t := report.NewTable(1, head...)
		line := func(name string, cell func(c *contest) string) {
			row := []string{name}
			for _, c := range contests {
				row = append(row, cell(c))
			}
			t.Add(row...)
		}
		for _, key := range keys {
			line(key, func(c *contest) string {
				e := c.find(key)
				if e == nil {
					return ""
				}
				return fmt.Sprintf("%.1f", 1000*float64(c.batch)/e.milliseconds().value)
			})
		}
		for _, p := range f.options.precisions {
			line(fmt.Sprintf("adavit %s × the fastest peer's", p), func(c *contest) string {
				return c.againstFastest(p)
			})
		}
		fmt.Fprintln(w)
		io.WriteString(w, t.Markdown())
	}
}

// againstFastest is our dense run's speed against that of the fastest peer of the same precision, and whose that is.
func (c *contest) againstFastest(precision string) string {
	ours, best := c.find(oursName+" "+precision), (*entry)(nil)
	for _, e := range c.entries {
		if e.who != oursName && e.precision == precision &&
			(best == nil || e.milliseconds().value < best.milliseconds().value) {
			best = e
		}
	}
	if ours == nil || best == nil {
		return ""
	}
	return ours.speedup(best).ratio() + " " + best.who
}
