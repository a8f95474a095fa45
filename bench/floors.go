package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/adavit/adavit/report"
)

// floors is the table of what was asked for beside what was measured.
type floors struct{ *report.Table }

// add adds a line. of is the share of the peak, and where says where the time goes, if that is known.
func (t floors) add(work, model string, threads int, against, asked, measured string, met bool, of, where string) {
	t.Add(work, model, fmt.Sprint(threads), against, asked, measured, yes(met), of, where)
}

// missing adds a line for what could not be measured.
func (t floors) missing(work, model string, threads int, against, asked, why string) {
	t.Add(work, model, fmt.Sprint(threads), against, asked, "not measured: "+why, "", "", "")
}

// writeClaims writes what was asked for beside what was measured.
func (f *findings) writeClaims(w io.Writer) {
	fmt.Fprintf(w, "\n## What was asked for\n\n")
	table := report.NewTable(9, "work", "model", "threads", "against", "asked", "measured", "", "of the peak",
		"where the time goes")
	t := floors{&table}
	for _, c := range slices.Concat(f.contests, f.unplayed) {
		f.addVerdicts(t, c)
	}
	f.addPeaks(t)
	for _, s := range f.scalings {
		for _, p := range s.pairs {
			share := p.of(s.threads)
			t.add("dense "+p.precision+", one image", s.model.name, s.threads, "itself on one thread",
				fmt.Sprintf("%.0f %% of %d × its speed", 100*scalingAsked, s.threads), percentages(share),
				share.value >= scalingAsked, "", fmt.Sprintf("%.2f × one thread", share.value*float64(s.threads)))
		}
	}
	for _, a := range f.accuracy {
		allowed, ok := map[string]float64{int8Name: 0.1, bf16: 0.02}[a.precision]
		if !ok {
			continue
		}
		gain := a.top1 - f.accuracy[0].top1
		t.Add("top-1 in "+a.precision, accuracyModel, "", "its own f32", fmt.Sprintf("at most %.2f points lost", allowed),
			fmt.Sprintf("%+.2f points", gain), yes(gain >= -allowed), "", "rounding: see below")
	}
	for _, m := range f.memory {
		if m.who == oursName && m.what == int8Name && m.model == "deit-small" {
			t.add("memory, int8", m.model, 1, "", "at most 40 MB", megabytes(m.Held), m.Held <= 40e6, "",
				"weights of the blocks take 1 byte each, the rest is float32")
		}
	}
	f.addStarts(t)
	io.WriteString(w, t.Markdown())
}

// addVerdicts adds the lines of a contest.
func (f *findings) addVerdicts(t floors, c *contest) {
	for _, v := range c.judge() {
		work := v.work
		if c.path != "" {
			work += ", " + c.path + " kernels"
			v.theirs += " held to " + isas[c.path]
		}
		asked := fmt.Sprintf("%.2f ×", v.asked)
		if v.dense {
			asked = fmt.Sprintf("%.0f %% of the saving", 100*v.asked)
		}
		if v.missing != "" {
			t.missing(work, c.model.name, c.threads, v.theirs, asked, f.whyMissing(c, v.missing))
			continue
		}
		measured := v.speedup.ratio()
		if v.dense {
			measured = percentages(v.saving)
		}
		t.add(work, c.model.name, c.threads, v.theirs, asked, measured, v.met, fmt.Sprintf("%.0f %%", 100*c.share(v.ours)),
			f.heldBack(v))
	}
}

// addPeaks adds the shares of the peak that were asked for.
func (f *findings) addPeaks(t floors) {
	for _, k := range peakClaims {
		if !slices.Contains(f.options.models, k.model) {
			continue
		}
		asked := fmt.Sprintf("%.0f %%", 100*k.asked)
		i := slices.IndexFunc(f.contests, func(c *contest) bool {
			return c.model.name == k.model && c.threads == 1 && c.batch == 1 && c.path == ""
		})
		var ours *entry
		if i >= 0 {
			ours = f.contests[i].find(oursName + " " + k.precision)
		}
		if ours == nil {
			t.missing("dense "+k.precision, k.model, 1, "the peak", asked, "no contest of one image on one thread had it")
			continue
		}
		c := f.contests[i]
		share := c.share(ours)
		t.add("dense "+k.precision, k.model, 1, "the peak", asked, fmt.Sprintf("%.1f %%", 100*share), share >= k.asked,
			"", c.timeGoes(ours))
	}
}

// startClaim is what a whole process was asked for: milliseconds to its answer, bytes resident at most; 0 for nothing.
type startClaim struct {
	what string // of our sides
	ms   float64
	peak int64
}

// startClaims are of DeiT-S, which the bundled model is besides.
var startClaims = []startClaim{{int8Name, 120, 60 << 20}, {f32, 0, 150 << 20}, {bundledName, 40, 0}}

// addStarts adds what was asked of whole processes.
func (f *findings) addStarts(t floors) {
	if f.starts == nil || f.starts.model != "deit-small" {
		return
	}
	for _, k := range startClaims {
		side := f.starts.find(oursName + " " + k.what)
		if side == nil {
			continue
		}
		model, n := f.starts.model, f.starts.threads
		if ms := side.milliseconds(); k.ms > 0 {
			t.add("start to answer, "+k.what, model, n, "", fmt.Sprintf("within %.0f ms", k.ms),
				fmt.Sprintf("%.0f ms (%.0f–%.0f)", ms.value, ms.low, ms.high), ms.value <= k.ms, "", "")
		}
		if k.peak > 0 && side.peak > 0 {
			t.add("memory of that, "+k.what, model, n, "", "at most "+mebibytes(k.peak), mebibytes(side.peak),
				side.peak <= k.peak, "", "")
		}
	}
}

// writeStarts writes what whole processes take.
func (f *findings) writeStarts(w io.Writer) {
	s := f.starts
	if s == nil {
		return
	}
	fmt.Fprintf(w, "\n## From start to answer\n\nA whole process, from its start to the first byte of its answer to one "+
		"picture: %s from disk, %s, all files in the page cache; in turns, medians of %d.\nOurs is `adavit classify` with a "+
		"JPEG; peers are given the prepared numbers, and OpenVINO finds the model that it compiled before. The fourth "+
		"column is how many times\nas long as ours in the same precision.\n\n", s.model, count(s.threads, "thread"),
		max(len(s.sides[0].rounds), 1))
	t := report.NewTable(2, "program", "model", "ms", "× adavit", "resident at most", "class")
	for _, side := range s.sides {
		ms, times := side.milliseconds(), ""
		if ours := s.find(oursName + " " + side.precision); ours != nil && side.who != oursName {
			times = ours.speedup(&side.entry).ratio()
		}
		t.Add(side.who, side.what, fmt.Sprintf("%.0f (%.0f–%.0f)", ms.value, ms.low, ms.high), times,
			cmp.Or(mebibytes(side.peak), "not known"), side.class)
	}
	for _, name := range slices.Sorted(maps.Keys(f.absent)) {
		t.Add(name, "", "not measured: "+f.absent[name], "", "", "")
	}
	io.WriteString(w, t.Markdown())
}

// mebibytes is "" for nothing.
func mebibytes(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
}

func percentages(s span) string {
	return fmt.Sprintf("%.0f %% (%.0f–%.0f)", 100*s.value, 100*s.low, 100*s.high)
}
