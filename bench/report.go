package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/adavit/adavit/internal/turns"
	"github.com/adavit/adavit/report"
)

// write writes the report as Markdown.
func (f *findings) write(w io.Writer) {
	p := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	o := f.options
	p("# Benchmarks\n")
	p("Written by `%s`%s on %s; do not edit. It took %.0f minutes.\n", o.makeCommand(), o.butFor(),
		f.date.Format("2006-01-02 15:04 MST"), f.took.Minutes())
	p("All sides load the same random weights and are given the same images. They take turns: %d rounds of %v for each "+
		"side, another one first each time. A", o.rounds, o.turn)
	p("ratio is one of medians of a batch's time over all rounds; in brackets the smallest and the largest ratio " +
		"within one round. Shares of the peak")
	p("are of the rate of multiply-adds and nothing else, measured between the rounds on as many cores, and count what " +
		"the engine really computed.")
	p("*Tokens halting*: A-ViT-Ti's published mean depth, %.2f of 12 blocks, as shares of patch tokens that fall "+
		"evenly from 1.00 to %.2f over the blocks, whatever", mean(o.shares)*float64(len(o.shares)),
		o.shares[len(o.shares)-1])
	p("the image; removing them is really done. Nobody else removes tokens here, so those rows compare an adaptive " +
		"model with a dense one.\n")
	f.writeMachine(p, "Not measured")
	f.writeShort(w)
	f.writeClaims(w)
	p("\n## Side by side\n\nOur slower kernels are for processors that have no AVX-512, or none of the instructions "+
		"that we write. Beside them OpenVINO is held to the same instructions\n(`%s`), as far as it lets itself be held; "+
		"ONNX Runtime has no switch for that and uses all that this machine has.", isaVariable)
	for _, c := range f.contests {
		p("")
		c.writeTable(w)
	}
	f.writeScaling(w)
	f.writeParts(w)
	f.writeChecks(w)
	f.writeAccuracy(w)
	f.writeStarts(w)
	f.writeMemory(w)
	f.writeTraining(w)
	p("\n%s", strings.TrimSuffix(arm64Section, "\n"))
	p("\n## Commands\n\nCACHE is the folder for what is made for the runs (`-cache`), VENV that of what is installed " +
		"(`-venv`). Our side runs in the benchmark's own process,\n" +
		"as `adavit bench --variant MODEL --precision P --threads N` does.\n")
	p("    %s", o.makeCommand())
	for _, line := range f.commands.lines {
		p("    %s", line)
	}
}

// writeTable writes all sides of a contest.
func (c *contest) writeTable(w io.Writer) {
	fmt.Fprintf(w, "### %s\n\n", c.title)
	head := []string{"side", "ms a batch", "p99", "images/s", "GMACs", "of the peak"}
	var against []*entry
	for _, e := range c.entries {
		if e.who != oursName {
			against = append(against, e)
			head = append(head, "× "+e.key())
		}
	}
	t := report.NewTable(1, head...)
	for _, e := range c.entries {
		var all []float64
		for _, r := range e.rounds {
			all = append(all, r...)
		}
		ms := e.milliseconds()
		row := []string{e.key(), fmt.Sprintf("%.2f (%.2f–%.2f)", ms.value, ms.low, ms.high),
			fmt.Sprintf("%.2f", turns.Percentile(all, 99)),
			fmt.Sprintf("%.1f", 1000*float64(c.batch)/ms.value), "", ""}
		if e.performed > 0 {
			row[4], row[5] = fmt.Sprintf("%.2f", e.performed/1e9), fmt.Sprintf("%.0f %%", 100*c.share(e))
		}
		for _, other := range against {
			if e == other {
				row = append(row, "1")
				continue
			}
			row = append(row, e.speedup(other).ratio())
		}
		t.Add(row...)
	}
	io.WriteString(w, t.Markdown())
	var peaks []string
	for _, p := range []string{f32, bf16, int8Name} {
		if rate := c.peak[p]; rate > 0 {
			peaks = append(peaks, fmt.Sprintf("%s %.0f", p, rate/1e9))
		}
	}
	if len(peaks) > 0 {
		fmt.Fprintf(w, "\nPeak, 10⁹ operations a second on %s: %s.\n", count(c.threads, "core"), strings.Join(peaks, ", "))
	}
	var settings, notes []string
	for _, e := range c.entries {
		if e.setting != "" {
			settings = append(settings, e.key()+" "+e.setting)
		}
		if e.note != "" {
			notes = append(notes, e.key()+": "+e.note)
		}
	}
	if len(settings) > 0 {
		fmt.Fprintf(w, "\nThe fastest of their settings: %s.\n", strings.Join(settings, ", "))
	}
	for _, n := range notes {
		fmt.Fprintf(w, "\n%s.\n", n)
	}
}

