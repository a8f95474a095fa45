package tools

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/adavit/adavit/report"
)

// WriteText prints the result for people.
func (r LoadResult) WriteText(w io.Writer) error {
	var b strings.Builder
	b.WriteString(r.URL)
	if r.Model != "" { // other servers may not say
		b.WriteString(", model " + r.Model)
	}
	fmt.Fprintf(&b, ", %s requests, %s arrivals", r.API, r.Arrivals)
	if r.Batch > 1 {
		fmt.Fprintf(&b, ", %d images a request", r.Batch)
	}
	if r.Budget != "" {
		fmt.Fprintf(&b, ", budget %s", r.Budget)
	}
	b.WriteString("\n")
	if c := r.Capacity; c != nil {
		fmt.Fprintf(&b, "capacity: %.4g requests/s on %d connections\n", c.Requests, c.Connections)
	}
	b.WriteString("\n")
	if err := r.Table().WriteText(&b); err != nil {
		return err
	}
	b.WriteString("\n")
	for _, x := range r.Rates {
		name := shortNumber(x.Rate) + " requests/s: "
		if x.OutsideP50 > 0 {
			fmt.Fprintf(&b, "%smedian of %.3g ms beside inference\n", name, x.OutsideP50)
		}
		if len(x.Reasons) > 0 {
			b.WriteString(name + "budgets by " + counts(x.Reasons, nil) + "\n")
		}
		if x.Success < 1 && x.Scheduled > 0 {
			b.WriteString(name + "answers " + counts(x.Answers, x.Messages) + "\n")
		}
		for _, text := range x.Warnings {
			b.WriteString(name + text + "\n")
		}
	}
	_, err := io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}

// counts lists how often each thing happened.
func counts(n map[string]int, messages map[string]string) string {
	var words []string
	for _, key := range slices.Sorted(maps.Keys(n)) {
		word := fmt.Sprintf("%s %d ×", key, n[key])
		if m := messages[key]; m != "" {
			word += " (" + m + ")"
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// Table has a line for each rate. Percentages are of the requests that were to be sent.
func (r LoadResult) Table() report.Table {
	heads := []string{"requests/s", "sent", "ok %", "shed %", "late %", "failed %", "goodput/s", "p50 ms", "p90", "p99",
		"95 % interval", "p99.9", "max", "budget", "sent late p99"}
	if r.Capacity != nil {
		heads = slices.Insert(heads, 1, "of capacity")
	}
	t := report.NewTable(0, heads...)
	for _, x := range r.Rates {
		shed := x.Answers["503"] + x.Answers["429"]
		late := x.Answers["504"] + x.Answers[answerTimeout] + x.Answers[answerUnsent]
		ok := x.Answers[statusOK]
		percent := func(n int) string {
			if x.Scheduled == 0 {
				return "–"
			}
			return trimZeros(fmt.Sprintf("%.2f", 100*float64(n)/float64(x.Scheduled)))
		}
		row := []string{shortNumber(x.Rate)}
		if r.Capacity != nil {
			row = append(row, shortNumber(x.OfCapacity))
		}
		row = append(row, fmt.Sprint(x.Sent), percent(ok), percent(shed), percent(late),
			percent(x.Scheduled-ok-shed-late), shortNumber(x.Goodput))
		ms := func(v float64) string { return fmt.Sprintf("%.3g", v) }
		if l := x.Latency; l != nil {
			row = append(row, ms(l.P50), ms(l.P90), ms(l.P99), ms(l.P99Low)+"–"+ms(l.P99High), ms(l.P999), ms(l.Max))
		} else {
			row = append(row, "–", "–", "–", "–", "–", "–")
		}
		budget := "–"
		if len(x.Reasons) > 0 {
			budget = fmt.Sprintf("%.2f", x.Budget)
		}
		t.Add(append(row, budget, ms(x.Lag.P99))...)
	}
	return t
}

// trimZeros shortens a number with a decimal point.
func trimZeros(s string) string { return strings.TrimRight(strings.TrimRight(s, "0"), ".") }

// Chart is latency over rate.
func (r LoadResult) Chart() report.Chart {
	c := report.Chart{Title: "Latency from the intended send time", XLabel: "requests a second", YLabel: "ms", LogY: true,
		Markers: true, Series: []report.Series{{Name: "median"}, {Name: "p99"}, {Name: "p99.9"}}}
	add := func(i int, x, y float64) {
		s := &c.Series[i]
		s.X, s.Y = append(s.X, x), append(s.Y, y)
	}
	ordered := slices.SortedFunc(slices.Values(r.Rates), func(a, b RateResult) int { return cmp.Compare(a.Rate, b.Rate) })
	for _, x := range ordered {
		if l := x.Latency; l != nil {
			add(0, x.Rate, l.P50)
			add(1, x.Rate, l.P99)
			add(2, x.Rate, l.P999)
		}
	}
	if r.SLO > 0 && len(ordered) > 0 {
		c.Series = append(c.Series, report.Series{Name: "objective", Dashed: true,
			X: []float64{ordered[0].Rate, ordered[len(ordered)-1].Rate}, Y: []float64{r.SLO, r.SLO}})
	}
	return c
}
