package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/results"
	"github.com/adavit/adavit/internal/tools"
)

// classification is what classify --json prints.
type classification struct {
	Model  string        `json:"model"`
	Images []results.Row `json:"images"`
}

func (a *app) classify() *cobra.Command {
	var o adavit.FileOptions
	var options adavit.Options
	var model, budget, dir, output string
	cmd := &cobra.Command{
		Use:   "classify --model DIR|NAME [--list FILE] [--output FILE] IMAGE…",
		Short: "Say what is on pictures",
		Long: `Classify prints the five most probable classes of each picture, the token-blocks spent on it (one token in
one block) and their share of what a dense model spends, and the time that it took. A picture that cannot be read is
reported and the others go on; the exit status is then 1.

With --pictures a PNG file shows what became of each picture: the picture as the model saw it, how many blocks each of
its patches ran in, and which were left in each block. NAME.jpg gives NAME.jpg.depths.png, or NAME.jpg.2.depths.png
where another picture of the same call has that name. A file that is there already is never overwritten; the command
stops at it.

With --output FILE the results go into a table instead, by FILE's ending in Parquet (.parquet) or lines of JSON
(.jsonl), which appears when all are done. A picture that cannot be read has its reason there, in error, and does not
fail the command, unless it is named in the command and does not exist, or none of them can be classified. While it
runs, FILE.partial keeps what is done: after a kill or a crash the same command goes on from there, and no picture is
lost or there twice. It refuses to go on with another model or other options, and to overwrite a table.` + imageHelp,
		Example: `  adavit classify --model fashion-adaptive shoe.png coat.jpg
  adavit classify --model DIR --json - < photo.jpg
  adavit classify --model DIR --budget 0,0.6 photos/    # at most 60 % of the dense work each
  adavit classify --model fashion-adaptive --pictures maps photos/
  adavit classify --model DIR --output results.parquet archive/ # 100 000 files, say; resumable
  find photos -name '*.jpg' -newer last | adavit classify --model DIR --list -`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.Budget, err = parseBudget(budget); err != nil {
				return err
			}
			if o.Pixels = dir != ""; o.Pixels && output != "" {
				return badUsage("--pictures and --output do not go together")
			}
			if options.Embed && output == "" && !a.json {
				return badUsage("--embeddings has no effect without --json or --output")
			}
			m, err := a.open(cmd.Context(), model)
			if err != nil {
				return err
			}
			a.aboutBudget(m, o.Budget)
			options.Threads, options.Precision = a.threads, a.precision
			c, err := adavit.NewClassifier(m, options)
			if err != nil {
				return err
			}
			defer c.Close()
			if output != "" {
				return a.classifyInto(cmd.Context(), output, model, m, options, c, o, args)
			}
			var pictures *tools.Pictures
			if o.Pixels {
				if pictures, err = tools.NewPictures(dir, m); err != nil {
					return err
				}
			}
			all := classification{Model: model, Images: []results.Row{}}
			total, failed := 0, 0
			stopped := func(err error) error {
				if total > 0 && a.json { // what is done is not lost
					err = errors.Join(a.show(all, ""), err)
				}
				return err
			}
			for r, err := range c.Files(cmd.Context(), o, args...) {
				if err != nil && r.File == "" {
					return stopped(err)
				}
				total++
				f := results.Row{File: results.Name(r.File)}
				if err != nil {
					failed++
					f.Error = err.Error()
					fmt.Fprintf(a.err, "%s: %v\n", cmd.CommandPath(), err)
				} else {
					f.Result, f.Milliseconds = &r.Result, float64(r.Took.Microseconds())/1000
					if pictures != nil {
						if f.Picture, err = pictures.Write(r); err != nil {
							return stopped(err)
						}
					}
				}
				if a.json {
					all.Images = append(all.Images, f)
				} else if err == nil {
					if err := a.print(classifiedText(f)); err != nil {
						return err
					}
				}
			}
			if err := a.show(all, ""); err != nil {
				return err
			}
			if failed > 0 {
				return fmt.Errorf("%d of %d images could not be classified", failed, total)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&model, "model", "", modelUsage)
	f.StringVar(&budget, "budget", "", budgetUsage)
	f.StringVar(&dir, "pictures", "", "`folder` for a picture of each image and its tokens' depths")
	f.StringVar(&output, "output", "", "`file` for the results, .parquet or .jsonl; a run that was killed is resumed")
	f.BoolVar(&options.Embed, "embeddings", false, "results have what the head reads, too: for most models the class "+
		"token's last value; for indexes of pictures (with --json or --output)")
	a.imageFlags(cmd, &o)
	return cmd
}

// classifiedText is one picture's result for people.
func classifiedText(f results.Row) string {
	b := fmt.Appendf(nil, "%s: %d token-blocks (%.0f %% of dense), %.1f ms\n", f.File, f.Tokens, 100*f.TokenShare,
		f.Milliseconds)
	for _, p := range f.Top {
		b = fmt.Appendf(b, "  %6.2f %%  %s\n", 100*p.Probability, p.Label)
	}
	if f.Picture != "" {
		b = fmt.Appendf(b, "  %s\n", f.Picture)
	}
	return string(b)
}

// imageHelp explains the arguments of the commands that read image files.
const imageHelp = `

IMAGE is a JPEG, PNG, GIF, WebP, BMP, TIFF or PNM file, whatever it is called; a directory, for the images in it and
below it, sorted by path; a pattern such as 'photos/*.jpg' that the shell left alone; or -, an image on standard input.`

// imageFlags adds the flags and checks of these commands.
func (a *app) imageFlags(cmd *cobra.Command, o *adavit.FileOptions) {
	o.Stdin = a.in
	f := cmd.Flags()
	f.StringVar(&o.List, "list", "", "`file` that lists more images, one a line; - is standard input")
	decodingFlags(cmd, &o.Decoding)
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 && o.List == "" {
			return badUsage("missing argument: an image file")
		}
		return nil
	}
}

// budgetUsage says what --budget takes.
const budgetUsage = "`MEAN[,MAX]`: shares of the dense model's token-blocks, above 0 and at most 1. Images " +
	"cost MEAN on average (0: no aim; needs a model with a ladder of budgets) and none costs more than MAX"

// parseBudget reads MEAN[,MAX].
func parseBudget(text string) (b adavit.Budget, err error) {
	if text == "" {
		return b, nil
	}
	if b, err = infer.ParseBudget(text); err != nil {
		return b, badUsage("--budget is %v", err)
	}
	return b, nil
}

// aboutBudget says where a mean budget is beyond the model's ladder.
func (a *app) aboutBudget(m *adavit.Model, b adavit.Budget) {
	if text := b.Caution(m); text != "" {
		a.log.Warn(text)
	}
}