// writeParts writes where the time of one dense image goes.
func (f *findings) writeParts(w io.Writer) {
	fmt.Fprint(w,
		"\n## Where the time goes\n\nMilliseconds of one dense image on one thread, medians. The parts are our kernels "+
			"alone at the model's shapes, each block with its own weights, taking turns\n"+
			"with the engine; the last column is what the engine takes beyond their sum: patch embedding, gates, moving rows, "+
			"head.\n\n")
	t := report.NewTable(2, "model", "precision", "engine", "products", "of the peak", "attention", "GELU",
		"norms, rounding", "all else")
	for _, c := range f.contests {
		for _, turns := range c.parts {
			p, whole := turns.median(), c.find(oursName+" "+turns.precision).milliseconds().value
			ms := func(v float64) string { return fmt.Sprintf("%.2f (%.0f %%)", v, 100*v/whole) }
			t.Add(c.model.name, turns.precision, fmt.Sprintf("%.2f", whole), ms(p.products),
				fmt.Sprintf("%.0f %%", 100*p.rate()/c.peak[turns.precision]),
				ms(p.attention), ms(p.gelu), ms(p.prepare), ms(whole-p.sum()))
		}
	}
	io.WriteString(w, t.Markdown())
}

// writeChecks writes how near the logits are.
func (f *findings) writeChecks(w io.Writer) {
	fmt.Fprintf(w,
		"\n## Same logits\n\nOn %d images, against our own float32 with the same tokens. Allowed: f32 %g of the largest "+
			"logit, bf16 a cosine of %g, int8 %g (peers %g).\n\n",
		checkImages, f32Relative, bf16Cosine, int8Cosine, peersCosine)
	t := report.NewTable(2, "contest", "side", "largest difference", "smallest cosine", "same class")
	for _, c := range f.contests {
		for _, k := range c.checks {
			t.Add(c.title, k.key, fmt.Sprintf("%.1e", k.relative), fmt.Sprintf("%.6f", k.cosine),
				fmt.Sprintf("%d of %d", k.top1, k.images))
		}
	}
	io.WriteString(w, t.Markdown())
}

// writeAccuracy writes what precision does to a trained model.
func (f *findings) writeAccuracy(w io.Writer) {
	if len(f.accuracy) == 0 {
		return
	}
	fmt.Fprintf(w, "\n## Accuracy of %s\n\n%d test images; tokens run to their own depths.\n\n", accuracyModel,
		f.accuracy[0].images)
	t := report.NewTable(1, "precision", "top-1", "images that change class", "tokens that change depth", "by at most",
		"mean depth")
	for _, a := range f.accuracy {
		t.Add(a.precision, fmt.Sprintf("%.2f %%", a.top1), fmt.Sprint(a.changed),
			fmt.Sprintf("%d of %d (%.3f %%)", a.moved, a.tokens, 100*float64(a.moved)/float64(a.tokens)),
			count(a.further, "block"), fmt.Sprintf("%.4f", a.meanDepth))
	}
	io.WriteString(w, t.Markdown())
}

// writeMemory writes what a loaded model takes.
func (f *findings) writeMemory(w io.Writer) {
	fmt.Fprintf(w,
		"\n## Memory\n\nAnonymous memory with the model loaded and one image run on one thread, beyond that of the same "+
			"program before; a process of its own each.\n\n")
	t := report.NewTable(3, "model", "program", "precision", "held", "at most resident, all counted")
	for _, m := range f.memory {
		peak := ""
		if m.Peak > 0 {
			peak = megabytes(m.Peak)
		}
		t.Add(m.model, m.who, m.what, megabytes(m.Held), peak)
	}
	io.WriteString(w, t.Markdown())
}

func (s span) ratio() string { return fmt.Sprintf("%.2f (%.2f–%.2f)", s.value, s.low, s.high) }

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func yes(met bool) string {
	if met {
		return "met"
	}
	return "NOT MET"
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// oneLine makes a message fit for a list.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// writeMachine lists what the figures were measured on and with, and then, under a heading, the notes.
func (f *findings) writeMachine(p func(format string, args ...any), heading string) {
	for _, line := range append(f.machine, f.versions...) {
		p("- %s", line)
	}
	if len(f.notes) > 0 {
		p("\n%s:\n", heading)
		for _, n := range f.notes {
			p("- %s", oneLine(n))
		}
	}
}
