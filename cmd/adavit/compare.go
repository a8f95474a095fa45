package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit/compare"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/picture"
)

func (a *app) compare() *cobra.Command {
	o := compare.Options{Log: a.log, Contents: a.contents}
	var decoding picture.Decoding
	var seeds, sweep string
	var given []string
	cmd := &cobra.Command{
		Use:   "compare --model DENSE --data SET --out DIR",
		Short: "Train several halting schemes from one dense model and compare them",
		Long: `Compare trains each scheme from the same dense model with equal epochs, seeds and data, brings all of them
to the same mean depth by their own constants (on training images), tests them, and times them in turns with each
other and with the dense model, trained on equally. Schemes that need no training (` +
			strings.Join(halting.Names(halting.NeedsNoTraining), ", ") + `) use that model's weights. A random
control tells what the choice of tokens is worth: the same depths, in random order among an image's patches. All is
tested and timed in f32, unless --precision names another. A speed-up is the median of the ratios within each turn, in
which all took theirs one after the other; it need not be the ratio of the images a second beside it, which are medians
over all turns.

It leaves a folder for each run with its report and log, and compare.html, compare.svg, compare.json and table.md.
Interrupted, the same command goes on; runs that are finished are not repeated.

A scheme is a name, or a name with values of its own: token:alpha_prior=0 changes the recipe, similarity:threshold=0.9
and topk:keep=0.5:fuse=true the scheme's constants; topk:train=true trains the model with the scheme. With a label
before it, as in half=token:budget=0.5, tables and plots call it that.
` + schemes(),
		Example: `  adavit compare --model fashion-dense --data fashion-mnist --out compared --epochs 5
  adavit compare --model fashion-dense --data fashion-mnist --out ablation \
      --schemes token,token:alpha_prior=0 --seeds 1,2,3
  adavit compare --model my-deit --data photos --out compared --recipe my.json \
      --schemes none,token,topk,tome --depth 7 --batch 64`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Seconds == 0 { // which Run takes for the usual time
				return badUsage("--seconds is 0, want more")
			}
			o.Set = append(o.Set, decodingOverrides(decoding)...)
			for _, list := range given {
				o.Schemes = append(o.Schemes, compare.SplitSchemes(list)...)
			}
			for text := range strings.SplitSeq(seeds, ",") {
				seed, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
				if err != nil {
					return badUsage("--seeds is %q, want numbers with commas between them", seeds)
				}
				o.Seeds = append(o.Seeds, seed)
			}
			for text := range strings.FieldsFuncSeq(sweep, func(r rune) bool { return r == ',' }) {
				depth, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
				if err != nil {
					return badUsage("--sweep is %q, want depths with commas between them", sweep)
				}
				o.Sweep = append(o.Sweep, depth)
			}
			o.Precision = a.precision
			if err := a.fetch(cmd.Context(), o.Model); err != nil {
				return err
			}
			o.Threads, o.Progress = a.threads, a.comparing()
			r, err := compare.Run(cmd.Context(), o)
			if err != nil {
				return aboutClasses(err)
			}
			text := tableText(r.Summary())
			if t := r.ControlTable(); len(t.Rows) > 0 {
				text += fmt.Sprintf("\n%s\n%s", t.Title, tableText(t))
			}
			for _, t := range r.SpeedTables() {
				text += fmt.Sprintf("\n%s\n%s", t.Title, tableText(t))
			}
			return a.show(r, text+fmt.Sprintf("\nThe plots and each run's report and log are in %s\n", r.Report))
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Model, "model", "", "dense `model` that all schemes start from, a directory or a bundled name")
	f.StringVar(&o.Data, "data", "", dataUsage)
	unknownClasses(f, &o.Unknown)
	f.StringVar(&o.Dir, "out", "", "`folder` for the runs and the results")
	f.StringArrayVar(&given, "schemes", nil, "`list` of schemes with commas between them (default: all); may be repeated")
	f.StringVar(&o.Recipe, "recipe", "", "bundled recipe's `name`, or a file, that all schemes train by")
	f.IntVar(&o.Epochs, "epochs", 0, "`number` of epochs of each run (default: the recipe's)")
	f.StringVar(&seeds, "seeds", "1", "`list` of seeds; each scheme is trained with each")
	f.Float64Var(&o.Depth, "depth", 0,
		"mean `depth` to bring the schemes to (default: what token reaches, without it half of the blocks)")
	f.StringVar(&sweep, "sweep", "", "`list` of further depths to reach, for curves of accuracy against time")
	f.IntVar(&o.Limit, "limit", 0, "use the first so `many` training and test images only")
	f.IntVar(&o.Batch, "batch", 32, "`images` in a batch where speed in batches is measured")
	f.Float64Var(&o.Seconds, "seconds", 0.5, "how `long` a turn of the timing takes")
	decodingFlags(cmd, &decoding)
	f.StringArrayVar(&o.Set, "set", nil, "override a recipe's value for all schemes, as `KEY=VALUE`; may be repeated")
	return cmd
}

// comparing shows how far a comparison has come: a bar for each piece of work on a terminal, else lines of log from the
// work itself.
func (a *app) comparing() func(compare.Progress) {
	piece := ""
	return func(p compare.Progress) {
		label := fmt.Sprintf("run %d/%d, %s %s, seed %d", p.Run, p.Runs, p.Phase, p.Scheme, p.Seed)
		if now := fmt.Sprint(label, p.Total); now != piece {
			a.bar.start(label)
			piece = now
		}
		if p.Train != nil {
			label += ": " + trainingText(*p.Train)
		}
		a.bar.describe(label)
		a.bar.update(p.Done, p.Total)
	}
}
