package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/internal/turns"
	"github.com/adavit/adavit/report"
)

// What was asked for at twice the nominal rate.
const (
	overloadN      = 2
	answeredAsked  = 0.999
	goodputAsked   = 1.5 // times that of shedding
	degradeArm     = "degrade"
	shedArm        = "shed"
	noControlArm   = "no control"
	overloadReport = "overload.md"
)

// Figures of a round; NaN where nothing was taken on.
func p50Of(r tools.RateResult) float64 {
	if r.Latency == nil {
		return math.NaN()
	}
	return r.Latency.P50
}

func p99Of(r tools.RateResult) float64 {
	if r.Latency == nil {
		return math.NaN()
	}
	return r.Latency.P99
}

func successOf(r tools.RateResult) float64 { return r.Success }
func goodputOf(r tools.RateResult) float64 { return r.Goodput }

// overloadClaim is one of what was asked for.
type overloadClaim struct {
	what, asked, measured string
	met                   bool
}

// claims holds the experiment against what was asked for.
func (x *overloadOf) claims() (all []overloadClaim) {
	degrade, shed := x.find(degradeArm, overloadN), x.find(shedArm, overloadN)
	if degrade == nil {
		return nil // N was not tried
	}
	p99, answered := degrade.median(p99Of), degrade.median(successOf)
	ratio := degrade.median(goodputOf) / shed.median(goodputOf)
	none := x.find(noControlArm, overloadN).median(p99Of)
	return []overloadClaim{
		{"degrade: p99 of what was taken on", fmt.Sprintf("at most %v ms", x.SLO), fmt.Sprintf("%.4g ms", p99), p99 <= x.SLO},
		{"degrade: answered", fmt.Sprintf("%.1f %%", 100*answeredAsked), fmt.Sprintf("%.2f %%", 100*answered),
			answered >= answeredAsked},
		{"degrade: goodput", fmt.Sprintf("%v × shed's", goodputAsked), fmt.Sprintf("%.2f ×", ratio), ratio >= goodputAsked},
		{"no control fails: p99", fmt.Sprintf("more than %v ms", x.SLO), fmt.Sprintf("%.4g ms", none), none > x.SLO},
	}
}

// table has a line for each cell, with medians over the rounds.
func (x *overloadOf) table() report.Table {
	t := report.NewTable(2, "N", "arm", "requests/s", "answered %", "turned away %", "late %", "goodput/s", "p50 ms",
		"p99", "p99 of rounds", "budget", "turned away after ms")
	for _, c := range x.Cells {
		share := func(kinds ...string) string {
			return fmt.Sprintf("%.2f", 100*c.median(func(r tools.RateResult) float64 {
				n := 0
				for _, kind := range kinds {
					n += r.Answers[kind]
				}
				return float64(n) / float64(max(r.Scheduled, 1))
			}))
		}
		low, high := math.Inf(1), math.Inf(-1)
		for _, r := range c.Rounds {
			low, high = min(low, p99Of(r)), max(high, p99Of(r))
		}
		t.Add(fmt.Sprint(c.N), c.Arm, fmt.Sprintf("%.4g", float64(c.N)*x.Nominal),
			fmt.Sprintf("%.2f", 100*c.median(successOf)), share("503", "429"), share("504", "timeout", "unsent"),
			fmt.Sprintf("%.4g", c.median(goodputOf)), fmt.Sprintf("%.4g", c.median(p50Of)), fmt.Sprintf("%.4g", c.median(p99Of)),
			fmt.Sprintf("%.4g–%.4g", low, high),
			fmt.Sprintf("%.2f", c.median(func(r tools.RateResult) float64 { return r.Budget })),
			fmt.Sprintf("%.3g", c.median(func(r tools.RateResult) float64 { return r.ShedP99 })))
	}
	return t
}

// chart draws one figure over N, a line for each arm.
func (x *overloadOf) chart(title, label string, of func(r tools.RateResult) float64) report.Chart {
	c := report.Chart{Title: title, XLabel: fmt.Sprintf("load, in multiples of %v of the capacity", nominalLoad),
		YLabel: label, Markers: true}
	for _, a := range arms {
		s := report.Series{Name: a.name}
		for _, cell := range x.Cells {
			if cell.Arm == a.name {
				s.X, s.Y = append(s.X, float64(cell.N)), append(s.Y, cell.median(of))
			}
		}
		c.Series = append(c.Series, s)
	}
	return c
}

// reference adds a dashed line.
func reference(c *report.Chart, name string, y func(x float64) float64) {
	s := report.Series{Name: name, Dashed: true, X: c.Series[0].X}
	for _, x := range s.X {
		s.Y = append(s.Y, y(x))
	}
	c.Series = append(c.Series, s)
}

// writeOverload writes the table and the plots, and prints the table.
func (f *serveFindings) writeOverload(all []*overloadOf) error {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	o := f.options
	p("# Overload\n")
	p("Written by `make bench-overload` on %s; it took %.0f minutes.\n", f.date.Format("2006-01-02 15:04 MST"),
		f.took.Minutes())
	p("N × %v of the server's capacity at the model's own budget, Poisson arrivals, latency from the intended send time. "+
		"Server on CPUs %s, generator on %s. %d rounds of %v; each starts a\nserver anew. Figures are medians over the "+
		"rounds. p50 and p99 are of requests that the server took on: successes, and those whose answer did not come in "+
		"time.\n", nominalLoad, o.serverCPUs, o.generatorCPUs, o.serveOptions.rounds, o.time)
	f.writeMachine(p, "Notes")
	for _, x := range all {
		p("\n## %s\n\nCapacity %s requests/s; objective %v ms.\n", x.Model, spanOf(x.Capacity).text(), x.SLO)
		if claims := x.claims(); claims != nil {
			t := report.NewTable(2, fmt.Sprintf("at N = %d", overloadN), "asked", "measured", "")
			for _, c := range claims {
				t.Add(c.what, c.asked, c.measured, yes(c.met))
			}
			p("%s", t.Markdown())
			p("(At N = %d all requests together are %.2f times the capacity: a server that turns away no more than it must has "+
				"that much less goodput than one that answers all.)\n", overloadN, overloadN*nominalLoad)
		}
		io.WriteString(&b, x.table().Markdown())
		latency := x.chart(x.Model+": p99 of what was taken on", "ms", p99Of)
		latency.LogY = true
		reference(&latency, "objective", func(float64) float64 { return x.SLO })
		goodput := x.chart(x.Model+": answers within the objective", "a second", goodputOf)
		reference(&goodput, "requests", func(n float64) float64 { return n * x.Nominal })
		reference(&goodput, "capacity at the model's own budget", func(float64) float64 { return turns.Median(x.Capacity) })
		for name, c := range map[string]report.Chart{"p99": latency, "goodput": goodput} {
			if err := c.WriteSVG(filepath.Join(o.folder, x.Model+"-"+name+".svg")); err != nil {
				return err
			}
		}
		p("\n![p99](%s-p99.svg)\n![goodput](%s-goodput.svg)", x.Model, x.Model)
	}
	if _, err := o.stdout.Write(b.Bytes()); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(o.folder, overloadReport), b.Bytes(), 0o666)
}
