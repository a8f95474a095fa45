package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/adavit/adavit/report"
)

// writeTraining writes the contests, beside what was asked for.
func (f *findings) writeTraining(w io.Writer) {
	if len(f.trained) == 0 {
		return
	}
	fmt.Fprintf(w,
		"\n## Training\n\nMilliseconds a step: forward, cross-entropy, backward, clipping, AdamW; in bf16 with weights and "+
			"moments in float32. Losses and gradients were compared first.\nPyTorch's fastest is that of its two precisions. "+
			"*Halting*: tokens halt as they train, so its step should cost its share of a dense one; asked is that share and\n"+
			"%.0f points of overhead at most.\n\n", 100*trainingOverhead)
	asked := report.NewTable(7, "model", "batch", "threads", "against", "asked", "measured", "")
	for _, c := range f.trained {
		f.addTrainingFloors(&asked, c)
	}
	io.WriteString(w, asked.Markdown())
	for _, c := range f.trained {
		fmt.Fprintln(w)
		c.writeTable(w)
	}
	for _, m := range f.trainingPeak {
		fmt.Fprintf(w, "\nTwo steps of %s at 224×224 in %s, batch %d, on one thread keep %.2f GB resident at most, the "+
			"program counted (asked: at most 12).\n", m.model, m.what, trainingMemoryBatch, float64(m.Peak)/1e9)
	}
}

// addTrainingFloors adds what a contest was asked for.
func (f *findings) addTrainingFloors(t *report.Table, c *training) {
	add := func(against, asked, measured, met string) {
		t.Add(c.model.name, fmt.Sprint(c.batch), fmt.Sprint(c.threads), against, asked, measured, met)
	}
	for _, precision := range []string{f32, bf16} {
		if !slices.Contains(f.options.precisions, precision) {
			continue
		}
		against, theirs := "PyTorch f32", c.find("PyTorch f32")
		if precision == bf16 {
			against, theirs = "PyTorch's fastest", c.fastest("PyTorch")
		}
		ours := c.find(oursName + " " + precision)
		asked := fmt.Sprintf("%s %.1f ×", precision, trainingAsked[precision])
		switch {
		case ours == nil:
			add(against, asked, "not measured: "+f.whyMissing(&c.contest, oursName+" "+precision), "")
		case theirs == nil:
			add(against, asked, "not measured: "+f.whyMissing(&c.contest, "PyTorch "+precision), "")
		default:
			s := ours.speedup(theirs)
			add(theirs.key(), asked, s.ratio(), yes(s.value >= trainingAsked[precision]))
		}
	}
	share := c.halting.depth / float64(c.halting.layers)
	cost := c.find(oursName + " " + f32).speedup(c.find(oursName + " " + f32 + haltingTag))
	add("its own dense step", fmt.Sprintf("at most %.0f %% of it (%.0f %% of the tokens run)",
		100*(share+trainingOverhead), 100*share), fmt.Sprintf("%.0f %%", 100*cost.value),
		yes(cost.value <= share+trainingOverhead))
}

// fastest returns a peer's fastest side, or nil.
func (c *contest) fastest(who string) (best *entry) {
	for _, e := range c.entries {
		if e.who == who && (best == nil || e.milliseconds().value < best.milliseconds().value) {
			best = e
		}
	}
	return best
}
