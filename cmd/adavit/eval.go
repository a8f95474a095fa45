package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/trainer"
)

// What flags of several commands take.
const (
	modelUsage = "model `directory` or bundled name"
	dataUsage  = "data `set`: fashion-mnist, fashion-mnist:DIR, textile, a folder of IDX or CIFAR files, of one " +
		"sub-folder for each class or of pictures with a list of labels, or tar files (shards-{000..012}.tar)"
	limitUsage   = "use the first so `many` images only"
	damagedUsage = "`share` of the pictures that may be damaged: they are left out"
)

func (a *app) eval() *cobra.Command {
	o := tools.EvalOptions{Log: a.log, Contents: a.contents}
	var decoding picture.Decoding
	var budget string
	cmd := &cobra.Command{
		Use:   "eval --model DIR|NAME --data SET",
		Short: "Measure a model's accuracy, depth, work and speed on a data set",
		Long: `Eval runs a model over the test part of a data set. Images a second are counted from the data set's bytes
to the logits, decoding and normalising included. MACs are multiply-accumulates of the tokens that ran. A data set
without a test part is measured on its validation part, or whole, pictures that a model was trained on included; a
warning says so. What the data are is told first: parts, folders, classes, pictures, and what is left out and why.

Classes are matched by their names. Where no name matches, numbers are the model's classes in their order, and so are
other names if the model's classes have none or classes.txt lists the data's. Damaged pictures, and those of too many
pixels, are left out and counted; of large data sets the table has a ? in their place, for they show as they are read.`,
		Example: `  adavit eval --model fashion-adaptive --data fashion-mnist
  adavit eval --model my-model --data folder-of-classes --limit 1000 --json
  adavit eval --model fashion-adaptive --data fashion-mnist --budget 0.4 --control`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Budget, err = parseBudget(budget); err != nil {
				return err
			}
			m, err := a.open(cmd.Context(), o.Name)
			if err != nil {
				return err
			}
			a.aboutBudget(m, o.Budget)
			m.Preprocessor = m.Preprocessor.DecodedBy(decoding)
			a.bar.start("images")
			o.Threads, o.Precision, o.Progress = a.threads, a.precision, a.bar.update
			ev, err := tools.Eval(cmd.Context(), m, o)
			if errors.Is(err, data.ErrDamaged) {
				return fmt.Errorf("%w (--damaged bears more)", err)
			}
			if err != nil {
				return aboutClasses(err)
			}
			left := ""
			if ev.Damaged+ev.TooLarge > 0 {
				left = fmt.Sprintf(" (left out: %d damaged, %d too large)", ev.Damaged, ev.TooLarge)
			}
			control := ""
			if c := ev.Control; c != nil {
				control = fmt.Sprintf("depth        deviates by %.2f blocks between images, by %.2f within one\n", c.Images,
					c.Tokens)
				if c.Random != nil {
					control += fmt.Sprintf("by lot       %.2f %% with each image's depths in random order\n", *c.Random)
				}
			}
			return a.show(ev, fmt.Sprintf(evalText, ev.Model, ev.Images, left, ev.Top1, ev.Top5, ev.MeanDepth,
				m.Params.Config.Layers, ev.MACs/1e6, ev.DenseMACs/1e6, 100*ev.MACs/ev.DenseMACs,
				ev.ImagesPerSecond, ev.Threads, ev.Precision)+control)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Name, "model", "", modelUsage)
	f.StringVar(&o.Data, "data", "", dataUsage)
	unknownClasses(f, &o.Unknown)
	f.Float64Var(&o.Damaged, "damaged", trainer.DefaultRecipe().Damaged, damagedUsage)
	f.StringVar(&budget, "budget", "", budgetUsage)
	f.BoolVar(&o.Control, "control", false, "also run the images with their tokens' depths in random order, which says "+
		"what the choice of tokens is worth")
	f.IntVar(&o.Limit, "limit", 0, limitUsage+", or, where the data are in the order of their classes, so many of all")
	decodingFlags(cmd, &decoding)
	return cmd
}

// evalText lays out what eval found.
const evalText = `model        %s
images       %d%s
top-1        %.2f %%
top-5        %.2f %%
mean depth   %.2f of %d blocks
MACs         %.4g M an image, %.4g M dense (%.0f %%)
speed        %.0f images/s, %d threads, %s
`

func (a *app) demo() *cobra.Command {
	var o eval.Options
	var dir, dataset string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the bundled models on the bundled images and show what they did",
		Long: `Demo needs no download and no flag. It runs the bundled dense and adaptive models over the 10 000 test
images of Fashion-MNIST, taking turns, prints what each reached and at which cost, and writes a report with
pictures: which parts of an image were looked at for how long. With --data textile it does so with 60 pictures in
colour, of 224×224 for the model, some of which have a small defect, and the same model with all of its tokens in place
of a dense one.`,
		Example: `  adavit demo
  adavit demo --data textile
  adavit demo --out /tmp/report --threads 1`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				return badUsage("--out is missing")
			}
			a.bar.start("images")
			o.Threads, o.Precision, o.Progress = a.threads, a.precision, a.bar.update
			r, err := tools.Demo(cmd.Context(), dataset, dir, o)
			if err != nil {
				return err
			}
			return a.show(r, fmt.Sprintf("%s\nThe report with its pictures is in %s\n",
				tableText(report.Models(r.Rows)), r.Report))
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "out", "adavit-report", "`folder` for the report and the pictures")
	f.StringVar(&dataset, "data", tools.DemoData()[0], "bundled `pictures`: "+strings.Join(tools.DemoData(), " or "))
	f.IntVar(&o.Limit, "limit", 0, limitUsage)
	return cmd
}

// tableText is t as text; to write to memory cannot fail.
func tableText(t report.Table) string {
	var b strings.Builder
	t.WriteText(&b)
	return b.String()
}
